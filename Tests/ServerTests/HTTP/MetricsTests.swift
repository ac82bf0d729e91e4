// What /metrics tells of a node: counted once, whichever way a command came, and never with more labels than it may have.

import Engine
import Gather
import Server
import Testing

@Suite struct MetricsTests {
    private static let json = "Content-Type: application/json"
    private static let rows = "Content-Type: application/x-ndjson"

    /// A sample by its name and labels as they are written.
    private static func samples(_ node: HTTPNode) async -> [String: Double] {
        let reply = await node.ask("GET /metrics")
        #expect(reply.status == 200 && reply.field("Content-Type") == "text/plain; version=0.0.4; charset=utf-8")
        let lines = reply.body.split(separator: "\n").filter { !$0.hasPrefix("#") }
        let pairs = lines.compactMap { line -> (String, Double)? in
            guard let end = line.lastIndex(of: " "), let value = Double(line[line.index(after: end)...]) else {
                return nil
            }
            return (String(line[..<end]), value)
        }
        #expect(pairs.count == lines.count, "every line has a number")
        #expect(Set(pairs.map(\.0)).count == pairs.count, "no sample comes twice")
        return Dictionary(pairs, uniquingKeysWith: { $1 })
    }

    @Test("gets, sets and deletes over HTTP are counted as memcached's are, methods as calls")
    func commands() async {
        let node = HTTPNode()
        _ = await node.ask("PUT /v1/items/a", body: "1")
        _ = await node.ask("PUT /v1/items/a", ["If-Match: \"999999\""], body: "2")
        _ = await node.ask("GET /v1/items/a")
        _ = await node.ask("GET /v1/items/b")
        _ = await node.ask("GET /v1/get?key=a&key=b&key=c")
        _ = await node.ask("DELETE /v1/items/a")
        _ = await node.ask("DELETE /v1/items/a")
        let told = await Self.samples(node)
        let expected: [(String, String, Double)] = [
            ("get", "hit", 2), ("get", "miss", 3), ("set", "hit", 1), ("cas", "badval", 1), ("delete", "hit", 1),
            ("delete", "miss", 1), ("touch", "hit", 0),
        ]
        for (command, status, count) in expected {
            let name = #"memcached_commands_total{command="\#(command)",status="\#(status)"}"#
            #expect(told[name] == count, "\(name) \(told[name] ?? -1)")
        }
        #expect(told["memcached_up"] == 1)
        let stats = await node.ask("GET /v1/stats").json?["stats"]
        #expect(stats?["cmd_get"] == .int(5) && stats?["get_hits"] == .int(2) && stats?["cmd_set"] == .int(2))
    }

    @Test("methods have their calls, misses and errors, types their objects and durations, jobs their outcomes")
    func scripts() async {
        let node = HTTPNode()
        func call(_ text: String) async { _ = await node.ask("POST /v1/call", [Self.json], body: text) }
        await call(#"{"type":"quota","method":"new","object":"a","args":[5,"day"]}"#)
        for _ in 0..<40 { await call(#"{"type":"quota","method":"addandcheck","object":"a","args":[1]}"#) }
        await call(#"{"type":"quota","method":"addandcheck","object":"none","args":[1]}"#)
        await call(#"{"type":"quota","method":"addandcheck","object":"a","args":["x"]}"#)
        for source in ["function run(p) return 1 end", "function run(p) error('no') end"] {
            _ = await node.ask("POST /v1/runs?wait=60s", ["Content-Type: application/x-lua"], body: source)
        }
        let told = await Self.samples(node)
        for (method, status, count) in [
            ("new", "ok", 1), ("addandcheck", "ok", 40), ("addandcheck", "miss", 1), ("addandcheck", "error", 1),
        ] as [(String, String, Double)] {
            let name = #"cacheismo_method_calls_total{type="quota",method="\#(method)",status="\#(status)"}"#
            #expect(told[name] == count, "\(name) \(told[name] ?? -1)")
        }
        #expect(told[#"cacheismo_objects{type="quota"}"#] == 1)
        let measured = told[#"cacheismo_method_duration_seconds_count{type="quota"}"#] ?? 0
        #expect((20...43).contains(measured), "\(measured) of 43 calls are measured, or stood for")
        #expect(told[#"cacheismo_method_duration_seconds_bucket{type="quota",le="+Inf"}"#] == measured)
        #expect(told[#"cacheismo_job_runs_total{status="complete",reason=""}"#] == 1)
        #expect(told[#"cacheismo_job_runs_total{status="error",reason="script_error"}"#] == 1)
        #expect(told["cacheismo_job_duration_seconds_count"] == 2)
        let stats = await node.ask("GET /v1/stats").json
        guard case .array(let methods)? = stats?["scripts"] else { return #expect(Bool(false)) }
        let checks = methods.first { $0["method"] == .string("quota:addandcheck") }
        #expect(checks?["calls"] == .int(42) && checks?["errors"] == .int(1))
    }

    @Test("the hundred largest frames have a label, all the others one together")
    func frames() async {
        let node = HTTPNode()
        for at in 0..<120 {
            let rows = String(repeating: #"{"a":\#(at)}\#n"#, count: at < 20 ? 1 : 2_000)
            #expect(await node.ask("POST /v1/frames/f\(at)", [Self.rows], body: rows).status == 200)
        }
        let told = await Self.samples(node)
        let named = told.filter { $0.key.hasPrefix("cacheismo_frame_rows{") }
        #expect(named.count == 101)
        #expect(named[#"cacheismo_frame_rows{frame="other"}"#] == 20)
        #expect(named[#"cacheismo_frame_rows{frame="f119"}"#] == 2_000)
        #expect(named.values.reduce(0, +) == 200_020)
        #expect(told.filter { $0.key.hasPrefix("cacheismo_rows_lost{") }.count == 100)
    }

    @Test("the hundred types that are called most have a label, all the others one together")
    func types() async throws {
        let scripts = (0..<120).map { at in
            ObjectScript(
                file: "t\(at).lua",
                source: Array("local T = object \"t\(at)\"\nfunction T.new() return {} end\nfunction T:a() end".utf8))
        }
        let node = try HTTPNode(scripts: scripts)
        for at in 0..<120 {
            for _ in 0...(at < 20 ? 0 : 1) {
                let body = #"{"type":"t\#(at)","method":"add","object":"o","args":[]}"#
                #expect(await node.ask("POST /v1/call", [Self.json], body: body).status == 200)
            }
        }
        let told = await Self.samples(node)
        let calls = told.filter { $0.key.hasPrefix("cacheismo_method_calls_total{") && $0.key.contains(#""ok""#) }
        #expect(calls.count == 101)
        #expect(calls[#"cacheismo_method_calls_total{type="other",method="other",status="ok"}"#] == 20)
        #expect(told[#"cacheismo_objects{type="other"}"#] == 20)
        #expect(told[#"cacheismo_objects{type="t119"}"#] == 1)
    }
}
