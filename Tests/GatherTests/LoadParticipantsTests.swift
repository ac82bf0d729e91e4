// A node's part in a load that another node coordinates, and what jobs see of it, without a network.

import Coordination
import Engine
import Gather
import Logging
import Testing

@Suite struct LoadParticipantsTests {
    private static let coordinator = Counterpart.node(name: "n1", incarnation: 11)

    private static func node() throws -> ClusterNode {
        let topology = try Topology(peers: "n1=127.0.0.1:1,n2=127.0.0.1:2,n3=127.0.0.1:3", selfName: "n2")
        let node = ClusterNode(
            cluster: Cluster(
                EngineConfiguration(memoryBytes: 8 << 20), topology: topology, loops: [],
                logger: Logger(label: "test")))
        _ = try node.cluster.createFrame("f", try FrameSchema(parsing: "a:int"))
        return node
    }

    private static func ask(
        _ node: ClusterNode, _ request: PeerRequest, _ counterpart: Counterpart = coordinator
    ) async -> PeerReply {
        await withCheckedContinuation { continuation in
            node.handle(request, from: PeerConnection(counterpart)) { continuation.resume(returning: $0) }
        }
    }

    private static func control(
        _ node: ClusterNode, _ verb: ControlVerb, _ fields: [(String, Value)], load: Int64 = 7,
        _ counterpart: Counterpart = coordinator
    ) async throws(Failure) -> Value {
        let pairs = [("load", .int(load))] + fields
        let argument = Value.map(pairs.map { Value.Pair(.string($0.0), $0.1) })
        let reply = await ask(node, .control(verb: verb, argument: argument), counterpart)
        return try Router.value(of: .success(reply)).get()
    }

    /// Its only frame.
    private static func frame(_ node: ClusterNode) throws(Failure) -> DefinitionID {
        guard let id = node.cluster.readRegistry({ $0.frames.ids.first }) else { throw Failure(.miss, "no frame") }
        return id
    }

    private static func begin(
        _ node: ClusterNode, load: Int64 = 7, _ counterpart: Counterpart = coordinator
    ) async throws(Failure) {
        let answer = try await control(
            node, .beginLoad, [("frame", .string("f")), ("id", frame(node).value)], load: load, counterpart)
        #expect(answer["incarnation"] == .int(Int64(bitPattern: node.cluster.incarnation)))
    }

    private static func stage(
        _ node: ClusterNode, load: UInt64 = 7, _ counterpart: Counterpart = coordinator
    ) async throws(Failure) {
        let block = StageRequest(
            load: load, frame: "f", format: .csv, header: ["a"], firstLine: 2, skipsBadRows: false,
            bytes: Array("1\n2\n3\n".utf8))
        _ = try Router.value(of: .success(await ask(node, .stage(block), counterpart))).get()
    }

    private static func prepare(_ node: ClusterNode, load: Int64 = 7) async throws(Failure) -> Value {
        let others = Value.array([.array([.string("n1"), .int(11)]), .array([.string("n3"), .int(13)])])
        return try await control(node, .prepareLoad, [("others", others)], load: load)
    }

    private static func decide(
        _ node: ClusterNode, commit: Bool, load: Int64 = 7, id: DefinitionID? = nil
    ) async throws(Failure) {
        let counts = Value.array([.array([.string("n3"), .int(13), .int(40)])])
        let frame: DefinitionID
        if let id { frame = id } else { frame = try Self.frame(node) }
        _ = try await control(
            node, .decideLoad,
            [("commit", .bool(commit)), ("counts", counts), ("id", frame.value)], load: load)
    }

    private static func map(
        _ node: ClusterNode, include: Set<UInt64> = [], counts: [FrameAcknowledgements] = []
    ) async throws -> MapAnswer {
        var map = MapRequest(
            query: 1, name: "j", source: Array("function map(s) return s:frame('f'):count() end".utf8),
            parameters: .null, deadlineMilliseconds: 10_000, now: 0)
        (map.include, map.counts) = (include, counts)
        guard case .mapped(let answer) = await ask(node, .map(map)) else { throw Failure(.miss, "no answer") }
        return answer
    }

