// The registry: nodes that hear of things in any order end up knowing the same, and lost rows stay expected.

import Coordination
import Engine
import Gather
import Testing

@Suite struct RegistryTests {
    private static let schema: [UInt8] = [0x90]

    private static func merged(_ registries: Registry...) -> Registry {
        registries.reduce(into: Registry(run: 99)) { $0.merge($1.everything) }
    }

    /// A frame `f`.
    private static func made(in registry: inout Registry) throws -> DefinitionID {
        let id = registry.createFrame("f", schema: schema)
        return try #require(id)
    }

    private static func only(_ registry: Registry, _ name: String) -> Registry.FrameEntry? {
        if case .one(let entry) = registry.frame(named: name) { entry } else { nil }
    }

    /// One source, `several`, or nothing.
    private static func job(_ registry: Registry, _ name: String = "j") -> [UInt8]? {
        switch registry.job(named: name) {
        case .none: nil
        case .one(let job): job.definition.source
        case .conflict: Array("several".utf8)
        }
    }

    @Test("rows dropped for their age are expected no longer, neither of a node that lost its memory since")
    func retired() throws {
        var one = Registry(run: 1)
        let id = try Self.made(in: &one)
        var two = Registry(run: 2)
        two.merge(one.everything)
        one.acknowledge(100, retired: 30, frame: id, node: "n1", incarnation: 7)
        one.retain(id, seconds: 60, column: "at")
        two.acknowledge(80, retired: 10, frame: id, node: "n1", incarnation: 7)
        two.retain(id, seconds: 90, column: "at")
        two.acknowledge(50, frame: id, node: "n2", incarnation: 8)
        let (left, right) = (Self.merged(one, two), Self.merged(two, one))
        #expect(left == right)
        let entry = try #require(Self.only(left, "f"))
        #expect(entry.acknowledged.expectedRows == 120)
        #expect(entry.retention == FrameRetention(seconds: 90, column: "at", revision: 1, run: 2))
        #expect(entry.acknowledged.lostRows(node: "n1", incarnation: 7) == 0)
        #expect(entry.acknowledged.lostRows(node: "n1", incarnation: 9) == 70)
        // Who saw both words has the last one, on whatever node.
        one.merge(two.everything)
        one.retain(id, seconds: 10, column: "at")
        #expect(Self.only(Self.merged(two, one), "f")?.retention?.seconds == 10)
        #expect(RegistryNews(value: left.everything.value) == left.everything)
    }

    @Test(
        "counts that another node made up are clamped, and their sums too",
        arguments: [Int64.max, .max - 1, .min, -1, 1 << 62])
    func absurdCounts(count: Int64) throws {
        let rows = (1...3).map { node in
            Value.array([.string("n\(node)"), .int(Int64(node)), .int(count), .int(count / 2)])
        }
        let value = Value.object(["frame": .string("f"), "id": .string("1.1"), "rows": .array(rows)])
        let acknowledged = try #require(FrameAcknowledgements(value: value))
        #expect(acknowledged.expectedRows >= 0)
        #expect(acknowledged.lostRows(node: "n1", incarnation: 9) >= 0)
        var registry = Registry(run: 1)
        #expect(registry.acknowledgements(with: [acknowledged, acknowledged]).count == 1)
    }

