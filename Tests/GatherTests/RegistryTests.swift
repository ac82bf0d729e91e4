// The registry: nodes that hear of things in any order end up knowing the same, and lost rows stay expected.

import Engine
import Gather
import Testing

@Suite struct RegistryTests {
    @Test("rows dropped for their age are expected no longer, neither of a node that lost its memory since")
    func retired() throws {
        var one = Registry()
        one.createFrame("f", id: 5, schema: .null, now: 1)
        var two = one
        one.acknowledge(100, retired: 30, frame: "f", node: "n1", incarnation: 7)
        one.retain("f", seconds: 60, column: "at", now: 10)
        two.acknowledge(80, retired: 10, frame: "f", node: "n1", incarnation: 7)
        two.retain("f", seconds: 90, column: "at", now: 11)
        two.acknowledge(50, frame: "f", node: "n2", incarnation: 8)
        var (left, right) = (one, two)
        left.merge(two)
        right.merge(one)
        #expect(left == right)
        let entry = try #require(left.frames["f"])
        #expect(entry.acknowledged.expectedRows == 120)
        #expect(entry.retention == FrameRetention(seconds: 90, column: "at", setAt: 11))
        #expect(entry.acknowledged.lostRows(node: "n1", incarnation: 7) == 0)
        #expect(entry.acknowledged.lostRows(node: "n1", incarnation: 9) == 70)
        #expect(Registry(value: left.value) == left)
    }

    @Test(
        "counts that another node made up are clamped, and their sums too",
        arguments: [Int64.max, .max - 1, .min, -1, 1 << 62])
    func absurdCounts(count: Int64) throws {
        let rows = (1...3).map { node in
            Value.array([.string("n\(node)"), .int(Int64(node)), .int(count), .int(count / 2)])
        }
        let value = Value.object(["frame": .string("f"), "id": .int(1), "rows": .array(rows)])
        let acknowledged = try #require(FrameAcknowledgements(value: value))
        #expect(acknowledged.expectedRows >= 0)
        #expect(acknowledged.lostRows(node: "n1", incarnation: 9) >= 0)
        var registry = Registry()
        #expect(registry.acknowledgements(with: [acknowledged, acknowledged]).count == 1)
    }

    @Test("a job defined, or a frame retained, at the end of time is changed without a trap")
    func endOfTime() {
        var registry = Registry()
        registry.defineJob("j", source: [1], now: .max)
        registry.defineJob("j", source: [2], now: 5)
        #expect(registry.jobSource("j") == [2])
        registry.createFrame("f", id: 1, schema: .null, now: 1)
        registry.retain("f", seconds: 1, column: "at", now: .max)
        registry.retain("f", seconds: 2, column: "at", now: 5)
        #expect(registry.frames["f"]?.retention?.seconds == 2)
    }

    @Test("ten thousand jobs that came and went leave little, and one that a node missed the drop of stays away")
    func manyDroppedJobs() throws {
        var away = Registry()
        away.defineJob("old", source: [1], now: 1)
        away.defineJob("kept", source: [2], now: 2)
        away.createFrame("old", id: 1, schema: .null, now: 1)
        away.createFrame("kept", id: 2, schema: .null, now: 2)
        var here = away
        _ = here.dropJob("old", now: 3)
        here.dropFrame("old", now: 3)
        for number in 1...10_000 {
            here.defineJob("j\(number)", source: [3], now: Int64(10 + number))
            _ = here.dropJob("j\(number)", now: Int64(10 + number))
            here.createFrame("f", id: UInt64(10 + number), schema: .null, now: Int64(10 + number))
            here.dropFrame("f", now: Int64(10 + number))
        }
        #expect(here.jobTotals(without: "").count == 1)
        #expect(here.value.messagePack.count < 100_000)
        // Defined by a node whose clock is behind all that was forgotten.
        here.defineJob("new", source: [4], now: 5)
        here.createFrame("new", id: 3, schema: .null, now: 5)
        for (one, other) in [(here, away), (away, here)] {
            var both = one
            both.merge(other)
            #expect(both.definedJobs == ["kept", "new"])
            #expect(both.frames.keys.sorted() == ["kept", "new"])
            #expect(Registry(value: both.value) == both)
        }
        // A node that has just started learns all of it.
        var fresh = Registry()
        fresh.merge(here)
        #expect(fresh.definedJobs == ["kept", "new"] && fresh.frames.count == 2)
        fresh.merge(away)
        #expect(fresh.definedJobs == ["kept", "new"] && fresh.frames.count == 2)
    }

