// What virtual keys tell of the nodes and their jobs: the same as HTTP.

import Engine
import Gather
import Server
import Testing

@Suite struct NodeReportsTests {
    private static func fields(_ value: Value?) -> [String] {
        guard case .map(let pairs)? = value else { return [] }
        return pairs.compactMap(\.key.text)
    }

    @Test("node:stats and cluster:status have what GET /v1/stats and /v1/cluster have")
    func figures() async throws {
        let node = HTTPNode()
        for (key, path) in [("node:stats", "/v1/stats"), ("cluster:status", "/v1/cluster")] {
            let told = await node.ask("GET /v1/get?key=\(key)").json?[key]?["value"]
            let shown = await node.ask("GET \(path)").json
            #expect(!Self.fields(told).isEmpty && Self.fields(told) == Self.fields(shown), "\(key)")
        }
        try await NodesInProcess.with(3) { nodes in
            let status = await nodes.get("cluster:status", at: 1)
            guard case .array(let list)? = status?["nodes"] else {
                return #expect(Bool(false), "\(String(describing: status))")
            }
            #expect(list.map { $0["name"]?.text } == ["n1", "n2", "n3"])
            #expect(list[1]["state"] == .string("up"))
            #expect(await nodes.get("node:stats", at: 2)?["node"] == .string("n3"))
        }
    }

    @Test("node:hotkeys has the objects that are called most among the keys that are read most")
    func hottest() async throws {
        try await NodesInProcess.with(1) { nodes in
            #expect(await nodes.set("plain", "1"))
            for name in ["a", "b"] { #expect(await nodes.set("counter:new:\(name)", "0")) }
            // A call has a second, which may be little where all tests run at once: what is not answered counts all the same.
            for _ in 0..<30 { _ = await nodes.get("counter:add:a") }
            for _ in 0..<20 { _ = await nodes.get("plain") }
            for _ in 0..<10 { _ = await nodes.get("counter:get:b") }
            guard case .array(let list)? = await nodes.get("node:hotkeys:10") else { return #expect(Bool(false)) }
            #expect(
                list.map { $0["object"]?.text ?? $0["key"]?.text } == ["counter:a", "plain", "counter:b"], "\(list)")
            #expect(list.map { $0["count"] } == [.int(30), .int(20), .int(10)])
            #expect(list.map { $0["object"] != nil } == [true, false, true])
        }
    }
}