    @Test(
        "ten thousand jobs and frames that came and went leave a few bytes, and one that a node missed the drop of stays away"
    )
    func manyDropped() throws {
        var away = Registry(run: 1)
        for name in ["old", "kept"] {
            away.defineJob(name, source: [1])
            _ = away.createFrame(name, schema: Self.schema)
        }
        var here = Registry(run: 2)
        here.merge(away.everything)
        _ = here.dropJob("old")
        here.dropFrame(try #require(Self.only(here, "old")).id)
        for number in 1...10_000 {
            here.defineJob("j\(number)", source: [3])
            _ = here.dropJob("j\(number)")
            here.dropFrame(try Self.made(in: &here))
        }
        #expect(here.jobTotals(without: "").count == 1)
        #expect(here.everything.value.messagePack.count < 500)
        here.defineJob("new", source: [4])
        _ = here.createFrame("new", schema: Self.schema)
        for both in [Self.merged(here, away), Self.merged(away, here), Self.merged(away, here, away)] {
            #expect(both.jobs.names == ["kept", "new"] && both.frames.names == ["kept", "new"])
            #expect(RegistryNews(value: both.everything.value) == both.everything)
        }
    }

    @Test("a restarted node's old rows stay expected beside its new ones")
    func incarnations() throws {
        var one = Registry(run: 1)
        let id = try Self.made(in: &one)
        var two = Self.merged(one)
        one.acknowledge(100, frame: id, node: "n1", incarnation: 7)
        two.acknowledge(0, frame: id, node: "n1", incarnation: 8)
        let all = try #require(Self.only(Self.merged(one, two), "f")).acknowledged
        #expect(all.expectedRows == 100)
        #expect(all.rows["n1"] == [7: 100, 8: 0])
    }

    @Test("a dropped name can be made again; the old one does not come back with a node that missed the drop")
    func dropAndCreate() throws {
        var old = Registry(run: 1)
        let first = try Self.made(in: &old)
        old.defineJob("j", source: [1])
        var new = Registry(run: 2)
        new.merge(old.everything)
        new.dropFrame(first)
        let drops = [new.dropJob("j"), new.dropJob("j")]
        #expect(drops == [true, false])
        #expect(Self.merged(old, new).jobs.count == 0 && Self.merged(new, old).frames.count == 0)
        let second = try Self.made(in: &new)
        new.defineJob("j", source: [2])
        for both in [Self.merged(old, new), Self.merged(new, old)] {
            #expect(Self.only(both, "f")?.id == second && Self.job(both) == [2])
            #expect(both.isDropped(frame: first) && !both.isDropped(frame: second))
        }
        #expect(new.jobTotals(without: "other") == (1, 1) && new.jobTotals(without: "j") == (0, 0))
    }

    @Test("frames made by nodes that did not know of each other's are both kept, with their rows, until one is dropped")
    func conflictOfFrames() throws {
        var (one, two) = (Registry(run: 1), Registry(run: 2))
        let first = try Self.made(in: &one)
        one.acknowledge(100, frame: first, node: "n1", incarnation: 1)
        let second = try Self.made(in: &two)
        two.acknowledge(7, frame: second, node: "n2", incarnation: 2)
        var both = Self.merged(one, two)
        #expect(both == Self.merged(two, one) && both.conflicts.frames == ["f"])
        guard case .conflict(let found) = both.frame(named: "f") else {
            Issue.record("no conflict")
            return
        }
        #expect(found.map(\.id) == [first, second] && found.map(\.acknowledged.expectedRows) == [100, 7])
        let third = both.createFrame("f", schema: Self.schema)
        #expect(third == nil)
        both.dropFrame(first)
        for again in [Self.merged(both, one, two), Self.merged(two, one, both)] {
            #expect(Self.only(again, "f")?.id == second && again.conflicts.frames.isEmpty)
            #expect(Self.only(again, "f")?.acknowledged.expectedRows == 7)
        }
    }

    @Test("two definitions of a job that did not see each other are a conflict, until one that saw both, or a drop")
    func conflictOfJobs() {
        var (one, two) = (Registry(run: 1), Registry(run: 2))
        one.defineJob("j", source: [1])
        two.defineJob("j", source: [2])
        var both = Self.merged(one, two)
        #expect(both == Self.merged(two, one) && both.conflicts.jobs == ["j"] && Self.job(both)?.count == 7)
        // One side goes on without having heard of the other.
        two.defineJob("j", source: [3])
        both.merge(two.everything)
        #expect(both.jobs.count == 2 && Self.job(both)?.count == 7)
        var defined = Registry(run: 3)
        defined.merge(both.everything)
        defined.defineJob("j", source: [4])
        #expect(Self.job(Self.merged(both, defined, one, two)) == [4])
        _ = both.dropJob("j")
        #expect(Self.job(Self.merged(one, both, two)) == nil)
        // A definition that the drop did not see stays.
        one.defineJob("j", source: [5])
        #expect(Self.job(Self.merged(one, both, two)) == [5])
        // The same said twice is no conflict.
        var (left, right) = (Registry(run: 5), Registry(run: 6))
        left.defineJob("j", source: [1])
        right.defineJob("j", source: [1])
        #expect(Self.job(Self.merged(left, right)) == [1] && Self.merged(left, right).conflicts.jobs.isEmpty)
    }

    @Test("what is no news is not read as such")
    func value() throws {
        var all = Registry(run: .max)
        let id = try Self.made(in: &all)
        all.acknowledge(3, frame: id, node: "n1", incarnation: .max)
        all.defineJob("j", source: [0, 255])
        let value = all.everything.value
        #expect(RegistryNews(value: value) == all.everything)
        for broken in [Value.null, .map([]), .object(["frames": .array([.null]), "jobs": .array([])])] {
            #expect(RegistryNews(value: broken) == nil)
        }
        func with(seen: Value) -> Value {
            .object([
                "frames": .array([]), "jobs": .array([]), "rows": .array([]),
                "seen": .array([.array([.int(1)] + [seen])]),
            ])
        }
        for seen in [Value.int(1), .null] { #expect(RegistryNews(value: with(seen: seen)) == nil) }
        for (first, last) in [(0, 1), (2, 1), (1, Int64.max), (-1, 5), (1, (1 << 48) + 1)] as [(Int64, Int64)] {
            let seen = Value.array([.array([.int(1), .int(first), .int(last)])])
            let news = Value.object(["frames": .array([]), "jobs": .array([]), "rows": .array([]), "seen": seen])
            #expect(RegistryNews(value: news) == nil, "\(first)...\(last)")
        }
        // A definition that the speaker has not seen itself.
        let unseen = RegistryNews(jobs: [.init(name: "j", id: id, definition: DefinedJob(source: []))])
        #expect(RegistryNews(value: unseen.value) == nil)
    }

    @Test("nobody knows more of a run's definitions than it does itself")
    func impossible() throws {
        var one = Registry(run: 1)
        _ = one.createFrame("f", schema: Self.schema)
        let made = SeenDefinitions([DefinitionID(run: 1, number: 1), DefinitionID(run: 2, number: 700)])
        #expect(made.canBe(beside: one.seen, run: 1))
        #expect(!made.union(SeenDefinitions([DefinitionID(run: 1, number: 2)])).canBe(beside: one.seen, run: 1))
    }

    @Test("a node that has just started knows of lost rows by what the others say")
    func unknownFrame() throws {
        var informed = Registry(run: 3)
        let id = try Self.made(in: &informed)
        let others = [
            FrameAcknowledgements(frame: "f", id: id, rows: ["n1": [7: 100]]),
            FrameAcknowledgements(frame: "f", id: id, rows: ["n1": [7: 90], "n2": [8: 50]]),
        ]
        var fresh = Registry(run: 1)
        let known = fresh.acknowledgements(with: others)
        #expect(known == [FrameAcknowledgements(frame: "f", id: id, rows: ["n1": [7: 100], "n2": [8: 50]])])
        informed.acknowledge(20, frame: id, node: "n3", incarnation: 9)
        let all = informed.acknowledgements(with: others)
        #expect(all.first?.expectedRows == 170)
        #expect(informed.frame(id)?.acknowledged.expectedRows == 170)
        informed.dropFrame(id)
        let none = informed.acknowledgements(with: others)
        #expect(none.isEmpty)
    }
}