    @Test("a horizon that no list of drops has left behind is not believed", arguments: [Int64.max, 1 << 50, 9])
    func madeUpHorizon(horizon: Int64) {
        func value(_ drops: [Value]) -> Value {
            let jobs = Value.object(["horizon": .int(horizon), "drops": .array(drops)])
            let none = Value.object(["horizon": .int(0), "drops": .array([])])
            return .object(["frames": .array([]), "jobs": .array([]), "dropped": none, "droppedJobs": jobs])
        }
        #expect(Registry(value: value([])) == nil)
        #expect(Registry(value: value([.array([.string("j"), .int(9)])])) == nil)
        let isKnown = Registry(value: value([.array([.string("j"), .int(10)])])) != nil
        #expect(isKnown == (horizon == 9))
    }

    @Test("a name that is used again is not the one that was dropped and forgotten, wherever it comes back from")
    func forgottenName() {
        var away = Registry()
        away.createFrame("f", id: 1, schema: .null, now: 1)
        away.defineJob("j", source: [1], now: 1)
        var here = away
        here.dropFrame("f", now: 2)
        _ = here.dropJob("j", now: 2)
        for number in 1...2_000 {
            here.createFrame("x", id: UInt64(10 + number), schema: .null, now: Int64(2 + number))
            here.dropFrame("x", now: Int64(2 + number))
            here.defineJob("x\(number)", source: [3], now: Int64(2 + number))
            _ = here.dropJob("x\(number)", now: Int64(2 + number))
        }
        here.createFrame("f", id: 2, schema: .null, now: 9_000)
        here.defineJob("j", source: [2], now: 9_000)
        for (one, other) in [(here, away), (away, here)] {
            var both = one
            both.merge(other)
            #expect(both.frames["f"]?.id == 2)
            #expect(both.jobSource("j") == [2])
        }
    }

    static let schema = Value.array([])

    private func registry(_ changes: (inout Registry) -> Void) -> Registry {
        var registry = Registry()
        changes(&registry)
        return registry
    }

    private func merged(_ registries: [Registry]) -> Registry {
        registries.reduce(into: Registry()) { $0.merge($1) }
    }

    @Test("registries merge to the same in every order, and again")
    func commutes() {
        let a = registry {
            $0.createFrame("f", id: 1, schema: Self.schema, now: 10)
            $0.acknowledge(100, frame: "f", node: "n1", incarnation: 7)
            $0.defineJob("j", source: [1], now: 5)
        }
        let b = registry {
            $0.createFrame("f", id: 2, schema: Self.schema, now: 11)
            $0.acknowledge(50, frame: "f", node: "n2", incarnation: 8)
            $0.defineJob("j", source: [2], now: 5)
            $0.createFrame("gone", id: 3, schema: Self.schema, now: 1)
        }
        let c = registry {
            $0.merge(b)
            $0.dropFrame("gone", now: 20)
            $0.defineJob("k", source: [3], now: 1)
        }
        let all = merged([a, b, c])
        for order in [[a, c, b], [b, a, c], [b, c, a], [c, a, b], [c, b, a], [a, b, c, a, b, c]] {
            #expect(merged(order) == all)
        }
        #expect(all.frames.keys.sorted() == ["f"])
        #expect(all.frames["f"]?.id == 1)  // the older one
        #expect(all.jobs["j"]?.source == [2])
        #expect(all.isDropped(3))
    }

    @Test("a restarted node's old rows stay expected beside its new ones")
    func incarnations() {
        var all = registry {
            $0.createFrame("f", id: 1, schema: Self.schema, now: 1)
            $0.acknowledge(100, frame: "f", node: "n1", incarnation: 7)
        }
        all.merge(
            registry {
                $0.createFrame("f", id: 1, schema: Self.schema, now: 1)
                $0.acknowledge(0, frame: "f", node: "n1", incarnation: 8)
            })
        #expect(all.frames["f"]?.acknowledged.expectedRows == 100)
        #expect(all.frames["f"]?.acknowledged.rows["n1"] == [7: 100, 8: 0])
    }

    @Test("a dropped name can be made again; the old frame does not come back with a node that missed the drop")
    func dropAndCreate() {
        let old = registry { $0.createFrame("f", id: 1, schema: Self.schema, now: 1) }
        var new = old
        new.dropFrame("f", now: 2)
        new.createFrame("f", id: 2, schema: Self.schema, now: 3)
        for both in [merged([old, new]), merged([new, old])] {
            #expect(both.frames["f"]?.id == 2)
            #expect(both.isDropped(1))
        }
    }

    @Test("a job defined again on a node whose clock is behind still replaces the old one there and everywhere")
    func jobs() {
        var node = registry { $0.defineJob("j", source: [1], now: 100) }
        let before = node
        node.defineJob("j", source: [2], now: 50)
        #expect(merged([before, node]).jobs["j"]?.source == [2])
        #expect(merged([node, before]).jobs["j"]?.source == [2])
    }

