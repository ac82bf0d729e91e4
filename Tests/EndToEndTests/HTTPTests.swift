// HTTP between real processes: whole answers with true statuses while nodes die, clients that go away, requests that are none.

import Foundation
import Testing

/// Nodes that answer HTTP, asked with curl.
final class HTTPCluster {
    let cluster: TestCluster
    private let ports: [Int]

    /// `arguments`: of each node.
    init(nodes count: Int, arguments: [String] = []) throws {
        let ports = try TestCluster.freePorts(count)
        self.ports = ports
        cluster = try TestCluster(nodes: count, arguments: arguments) { ["--http", "127.0.0.1:\(ports[$0])"] }
    }

    struct Reply {
        var status: Int
        var body: String
        var head: String

        var json: [String: Any]? { (try? JSONSerialization.jsonObject(with: Data(body.utf8))) as? [String: Any] }

        func field(_ name: String) -> String? {
            let line = head.split(separator: "\r\n").first { $0.lowercased().hasPrefix(name.lowercased() + ": ") }
            return line.map { String($0.dropFirst(name.count + 2)) }
        }
    }

    func address(node: Int = 0) -> String { "127.0.0.1:\(ports[node])" }

    func port(_ node: Int = 0) -> Int { ports[node] }

    func url(_ path: String, node: Int = 0) -> String { "http://127.0.0.1:\(ports[node])\(path)" }

    func ask(_ path: String, _ options: [String] = [], node: Int = 0) throws -> Reply {
        let run = try Finished.run("/usr/bin/curl", ["-s", "-i", "-m", "300", url(path, node: node)] + options)
        guard let end = run.output.range(of: "\r\n\r\n") else {
            return Reply(status: 0, body: "", head: "curl ended with \(run.code): \(run.output)")
        }
        let head = String(run.output[..<end.lowerBound])
        let status = head.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
        return Reply(status: status, body: String(run.output[end.upperBound...]), head: head)
    }

    /// Sends bytes as they are; what comes back until the node closes the connection.
    func send(_ text: String) throws -> String {
        try Finished.run(
            "/usr/bin/python3",
            [
                "-c",
                """
                import socket, sys
                connection = socket.create_connection(("127.0.0.1", \(ports[0])), 60)
                connection.sendall(sys.stdin.buffer.read())
                answer = b""
                while piece := connection.recv(65536): answer += piece
                sys.stdout.buffer.write(answer)
                """,
            ], input: text
        ).output
    }
}

@Suite(.serialized) struct HTTPEndToEndTests {
    private static let slow = "function run(p) local n = 0; while true do n = n + 1 end end"
    private static let lua = ["-H", "Content-Type: application/x-lua", "--data-binary"]

    @Test(
        "a job's answer is whole on any node, told unchanged by its tag, and with a node gone an error or labelled a part"
    )
    func death() throws {
        let nodes = try HTTPCluster(nodes: 3)
        try nodes.cluster.loadFlights()
        let source = "@" + Place.file("jobs/delays_by_carrier.lua")
        #expect(try nodes.ask("/v1/jobs/delays", ["-X", "PUT"] + Self.lua + [source]).status == 200)
        let path = "/v1/jobs/delays/run?min_delay=15"
        let whole = try nodes.ask(path, node: 1)
        #expect(whole.status == 200 && whole.json?["status"] as? String == "complete", "\(whole)")
        let tag = try #require(whole.field("ETag"))
        #expect(try nodes.ask(path, ["-H", "If-None-Match: \(tag)"], node: 1).status == 304)
        let states = (try nodes.ask("/v1/cluster").json?["nodes"] as? [[String: Any]])?.map { $0["state"] as? String }
        #expect(states == ["up", "up", "up"])
        nodes.cluster[2].stop(SIGKILL)
        let gone = try nodes.ask(path, ["-H", "If-None-Match: \(tag)"], node: 1)
        #expect(gone.status == 503 && gone.json?["status"] as? String == "error", "\(gone)")
        #expect((gone.json?["error"] as? [String: Any])?["reason"] as? String == "unreachable")
        let part = try nodes.ask(path + "&require=any", node: 1)
        #expect(part.status == 200 && part.field("Cacheismo-Status") == "partial", "\(part)")
        let after = try nodes.ask("/v1/cluster").json?["nodes"] as? [[String: Any]]
        #expect(after?.last?["state"] as? String == "down" && after?.last?["stats"] is NSNull)
    }

