// Seeded histories of nodes that define, drop, append and meet in any order: nothing is forgotten, and all end up with the same.

import Coordination
import Gather
import Testing

/// Some nodes, and messages between them that arrive or don't.
private struct RegistryWorld {
    var random: SeededRandom
    var nodes: [Registry]
    /// What each node knows of what each other one knows.
    var news: [[PeerNews]]
    /// Every row ever acknowledged, by frame and node.
    var rows: [DefinitionID: [Int: Int]] = [:]
    /// Frames and jobs that somebody dropped or replaced.
    var ended: Set<DefinitionID> = []

    static let names = ["a", "b"]

    init(_ seed: UInt64, nodes count: Int) {
        random = SeededRandom(seed)
        nodes = (0..<count).map { Registry(run: UInt64($0 + 1)) }
        news = (0..<count).map { _ in (0..<count).map { _ in PeerNews() } }
    }

    mutating func step() {
        let at = random.below(nodes.count)
        let name = random.pick(Self.names)
        switch random.below(8) {
        case 0: _ = nodes[at].createFrame(name, schema: [UInt8(random.below(3))])
        case 1:
            if let id = nodes[at].frames.ids(named: name).first {
                nodes[at].dropFrame(id)
                ended.insert(id)
            }
        case 2:
            ended.formUnion(nodes[at].jobs.ids(named: name))
            nodes[at].defineJob(name, source: [UInt8(random.below(200))])
        case 3:
            ended.formUnion(nodes[at].jobs.ids(named: name))
            _ = nodes[at].dropJob(name)
        case 4:
            if let id = nodes[at].frames.ids(named: name).first {
                nodes[at].retain(id, seconds: Int64(random.below(100)), column: "at")
            }
        case 5:
            for id in nodes[at].frames.ids(named: name) {
                let count = (rows[id]?[at] ?? 0) + random.below(50)
                rows[id, default: [:]][at] = count
                nodes[at].acknowledge(count, frame: id, node: "n\(at)", incarnation: UInt64(at + 1))
            }
        default: exchange(at, random.below(nodes.count), loses: true)
        }
    }

    /// As nodes do it: a message and its answer. With `loses` either may be lost.
    mutating func exchange(_ one: Int, _ other: Int, loses: Bool) {
        guard one != other else { return }
        if loses && random.chance(20) { news[one][other].forget() }
        for (from, to) in [(one, other), (other, one)] {
            let heading = news[from][to].heading(of: nodes[from], digest: nodes[from].digest)
            let told = nodes[from].news(since: heading.since, to: "n\(to)")
            if loses && random.chance(30) { return }
            nodes[to].merge(told, from: "n\(from)")
            news[to][from].received(heading, in: nodes[to], digest: nodes[to].digest)
        }
    }

    /// A node that was killed: what takes its place knows nothing.
    mutating func restart(_ at: Int, run: UInt64) {
        nodes[at] = Registry(run: run)
        news[at] = news[at].map { _ in PeerNews() }
    }

    mutating func settle() {
        for _ in 0..<6 {
            for one in nodes.indices { for other in nodes.indices { exchange(one, other, loses: false) } }
        }
    }
}

@Suite struct RegistryHistoryTests {
    @Test("merging is commutative, associative and idempotent", arguments: 0..<200 as Range<UInt64>)
    func lattice(seed: UInt64) {
        var world = RegistryWorld(seed, nodes: 3)
        for _ in 0..<40 { world.step() }
        let orders = [[0, 1, 2], [2, 1, 0], [1, 0, 2], [1, 2, 0, 0, 1, 2, 1]]
        let results = orders.map { order in
            order.reduce(into: Registry(run: 50)) { $0.merge(world.nodes[$1].everything) }
        }
        #expect(results.allSatisfy { $0 == results[0] })
        // (0 + 1) + 2 and 0 + (1 + 2).
        var (left, right) = (world.nodes[0], world.nodes[1])
        left.merge(world.nodes[1].everything)
        left.merge(world.nodes[2].everything)
        right.merge(world.nodes[2].everything)
        var whole = world.nodes[0]
        whole.merge(right.everything)
        #expect(left == whole && left == results[0])
        #expect(left.digest == whole.digest)
    }

    @Test(
        "nodes that tell only what is new, over links that lose, end up the same: what nobody ended is there, with all its rows",
        arguments: 0..<400 as Range<UInt64>)
    func history(seed: UInt64) {
        var world = RegistryWorld(seed, nodes: 2 + Int(seed % 3))
        for _ in 0..<120 { world.step() }
        world.settle()
        let first = world.nodes[0]
        for node in world.nodes { #expect(node == first && node.digest == first.digest) }
        for (id, counts) in world.rows where !world.ended.contains(id) {
            #expect(first.frame(id)?.acknowledged.expectedRows == counts.values.reduce(0, +), "\(id)")
        }
        for id in world.ended { #expect(first.frames[id] == nil && first.jobs[id] == nil && first.seen.contains(id)) }
        // At rest nobody has anything to say.
        for one in world.nodes.indices {
            for other in world.nodes.indices where one != other {
                let heading = world.news[one][other].heading(of: world.nodes[one], digest: world.nodes[one].digest)
                #expect(world.nodes[one].news(since: heading.since, to: "n\(other)").isEmpty)
            }
        }
    }

    @Test(
        "a node that was killed learns all of it again, and what it had dropped stays away",
        arguments: 0..<100 as Range<UInt64>)
    func restarts(seed: UInt64) {
        var world = RegistryWorld(seed, nodes: 3)
        for _ in 0..<60 { world.step() }
        world.settle()
        let before = world.nodes[0]
        world.restart(1, run: 77)
        world.settle()
        #expect(world.nodes.allSatisfy { $0 == before })
        for _ in 0..<60 { world.step() }
        world.settle()
        #expect(world.nodes[1] == world.nodes[0] && world.nodes[2] == world.nodes[0])
    }
}