    @Test("a registry comes back from the value that travels; what is no registry does not")
    func value() {
        let all = registry {
            $0.createFrame("f", id: .max, schema: .array([.string("x")]), now: -1)
            $0.acknowledge(3, frame: "f", node: "n1", incarnation: .max)
            $0.createFrame("g", id: 5, schema: Self.schema, now: 1)
            $0.dropFrame("g", now: 2)
            $0.defineJob("j", source: [0, 255], now: 9)
        }
        #expect(Registry(value: all.value) == all)
        for broken in [
            Value.null, .map([]), .object(["frames": .array([.null]), "dropped": .array([]), "jobs": .array([])]),
        ] {
            #expect(Registry(value: broken) == nil)
        }
    }

    @Test("parameters take their defaults' types; unknown and unfitting ones are refused by name")
    func parameters() throws {
        let defaults = [
            Value.Pair(.string("flag"), .bool(false)), Value.Pair(.string("limit"), .int(5)),
            Value.Pair(.string("name"), .string("x")),
        ]
        let resolved = try JobParameters.resolve(
            given: ["limit": .string("7"), "flag": .string("true")], defaults: defaults, job: "j")
        #expect(resolved == .object(["flag": .bool(true), "limit": .int(7), "name": .string("x")]))
        #expect(
            try JobParameters.resolve(given: ["limit": .string("1.5")], defaults: defaults, job: "j")["limit"]
                == .double(1.5))
        for (given, expected) in [
            (["limi": Value.string("7")], "job j has no parameter 'limi'; it has flag, limit, name"),
            (["limit": .string("x")], "parameter 'limit' of job j is a number: 'x' is none"),
            (["flag": .string("1")], "parameter 'flag' of job j is true or false: '1' is neither"),
        ] {
            let failure = #expect(throws: Failure.self) {
                try JobParameters.resolve(given: given, defaults: defaults, job: "j")
            }
            #expect(failure?.message == expected)
        }
    }

    @Test("a job request takes require and timeout for itself")
    func assignments() throws {
        var request = JobRequest(name: "j", source: [])
        try request.take(assignments: ["a=1=2", "require=80%", "timeout=250"])
        #expect(request.parameters == ["a": .string("1=2")])
        #expect(request.requirement == .percent(80))
        #expect(request.timeoutMilliseconds == 250)
        for broken in ["a", "=1", "require=0", "timeout=x", "timeout=0"] {
            #expect(throws: Failure.self) { try request.take(assignments: [broken]) }
        }
        for name in ["timeout", "require", "a"] {
            let failure = #expect(throws: Failure.self) {
                try request.take(assignments: ["\(name)=5", "b=1", "\(name)=10"])
            }
            #expect(failure?.message.contains("'\(name)' is given twice") == true)
        }
        request = JobRequest(name: "j", source: [])
        try request.take(assignments: ["a=1=2", "require=80%", "timeout=250"])
        let back = try #require(JobRequest(value: request.value))
        #expect(back.parameters == request.parameters && back.requirement == request.requirement)
    }

    @Test("a node that has just started knows of lost rows by what the others say")
    func unknownFrame() {
        let others = [
            FrameAcknowledgements(frame: "f", id: 1, rows: ["n1": [7: 100]]),
            FrameAcknowledgements(frame: "f", id: 1, rows: ["n1": [7: 90], "n2": [8: 50]]),
        ]
        var fresh = Registry()
        let known = fresh.acknowledgements(with: others)
        #expect(known == [FrameAcknowledgements(frame: "f", id: 1, rows: ["n1": [7: 100], "n2": [8: 50]])])
        var informed = registry {
            $0.createFrame("f", id: 1, schema: Self.schema, now: 10)
            $0.acknowledge(20, frame: "f", node: "n3", incarnation: 9)
        }
        let all = informed.acknowledgements(with: others)
        #expect(all.first?.expectedRows == 170)
        #expect(informed.frames["f"]?.acknowledged.expectedRows == 170)
        informed.dropFrame("f", now: 11)
        let none = informed.acknowledgements(with: others)
        #expect(none.isEmpty)
    }

    @Test("a dropped job stays dropped when a node that missed it comes back, until it is defined anew")
    func droppedJob() {
        let away = registry { $0.defineJob("j", source: [1], now: 5) }
        var here = merged([away])
        let drops = [here.dropJob("j", now: 6), here.dropJob("j", now: 7)]
        #expect(drops == [true, false])
        #expect(merged([away, here]).definedJobs.isEmpty)
        #expect(merged([here, away]).jobSource("j") == nil)
        here.defineJob("j", source: [2], now: 8)
        #expect(merged([away, here]).jobSource("j") == [2])
        #expect(here.jobTotals(without: "other") == (1, 1))
        #expect(here.jobTotals(without: "j") == (0, 0))
    }
}
