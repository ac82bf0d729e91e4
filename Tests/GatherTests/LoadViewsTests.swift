// Whether answers are of one view: which node must be asked again for which loads.

import Coordination
import Testing

@Suite struct LoadViewsTests {
    private typealias Seen = LoadViews.Seen

    private static func missing(_ answers: [[String: Seen]], started: Int = 1_000) -> [Int: Set<UInt64>] {
        var views = LoadViews()
        for (node, answer) in answers.enumerated() { views.answered(node: node, answer) }
        return views.missing(startedMilliseconds: started)
    }

    @Test("a node lacks what it has ready and another one shows, however long that is")
    func pending() {
        for age in [0, 900, 600_000] {
            let answers = [
                ["f": Seen(committed: [1: age])], ["f": Seen(pending: [1, 2])], ["f": Seen(committed: [1: age + 5])],
            ]
            #expect(Self.missing(answers) == [1: [1]])
        }
        #expect(Self.missing([["f": Seen(pending: [1])], ["f": Seen(pending: [1])]]) == [:])
    }

    @Test("a node that names a load neither way lacks it when it became visible after the first node was asked")
    func unnamed() {
        for (age, isMissing) in [(0, true), (1_000, true), (1_127, true), (1_128, false), (60_000, false)] {
            let answers = [["f": Seen(committed: [1: age])], ["f": Seen()]]
            #expect(Self.missing(answers) == (isMissing ? [1: [1]] : [:]), "\(age)")
            // The least age counts: it may have become visible late elsewhere.
            #expect(Self.missing(answers + [["f": Seen(committed: [1: 50_000])]]) == (isMissing ? [1: [1]] : [:]))
        }
    }

    @Test("loads concern the frame that they are into, and nodes that looked at it")
    func frames() {
        let answers = [
            ["f": Seen(committed: [1: 0]), "g": Seen()], ["g": Seen(committed: [2: 0])], [:],
            ["f": Seen(committed: [3: 0]), "g": Seen(committed: [2: 0])],
        ]
        #expect(Self.missing(answers) == [0: [2, 3], 3: [1]])
    }

    @Test("who was asked for a load lacks it no more, and is asked for all that it ever was asked for")
    func again() {
        var views = LoadViews()
        views.answered(node: 0, ["f": Seen(committed: [1: 0])])
        views.answered(node: 1, ["f": Seen(pending: [1])])
        views.answered(node: 2, ["f": Seen()])
        #expect(views.missing(startedMilliseconds: 10) == [1: [1], 2: [1]])
        #expect(views.include([1], node: 1) == [1] && views.include([1], node: 2) == [1])
        // n2 has no part in it, and n1 has seen another one meanwhile.
        views.answered(node: 1, ["f": Seen(committed: [1: 0, 2: 0])])
        views.answered(node: 2, ["f": Seen()])
        #expect(views.missing(startedMilliseconds: 20) == [0: [2], 2: [2]])
        #expect(views.include([2], node: 2) == [1, 2])
        views.failed(node: 2)
        views.answered(node: 0, ["f": Seen(committed: [1: 9, 2: 0])])
        #expect(views.missing(startedMilliseconds: 30) == [:])
    }

    @Test("a node that has or had a load ready and does not follow goes on lacking it, however often it is asked")
    func refused() {
        var views = LoadViews()
        views.answered(node: 0, ["f": Seen(committed: [1: 5_000])])
        for _ in 0..<LoadViews.roundsMax {
            views.answered(node: 1, ["f": Seen(pending: [1])])
            #expect(views.missing(startedMilliseconds: 10) == [1: [1]])
            _ = views.include([1], node: 1)
        }
        views.answered(node: 1, ["f": Seen(committed: [1: 0])])
        #expect(views.missing(startedMilliseconds: 20) == [:])
    }

    @Test("a node that has had too many loads to name them can't be compared")
    func forgetful() {
        var views = LoadViews()
        views.answered(node: 0, ["f": Seen(namedMilliseconds: 1_126)])
        views.answered(node: 1, ["f": Seen(namedMilliseconds: 1_127)])
        #expect(views.forgetful(startedMilliseconds: 1_000) == [0])
    }
}
