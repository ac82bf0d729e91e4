// The account of memory that frames hold on a node, against its budget. Frames are data: nothing is evicted for them.

import Synchronization

/// Bytes held by all frames of a node.
package final class FrameMemory: Sendable {
    package let limitBytes: Int
    private let used = Mutex(0)
    /// What is kept only to save work, and goes before anything is refused.
    private let derived = Mutex<(bytes: Int, reclaim: (@Sendable () -> Void)?)>((0, nil))

    /// What is sealed while more than this is in use is kept compressed.
    private let compressesBeyondBytes: Int

    package init(limitBytes: Int = 1 << 30, compressesBeyondBytes: Int? = nil) {
        self.limitBytes = limitBytes
        self.compressesBeyondBytes = compressesBeyondBytes ?? limitBytes / 4 * 3
    }

    var isScarce: Bool { usedBytes > compressesBeyondBytes }

    package var usedBytes: Int { used.withLock { $0 } }

    /// Called when room is needed; it gives up all derived bytes.
    func setReclaimer(_ reclaim: @escaping @Sendable () -> Void) { derived.withLock { $0.reclaim = reclaim } }

    func set(derivedBytes: Int) { derived.withLock { $0.bytes = derivedBytes } }

    /// Whether there is room for more that is only derived.
    func hasRoom(for bytes: Int) -> Bool { bytes <= limitBytes - usedBytes - derived.withLock { $0.bytes } }

    fileprivate func take(_ bytes: Int) throws(Failure) {
        if let reclaim = derived.withLock({ $0.bytes > 0 && !hasRoom(for: bytes, beside: $0.bytes) ? $0.reclaim : nil })
        {
            reclaim()
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

    private func hasRoom(for bytes: Int, beside derivedBytes: Int) -> Bool {
        bytes <= limitBytes - usedBytes - derivedBytes
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
