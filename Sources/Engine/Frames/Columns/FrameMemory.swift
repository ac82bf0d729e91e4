// The account of memory that frames hold on a node, against its budget. Frames are data: nothing is evicted for them.

import Synchronization

/// Bytes held by all frames of a node.
package final class FrameMemory: Sendable {
    private let limit: Atomic<Int>
    private let used = Mutex(Used())

    private struct Used {
        var rows = 0
        var schemas = 0
        var total: Int { rows + schemas }
    }
    /// What is kept only to save work, and goes before anything is refused.
    private let derived = Mutex([Derived]())

    private struct Derived: Sendable {
        var bytes = 0
        let reclaim: @Sendable () -> Void
    }

    /// What is sealed while more than this is in use is kept compressed; nil: three quarters of the limit.
    private let compressesBeyondBytes: Int?
    /// Writes that there was no room for.
    private let refused = Atomic<Int>(0)

    package init(limitBytes: Int = 1 << 30, compressesBeyondBytes: Int? = nil) {
        limit = Atomic(limitBytes)
        self.compressesBeyondBytes = compressesBeyondBytes
    }

    /// What all frames may have. Below what they have, nothing of theirs goes, but what is only derived does: writes are refused
    /// until enough was dropped.
    package var limitBytes: Int { limit.load(ordering: .relaxed) }

    package func setLimit(bytes: Int) {
        limit.store(bytes, ordering: .relaxed)
        if !hasRoom(for: 0) { reclaimDerived() }
    }

    package var refusals: Int { refused.load(ordering: .relaxed) }

    var isScarce: Bool { usedBytes > compressesBeyondBytes ?? limitBytes / 4 * 3 }

    /// Of rows, those under way too.
    package var usedBytes: Int { used.withLock { $0.rows } }
    /// What frames take without a row.
    package var schemaBytes: Int { used.withLock { $0.schemas } }

    /// Another keeper of what is only derived; `reclaim` is called when room is needed, and gives up all of it. Answers the
    /// keeper's number.
    func addKeeper(_ reclaim: @escaping @Sendable () -> Void) -> Int {
        derived.withLock { derived in
            derived.append(Derived(reclaim: reclaim))
            return derived.count - 1
        }
    }

    func set(derivedBytes: Int, of keeper: Int) { derived.withLock { $0[keeper].bytes = derivedBytes } }

    package var derivedBytes: Int { derived.withLock { $0.reduce(0) { $0 + $1.bytes } } }

    /// Whether there is room for more that is only derived.
    func hasRoom(for bytes: Int) -> Bool { bytes <= limitBytes - usedBytes - schemaBytes - derivedBytes }

    fileprivate func take(_ bytes: Int, isSchema: Bool) throws(Failure) {
        if !hasRoom(for: bytes) { reclaimDerived() }
        let limitBytes = limitBytes
        let usedBytes: Int? = used.withLock { used in
            guard bytes <= limitBytes - used.total else { return used.total }
            if isSchema { used.schemas += bytes } else { used.rows += bytes }
            return nil
        }
        guard let usedBytes else { return }
        refused.add(1, ordering: .relaxed)
        throw Failure(
            .budgetExceeded,
            "frame memory is full: \(usedBytes) of \(limitBytes) bytes are in use and \(bytes) more are needed; "
                + "drop a frame, or raise --frame-memory (frame_memlimit MEGABYTES while it runs)", fault: .server)
    }

    private func reclaimDerived() {
        for keeper in derived.withLock({ $0 }) where keeper.bytes > 0 { keeper.reclaim() }
    }

    fileprivate func give(_ bytes: Int, isSchema: Bool) {
        used.withLock { if isSchema { $0.schemas -= bytes } else { $0.rows -= bytes } }
    }

    /// Takes without asking: for a change of form that frees more, a moment later, than it takes.
    fileprivate func force(_ bytes: Int) { used.withLock { $0.rows += bytes } }
}

/// Bytes taken from a `FrameMemory`, given back with the last owner of this object.
package final class MemoryReservation: Sendable {
    private let memory: FrameMemory
    private let held: Mutex<Int>
    private let isSchema: Bool

    package init(_ memory: FrameMemory, isSchema: Bool = false) {
        self.memory = memory
        self.isSchema = isSchema
        held = Mutex(0)
    }

    deinit { memory.give(bytes, isSchema: isSchema) }

    var bytes: Int { held.withLock { $0 } }

    package func grow(by more: Int) throws(Failure) {
        try memory.take(more, isSchema: isSchema)
        held.withLock { $0 += more }
    }

    func force(_ more: Int) {
        memory.force(more)
        held.withLock { $0 += more }
    }

    func shrink(by less: Int) {
        held.withLock { $0 -= less }
        memory.give(less, isSchema: isSchema)
    }
}
