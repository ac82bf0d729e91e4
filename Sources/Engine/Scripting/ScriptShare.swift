// What a script has of the memory that all of them share, besides its Lua state: what its scans hold, and results.

import Synchronization

/// One script's on one node, whatever threads work for it.
package final class ScriptShare: Sendable {
    private let memory: ScriptMemory
    private let held = Atomic<Int>(0)
    /// What its Lua state leases by itself, as far as is known here.
    private let state = Atomic<Int>(0)
    private let refusals = Atomic<Int>(0)

    package init(of memory: ScriptMemory) { self.memory = memory }

    /// Without a limit: of what is no job's.
    package convenience init() { self.init(of: ScriptMemory(limitBytes: .max)) }

    /// Leased at present, without what the Lua state has.
    package var heldBytes: Int { held.load(ordering: .relaxed) }
    /// How often there was not enough.
    var refusalCount: Int { refusals.load(ordering: .relaxed) }

    func note(stateBytes: Int) { state.store(stateBytes, ordering: .relaxed) }

    /// Throws `budget_exceeded` when this script has, or wants, much of what all share, else `overloaded`.
    fileprivate func take(_ bytes: Int, for what: StaticString) throws(Failure) {
        let total = held.add(bytes, ordering: .relaxed).newValue + state.load(ordering: .relaxed)
        if memory.take(bytes, total: total) { return }
        held.subtract(bytes, ordering: .relaxed)
        refusals.add(1, ordering: .relaxed)
        throw memory.refusal("\(what) would take too much memory", leased: total, fault: .caller)
    }

    fileprivate func give(_ bytes: Int) {
        held.subtract(bytes, ordering: .relaxed)
        memory.give(bytes)
    }

    /// - Parameter what: needs the memory, as failures call it.
    /// - Throws: as `MemoryLease.take`.
    package func lease(_ bytes: Int = 0, for what: StaticString) throws(Failure) -> MemoryLease {
        let lease = MemoryLease(self, for: what)
        if bytes > 0 { try lease.settle(at: bytes) }
        return lease
    }

    /// As `lease`, of nothing yet.
    package func emptyLease(for what: StaticString) -> MemoryLease { MemoryLease(self, for: what) }
}

/// Bytes of a share, given back with the last owner of this object: whatever took them holds it.
package final class MemoryLease: Sendable {
    private struct Bytes {
        var used = 0
        /// Taken from the share; what is not used yet is there for the next pieces.
        var held = 0
    }

    private let share: ScriptShare
    private let what: StaticString
    private let state = Mutex(Bytes())

    fileprivate init(_ share: ScriptShare, for what: StaticString) {
        self.share = share
        self.what = what
    }

    deinit {
        let held = state.withLock { $0.held }
        if held > 0 { share.give(held) }
    }

    /// In use, of what was taken.
    package var bytes: Int { state.withLock { $0.used } }

    /// Before so many bytes are allocated. Costs a lock of its own, mostly; that of the account each time it has grown by a
    /// quarter.
    /// - Throws: `budget_exceeded` or `overloaded`; then nothing is taken.
    package func take(_ more: Int) throws(Failure) {
        try state.withLock { (state: inout Bytes) throws(Failure) in
            let used = state.used + more
            if used > state.held {
                let lacking = used - state.held
                do throws(Failure) {
                    // Small ones grow by doubling, so that many small scans together lease little more than they use.
                    let step = max(lacking, min(state.held / 4, 4 << 20))
                    try share.take(step, for: what)
                    state.held += step
                } catch {
                    try share.take(lacking, for: what)
                    state.held += lacking
                }
            }
            state.used = used
        }
    }

    /// After so many bytes were freed. They stay with this lease.
    package func give(_ less: Int) { state.withLock { $0.used -= less } }

    /// Uses so many from now on, and keeps no more.
    /// - Throws: as `take`, when it is more than it has.
    func settle(at bytes: Int) throws(Failure) {
        try state.withLock { (state: inout Bytes) throws(Failure) in
            let surplus = state.held - bytes
            if surplus < 0 { try share.take(-surplus, for: what) } else if surplus > 0 { share.give(surplus) }
            (state.used, state.held) = (bytes, bytes)
        }
    }
}
