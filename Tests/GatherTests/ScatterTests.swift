// The scatter's state machine: every order of answers, failures and the deadline decides once, and rightly.

import Engine
import Gather
import Testing

@Suite struct ScatterTests {
    typealias Machine = Scatter<Int>
    static let down = Failure(.unreachable, "down")

    @Test("the last answer of all completes, in the order of the nodes")
    func complete() {
        var scatter = Machine(nodes: 3, require: .all)
        #expect(scatter.receive(.answered(node: 2, attempt: 0, 20)) == nil)
        #expect(scatter.receive(.answered(node: 0, attempt: 0, 0)) == nil)
        let outcome = scatter.receive(.answered(node: 1, attempt: 0, 10))
        #expect(outcome?.answers.map(\.node) == [0, 1, 2])
        #expect(outcome?.answers.map(\.answer) == [0, 10, 20])
        #expect(outcome?.failures.isEmpty == true)
        #expect(outcome?.meetsRequirement == true)
    }

    @Test("one failure ends a scatter that requires all, without waiting for the rest")
    func hopeless() {
        var scatter = Machine(nodes: 3, require: .all)
        let outcome = scatter.receive(.failed(node: 1, attempt: 0, Self.down))
        #expect(outcome?.meetsRequirement == false)
        #expect(outcome?.failures.map(\.node) == [0, 1, 2])
        #expect(outcome?.failures.map(\.failure.reason) == [.cancelled, .unreachable, .cancelled])
    }

    @Test("where any answer will do, all are awaited and none is an error")
    func any() {
        var scatter = Machine(nodes: 2, require: .any)
        #expect(scatter.receive(.failed(node: 0, attempt: 0, Self.down)) == nil)
        #expect(scatter.receive(.answered(node: 1, attempt: 0, 5))?.meetsRequirement == true)
        var none = Machine(nodes: 2, require: .any)
        #expect(none.receive(.failed(node: 0, attempt: 0, Self.down)) == nil)
        #expect(none.receive(.failed(node: 1, attempt: 0, Self.down))?.meetsRequirement == false)
    }

    @Test("the deadline turns those who are silent into timeouts; a later answer changes nothing")
    func deadline() {
        var scatter = Machine(nodes: 3, require: .count(1))
        #expect(scatter.receive(.answered(node: 0, attempt: 0, 1)) == nil)
        let outcome = scatter.receive(.deadlinePassed)
        #expect(outcome?.answers.count == 1)
        #expect(outcome?.failures.map(\.failure.reason) == [.timeout, .timeout])
        #expect(outcome?.meetsRequirement == true)
        #expect(scatter.receive(.answered(node: 1, attempt: 0, 2)) == nil)
        #expect(scatter.receive(.deadlinePassed) == nil)
    }

    @Test("answers that are repeated, of another attempt, or from nowhere are dropped")
    func strangers() {
        var scatter = Machine(nodes: 2, require: .all)
        #expect(scatter.receive(.answered(node: 0, attempt: 0, 1)) == nil)
        #expect(scatter.receive(.answered(node: 0, attempt: 0, 99)) == nil)
        #expect(scatter.receive(.answered(node: 1, attempt: 7, 99)) == nil)
        #expect(scatter.receive(.answered(node: 5, attempt: 0, 99)) == nil)
        #expect(scatter.receive(.answered(node: 1, attempt: 0, 2))?.answers.map(\.answer) == [1, 2])
    }

    @Test("in every small world the outcome comes exactly once and counts every node once")
    func exhaustive() {
        for nodes in 1...3 {
            for requirement in [Requirement.all, .any, .count(2), .percent(50)] {
                // Each node answers (0), fails (1) or stays silent (2); the deadline comes last.
                for world in 0..<Int([1, 3, 9, 27][nodes]) {
                    var scatter = Machine(nodes: nodes, require: requirement)
                    var outcomes: [Machine.Outcome] = []
                    var fates: [Int] = []
                    var rest = world
                    for node in 0..<nodes {
                        let fate = rest % 3
                        rest /= 3
                        fates.append(fate)
                        if fate == 0, let o = scatter.receive(.answered(node: node, attempt: 0, node)) {
                            outcomes.append(o)
                        }
                        if fate == 1, let o = scatter.receive(.failed(node: node, attempt: 0, Self.down)) {
                            outcomes.append(o)
                        }
                    }
                    if let o = scatter.receive(.deadlinePassed) { outcomes.append(o) }
                    let answered = fates.filter { $0 == 0 }.count
                    #expect(outcomes.count == 1)
                    #expect(outcomes.first.map { $0.answers.count + $0.failures.count } == nodes)
                    #expect(outcomes.first?.meetsRequirement == (answered >= requirement.needed(of: nodes)))
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
