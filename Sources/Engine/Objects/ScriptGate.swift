// The script gate of a shard: turns are taken one at a time, in the order they came.

import DequeModule
import Synchronization

/// Who may run. It runs nothing itself: whoever entered performs its turn, then takes over the next one until `next`
/// says that there is none, which leaves the gate. While nobody waits, entering and leaving cost one atomic step each.
final class ScriptGate<Turn: Sendable>: Sendable {
    enum Entry { case entered, queued, full }

    /// Somebody waits only while somebody is inside; that changes under the lock of the queue alone.
    private static var free: Int { 0 }
    private static var taken: Int { 1 }
    private static var takenWithQueue: Int { 2 }

    private let state = Atomic<Int>(0)
    private let waiting = Mutex(Deque<Turn>())
    private let waitingMax: Int
    /// Short methods take about a microsecond: worth waiting for before a turn is handed to another thread.
    private static var spinsMax: Int { 32 }

    init(waitingMax: Int) { self.waitingMax = waitingMax }

    /// Enters if nobody is inside. Whoever was let in has to leave, by `leave` or `next`.
    @inline(__always)
    func tryEnter() -> Bool {
        state.compareExchange(expected: Self.free, desired: Self.taken, ordering: .acquiring).exchanged
    }

    func enter(_ turn: Turn) -> Entry {
        for _ in 0..<Self.spinsMax where state.load(ordering: .relaxed) == Self.free {
            if tryEnter() { return .entered }
        }
        return waiting.withLock { waiting in
            while true {
                if tryEnter() { return .entered }
                guard waiting.count < waitingMax else { return .full }
                let outcome = state.compareExchange(
                    expected: Self.taken, desired: Self.takenWithQueue, ordering: .acquiringAndReleasing)
                guard outcome.exchanged || outcome.original == Self.takenWithQueue else { continue }
                waiting.append(turn)
                return .queued
            }
        }
    }

    /// Leaves unless somebody waits; then `next` has to be called.
    @inline(__always)
    func leave() -> Bool {
        state.compareExchange(expected: Self.taken, desired: Self.free, ordering: .releasing).exchanged
    }

    /// The turn to perform next; nil after the gate was left.
    func next() -> Turn? {
        if leave() { return nil }
        return waiting.withLock { waiting in
            guard let turn = waiting.popFirst() else { preconditionFailure("a gate with a queue has somebody in it") }
            if waiting.isEmpty { state.store(Self.taken, ordering: .relaxed) }
            return turn
        }
    }

    var waitingCount: Int { waiting.withLock { $0.count } }
}
