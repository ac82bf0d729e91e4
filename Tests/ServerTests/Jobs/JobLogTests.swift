// What a job says, and where it failed, on all nodes: in its envelope.

import Engine
import Gather
import Server
import Testing

@Suite struct JobLogTests {
    private static func lines(_ envelope: Value) -> [String] {
        guard case .array(let lines)? = envelope["log"] else { return [] }
        return lines.compactMap(\.text)
    }

    @Test("lines come back from all nodes with their names, of a job that failed too, and at most 100 of them")
    func nodes() async throws {
        try await NodesInProcess.with(3) { nodes in
            let saying = """
                function map(shard, p) print("mapped", 1) return 1 end
                function reduce(a, b) return a + b end
                function finish(r) log("finished", r) return r end
                """
            let envelope = await nodes.run(saying)
            #expect(envelope["status"] == .string("complete"), "\(envelope)")
            let lines = Self.lines(envelope)
            #expect(lines.filter { $0.hasSuffix("mapped 1") }.count == 6, "\(lines)")
            for node in ["n1", "n2", "n3"] { #expect(lines.filter { $0 == "\(node): mapped 1" }.count == 2) }
            #expect(lines.last == "finished 6")
            #expect(envelope["logDropped"] == nil)

            let failing = """
                local function inner() error("on purpose") end
                function map(shard, p)
                    log("before")
                    inner()
                end
                """
            let failed = await nodes.run(failing, at: 1)
            #expect(failed.reason == "script_error")
            #expect(Self.lines(failed).contains { $0.hasSuffix(": before") }, "\(failed)")
            guard case .array(let stack)? = failed["error"]?["stack"] else { return #expect(Bool(false), "\(failed)") }
            #expect(
                stack.compactMap(\.text) == ["t:1: in upvalue 'inner'", "t:4: in the function at line 2"])

            let many = await nodes.run(
                "function map() for i = 1, 100 do log(i) end return 1 end function reduce(a) return a end")
            #expect(Self.lines(many).count == 100)
            #expect(many["logDropped"] == .int(500))
            let none = await nodes.run("function map() return 1 end function reduce(a, b) return a + b end")
            #expect(none["log"] == nil && none["logDropped"] == nil)
        }
    }

    @Test("over HTTP an error has its stack, of a method with what was called, of a run in its envelope")
    func http() async {
        let node = HTTPNode()
        let type = "Content-Type: application/json"
        var reply = await node.ask(
            "POST /v1/call", [type], body: #"{"type":"quota","method":"new","object":"a","args":[5,"day"]}"#)
        for _ in 0..<600 where reply.status == 504 {
            reply = await node.ask(
                "POST /v1/call", [type], body: #"{"type":"quota","method":"new","object":"a","args":[5,"day"]}"#)
        }
        let failed = await node.ask(
            "POST /v1/call", [type], body: #"{"type":"quota","method":"addandcheck","object":"a","args":["x"]}"#)
        #expect(failed.status == 400, "\(failed.body)")
        guard case .array(let stack)? = failed.json?["error"]?["stack"] else {
            return #expect(Bool(false), "\(failed.body)")
        }
        #expect(stack.first?.text?.hasPrefix("quota.lua:23: in ") == true, "\(stack)")
        #expect(stack.last?.text == "called as quota:addandcheck:a:x")
        let run = await node.ask(
            "POST /v1/runs", ["Content-Type: application/x-lua"],
            body: "function run(p)\n  print('said', p)\n  error('no')\nend")
        #expect(run.json?["log"] == .array([.string("said []")]), "\(run.body)")
        #expect(run.json?["error"]?["stack"] == .array([.string("script:3: in the function at line 1")]), "\(run.body)")
    }
}
