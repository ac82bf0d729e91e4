// Frames that a load or an append made for rows which then did not come: they go, unless somebody else uses them.

import Coordination
import Engine
import Gather
import Testing

@Suite struct DiscardedFramesTests {
    private static func ask(
        _ node: ClusterNode, _ request: PeerRequest, _ connection: PeerConnection = PeerConnection()
    ) async throws -> Value {
        let reply = await node.ask(request, connection)
        return try Router.value(of: .success(reply)).get()
    }

    private static func make(
        _ node: ClusterNode, load: Int64, _ connection: PeerConnection = PeerConnection()
    ) async throws -> Value {
        let schema = try FrameSchema(parsing: "a:int").value
        return try await ask(
            node,
            .control(
                verb: .createFrame, argument: .object(["name": .string("f"), "schema": schema, "load": .int(load)])),
            connection)["made"] ?? .null
    }

    private static func begin(_ node: ClusterNode, load: Int64, _ connection: PeerConnection) async throws {
        let argument = Value.object(["load": .int(load), "frame": .string("f")])
        _ = try await ask(node, .control(verb: .beginLoad, argument: argument), connection)
    }

    private static func stage(_ node: ClusterNode, load: UInt64, _ connection: PeerConnection) async throws {
        try await begin(node, load: Int64(load), connection)
        _ = try await ask(
            node,
            .stage(
                StageRequest(
                    load: load, frame: "f", format: .csv, header: ["a"], firstLine: 2, skipsBadRows: false,
                    bytes: Array("1\n".utf8))), connection)
    }

    private static func abort(_ node: ClusterNode, load: Int64, made: Value) async throws {
        _ = try await ask(
            node,
            .control(
                verb: .abortLoad,
                argument: .object(["load": .int(load), "frame": .string("f"), "made": made])))
    }

    private static func exists(_ node: ClusterNode) -> Bool {
        node.cluster.engine.frames.find("f") != nil && node.cluster.currentRegistry().frames.names == ["f"]
    }

    /// A lost connection is worked on in the background.
    private static func isGone(_ node: ClusterNode) async throws -> Bool {
        for _ in 0..<500 where exists(node) { try await Task.sleep(for: .milliseconds(10)) }
        return !exists(node)
    }

    @Test("a load that is aborted takes the frame with it that it made, but not one that was there")
    func aborted() async throws {
        let node = loneNode()
        let made = try await Self.make(node, load: 1)
        #expect(try await Self.make(node, load: 2) == .null)
        try await Self.abort(node, load: 2, made: .null)
        #expect(Self.exists(node))
        try await Self.abort(node, load: 1, made: .string("7.7"))
        #expect(Self.exists(node))
        try await Self.abort(node, load: 1, made: made)
        #expect(!Self.exists(node))
    }

    @Test("a frame that was filled since, or into which another load is on its way, stays")
    func inUse() async throws {
        let node = loneNode()
        let made = try await Self.make(node, load: 1)
        let other = PeerConnection()
        try await Self.stage(node, load: 2, other)
        try await Self.abort(node, load: 1, made: made)
        #expect(Self.exists(node))
        _ = try await Self.ask(node, .control(verb: .commitLoad, argument: .object(["load": .int(2)])), other)
        try await Self.abort(node, load: 1, made: made)
        #expect(Self.exists(node))
    }

    @Test("a load whose connection is lost leaves no frame; one that was committed without rows does")
    func lostConnection() async throws {
        let node = loneNode()
        let connection = PeerConnection()
        _ = try await Self.make(node, load: 1, connection)
        node.closed(connection)
        #expect(try await Self.isGone(node))
        _ = try await Self.make(node, load: 2, connection)
        try await Self.begin(node, load: 2, connection)
        _ = try await Self.ask(node, .control(verb: .commitLoad, argument: .object(["load": .int(2)])), connection)
        node.closed(connection)
        try await Task.sleep(for: .milliseconds(50))
        #expect(Self.exists(node))
    }

    @Test("a first append that is refused leaves no frame, and what is appended is given back as it was written")
    func appended() async throws {
        let node = loneNode()
        func append(_ rows: String) async throws -> Value {
            try await Self.ask(
                node,
                .control(
                    verb: .store, argument: .object(["key": .string("frame:append:f"), "value": .string(rows)])))
        }
        await #expect(throws: Failure.self) { try await append("{\"a\":1}\n{\"a\":{}}\n") }
        #expect(!Self.exists(node))
        _ = try await append("{\"id\":12345678901234567890}\n{\"id\":7}\n")
        #expect(node.cluster.engine.frames.find("f")?.schema.description == "id:string")
        _ = try await append("{\"id\":12345678901234567891}\n")
        #expect(node.cluster.engine.frames.find("f")?.statistics.rows == 3)
    }

    @Test("a frame that another node made, and that there is no room for here, says so to whoever appends")
    func noRoom() async throws {
        let node = loneNode { $0.frameMemoryBytes = 100 }
        let schema = try FrameSchema(parsing: "a:int").value.messagePack
        node.cluster.changeRegistry { _ = $0.createFrame("f", schema: schema) }
        let argument = Value.object(["key": .string("frame:append:f"), "value": .string("{\"a\":1}\n")])
        let reply = await node.control(.store, argument)
        guard case .failure(let failure) = reply else {
            Issue.record("\(reply)")
            return
        }
        #expect(failure.reason == .budgetExceeded, "\(failure)")
    }
}
