// What is answered over HTTP: a status and a body for each kind of request, good and bad.

import Engine
import Gather
import Server
import Testing

@Suite struct HTTPTests {
    private static let json = "Content-Type: application/json"
    private static let lua = "Content-Type: application/x-lua"
    private static let rows = "Content-Type: application/x-ndjson"
    private static let counting = """
        job.about = "Rows"
        job.params = { least = 0 }
        function map(shard, p) return shard:frame("t"):where("a", ">=", p.least):group("b"):agg { n = count() } end
        """

    @Test(
        "a request that may not come so, or asks for what there isn't, has its status and its reason",
        arguments: [
            ("GET /v1/get", 400, "bad_request"), ("GET /v1/get?key=quota:reset:a", 405, "not_readonly"),
            ("GET /v1/get?key=job:run:x", 405, "not_readonly"), ("GET /v1/get?kye=a", 400, "bad_request"),
            ("GET /v1/get?key=a&ints=no", 400, "bad_request"), ("GET /v1/nothing", 404, "miss"),
            ("GET /v1/jobs/none", 404, "miss"), ("GET /v1/jobs/none/run", 404, "miss"),
            ("DELETE /v1/jobs/none", 404, "miss"), ("GET /v1/frames/none", 404, "miss"),
            ("GET /v1/frames/none/head", 404, "miss"), ("DELETE /v1/frames/none", 404, "miss"),
            ("GET /v1/frames/none/head?limit=0", 400, "bad_request"), ("GET /v1/runs/ff", 404, "miss"),
            ("GET /v1/runs/x", 404, "miss"), ("DELETE /v1/runs/ff", 404, "miss"),
            ("GET /v1/runs/ff/events", 404, "miss"), ("POST /v1/get?key=a", 405, "wrong_method"),
            ("POST /v1/call", 415, "unsupported_type"), ("POST /v1/runs", 415, "unsupported_type"),
            ("PUT /v1/jobs/x", 415, "unsupported_type"), ("POST /v1/frames/x", 415, "unsupported_type"),
            ("GET /v1/items/none", 404, "miss"), ("DELETE /v1/items/none", 404, "miss"),
            ("GET /page/none.js", 404, "miss"), ("TRACE /", 405, "wrong_method"),
        ])
    func refusals(_ line: String, _ status: Int, _ reason: String) async {
        let reply = await HTTPNode().ask(line)
        #expect(reply.status == status && reply.reason == reason, "\(reply.status) \(reply.body)")
        if status == 405 { #expect(reply.field("Allow") != nil) }
        #expect(reply.json?["error"]?["message"]?.text?.isEmpty == false)
    }

    @Test("one request for several keys: values, errors and misses, each under its key")
    func get() async {
        let node = HTTPNode()
        #expect(await node.ask("PUT /v1/items/a", body: "one").status == 204)
        _ = await node.ask("PUT /v1/items/%C3%A9%26", body: "two words")
        let long = String(repeating: "x", count: 300)
        let reply = await node.ask(
            "GET /v1/get?key=a&key=%c3%a9%26&key=none&key=quota:none:a&key=quota:getleft:none&key=\(long)")
        #expect(reply.status == 200)
        #expect(reply.json?["a"]?["value"] == .string("one"))
        #expect(reply.json?["é&"]?["value"] == .string("two words"))
        #expect(reply.json?["none"] == .null)
        // Methods have a second, which is little where all tests run at once.
        var missing = reply.json?["quota:getleft:none"]
        for _ in 0..<600 where missing?["error"]?["reason"] == .string("timeout") {
            missing = await node.ask("GET /v1/get?key=quota:getleft:none").json?["quota:getleft:none"]
        }
        #expect(missing == .null)
        #expect(reply.json?["quota:none:a"]?["error"]?["reason"] == .string("script_error"))
        #expect(reply.json?[long]?["error"]?["reason"] == .string("script_error"))
        #expect(await node.ask("GET /v1/get?key=%4").status == 400)
    }

    @Test("bytes that are no UTF-8 come as base64, integers beyond 2^53 as text where that is asked for")
    func values() {
        let value = Value.array([.bytes([0xFF, 0x00]), .int(1 << 53), .int((1 << 53) + 1), .double(.infinity)])
        let plain = String(decoding: value.lossless(textIntegers: false).json, as: UTF8.self)
        #expect(plain == #"[{"base64":"/wA="},9007199254740992,9007199254740993,"Infinity"]"#)
        let text = String(decoding: value.lossless(textIntegers: true).json, as: UTF8.self)
        #expect(text == #"[{"base64":"/wA="},9007199254740992,"9007199254740993","Infinity"]"#)
    }

    @Test("columns have the type that all their values have, and the order in which they come")
    func columns() {
        let rows = Value(
            json: Array(
                #"""
                [{"b":1,"at":"2013-01-01T05:00:00Z","c":null,"n":1,"m":"2013-01-01T05:00:00Z"},
                 {"b":1.5,"at":"2013-01-01T05:00:00.000001Z","d":[1],"n":"x","m":"later"}]
                """#.utf8))
        let told = rows?.columns.map { String(decoding: $0.json, as: UTF8.self) }
        #expect(
            told == #"[{"name":"b","type":"double"},{"name":"at","type":"time"},{"name":"c","type":"string"},"#
                + #"{"name":"n","type":"json"},{"name":"m","type":"string"},{"name":"d","type":"json"}]"#)
        #expect(Value.array([]).columns == nil && Value.array([.int(1)]).columns == nil)
    }

    @Test("a method is called by its parts, which need no escapes; a missing object is 404")
    func call() async {
        let node = HTTPNode()
        func call(_ body: String) async -> HTTPReply { await node.ask("POST /v1/call", [Self.json], body: body) }
        let made = await call(#"{"type":"map","method":"new","object":"a:b"}"#)
        #expect(made.body == #"{"value":"CREATED"}"#)
        let put = await call(#"{"type":"map","method":"put","object":"a:b","args":["x y:z",{"a":[1,2]}]}"#)
        #expect(put.status == 200, "\(put.body)")
        let got = await call(#"{"type":"map","method":"get","object":"a:b","args":["x y:z"]}"#)
        #expect(got.body == #"{"value":"x y:z : {\"a\":[1,2]}"}"#)
        #expect(await call(#"{"type":"map","method":"get","object":"none","args":["x"]}"#).status == 404)
        for bad in [
            "", "[]", "{}", #"{"type":"map","method":"get"}"#, #"{"type":"map","method":"get","object":"a","x":1}"#,
        ] {
            #expect(await call(bad).reason == "bad_request", "\(bad)")
        }
        #expect(await call(#"{"type":"none","method":"get","object":"a"}"#).reason == "script_error")
        #expect(await call(#"{"type":"map","method":"none","object":"a"}"#).status == 400)
    }

    @Test("an item keeps its flags and its bytes, and changes only under the ETag that was given")
    func items() async {
        let node = HTTPNode()
        let put = await node.ask("PUT /v1/items/k", ["X-Flags: 7", "If-None-Match: *"], body: "one")
        let tag = put.field("ETag") ?? ""
        #expect(put.status == 204 && !tag.isEmpty)
        #expect(await node.ask("PUT /v1/items/k", ["If-None-Match: *"], body: "two").status == 412)
        let got = await node.ask("GET /v1/items/k")
        #expect(got.body == "one" && got.field("X-Flags") == "7" && got.field("ETag") == tag)
        #expect(await node.ask("GET /v1/items/k", ["If-None-Match: \"x\", \(tag)"]).status == 304)
        #expect(await node.ask("PUT /v1/items/k", ["If-Match: \(tag)"], body: "two").status == 204)
        #expect(await node.ask("PUT /v1/items/k", ["If-Match: \(tag)"], body: "three").status == 412)
        #expect(await node.ask("DELETE /v1/items/k", ["If-Match: \(tag)"]).status == 412)
        // A condition that a method does not take is no condition that it forgets.
        for tags in ["*", tag, "\"x\""] {
            #expect(await node.ask("DELETE /v1/items/k", ["If-None-Match: \(tags)"]).status == 400)
        }
        #expect(await node.ask("GET /v1/items/k").body == "two")
        #expect(await node.ask("DELETE /v1/items/k").status == 204)
        #expect(await node.ask("DELETE /v1/items/k").status == 404)
        #expect(await node.ask("PUT /v1/items/k", body: String(repeating: "x", count: 2 << 20)).status == 413)
        #expect(await node.ask("PUT /v1/items/k?ttl=x", body: "").status == 400)
    }

    @Test("rows come in as NDJSON or CSV, all or none, and the first ones are shown with their columns")
    func frames() async {
        let node = HTTPNode(rowsBytesMax: 100)
        func append(_ type: String, _ rows: String) async -> HTTPReply {
            await node.ask("POST /v1/frames/t", ["Content-Type: \(type)"], body: rows)
        }
        #expect(await append("application/x-ndjson", "{\"a\":1,\"b\":\"x\"}\n{\"a\":2}\n").body == #"{"rows":2}"#)
        #expect(await append("text/csv; charset=utf-8", "a,b\n3,y\n").body == #"{"rows":1}"#)
        #expect(await append("text/csv", "a,b\n4,y\nx,y\n").status == 400)
        #expect(await append("application/x-ndjson", String(repeating: " ", count: 101)).status == 413)
        let frame = await node.ask("GET /v1/frames/t")
        #expect(frame.json?["rows"] == .int(3), "\(frame.body)")
        #expect(await node.ask("GET /v1/frames").json?["frames"] == .array([frame.json ?? .null]))
        let head = await node.ask("GET /v1/frames/t/head?limit=2")
        #expect(head.json?["columns"] == frame.json?["columns"])
        guard case .array(let rows)? = head.json?["rows"] else { return #expect(Bool(false), "\(head.body)") }
        #expect(rows.count == 2)
        #expect(await node.ask("DELETE /v1/frames/t").body == #"{"dropped":"t","rows":3}"#)
        #expect(await node.ask("GET /v1/frames/t").status == 404)
    }

    @Test("a job is defined, told, run with another parameter in three forms, and dropped")
    func jobs() async {
        let node = HTTPNode()
        _ = await node.ask("POST /v1/frames/t", [Self.rows], body: "{\"a\":1,\"b\":\"x,\"}\n{\"a\":2,\"b\":\"y\"}\n")
        let put = await node.ask("PUT /v1/jobs/n", [Self.lua], body: Self.counting)
        #expect(put.status == 200 && put.json?["about"] == .string("Rows"), "\(put.body)")
        #expect(put.json?["params"]?["least"] == .int(0))
        #expect(await node.ask("GET /v1/jobs").json?["jobs"] == .array([put.json ?? .null]))
        let run = await node.ask("GET /v1/jobs/n/run?least=2")
        #expect(run.status == 200 && run.json?["status"] == .string("complete"), "\(run.body)")
        #expect(run.json?["result"] == Value(json: Array(#"[{"b":"y","n":1}]"#.utf8)))
        #expect(
            run.json?["columns"]
                == Value(json: Array(#"[{"name":"b","type":"string"},{"name":"n","type":"int"}]"#.utf8)))
        #expect(await node.ask("GET /v1/jobs/n/run?format=csv").body == "b,n\r\n\"x,\",1\r\ny,1\r\n")
        #expect(await node.ask("GET /v1/jobs/n/run?format=ndjson&param.least=2").body == "{\"b\":\"y\",\"n\":1}\n")
        for bad in ["format=x", "require=x", "timeout=0", "least=x", "none=1", "least=1&least=2"] {
            #expect(await node.ask("GET /v1/jobs/n/run?\(bad)").status == 400, "\(bad)")
        }
        #expect(await node.ask("PUT /v1/jobs/n", [Self.lua], body: "function map(").status == 400)
        _ = await node.ask("PUT /v1/jobs/w", [Self.lua], body: "function run(p) return 1 end")
        #expect(await node.ask("GET /v1/jobs/w/run").reason == "not_readonly")
        #expect(await node.ask("DELETE /v1/jobs/n").body == #"{"dropped":"n"}"#)
        #expect(await node.ask("GET /v1/jobs/n").status == 404)
    }

    @Test("who has the answer already is told so, until rows come")
    func tags() async {
        let node = HTTPNode()
        _ = await node.ask("POST /v1/frames/t", [Self.rows], body: "{\"a\":1,\"b\":\"x\"}\n")
        _ = await node.ask("PUT /v1/jobs/n", [Self.lua], body: Self.counting)
        let first = await node.ask("GET /v1/jobs/n/run")
        let tag = first.field("ETag") ?? ""
        #expect(!tag.isEmpty)
        let same = await node.ask("GET /v1/jobs/n/run", ["If-None-Match: \(tag)"])
        #expect(same.status == 304 && same.body.isEmpty && same.field("ETag") == tag)
        for other in ["least=1", "format=csv", "ints=string", "require=any"] {
            #expect(await node.ask("GET /v1/jobs/n/run?\(other)", ["If-None-Match: \(tag)"]).status == 200, "\(other)")
        }
        _ = await node.ask("POST /v1/frames/t", [Self.rows], body: "{\"a\":1,\"b\":\"x\"}\n")
        let later = await node.ask("GET /v1/jobs/n/run", ["If-None-Match: \(tag)"])
        #expect(later.status == 200 && later.field("ETag") != tag)
        // What depends on the time is not the same for being made of the same rows.
        let timed = Self.counting + "\nfunction finish(r) return now() end"
        _ = await node.ask("PUT /v1/jobs/n", [Self.lua], body: timed)
        #expect(await node.ask("GET /v1/jobs/n/run").field("ETag") == nil)
    }

    @Test("what an answer was made of decides whether it has a tag, and not the words of its script")
    func tagsByWhatWasRead() async {
        let node = HTTPNode()
        _ = await node.ask("POST /v1/frames/t", [Self.rows], body: "{\"a\":1,\"b\":\"x\"}\n")
        let reduce = " function reduce(a, b) return a end"
        func hasTag(_ source: String) async -> Bool {
            _ = await node.ask("PUT /v1/jobs/n", [Self.lua], body: source)
            let run = await node.ask("GET /v1/jobs/n/run")
            #expect(run.status == 200, "\(source): \(run.body)")
            return run.field("ETag") != nil
        }
        for read in [
            #"shard["k" .. "eys"](shard, "")"#, #"shard["obj" .. "ects"](shard, "counter")"#, #"_G["n" .. "ow"]()"#,
            #"_G["o" .. "s"]["ti" .. "me"]()"#, #"_G["o" .. "s"]["cl" .. "ock"]()"#, #"_G["o" .. "s"]["da" .. "te"]()"#,
            #"math["ran" .. "dom"]()"#, "tostring({})", #"string.format("%p", {})"#,
            #"pcall(function() return shard:frame("none") end)"#,
        ] {
            #expect(await !hasTag("function map(shard, p) \(read) return 1 end" + reduce), "\(read)")
            guard !read.contains("shard") else { continue }
            #expect(await !hasTag(Self.counting + "\nfunction finish(r) \(read) return r end"), "\(read)")
            #expect(await !hasTag("local at = \(read)\n" + Self.counting), "\(read)")
        }
        // Words that ask for nothing, and a date of a time that is given.
        let words = "-- now os random keys objects\nfunction finish(r) local keys = os.date('%Y', 0) return r end\n"
        #expect(await hasTag(Self.counting + words))
        #expect(await hasTag("function map(shard) return os.time{ year = 2020, month = 1, day = 1 } end" + reduce))
    }

    @Test("a body of JSON with half of a pair of surrogates is refused, and where that is")
    func halves() async {
        let node = HTTPNode()
        let job = "job.params = { a = '' }\nfunction map(s, p) return p.a end"
        _ = await node.ask("PUT /v1/jobs/n", [Self.lua], body: job)
        for (line, body, at) in [
            ("POST /v1/call", #"{"type":"counter","method":"new","object":"\ud800","args":[]}"#, 43),
            ("POST /v1/call", #"{"type":"counter","method":"new","object":"x","args":["\udc00\ud800"]}"#, 55),
            ("POST /v1/call", #"{"type":"counter","method":"new","object":"\ud83dx","args":[]}"#, 43),
            ("POST /v1/runs", #"{"job":"n","params":{"a":"\ud800\u0041"}}"#, 26),
            ("POST /v1/explain", #"{"job":"n","params":{"\udfff":1}}"#, 22),
        ] {
            let reply = await node.ask(line, [Self.json], body: body)
            #expect(reply.status == 400 && reply.reason == "bad_request", "\(body): \(reply.body)")
            let message = reply.json?["error"]?["message"]?.text ?? ""
            #expect(message.contains("at byte \(at) is half of a surrogate pair"), "\(body): \(message)")
        }
        let whole = #"{"type":"counter","method":"new","object":"\ud83d\ude00"}"#
        #expect(await node.ask("POST /v1/call", [Self.json], body: whole).body == #"{"value":"CREATED"}"#)
        #expect(await node.ask("POST /v1/frames/h", [Self.rows], body: #"{"a":"\ud800"}"#).status == 400)
    }

    @Test("a PUT that can't be stored leaves what is there, up to the last byte that an item may have")
    func largestItem() async {
        let node = HTTPNode()
        var stored: [Int] = []
        #expect(await node.ask("PUT /v1/items/k", body: "before").status == 204)
        for bytes in (1_048_576 - 48)...1_048_576 {
            #expect(await node.ask("PUT /v1/items/k", body: "before").status == 204)
            let reply = await node.ask("PUT /v1/items/k", body: String(repeating: "x", count: bytes))
            if reply.status == 204 {
                stored.append(bytes)
            } else {
                #expect(reply.status == 413, "\(reply.body)")
                #expect(await node.ask("GET /v1/items/k").body == "before", "\(bytes)")
            }
        }
        #expect((1...47).contains(stored.count) && stored == Array((1_048_576 - 48)..<(1_048_576 - 48 + stored.count)))
    }

    @Test("more nodes than there are can't be required: the error says how many there are")
    func requires() async {
        let node = HTTPNode()
        let job = "function map(shard) return 1 end function reduce(a, b) return a end"
        _ = await node.ask("PUT /v1/jobs/n", [Self.lua], body: job)
        #expect(await node.ask("GET /v1/jobs/n/run?require=1").status == 200)
        let run = await node.ask("GET /v1/jobs/n/run?require=4")
        #expect(run.status == 400 && run.reason == "script_error", "\(run)")
        #expect(run.body.contains("the cluster has 1 node"), "\(run)")
        let sent = await node.ask("POST /v1/runs?wait=60s", [Self.json], body: #"{"job":"n","require":"4"}"#)
        #expect(sent.status == 400 && sent.body.contains("the cluster has 1 node"), "\(sent)")
    }

    @Test("a run is answered when it is done, or goes on and can be looked at, watched and found in the list")
    func runs() async throws {
        let node = HTTPNode()
        _ = await node.ask("POST /v1/frames/t", [Self.rows], body: "{\"a\":1,\"b\":\"x\"}\n")
        let done = await node.ask("POST /v1/runs?wait=600s", [Self.lua], body: Self.counting)
        #expect(done.status == 200 && done.json?["result"] != nil, "\(done.body)")
        let failed = await node.ask(
            "POST /v1/runs?wait=600s", [Self.json], body: #"{"script":"function map(s) error('no') end"}"#)
        #expect(failed.status == 400 && failed.reason == "script_error" && failed.json?["status"] == .string("error"))
        let slow = "function run(p) local n = 0; while true do n = n + 1 end end"
        let started = await node.ask("POST /v1/runs?wait=0ms", [Self.lua], body: slow)
        #expect(started.status == 202, "\(started.body)")
        let place = try #require(started.field("Location"))
        #expect(await node.ask("GET \(place)").json?["state"] == .string("running"))
        let cancelled = await node.ask("DELETE \(place)")
        #expect(cancelled.status == 200, "\(cancelled.body)")
        let events = await node.ask("GET \(place)/events").body
        #expect(events.contains("event: done\ndata: {\"status\":\"error\""), "\(events)")
        let over = await node.ask("GET \(place)")
        #expect(over.json?["state"] == .string("done"))
        #expect(over.json?["envelope"]?["error"]?["reason"] == .string("cancelled"))
        guard case .array(let runs)? = await node.ask("GET /v1/runs").json?["runs"] else { return #expect(Bool(false)) }
        #expect(runs.count == 3)
        for bad in [
            "", "{}", #"{"script":"x","job":"y"}"#, #"{"job":"none","x":1}"#, #"{"script":"x","require":"some"}"#,
        ] {
            #expect(await node.ask("POST /v1/runs", [Self.json], body: bad).status == 400, "\(bad)")
        }
        #expect(await node.ask("POST /v1/runs?wait=1", [Self.lua], body: "").status == 400)
        let plan = await node.ask("POST /v1/explain", [Self.lua], body: Self.counting)
        #expect(plan.status == 200 && plan.json?["text"]?.text?.contains("group b") == true, "\(plan.body)")
    }

    @Test("another Host and a foreign page that writes are refused, an origin that was named may")
    func guarding() async {
        let node = HTTPNode(origins: ["http://127.0.0.1:8000"])
        #expect(await node.ask("GET /health/live", host: nil).status == 400)
        #expect(await node.ask("GET /health/live", host: "evil.example").reason == "wrong_host")
        for own in ["127.0.0.1", "127.0.0.1:9", "LOCALHOST:8211"] {
            #expect(await node.ask("GET /health/live", host: own).status == 200, "\(own)")
        }
        let foreign = await node.ask("PUT /v1/items/k", ["Origin: http://evil.example"], body: "x")
        #expect(foreign.reason == "not_allowed" && foreign.status == 403)
        #expect(await node.ask("PUT /v1/items/k", ["Origin: http://127.0.0.1:8211"], body: "x").status == 204)
        let named = await node.ask("PUT /v1/items/k", ["Origin: http://127.0.0.1:8000"], body: "x")
        #expect(named.status == 204 && named.field("Access-Control-Allow-Origin") == "http://127.0.0.1:8000")
        #expect(await node.ask("OPTIONS /v1/runs", ["Origin: http://127.0.0.1:8000"]).status == 204)
        #expect(await node.ask("OPTIONS /v1/runs", ["Origin: http://evil.example"]).status == 405)
        #expect(
            await node.ask("GET /v1/jobs", ["Origin: http://evil.example"]).field("Access-Control-Allow-Origin") == nil)
    }

    @Test("where clients have to say who they are, all but the probes wants it")
    func access() async {
        let node = HTTPNode(
            access: ClientAccess(
                rolesOfUser: { $0 == Array("me".utf8) && $1 == Array("se:cret".utf8) ? .all : nil }))
        #expect(await node.ask("GET /health/live").status == 200)
        for field in [
            [], ["Authorization: Basic bWU6d3Jvbmc="], ["Authorization: Bearer x"], ["Authorization: Basic !"],
        ] {
            let reply = await node.ask("GET /v1/get?key=a", field)
            #expect(reply.reason == "unauthenticated" && reply.field("WWW-Authenticate")?.hasPrefix("Basic") == true)
        }
        let right = ["Authorization: Basic bWU6c2U6Y3JldA=="]
        #expect(await node.ask("GET /v1/get?key=a", right).status == 200)
        // Which paths there are, and what they take, is told to nobody else either.
        for (line, status) in [
            ("GET /v1/none", 404), ("GET /none", 404), ("DELETE /v1/get", 405), ("POST /health/live", 405),
        ] {
            #expect(await node.ask(line).status == 401, "\(line)")
            #expect(await node.ask(line, right).status == status, "\(line)")
        }
    }

    @Test("without virtual keys a key is a key, and there are no jobs")
    func plain() async {
        let node = HTTPNode(answersVirtualKeys: false)
        #expect(await node.ask("PUT /v1/items/quota:reset:a", body: "x").status == 204)
        #expect(await node.ask("GET /v1/get?key=quota:reset:a").body == #"{"quota:reset:a":{"value":"x"}}"#)
        #expect(await node.ask("GET /v1/jobs").status == 404)
    }

    @Test("the page may load nothing from elsewhere, and its files are there")
    func page() async {
        let node = HTTPNode()
        let page = await node.ask("GET /")
        #expect(page.field("Content-Security-Policy")?.contains("default-src 'self'") == true)
        for name in ["main.js", "api.js", "page.css", "icon.svg"] {
            #expect(await node.ask("GET /page/\(name)").status == 200, "\(name)")
        }
        #expect(await node.ask("GET /v1/openapi.json").json?["openapi"] == .string("3.1.0"))
    }
}
