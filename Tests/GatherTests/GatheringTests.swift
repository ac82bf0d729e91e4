// One question to several: every order of answers, refusals and the deadline decides once, and rightly.

import Coordination
import Testing

@Suite struct GatheringTests {
    typealias Machine = Gathering<Int, String>
    static let deadline = Instant(nanoseconds: 1_000)

    /// A machine that has begun.
    static func machine(_ targets: Int, _ requirement: Requirement) -> Machine {
        var machine = Machine(targets: targets, require: requirement, deadline: deadline)
        _ = machine.begin(now: Instant(nanoseconds: 0))
        return machine
    }

    /// What it reports, which is all that it does now; nil for nothing.
    static func report(_ effects: [Machine.Effect]) -> Machine.Outcome? {
        #expect(effects.count <= 1)
        guard case .report(let outcome)? = effects.first else { return nil }
        return outcome
    }

    static func send(_ event: Machine.Event, _ machine: inout Machine, at now: UInt64 = 1) -> Machine.Outcome? {
        report(machine.receive(event, now: Instant(nanoseconds: now)))
    }

    static func word(_ why: Machine.Missing) -> String {
        switch why {
        case .refused(let refusal): refusal
        case .late: "late"
        case .notAwaited: "not awaited"
        }
    }

    @Test("first it asks all, and wants to be woken at the deadline; not where that is never")
    func begin() {
        for deadline in [Self.deadline, .never] {
            var machine = Machine(targets: 3, require: .all, deadline: deadline)
            var (asked, woken): ([[Int]], [Instant]) = ([], [])
            for effect in machine.begin(now: Instant(nanoseconds: 0)) {
                switch effect {
                case .ask(let target, let attempt): asked.append([target, attempt])
                case .wake(let instant): woken.append(instant)
                case .report: Issue.record("nobody has answered yet")
                }
            }
            #expect(asked == [[0, 0], [1, 0], [2, 0]] && woken == (deadline == .never ? [] : [deadline]))
        }
        var nobody = Machine(targets: 0, require: .all, deadline: Self.deadline)
        #expect(Self.report(nobody.begin(now: Instant(nanoseconds: 0)))?.answers.isEmpty == true)
    }

    @Test("the last answer of all completes, in the order of the targets")
    func complete() {
        var machine = Self.machine(3, .all)
        #expect(Self.send(.answered(2, attempt: 0, 20), &machine) == nil)
        #expect(Self.send(.answered(0, attempt: 0, 0), &machine) == nil)
        let outcome = Self.send(.answered(1, attempt: 0, 10), &machine)
        #expect(outcome?.answers.map(\.target) == [0, 1, 2])
        #expect(outcome?.answers.map(\.answer) == [0, 10, 20])
        #expect(outcome?.missing.isEmpty == true)
    }

    @Test("one refusal ends what requires all, without waiting for the rest")
    func hopeless() {
        var machine = Self.machine(3, .all)
        let outcome = Self.send(.refused(1, attempt: 0, "down"), &machine)
        #expect(outcome?.missing.map(\.target) == [0, 1, 2])
        #expect(outcome?.missing.map { Self.word($0.why) } == ["not awaited", "down", "not awaited"])
    }

    @Test("where any answer will do, all are awaited and none is missing all")
    func any() {
        var machine = Self.machine(2, .any)
        #expect(Self.send(.refused(0, attempt: 0, "down"), &machine) == nil)
        let outcome = Self.send(.answered(1, attempt: 0, 5), &machine)
        #expect(outcome?.answers.map(\.answer) == [5] && outcome?.missing.map(\.target) == [0])
        var none = Self.machine(2, .any)
        #expect(Self.send(.refused(0, attempt: 0, "down"), &none) == nil)
        #expect(Self.send(.refused(1, attempt: 0, "down"), &none)?.missing.count == 2)
    }

    @Test("at the deadline those who are silent are late; an answer behind it changes nothing, and no timer before it")
    func deadlinePassed() {
        var machine = Self.machine(3, .count(1))
        #expect(Self.send(.answered(0, attempt: 0, 1), &machine) == nil)
        guard case .wake(Self.deadline)? = machine.receive(.timer, now: Instant(nanoseconds: 999)).first else {
            Issue.record("a timer that is too early is set again")
            return
        }
        let outcome = Self.send(.timer, &machine, at: 1_000)
        #expect(outcome?.answers.count == 1)
        #expect(outcome?.missing.map { Self.word($0.why) } == ["late", "late"])
        #expect(Self.send(.answered(1, attempt: 0, 2), &machine, at: 1_001) == nil)
        #expect(machine.receive(.timer, now: Instant(nanoseconds: 1_002)).isEmpty)
    }

