// The memory that all jobs' scripts of a node share: states lease it as they grow. Unsafe pointers inside.

import CLua
import Synchronization

/// Bytes leased to Lua states, and through `ScriptShare` to what scripts have outside of them, against a limit.
package final class ScriptMemory: Sendable {
    package let limitBytes: Int
    private let used = Mutex(0)

    /// What a new state is given; leases grow by a quarter, at least by that.
    static let leaseBytesMin = 256 << 10
    /// A state up to this size may have the last eighth, so that a few large ones do not keep everybody else out.
    private static let smallBytesMax = 4 << 20

    package init(limitBytes: Int) { self.limitBytes = limitBytes }

    package var usedBytes: Int { used.withLock { $0 } }

    /// `total`: what the state has then.
    func take(_ bytes: Int, total: Int) -> Bool {
        let limit = total <= Self.smallBytesMax ? limitBytes : limitBytes / 8 * 7
        return used.withLock { used in
            guard bytes <= limit - used else { return false }
            used += bytes
            return true
        }
    }

    func give(_ bytes: Int) { used.withLock { $0 -= bytes } }

    /// One that was refused although it has less than it may have: who has much of what all share is the cause, and must be
    /// content; another one has only come at the wrong time.
    func refusal(_ message: String, leased: Int, fault: Fault) -> Failure {
        let limit = "of the \(limitBytes >> 20) MiB that the scripts of this node may use together"
        if leased > limitBytes / 16 {
            let remedy = "filter, group more coarsely, or take less at a time"
            return Failure(.budgetExceeded, "\(message) (\(leased >> 20) MiB \(limit)); \(remedy)", fault: fault)
        }
        return Failure(.overloaded, "\(message): others use most \(limit); ask again later")
    }
}

/// Called by the allocator.
let extendLease: @convention(c) (UnsafeMutablePointer<clua_control>?, Int) -> Void = { control, wanted in
    guard let control, let account = control.pointee.account else { return }
    let memory = Unmanaged<ScriptMemory>.fromOpaque(account).takeUnretainedValue()
    let leased = control.pointee.limitBytes
    let most = control.pointee.ceilingBytes
    guard wanted <= most else { return }
    for aim in [max(wanted, leased + max(ScriptMemory.leaseBytesMin, leased / 4)), wanted] {
        let bytes = min(aim, most) - leased
        if memory.take(bytes, total: leased + bytes) {
            control.pointee.limitBytes = leased + bytes
            return
        }
    }
}

extension LuaState {
    /// A state that leases what it uses.
    /// - Throws: `overloaded` when not even a small one is left.
    convenience init(memoryBytesMax: Int, account: ScriptMemory) throws(Failure) {
        guard account.take(ScriptMemory.leaseBytesMin, total: ScriptMemory.leaseBytesMin) else {
            throw account.refusal("no memory for another script", leased: 0, fault: .server)
        }
        self.init(memoryBytesMax: memoryBytesMax)
        lease(ScriptMemory.leaseBytesMin, from: account)
        share = ScriptShare(of: account)
    }

    private func lease(_ bytes: Int, from account: ScriptMemory) {
        self.account = account
        control.pointee.account = Unmanaged.passUnretained(account).toOpaque()
        control.pointee.limitBytes = bytes
        control.pointee.extend = extendLease
    }

    /// Of what leaves it; nil for a state that is on no account, where it would only cost time.
    func lease(for what: StaticString) -> MemoryLease? { account == nil ? nil : share.emptyLease(for: what) }

    /// Gives back what is not in use.
    func shrinkLease() {
        guard let account else { return }
        let leased = control.pointee.limitBytes
        let wanted = max(ScriptMemory.leaseBytesMin, memoryBytes + memoryBytes / 4)
        guard wanted < leased else { return }
        control.pointee.limitBytes = wanted
        account.give(leased - wanted)
    }
}
