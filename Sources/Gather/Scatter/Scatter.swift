// One question to many nodes, as a pure state machine: replies in by (node, attempt), the outcome out, once.

package import Engine

/// Collects the answers of `nodes` targets. Finishes when everybody answered or failed, when the requirement can no
/// longer be met, or at the deadline. A reply that nobody waits for (late, repeated, of an older attempt) changes nothing.
package struct Scatter<Answer: Sendable>: Sendable {
    package enum Event: Sendable {
        case answered(node: Int, attempt: Int, Answer)
        case failed(node: Int, attempt: Int, Failure)
        case deadlinePassed
    }

    package struct Outcome: Sendable {
        /// By node, in the order of the targets.
        package var answers: [(node: Int, answer: Answer)]
        package var failures: [(node: Int, failure: Failure)]
        package var meetsRequirement: Bool
    }

    private enum Progress: Sendable {
        case waiting(attempt: Int)
        case answered(Answer)
        case failed(Failure)
    }

    private var progress: [Progress]
    private let requirement: Requirement
    private var isFinished = false

    package init(nodes: Int, require requirement: Requirement) {
        precondition(nodes > 0)
        progress = Array(repeating: .waiting(attempt: 0), count: nodes)
        self.requirement = requirement
    }

    /// Takes one event; the outcome when this event decides it, nil before and after.
    package mutating func receive(_ event: Event) -> Outcome? {
        guard !isFinished else { return nil }
        switch event {
        case .answered(let node, let attempt, let answer):
            guard isAwaited(node, attempt) else { return nil }
            progress[node] = .answered(answer)
        case .failed(let node, let attempt, let failure):
            guard isAwaited(node, attempt) else { return nil }
            progress[node] = .failed(failure)
        case .deadlinePassed:
            for node in progress.indices {
                if case .waiting = progress[node] { progress[node] = .failed(Failure(.timeout, "no answer in time")) }
            }
        }
        return decide()
    }

    private func isAwaited(_ node: Int, _ attempt: Int) -> Bool {
        guard progress.indices.contains(node), case .waiting(attempt) = progress[node] else { return false }
        return true
    }

    private mutating func decide() -> Outcome? {
        var answers: [(Int, Answer)] = []
        var failures: [(Int, Failure)] = []
        var waiting: [Int] = []
        for (node, state) in progress.enumerated() {
            switch state {
            case .waiting: waiting.append(node)
            case .answered(let answer): answers.append((node, answer))
            case .failed(let failure): failures.append((node, failure))
            }
        }
        let needed = requirement.needed(of: progress.count)
        let isHopeless = answers.count + waiting.count < needed
        guard waiting.isEmpty || isHopeless else { return nil }
        isFinished = true
        progress = []  // the deadline's timer outlives the answers
        for node in waiting {
            failures.append((node, Failure(.cancelled, "not awaited: the answer can't be complete")))
        }
        return Outcome(
            answers: answers, failures: failures.sorted { $0.0 < $1.0 }, meetsRequirement: answers.count >= needed)
    }
}
