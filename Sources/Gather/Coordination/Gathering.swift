// One question to several, as a pure state machine: whom to ask, their answers by attempt, and once it is decided, what came of it.

/// Asks all targets, and reports once everybody answered or refused, when the requirement can no longer be met, or at the
/// deadline. Those that were reported may be asked again, and are then reported together, whatever was required. An answer that nobody
/// waits for (late, repeated, of an older attempt) changes nothing.
///
/// Whoever drives it carries the effects out in any order, and says what time it is. Cost of an event: the same for any number of
/// targets; of a report, all of them.
package struct Gathering<Answer: Sendable, Refusal: Sendable>: Sendable {
    package enum Event: Sendable {
        case answered(Int, attempt: Int, Answer)
        case refused(Int, attempt: Int, Refusal)
        case timer
    }

    package enum Effect: Sendable {
        case ask(Int, attempt: Int)
        /// A timer for this instant, in place of an earlier one.
        case wake(Instant)
        /// The timer is of no more use.
        case report(Outcome)
    }

    /// Why there is no answer of a target.
    package enum Missing: Sendable {
        case refused(Refusal)
        case late
        /// The requirement can't be met without it.
        case notAwaited
    }

    /// Of those that were asked, by target, ascending. A target's attempt is the number of times that it was asked before.
    package struct Outcome: Sendable {
        package var answers: [(target: Int, answer: Answer)] = []
        package var missing: [(target: Int, why: Missing)] = []
    }

    private enum Progress: Sendable {
        case waiting
        case answered(Answer)
        case missing(Missing)
        case reported
    }

    private var progress: [Progress]
    private var attempts: [Int]
    private var waiting = 0
    private var refused = 0
    /// Nil once it no longer matters.
    private var needed: Int?
    private let deadline: Instant

    package init(targets: Int, require requirement: Requirement, deadline: Instant) {
        progress = Array(repeating: .reported, count: targets)
        attempts = Array(repeating: -1, count: targets)
        needed = requirement.needed(of: targets)
        self.deadline = deadline
    }

    /// To be called once, before anything else.
    package mutating func begin(now: Instant) -> [Effect] { ask(Array(progress.indices), now) }

    /// Those that were reported, once more.
    package mutating func again(_ targets: [Int], now: Instant) -> [Effect] {
        precondition(waiting == 0, "what was asked is not decided yet")
        return ask(targets, now)
    }

    private mutating func ask(_ targets: [Int], _ now: Instant) -> [Effect] {
        guard !targets.isEmpty else { return [.report(Outcome())] }
        var effects: [Effect] = deadline == .never ? [] : [.wake(deadline)]
        for target in targets {
            attempts[target] += 1
            progress[target] = .waiting
            effects.append(.ask(target, attempt: attempts[target]))
        }
        (waiting, refused) = (targets.count, 0)
        return effects
    }

    package mutating func receive(_ event: Event, now: Instant) -> [Effect] {
        switch event {
        case .answered(let target, let attempt, let answer):
            guard isAwaited(target, attempt) else { return [] }
            progress[target] = .answered(answer)
            waiting -= 1
        case .refused(let target, let attempt, let refusal):
            guard isAwaited(target, attempt) else { return [] }
            progress[target] = .missing(.refused(refusal))
            waiting -= 1
            refused += 1
        case .timer:
            guard waiting > 0 else { return [] }
            guard now >= deadline else { return [.wake(deadline)] }
            return [.report(report(waiting: .late))]
        }
        let isHopeless = needed.map { progress.count - refused < $0 } ?? false
        return waiting == 0 || isHopeless ? [.report(report(waiting: .notAwaited))] : []
    }

    private func isAwaited(_ target: Int, _ attempt: Int) -> Bool {
        guard progress.indices.contains(target), attempts[target] == attempt, case .waiting = progress[target] else {
            return false
        }
        return true
    }

    /// Keeps nothing of it. `why`: those that have not answered are missing.
    private mutating func report(waiting why: Missing) -> Outcome {
        var outcome = Outcome()
        for target in progress.indices {
            switch progress[target] {
            case .waiting: outcome.missing.append((target, why))
            case .answered(let answer): outcome.answers.append((target, answer))
            case .missing(let why): outcome.missing.append((target, why))
            case .reported: continue
            }
            progress[target] = .reported
        }
        waiting = 0
        needed = nil
        return outcome
    }
}
