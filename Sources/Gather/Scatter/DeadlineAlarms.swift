// Calls that are made once a deadline has passed, unless they are taken back before, as nearly all are.

package import Engine
import Synchronization

/// A timer for each question would wake a thread to set it, and would keep what waits for it alive until the deadline. Here
/// one timer is set for the earliest deadline, and left as it is when that question is answered: the next deadlines are
/// later.
package final class DeadlineAlarms: Sendable {
    private struct State {
        var calls: [UInt64: (deadline: Deadline, call: @Sendable () -> Void)] = [:]
        var lastNumber: UInt64 = 0
        /// When the timer will go off.
        var planned = Deadline.never
        var plans = 0
    }

    private let state = Mutex(State())

    private let environment: any Environment

    package init(_ environment: any Environment) { self.environment = environment }

    /// Calls waiting.
    package var count: Int { state.withLock { $0.calls.count } }
    /// How often a timer was set.
    package var plans: Int { state.withLock { $0.plans } }

    /// `call` runs on any thread, soon after the deadline. The number takes it back.
    package func set(_ deadline: Deadline, _ call: @escaping @Sendable () -> Void) -> UInt64 {
        state.withLock { state in
            state.lastNumber += 1
            state.calls[state.lastNumber] = (deadline, call)
            plan(deadline, &state)
            return state.lastNumber
        }
    }

    /// Nothing happens where it was called already.
    package func takeBack(_ number: UInt64) {
        // What it held is let go of outside of the lock.
        let call = state.withLock { $0.calls.removeValue(forKey: number) }
        withExtendedLifetime(call) {}
    }

    private func plan(_ deadline: Deadline, _ state: inout State) {
        guard deadline < state.planned else { return }
        state.planned = deadline
        state.plans += 1
        // Rounded up: one that goes off too early would be set again at once.
        let milliseconds = environment.remainingMilliseconds(until: deadline) + 1
        environment.schedule(afterMilliseconds: milliseconds) { self.ring() }
    }

    private func ring() {
        let due = state.withLock { state -> [@Sendable () -> Void] in
            let now = Deadline(uptimeNanoseconds: environment.uptimeNanoseconds)
            // Of two timers for one instant, or one that an earlier deadline overtook, the first does it all.
            guard state.planned <= now else { return [] }
            let due = state.calls.filter { $0.value.deadline <= now }
            for number in due.keys { state.calls[number] = nil }
            state.planned = .never
            if let next = state.calls.values.map(\.deadline).min() { plan(next, &state) }
            return due.sorted { ($0.value.deadline, $0.key) < ($1.value.deadline, $1.key) }.map(\.value.call)
        }
        for call in due { call() }
    }
}