    @Test("answers that are repeated, of another attempt, or from nowhere are dropped")
    func strangers() {
        var machine = Self.machine(2, .all)
        #expect(Self.send(.answered(0, attempt: 0, 1), &machine) == nil)
        #expect(Self.send(.answered(0, attempt: 0, 99), &machine) == nil)
        #expect(Self.send(.refused(0, attempt: 0, "after all not"), &machine) == nil)
        #expect(Self.send(.answered(1, attempt: 7, 99), &machine) == nil)
        #expect(Self.send(.answered(5, attempt: 0, 99), &machine) == nil)
        #expect(Self.send(.answered(-1, attempt: 0, 99), &machine) == nil)
        #expect(Self.send(.answered(1, attempt: 0, 2), &machine)?.answers.map(\.answer) == [1, 2])
    }

    @Test("who is asked again is reported alone, all of them awaited; what comes of the first attempt is dropped")
    func again() {
        var machine = Self.machine(3, .all)
        for target in 0..<3 { _ = Self.send(.answered(target, attempt: 0, target), &machine) }
        let effects = machine.again([0, 2], now: Instant(nanoseconds: 5))
        let asked = effects.compactMap { effect in
            if case .ask(let target, let attempt) = effect { [target, attempt] } else { nil }
        }
        #expect(asked == [[0, 1], [2, 1]])
        #expect(Self.send(.answered(0, attempt: 0, 99), &machine) == nil)
        #expect(Self.send(.answered(1, attempt: 0, 99), &machine) == nil)
        #expect(Self.send(.refused(0, attempt: 1, "down"), &machine) == nil)
        let outcome = Self.send(.answered(2, attempt: 1, 22), &machine)
        #expect(outcome?.answers.map(\.answer) == [22] && outcome?.missing.map(\.target) == [0])
        _ = machine.again([1], now: Instant(nanoseconds: 6))
        #expect(Self.send(.timer, &machine, at: 1_000)?.missing.map { Self.word($0.why) } == ["late"])
    }

    @Test("in every small world the outcome comes exactly once and counts every target once")
    func exhaustive() {
        for targets in 1...3 {
            for requirement in [Requirement.all, .any, .count(2), .percent(50)] {
                // Each answers (0), refuses (1) or stays silent (2); the deadline comes last.
                for world in 0..<Int([1, 3, 9, 27][targets]) {
                    var machine = Self.machine(targets, requirement)
                    var outcomes: [Machine.Outcome?] = []
                    var fates: [Int] = []
                    var rest = world
                    for target in 0..<targets {
                        let fate = rest % 3
                        rest /= 3
                        fates.append(fate)
                        if fate == 0 { outcomes.append(Self.send(.answered(target, attempt: 0, target), &machine)) }
                        if fate == 1 { outcomes.append(Self.send(.refused(target, attempt: 0, "down"), &machine)) }
                    }
                    outcomes.append(Self.send(.timer, &machine, at: 1_000))
                    let found = outcomes.compactMap(\.self)
                    #expect(found.count == 1)
                    #expect(found.first.map { $0.answers.count + $0.missing.count } == targets)
                    // Before it was clear that too few would answer nobody is left out.
                    let needed = requirement.needed(of: targets)
                    let answered = fates.count { $0 == 0 }
                    if answered >= needed { #expect(found.first?.answers.count == answered) }
                    let isCut = found.first?.missing.contains { Self.word($0.why) == "not awaited" } ?? false
                    #expect(!isCut || fates.count { $0 == 1 } > targets - needed)
                }
            }
        }
    }

    @Test(
        "requirements as text",
        arguments: [
            ("all", 5, 5), ("any", 5, 1), ("2", 5, 2), ("9", 5, 5), ("80%", 5, 4), ("1%", 5, 1), ("100%", 3, 3),
            ("50%", 3, 2),
        ])
    func requirement(text: String, total: Int, needed: Int) throws {
        let requirement = try #require(Requirement(text))
        #expect(requirement.needed(of: total) == needed)
        #expect(Requirement(requirement.description) == requirement)
    }

    @Test("what is no requirement is refused", arguments: ["", "0", "-1", "0%", "101%", "some", "5 %"])
    func noRequirement(text: String) { #expect(Requirement(text) == nil) }
}
