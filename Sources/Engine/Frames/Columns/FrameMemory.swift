// The account of memory that frames hold on a node, against its budget. Frames are data: nothing is evicted for them.

import Synchronization

/// Bytes held by all frames of a node.
package final class FrameMemory: Sendable {
    package let limitBytes: Int
    private let used = Mutex(0)
    /// What is kept only to save work, and goes before anything is refused.
    private let derived = Mutex([Derived]())

    private struct Derived: Sendable {
        var bytes = 0
        let reclaim: @Sendable () -> Void
    }

    /// What is sealed while more than this is in use is kept compressed.
    private let compressesBeyondBytes: Int

    package init(limitBytes: Int = 1 << 30, compressesBeyondBytes: Int? = nil) {
        self.limitBytes = limitBytes
        self.compressesBeyondBytes = compressesBeyondBytes ?? limitBytes / 4 * 3
    }

    var isScarce: Bool { usedBytes > compressesBeyondBytes }

    package var usedBytes: Int { used.withLock { $0 } }

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
    func hasRoom(for bytes: Int) -> Bool { bytes <= limitBytes - usedBytes - derivedBytes }

    fileprivate func take(_ bytes: Int) throws(Failure) {
        if !hasRoom(for: bytes) {
            for keeper in derived.withLock({ $0 }) where keeper.bytes > 0 { keeper.reclaim() }
        }
        let usedBytes: Int? = used.withLock { used in
            guard bytes <= limitBytes - used else { return used }
            used += bytes
            return nil
        }
        guard let usedBytes else { return }
        throw Failure(
            .budgetExceeded,
            "frame memory is full: \(usedBytes) of \(limitBytes) bytes are in use and \(bytes) more are needed; "
                + "drop a frame or raise --frame-memory")
    }

    fileprivate func give(_ bytes: Int) { used.withLock { $0 -= bytes } }

    /// Takes without asking: for a change of form that frees more, a moment later, than it takes.
    fileprivate func force(_ bytes: Int) { used.withLock { $0 += bytes } }
}

/// Bytes taken from a `FrameMemory`, given back with the last owner of this object.
final class MemoryReservation: Sendable {
    private let memory: FrameMemory
    private let held: Mutex<Int>

    init(_ memory: FrameMemory) {
        self.memory = memory
        held = Mutex(0)
    }

    deinit { memory.give(bytes) }

    var bytes: Int { held.withLock { $0 } }

    func grow(by more: Int) throws(Failure) {
        try memory.take(more)
        held.withLock { $0 += more }
    }

    func force(_ more: Int) {
        memory.force(more)
        held.withLock { $0 += more }
    }

    func shrink(by less: Int) {
        held.withLock { $0 -= less }
        memory.give(less)
    }
}
