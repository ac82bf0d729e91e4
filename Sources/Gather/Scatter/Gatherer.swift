// The shell around a gathering: asks whom it says, feeds what comes back to it, keeps its time, and reports.

import Coordination
import Engine
import Synchronization

/// What came of one question to several, by target, ascending.
struct Gathered<Answer: Sendable>: Sendable {
    var answers: [(node: Int, answer: Answer)]
    var failures: [(node: Int, failure: Failure)]

    /// One of each target that was asked, in their order.
    var results: [(node: Int, result: Result<Answer, Failure>)] {
        let all =
            answers.map { ($0.node, Result<Answer, Failure>.success($0.answer)) }
            + failures.map { ($0.node, .failure($0.failure)) }
        return all.sorted { $0.0 < $1.0 }
    }

    /// The failure to tell, where there is one: a target that was not awaited only says that another one failed.
    var failure: (node: Int, failure: Failure)? { Self.toTell(failures) { $0.failure } }

    static func toTell<F>(_ failures: [F], _ failure: (F) -> Failure) -> F? {
        failures.first { failure($0).reason != .cancelled } ?? failures.first
    }

    fileprivate init(_ outcome: Gathering<Answer, Failure>.Outcome) {
        answers = outcome.answers.map { ($0.target, $0.answer) }
        failures = outcome.missing.map { target, why in
            switch why {
            case .refused(let failure): (target, failure)
            case .late: (target, Failure(.timeout, "no answer in time"))
            case .notAwaited: (target, Failure(.cancelled, "not awaited: the answer can't be complete"))
            }
        }
    }
}

/// Thread-safe.
final class Gatherer<Answer: Sendable>: Sendable {
    typealias Deliver = @Sendable (Result<Answer, Failure>) -> Void
    /// Asks one of those that are to be asked, and delivers once, from any thread.
    typealias Ask = @Sendable (_ target: Int, _ attempt: Int, _ deliver: @escaping Deliver) -> Void
    typealias Report = @Sendable (Gathered<Answer>) -> Void
    private typealias Machine = Gathering<Answer, Failure>

    private struct State {
        var machine: Machine
        var alarm: UInt64?
        /// Nil while nothing is awaited.
        var report: Report?
    }

    private let state: Mutex<State>
    private let ask: Ask
    private let alarms: DeadlineAlarms
    private let environment: any Environment

    init(
        targets: Int, require requirement: Requirement = .any, deadline: Deadline, in cluster: Cluster,
        ask: @escaping Ask
    ) {
        let instant = Instant(nanoseconds: deadline.uptimeNanoseconds)
        state = Mutex(State(machine: Machine(targets: targets, require: requirement, deadline: instant)))
        self.ask = ask
        alarms = cluster.alarms
        environment = cluster.environment
    }

    /// Asks all, once. Reports at the latest shortly after the deadline, whatever they do, on any thread, perhaps before it returns.
    func begin(report: @escaping Report) {
        let now = environment.now
        carryOut(
            state.withLock { state in
                state.report = report
                return state.machine.begin(now: now)
            })
    }

    func outcome() async -> Gathered<Answer> {
        await withCheckedContinuation { continuation in begin { continuation.resume(returning: $0) } }
    }

    /// Of those targets, asked once more; to be called once there is an outcome.
    func outcome(ofAskingAgain targets: [Int]) async -> Gathered<Answer> {
        await withCheckedContinuation { continuation in
            let now = environment.now
            carryOut(
                state.withLock { state in
                    state.report = { continuation.resume(returning: $0) }
                    return state.machine.again(targets, now: now)
                })
        }
    }

    private func receive(_ event: Machine.Event) {
        let now = environment.now
        carryOut(state.withLock { $0.machine.receive(event, now: now) })
    }

    private func carryOut(_ effects: [Machine.Effect]) {
        for effect in effects {
            switch effect {
            case .ask(let target, let attempt):
                ask(target, attempt) { result in
                    switch result {
                    case .success(let answer): self.receive(.answered(target, attempt: attempt, answer))
                    case .failure(let failure): self.receive(.refused(target, attempt: attempt, failure))
                    }
                }
            case .wake(let instant): setAlarm(Deadline(uptimeNanoseconds: instant.nanoseconds))
            case .report(let outcome):
                let (alarm, report) = state.withLock { state in
                    defer { (state.alarm, state.report) = (nil, nil) }
                    return (state.alarm, state.report)
                }
                if let alarm { alarms.takeBack(alarm) }
                report?(Gathered(outcome))
            }
        }
    }

    private func setAlarm(_ deadline: Deadline) {
        let alarm = alarms.set(deadline) { self.receive(.timer) }
        let last = state.withLock { state in
            defer { state.alarm = state.report == nil ? nil : alarm }
            return state.report == nil ? alarm : state.alarm
        }
        if let last { alarms.takeBack(last) }
    }
}
