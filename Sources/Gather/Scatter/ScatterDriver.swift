// The shell around a scatter: sends to every node, feeds what comes back to the state machine, keeps the deadline.

import Dispatch
import Engine
import Synchronization

enum ScatterDriver {
    typealias Deliver<Answer> = @Sendable (Result<Answer, Failure>) -> Void

    /// Asks every node through `send`, which delivers once, from any thread. Returns at the latest shortly after the
    /// deadline, whatever the nodes do.
    static func run<Answer: Sendable>(
        nodes: Int, require requirement: Requirement, deadline: Deadline,
        send: (Int, @escaping Deliver<Answer>) -> Void
    ) async -> Scatter<Answer>.Outcome {
        let shared = Shared(Scatter<Answer>(nodes: nodes, require: requirement))
        return await withCheckedContinuation { continuation in
            shared.wait(continuation)
            let remaining = Double(deadline.remainingMilliseconds) / 1000
            DispatchQueue.global().asyncAfter(deadline: .now() + remaining) { shared.receive(.deadlinePassed) }
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
        private let state: Mutex<(scatter: Scatter<Answer>, waiter: CheckedContinuation<Outcome, Never>?)>

        init(_ scatter: Scatter<Answer>) { state = Mutex((scatter, nil)) }

        func wait(_ continuation: CheckedContinuation<Outcome, Never>) {
            state.withLock { $0.waiter = continuation }
        }

        func receive(_ event: Scatter<Answer>.Event) {
            let decided = state.withLock { state -> (CheckedContinuation<Outcome, Never>, Outcome)? in
                guard let outcome = state.scatter.receive(event), let waiter = state.waiter else { return nil }
                state.waiter = nil
                return (waiter, outcome)
            }
            if let (waiter, outcome) = decided { waiter.resume(returning: outcome) }
        }
    }
}