    @Test("a run is looked at and cancelled through another node than the one that coordinates it")
    func runs() throws {
        let nodes = try HTTPCluster(nodes: 2)
        let started = try nodes.ask("/v1/runs?wait=0ms", Self.lua + [Self.slow])
        #expect(started.status == 202, "\(started)")
        let place = try #require(started.field("Location"))
        #expect(try nodes.ask(place, node: 1).json?["state"] as? String == "running")
        let cancelled = try nodes.ask(place, ["-X", "DELETE"], node: 1)
        #expect(cancelled.status == 200, "\(cancelled)")
        // Where the machine has no time for the run to end, it is shown as it still is.
        var state = cancelled.json?["state"] as? String
        for _ in 0..<600 where state != "done" {
            usleep(100_000)
            state = try nodes.ask(place, node: 1).json?["state"] as? String
        }
        #expect(state == "done")
        let events = try nodes.ask(place + "/events", node: 1)
        #expect(events.field("Content-Type") == "text/event-stream" && events.body.contains("event: done"), "\(events)")
    }

    @Test("a client that goes away cancels its run; that of a job only if nobody else waits for it")
    func clientsThatGo() throws {
        let nodes = try HTTPCluster(nodes: 1)
        _ = try Finished.run(
            "/usr/bin/curl", ["-s", "-m", "1", nodes.url("/v1/runs?wait=60s")] + Self.lua + [Self.slow])
        var state: String?
        for _ in 0..<600 where state != "done" {
            let runs = try nodes.ask("/v1/runs").json?["runs"] as? [[String: Any]]
            state = runs?.first?["state"] as? String
            if state != "done" { usleep(100_000) }
        }
        #expect(state == "done")
    }

    @Test("a node ends at once, whoever watches a run or keeps a connection")
    func ending() throws {
        let nodes = try HTTPCluster(nodes: 1)
        let started = try nodes.ask("/v1/runs?wait=0ms", Self.lua + [Self.slow])
        let place = try #require(started.field("Location"))
        let watching = Process()
        watching.executableURL = URL(fileURLWithPath: "/usr/bin/curl")
        watching.arguments = ["-s", "-N", "-m", "300", nodes.url(place + "/events")]
        watching.standardOutput = Pipe()
        try watching.run()
        defer { watching.terminate() }
        let began = Date()
        nodes.cluster[0].stop()
        // `stop` kills what has not ended after five seconds.
        #expect(nodes.cluster[0].exitCode == 0, "after \(Date().timeIntervalSince(began)) s")
    }

    @Test("what is no request is answered with what is wrong with it, and the connection ends")
    func broken() throws {
        let nodes = try HTTPCluster(nodes: 1)
        #expect(try nodes.send("nonsense\r\n\r\n").hasPrefix("HTTP/1.1 400 "))
        let post = "POST /v1/runs?wait=300ms HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-lua\r\n"
        let run = post + "Content-Length: \(Self.slow.utf8.count)\r\n\r\n\(Self.slow)"
        // Behind what is answered at once, by a task, and not before the client has sent all that it will.
        for first in ["GET /v1/get?key=a HTTP/1.1\r\nHost: localhost\r\n\r\n", run, "\(run)\(run)"] {
            let answers = try nodes.send(first + "nonsense\r\n\r\n").components(separatedBy: "HTTP/1.1 ").dropFirst()
            #expect(answers.dropLast().allSatisfy { $0.hasPrefix("20") }, "\(answers)")
            #expect(answers.last?.hasPrefix("400 ") == true, "\(answers)")
            #expect(answers.last?.contains("no request of") == true, "\(answers)")
            #expect(answers.count == first.components(separatedBy: "HTTP/1.1").count, "\(answers)")
        }
        // A body that breaks is that request's error, and the only answer to it.
        let chunked = try nodes.send(run + post + "Transfer-Encoding: chunked\r\n\r\nzz\r\n")
        #expect(chunked.components(separatedBy: "HTTP/1.1 400 ").count == 2, "\(chunked)")
        #expect(chunked.components(separatedBy: "HTTP/1.1 ").count == 3, "\(chunked)")
        let long = String(repeating: "x", count: 20_000)
        let answer = try nodes.send("GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: \(long)\r\n\r\n")
        #expect(answer.hasPrefix("HTTP/1.1 431 ") && answer.contains("headers_too_large"), "\(answer.prefix(300))")
        #expect(try nodes.send("GET / HTTP/1.1\r\nConnection: close\r\n\r\n").hasPrefix("HTTP/1.1 400 "))
        #expect(try nodes.ask("/health/live", ["-H", "Host: evil.example"]).status == 421)
        let body = try TemporaryFile(Array(repeating: "0123456789", count: 200_000).joined())
        let large = try nodes.ask(
            "/v1/runs", ["-H", "Content-Type: application/x-lua", "--data-binary", "@" + body.url.path])
        #expect(large.status == 413, "\(large.head)")
    }