    @Test("a load that is ready is named and not seen; it is seen once it is decided, or another node shows it")
    func seen() async throws {
        for includes in [false, true] {
            let node = try Self.node()
            try await Self.begin(node)
            try await Self.stage(node)
            var answer = try await Self.map(node)
            #expect(answer.rowsScanned == 0 && answer.loads["f"] == FrameLoads.Seen(), "\(answer.loads)")
            let prepared = try await Self.prepare(node)
            #expect(prepared["rows"] == .int(3) && prepared["count"] == .int(3))
            answer = try await Self.map(node)
            #expect(answer.rowsScanned == 0 && answer.loads["f"]?.pending == [7])
            if includes {
                answer = try await Self.map(node, include: [7, 8])
                #expect(answer.rowsScanned == 3)
            } else {
                try await Self.decide(node, commit: true)
            }
            answer = try await Self.map(node)
            #expect(answer.rowsScanned == 3 && answer.loads["f"]?.pending == [])
            #expect(answer.loads["f"]?.committed.keys.map { $0 } == [7])
            // Said again, or otherwise, it is nothing new.
            try await Self.decide(node, commit: true)
            try await Self.decide(node, commit: false)
            #expect(try await Self.map(node).rowsScanned == 3)
            await #expect(throws: Failure.self) { try await Self.stage(node) }
            await #expect(throws: Failure.self) { try await Self.begin(node) }
        }
    }

    @Test("who commits knows how many rows the others have, in case that they are gone before they have said so")
    func counts() async throws {
        let node = try Self.node()
        try await Self.begin(node)
        _ = try await Self.prepare(node)
        try await Self.decide(node, commit: true)
        let id = try Self.frame(node)
        let rows = node.cluster.currentRegistry().frame(id)?.acknowledged
        #expect(rows?.rows["n3"] == [13: 40])
        #expect(rows?.lostRows(node: "n3", incarnation: 14) == 40)
        // Of a frame that was made anew under the name, they say nothing.
        try await Self.begin(node, load: 8)
        _ = try await Self.prepare(node, load: 8)
        node.cluster.changeRegistry { _ = $0.dropFrame(id) }
        _ = try node.cluster.createFrame("f", try FrameSchema(parsing: "a:int"))
        try await Self.decide(node, commit: true, load: 8, id: id)
        let anew = try Self.frame(node)
        #expect(anew != id && node.cluster.currentRegistry().frame(anew)?.acknowledged.isEmpty == true)
    }

    @Test("a commit of a run that is over is not followed, nor what it says that others have")
    func overtaken() async throws {
        let node = try Self.node()
        try await Self.begin(node)
        try await Self.stage(node)
        _ = try await Self.prepare(node)
        let gone = Value.array([.array([.string("n1"), .int(11)])])
        _ = try await Self.control(
            node, .askLoad, [("gone", gone), ("milliseconds", .int(5))], .node(name: "n3", incarnation: 13))
        try await Self.decide(node, commit: true)
        let answer = try await Self.map(node, include: [7])
        #expect(answer.rowsScanned == 0 && answer.loads["f"] == FrameLoads.Seen(pending: [7]))
        let id = try Self.frame(node)
        #expect(node.cluster.currentRegistry().frame(id)?.acknowledged.isEmpty == true)
    }

