// Jobs over two and three nodes: what getInParallel brings from each of them, and what is answered when one ends in between.

import Coordination
import Engine
import Gather
import Testing

@Suite(.serialized) struct NodesThatEndTests {
    private static let ask = """
        job.params = { keys = "", again = "" }
        function run(p)
          local keys, wanted = {}, {}
          for key in p.keys:gmatch("%S+") do keys[#keys + 1] = key end
          for _, server in ipairs(cluster.servers()) do wanted[server] = keys end
          local values, missing = getInParallel(wanted)
          local rounds = 1
          while p.again ~= "" and not missing[p.again] do
            getFromServer("n1", "counter:add:rounds:1")
            values, missing = getInParallel(wanted)
            rounds = rounds + 1
          end
          return { values = values, missing = missing, rounds = rounds }
        end
        """

    @Test(
        "getInParallel brings each key from each node: items, objects, what a node says of itself, and misses",
        arguments: [2, 3])
    func parallel(count: Int) async throws {
        try await NodesInProcess.with(count) { nodes in
            var keys = ["node:name", "counter:get:c", "nosuch"]
            #expect(await nodes.get("counter:new:c:7") != nil)
            for number in 0..<200 {
                #expect(await nodes.set("key\(number)", "value \(number)", at: number % count))
                keys.append("key\(number)")
            }
            for at in 0..<count {
                let envelope = await nodes.run(Self.ask, ["keys": .string(keys.joined(separator: " "))], at: at)
                #expect(envelope["status"] == .string("complete"), "\(envelope.message)")
                #expect(envelope["shards"]?["asked"] == .int(Int64(2 * count)))
                let result = envelope["result"]
                for name in (1...count).map({ "n\($0)" }) {
                    let values = result?["values"]?[name]
                    #expect(values?["node:name"] == .string(name) && values?["counter:get:c"]?.number == 7)
                    #expect(values?["nosuch"] == nil)
                    #expect(result?["missing"]?[name]?["nosuch"]?["reason"] == .string("miss"))
                    for number in 0..<200 { #expect(values?["key\(number)"]?.text == "value \(number)") }
                }
            }
        }
    }

    @Test(
        "a node that ends between two questions of one job is told to the job, and said in its answer",
        arguments: [2, 3])
    func endsBetweenQuestions(count: Int) async throws {
        for requirement in [Requirement.all, .any] {
            try await NodesInProcess.with(count) { nodes in
                // On the first node, whatever the ring says of others.
                let last = "n\(count)"
                let name = try #require(Self.key(ownedBy: 0, nodes, prefix: "rounds"))
                let source = Self.ask.replacing("counter:add:rounds", with: "counter:add:\(name)")
                #expect(await nodes.get("counter:new:\(name):0") != nil)
                async let answer = nodes.run(
                    source, ["keys": .string("node:name"), "again": .string(last)], require: requirement)
                try await Self.until { await nodes.get("counter:get:\(name)")?.number ?? 0 >= 3 }
                await nodes.end(count - 1)
                let envelope = await answer
                if requirement == .all {
                    #expect(envelope.reason == "unreachable" && envelope.message.contains(last), "\(envelope)")
                    return
                }
                #expect(envelope["status"] == .string("partial"), "\(envelope)")
                #expect(envelope["result"]?["missing"]?[last]?["node:name"]?["reason"] == .string("unreachable"))
                #expect(envelope["result"]?["values"]?["n1"]?["node:name"] == .string("n1"))
                #expect((envelope["result"]?["rounds"]?.number ?? 0) > 3)
            }
        }
    }

    private struct NeverHappened: Error {}

    /// Returns once that is so; throws after far longer than it takes.
    private static func until(_ isSo: () async -> Bool) async throws {
        for _ in 0..<100_000 {
            if await isSo() { return }
            try await Task.sleep(for: .milliseconds(1))
        }
        throw NeverHappened()
    }

    /// An object's name that the ring gives to a node.
    private static func key(ownedBy owner: Int, _ nodes: NodesInProcess, prefix: String) -> String? {
        (0..<1_000).map { "\(prefix)\($0)" }.first { name in
            Array(name.utf8).withUnsafeBytes { nodes.node(0)?.cluster.view.place(of: $0).node } == owner
        }
    }

    private static let count = "function map(s) return s:frame('f'):group('n'):count() end"

    @Test("rows of a node that has ended are missed: an error, or an answer that says so", arguments: [2, 3])
    func endsBeforeTheJob(count: Int) async throws {
        try await NodesInProcess.with(count) { nodes in
            for at in 0..<count { #expect(await nodes.set("frame:append:f", "{\"n\":\(at)}\n{\"n\":\(at)}", at: at)) }
            for at in 0..<count {
                let whole = await nodes.run(Self.count, at: at)
                #expect(whole["status"] == .string("complete"), "\(whole.message)")
                let rows = (0..<count).map { Value.object(["n": .int(Int64($0)), "count": .int(2)]) }
                #expect(whole["result"] == .array(rows))
                #expect(whole["shards"]?["answered"] == .int(Int64(2 * count)))
            }
            await nodes.end(count - 1)
            let failed = await nodes.run(Self.count)
            #expect(failed.reason == "unreachable" && failed.message.contains("n\(count)"), "\(failed)")
            let partial = await nodes.run(Self.count, require: .any)
            #expect(partial["status"] == .string("partial"))
            #expect(
                partial["rows"]
                    == .object(["expected": .int(Int64(2 * count)), "scanned": .int(Int64(2 * (count - 1)))]))
            #expect(partial["shards"]?["answered"] == .int(Int64(2 * (count - 1))))
            guard case .array(let rows)? = partial["result"] else {
                Issue.record("\(partial)")
                return
            }
            #expect(rows.count == count - 1)
        }
    }

    @Test(
        "a node that ends while its map is under way ends the job at once, or leaves it to the others",
        arguments: [2, 3])
    func endsWithinTheJob(count: Int) async throws {
        // The others' maps end once this key is there; the last node's never does.
        let source = """
            job.about = "waits"
            function map(s)
              s:frame("f")
              repeat until #s:keys("go") > 0
              return 1
            end
            function reduce(a, b) return a + b end
            """
        for (query, requirement) in [(UInt64(501), Requirement.all), (502, .any)] {
            try await NodesInProcess.with(count, shards: 1) { nodes in
                for at in 0..<count { #expect(await nodes.set("frame:append:f", "{\"n\":\(at)}", at: at)) }
                async let answer = nodes.run(source, require: requirement, query: query)
                for at in 0..<count {
                    try await Self.until { nodes.node(at)?.cluster.jobs.coverage(of: query) != nil }
                }
                let last = nodes.node(count - 1)
                await nodes.end(count - 1)
                if requirement == .any {
                    for at in 0..<count - 1 {
                        let key = try #require(Self.key(ownedBy: at, nodes, prefix: "go"))
                        #expect(await nodes.set(key, "1", at: at))
                    }
                }
                let envelope = await answer
                // What nobody waits for any more comes to its end.
                for node in (0..<count).compactMap(nodes.node) + [last].compactMap(\.self) {
                    node.cluster.jobs.coverage(of: query)?.cancel()
                }
                if requirement == .all {
                    #expect(envelope.reason == "unreachable" && envelope.message.contains("n\(count)"), "\(envelope)")
                } else {
                    #expect(envelope["status"] == .string("partial"), "\(envelope)")
                    #expect(envelope["result"] == .int(Int64(count - 1)))
                }
            }
        }
    }
}

extension Value {
    fileprivate var number: Int? {
        switch self {
        case .int(let number): Int(number)
        default: text.flatMap { Int($0) }
        }
    }
}