    @Test("requests that are sent without waiting are answered in their order, whoever answers them and from where")
    func order() throws {
        let nodes = try HTTPCluster(nodes: 2)
        let wire = try Wire(port: nodes.cluster[0].port)
        for number in 0..<40 { #expect(try wire.set("k\(number)", "v\(number)") == "STORED\r\n") }
        #expect(try nodes.ask("/v1/jobs/j", ["-X", "PUT"] + Self.lua + ["function map(s) return 1 end"]).status == 200)
        var requests = ""
        var wanted: [String] = []
        // Values of this node and of the other; answers that take a task, and none; what is refused, and what has no body.
        for number in 0..<40 {
            let (path, body): (String, String?) =
                switch number % 8 {
                case 5: ("/v1/jobs/j", "\"name\":\"j\"")
                case 6: ("/v1/get?nokey=1", "there is no parameter 'nokey'")
                case 7: ("/v1/runs", "\"runs\":[")
                default:
                    ("/v1/get?key=k\(number)&key=k\(number + 1)&key=none", "\"k\(number)\":{\"value\":\"v\(number)\"}")
                }
            requests += "\(number % 8 == 4 ? "HEAD" : "GET") \(path) HTTP/1.1\r\nHost: localhost\r\n"
            requests += (number == 39 ? "Connection: close\r\n" : "") + "\r\n"
            wanted.append(number % 8 == 4 ? "" : body ?? "")
        }
        for _ in 0..<5 {
            let answers = try nodes.send(requests).components(separatedBy: "HTTP/1.1 ").dropFirst()
            #expect(answers.count == wanted.count)
            for (number, (answer, part)) in zip(answers, wanted).enumerated() {
                let body = answer.range(of: "\r\n\r\n").map { String(answer[$0.upperBound...]) } ?? "no end"
                #expect(part.isEmpty ? body.isEmpty : body.contains(part), "\(number): \(answer)")
            }
        }
        // The last one of a connection may be one that takes no task.
        let last = "GET /v1/get?key=k1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        #expect(try nodes.send(last + last).components(separatedBy: "\"v1\"").count == 2)
        #expect(
            try nodes.send("GET /v1/get?key=k1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nbody" + last)
                .components(separatedBy: "\"v1\"").count == 3)
    }

    @Test("a client that asks for much and takes nothing holds little, and nobody up")
    func takesNothing() throws {
        let nodes = try HTTPCluster(nodes: 1)
        let value = try TemporaryFile(String(repeating: "x", count: 1_000_000))
        let put = try nodes.ask("/v1/items/huge", ["-X", "PUT", "--data-binary", "@" + value.url.path])
        #expect(put.status == 204, "\(put)")
        let large = "function map(shard) return ('x'):rep(1000000) end function reduce(a, b) return a end"
        #expect(try nodes.ask("/v1/jobs/large", ["-X", "PUT"] + Self.lua + [large]).status == 200)
        #expect(try nodes.ask("/v1/jobs/large/run").body.utf8.count > 1_000_000)
        let row = "{\"a\":\"\(String(repeating: "y", count: 1_000))\"}\n"
        let rows = try TemporaryFile(String(repeating: row, count: 1_000))
        let rowType = ["-H", "Content-Type: application/x-ndjson", "--data-binary", "@" + rows.url.path]
        #expect(try nodes.ask("/v1/frames/f", rowType).status == 200)
        let asker = Process()
        asker.executableURL = URL(fileURLWithPath: "/usr/bin/python3")
        asker.arguments = [
            "-c",
            """
            import socket, sys, time
            connections = []
            for path in ("/v1/get?key=huge", "/v1/items/huge", "/v1/openapi.json", "/v1/jobs/large/run", "/v1/frames/f/head?limit=1000"):
                for _ in range(2):
                    connection = socket.create_connection(("127.0.0.1", \(nodes.port())), 60)
                    connection.setblocking(False)
                    request = f"GET {path} HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n".encode()
                    try:
                        connection.send(request * 1000)
                    except BlockingIOError:
                        pass
                    connections.append(connection)
            time.sleep(300)
            """,
        ]
        asker.standardOutput = FileHandle.nullDevice
        try asker.run()
        defer {
            kill(asker.processIdentifier, SIGKILL)
            asker.awaitEnd()
        }
        let process = try #require(nodes.cluster[0].processIdentifier)
        var most = 0
        for _ in 0..<40 {
            #expect(try nodes.ask("/health/live").status == 200)
            let text = try String(contentsOfFile: "/proc/\(process)/statm", encoding: .utf8)
            most = max(most, (Int(text.split(separator: " ")[1]) ?? 0) * 4_096)
            usleep(100_000)
        }
        #expect(most < 200 << 20, "\(most >> 20) MiB")
    }

    @Test("a connection whose client asks for another protocol, or for its end, ends behind the answer, which says so")
    func lastRequests() throws {
        let nodes = try HTTPCluster(nodes: 1)
        for (path, fields) in [
            ("/v1/get?key=a", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"),
            ("/v1/jobs", "Connection: Upgrade\r\nUpgrade: websocket\r\n"),
            ("/v1/get?key=a", "Connection: foo, close\r\n"), ("/v1/runs", "Connection: foo, close\r\n"),
        ] {
            // Comes back only where the node ends the connection.
            let first = "GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
            let answers = try nodes.send(first + "GET \(path) HTTP/1.1\r\nHost: localhost\r\n\(fields)\r\n")
            let parts = answers.components(separatedBy: "HTTP/1.1 200 ")
            #expect(parts.count == 3 && !parts[1].contains("close"), "\(fields): \(answers)")
            #expect(parts.last?.lowercased().contains("connection: close") == true, "\(fields): \(answers)")
        }
        let old = try nodes.send("GET /v1/get?key=a HTTP/1.0\r\nHost: localhost\r\n\r\n")
        #expect(old.hasPrefix("HTTP/1.") && old.contains("{\"a\":null}"), "\(old)")
    }

    @Test("with a node gone, what needs all nodes names that one; its runs are not said to be none")
    func goneNode() throws {
        let nodes = try HTTPCluster(nodes: 3)
        try nodes.cluster.loadFlights()
        let started = try nodes.ask("/v1/runs?wait=0ms", Self.lua + [Self.slow], node: 2)
        let place = try #require(started.field("Location"))
        #expect(try nodes.ask(place).status == 200)
        nodes.cluster[2].stop(SIGKILL)
        for _ in 0..<6 {
            let frames = try nodes.ask("/v1/frames/flights")
            let error = frames.json?["error"] as? [String: Any]
            #expect(frames.status == 503 && error?["reason"] as? String == "unreachable", "\(frames)")
            #expect((error?["message"] as? String)?.contains("n3") == true, "\(frames)")
        }
        let run = try nodes.ask(place)
        #expect(run.status == 503, "\(run)")
        #expect(try nodes.ask("/v1/runs").json?["leftOut"] as? [String] == ["n3"])
    }

    @Test("what is refused changes nothing, and no name breaks a line of the log")
    func refusals() throws {
        let nodes = try HTTPCluster(nodes: 1)
        #expect(try nodes.ask("/v1/items/keep", ["-X", "PUT", "--data-binary", "hello"]).status == 204)
        for bytes in [1_048_570, 1_048_576, 1_048_577] {
            let large = try TemporaryFile(String(repeating: "x", count: bytes))
            let put = try nodes.ask("/v1/items/keep", ["-X", "PUT", "--data-binary", "@" + large.url.path])
            #expect(put.status == 413, "\(bytes): \(put)")
            #expect(try nodes.ask("/v1/items/keep").body == "hello")
        }
        let name = String(repeating: "y", count: 256)
        #expect(
            try nodes.ask("/v1/jobs/\(name)", ["-X", "PUT"] + Self.lua + ["function map(s) return 1 end"]).status == 400
        )
        for key in ["k%FF", "k%FE"] {
            #expect(try nodes.ask("/v1/items/\(key)", ["-X", "PUT", "--data-binary", key]).status == 204)
        }
        let both = try nodes.ask("/v1/get?key=k%FF&key=k%FE").body
        #expect(both == #"{"k%FF":{"value":"k%FF"},"k%FE":{"value":"k%FE"}}"#, "\(both)")
        let body = try TemporaryFile([0x22, 0xFF, 0x22], suffix: ".json")
        let call = try nodes.ask(
            "/v1/call", ["-H", "Content-Type: application/json", "--data-binary", "@" + body.url.path])
        #expect(call.status == 400 && call.body.contains("UTF-8"), "\(call)")
        let failing = ["-X", "PUT"] + Self.lua + ["function map(s) error('x\\027[31mred') end"]
        #expect(try nodes.ask("/v1/jobs/a%0AINJECTED", failing).status == 200)
        #expect(try nodes.ask("/v1/jobs/a%0AINJECTED/run").status == 400)
        var log = nodes.cluster[0].logText
        for _ in 0..<600 where !log.contains("INJECTED") {
            usleep(100_000)
            log = nodes.cluster[0].logText
        }
        #expect(log.contains("a\\nINJECTED") && !log.contains("\u{1B}"), "\(log)")
    }

    @Test(
        "a port that is taken, an address beyond loopback without passwords, and options without --http are refused in one line"
    )
    func starts() throws {
        let nodes = try HTTPCluster(nodes: 1)
        let taken = nodes.url("").dropFirst("http://".count)
        let ports = try TestCluster.freePorts(1)
        for arguments in [
            ["--http", String(taken)], ["--http", "0.0.0.0:\(ports[0])"], ["--http", "127.0.0.1"],
            ["--http-host", "x"], ["--http", "127.0.0.1:\(ports[0])", "--http-origin", "x/"],
        ] {
            let run = try Finished.run(Place.binary, ["serve", "--port", "\(ports[0])"] + arguments)
            #expect(run.code != 0 && run.errors.lowercased().contains("http"), "\(arguments) \(run)")
            #expect(run.errors.split(separator: "\n").count == 1, "\(run.errors)")
        }
    }

    @Test("what comes too slowly is answered with 408, and 200 such senders hold up nobody else")
    func slowSenders() throws {
        let nodes = try HTTPCluster(nodes: 1)
        let run = try Finished.run(
            Place.python,
            [Place.file("Tests/Clients/slow_senders.py"), String(nodes.url("").dropFirst("http://".count)), "200"])
        let found = try #require(run.json, "\(run)")
        #expect(found["late"] as? Int == 200 && found["closed"] as? Int == 200, "\(run.output)")
        let asked = try #require(found["asked"] as? Int)
        #expect(asked > 0 && found["answered"] as? Int == asked, "\(run.output)")
        #expect(found["idle"] as? String == "", "\(run.output)")
    }

    @Test("the description of the interface says what the node does")
    func description() throws {
        let nodes = try HTTPCluster(nodes: 1)
        let run = try Finished.run(Place.python, [Place.file("Tests/Clients/openapi_checks.py"), nodes.url("")])
        #expect(run.code == 0, "\(run.output.suffix(20_000))\n\(run.errors.suffix(2_000))")
        #expect(run.output.contains("No issues found"), "\(run.output)")
    }
}
