// The script gate of a shard: turns are taken one at a time, in the order they came.

import CLinux
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
    /// Turns that were taken over from the queue: a sign of life for those who spin.
    private let turns = Atomic<UInt32>(0)
    /// Somebody spun in vain: nobody does so again before the next turn.
    private let isSlow = Atomic<Bool>(false)
    /// Between two signs of life: some ten microseconds, what a short method takes and the way of its answer.
    private static var spinsMax: Int { 1_000 }
    /// Signs of life that are waited for, at most.
    private static var turnsMax: UInt32 { 64 }

    init(waitingMax: Int) { self.waitingMax = waitingMax }

    /// How many wait now.
    var waitingCount: Int { waiting.withLock(\.count) }

    /// Enters if nobody is inside. Whoever was let in has to leave, by `leave` or `next`.
    @inline(__always)
    func tryEnter() -> Bool {
        state.compareExchange(expected: Self.free, desired: Self.taken, ordering: .acquiring).exchanged
    }

    /// Enters if that takes no longer than short methods do. A turn that is handed to another thread costs ten times as much,
    /// and that thread keeps the gate while others arrive: once they began to queue they would queue for ever.
    @inline(never)
    func enterSoon() -> Bool {
        guard !isSlow.load(ordering: .relaxed) else { return false }
        let first = turns.load(ordering: .relaxed)
        var seen = first
        var spinsLeft = Self.spinsMax
        while spinsLeft > 0, seen &- first < Self.turnsMax {
            if state.load(ordering: .relaxed) == Self.free, tryEnter() { return true }
            linux_pause()
            spinsLeft -= 1
            let now = turns.load(ordering: .relaxed)
            if now != seen { (seen, spinsLeft) = (now, Self.spinsMax) }
        }
        isSlow.store(true, ordering: .relaxed)
        return false
    }

    /// `mayExceed`: the turn gets its place however many wait.
    func enter(_ turn: Turn, mayExceed: Bool = false) -> Entry {
        if tryEnter() || enterSoon() { return .entered }
        return waiting.withLock { waiting in
            while true {
                if tryEnter() {
                    isSlow.store(false, ordering: .relaxed)
                    return .entered
                }
                guard mayExceed || waiting.count < waitingMax else { return .full }
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
            turns.store(turns.load(ordering: .relaxed) &+ 1, ordering: .relaxed)
            isSlow.store(false, ordering: .relaxed)
            return turn
        }
    }
}