    @Test("who shows a load as another node does knows before how many rows all have; who does not takes no word of it")
    func countsBesideInclusion() async throws {
        for isGone in [false, true] {
            let node = try Self.node()
            try await Self.begin(node)
            try await Self.stage(node)
            _ = try await Self.prepare(node)
            if isGone {
                let gone = Value.array([.array([.string("n1"), .int(11)])])
                _ = try await Self.control(
                    node, .askLoad, [("gone", gone), ("milliseconds", .int(5))], .node(name: "n3", incarnation: 13))
            }
            let id = try Self.frame(node)
            let said = FrameAcknowledgements(
                frame: "f", id: id, rows: ["n1": [11: 30], "n2": [5: 1_000], "n3": [13: 40], "nobody": [1: 50]])
            let answer = try await Self.map(node, include: [7], counts: [said])
            #expect(answer.rowsScanned == (isGone ? 0 : 3))
            let known = node.cluster.readRegistry { $0.frame(id)?.acknowledged.rows ?? [:] }
            #expect(known.filter { $0.key != "n2" } == (isGone ? [:] : ["n1": [11: 30], "n3": [13: 40]]))
            #expect(known["n2"]?[5] == nil, "of itself it knows best")
        }
    }

    @Test("who is asked about a committed load tells how many rows all have of the frame, while there is such a frame")
    func askedForCounts() async throws {
        let node = try Self.node()
        try await Self.begin(node)
        try await Self.stage(node)
        _ = try await Self.prepare(node)
        let id = try Self.frame(node)
        func answer() async throws -> Value {
            try await Self.control(
                node, .askLoad, [("gone", .array([])), ("milliseconds", .int(5)), ("id", id.value)],
                .node(name: "n3", incarnation: 13))
        }
        #expect(try await answer()["counts"] == nil, "nothing is decided")
        try await Self.decide(node, commit: true)
        let own = Value.array([.string("n2"), .int(Int64(bitPattern: node.cluster.incarnation)), .int(3)])
        #expect(try await answer()["counts"] == .array([own, .array([.string("n3"), .int(13), .int(40)])]))
        node.cluster.changeRegistry { _ = $0.dropFrame(id) }
        #expect(try await answer()["counts"] == nil)
    }

    @Test("a load is its coordinator's run's alone, and over once it is discarded")
    func alone() async throws {
        let node = try Self.node()
        try await Self.begin(node)
        try await Self.begin(node)
        for other in [Counterpart.node(name: "n1", incarnation: 12), .node(name: "n3", incarnation: 11)] {
            await #expect(throws: Failure.self) { try await Self.begin(node, other) }
            await #expect(throws: Failure.self) { try await Self.stage(node, other) }
        }
        try await Self.stage(node)
        _ = try await Self.prepare(node)
        await #expect(throws: Failure.self, "promised rows are all rows") { try await Self.stage(node) }
        #expect(try await Self.prepare(node)["rows"] == .int(3), "said again")
        try await Self.decide(node, commit: false)
        try await Self.decide(node, commit: true)
        let answer = try await Self.map(node, include: [7])
        #expect(answer.rowsScanned == 0 && answer.loads["f"] == FrameLoads.Seen(pending: [7]))
        await #expect(throws: Failure.self) { try await Self.prepare(node) }
        #expect(node.cluster.engine.frames.resources.memory.usedBytes == 0)
    }

    @Test("who is asked about a load tells what it knows; an open one ends with the question")
    func asked() async throws {
        let node = try Self.node()
        func state(of load: Int64) async throws -> LoadState? {
            let other = Counterpart.node(name: "n3", incarnation: 13)
            let answer = try await Self.control(
                node, .askLoad, [("gone", .array([])), ("milliseconds", .int(5))], load: load, other)
            guard case .int(let raw)? = answer["state"] else { return nil }
            return LoadState(rawValue: UInt8(raw))
        }
        #expect(try await state(of: 1) == .unknown)
        for load in 1...3 as ClosedRange<Int64> { try await Self.begin(node, load: load) }
        #expect(try await state(of: 1) == .aborted)
        for load in 2...3 as ClosedRange<Int64> { _ = try await Self.prepare(node, load: load) }
        #expect(try await state(of: 2) == .prepared)
        try await Self.decide(node, commit: true, load: 2)
        try await Self.decide(node, commit: false, load: 3)
        #expect(try await state(of: 2) == .committed)
        #expect(try await state(of: 3) == .aborted)
    }
}
