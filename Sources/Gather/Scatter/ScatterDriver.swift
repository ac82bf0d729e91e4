// The shell around a scatter: sends to every node, feeds what comes back to the state machine, keeps the deadline.

import Engine
import Synchronization

enum ScatterDriver {
    typealias Deliver<Answer> = @Sendable (Result<Answer, Failure>) -> Void

    /// Asks every node through `send`, which delivers once, from any thread. Returns at the latest shortly after the
    /// deadline, whatever the nodes do.
    static func run<Answer: Sendable>(
        nodes: Int, require requirement: Requirement, deadline: Deadline, _ alarms: DeadlineAlarms,
        send: (Int, @escaping Deliver<Answer>) -> Void
    ) async -> Scatter<Answer>.Outcome {
        let shared = Shared(Scatter<Answer>(nodes: nodes, require: requirement), alarms)
        return await withCheckedContinuation { continuation in
            shared.wait(continuation)
            shared.setAlarm(deadline)
            for node in 0..<nodes {
                send(node) { result in
                    switch result {
                    case .success(let answer): shared.receive(.answered(node: node, attempt: 0, answer))
                    case .failure(let failure): shared.receive(.failed(node: node, attempt: 0, failure))
                    }
                }
            }
        }
    }

    private final class Shared<Answer: Sendable>: Sendable {
        typealias Outcome = Scatter<Answer>.Outcome
        private struct State {
            /// Nil once it is decided: late answers are dropped, and nothing is kept of the others.
            var scatter: Scatter<Answer>?
            var waiter: CheckedContinuation<Outcome, Never>?
            var alarm: UInt64?
        }
        private let state: Mutex<State>

        private let alarms: DeadlineAlarms

        init(_ scatter: Scatter<Answer>, _ alarms: DeadlineAlarms) {
            state = Mutex(State(scatter: scatter))
            self.alarms = alarms
        }

        func wait(_ continuation: CheckedContinuation<Outcome, Never>) {
            state.withLock { $0.waiter = continuation }
        }

        /// Before anything is asked.
        func setAlarm(_ deadline: Deadline) {
            let alarm = alarms.set(deadline) { self.receive(.deadlinePassed) }
            state.withLock { $0.alarm = alarm }
        }

        func receive(_ event: Scatter<Answer>.Event) {
            let decided = state.withLock { state -> (State, Outcome)? in
                guard let outcome = state.scatter?.receive(event) else { return nil }
                defer { state = State() }
                return (state, outcome)
            }
            guard let (decided, outcome) = decided else { return }
            if let alarm = decided.alarm { alarms.takeBack(alarm) }
            decided.waiter?.resume(returning: outcome)
        }
    }
}
