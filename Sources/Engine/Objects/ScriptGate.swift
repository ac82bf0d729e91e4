// The script gate of a shard: turns are taken one at a time, in the order they came.

import DequeModule
import Synchronization

/// Who may run. It runs nothing itself: whoever entered performs its turn, then takes over the next one until `next`
/// says that there is none, which leaves the gate.
final class ScriptGate<Turn: Sendable>: Sendable {
    enum Entry { case entered, queued, full }

    private struct State {
        var isBusy = false
        var waiting = Deque<Turn>()
    }
    private let state = Mutex(State())
    private let waitingMax: Int
    /// Short methods take about a microsecond: worth waiting for before a turn is handed to another thread.
    private static var spinsMax: Int { 32 }

    init(waitingMax: Int) { self.waitingMax = waitingMax }

    func enter(_ turn: Turn) -> Entry {
        for _ in 0..<Self.spinsMax {
            let entered = state.withLockIfAvailable { state in
                guard !state.isBusy else { return false }
                state.isBusy = true
                return true
            }
            if entered == true { return .entered }
        }
        return state.withLock { state in
            guard state.isBusy else {
                state.isBusy = true
                return .entered
            }
            guard state.waiting.count < waitingMax else { return .full }
            state.waiting.append(turn)
            return .queued
        }
    }

    /// The turn to perform next; nil after the gate was left.
    func next() -> Turn? {
        state.withLock { state in
            if let turn = state.waiting.popFirst() { return turn }
            state.isBusy = false
            return nil
        }
    }

    var waitingCount: Int { state.withLock { $0.waiting.count } }
}
