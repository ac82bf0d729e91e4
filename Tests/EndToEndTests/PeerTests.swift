// Nodes that hang, die and come back, strangers that call themselves nodes: what clients, the log and the status see.

import Foundation
import Testing

@Suite(.serialized) struct PeerTests {
    private static func seconds(_ work: () throws -> Void) rethrows -> Double {
        let started = Date()
        try work()
        return Date().timeIntervalSince(started)
    }

    /// Waits until every node has met every other one.
    private static func settle(_ cluster: TestCluster, _ arguments: [String] = []) throws {
        for _ in 0..<100 {
            if try cluster.run(["cluster", "status"] + arguments).code == 0 { return }
            usleep(50_000)
        }
        throw TestFailure("the nodes did not find each other: \(cluster.nodes.map(\.logText))")
    }

    private static func waitFor(_ node: TestNode, toLog text: String) throws {
        for _ in 0..<200 {
            if node.logText.contains(text) { return }
            usleep(50_000)
        }
        throw TestFailure("\(node.name) never said '\(text)': \(node.logText)")
    }

    /// Sends commands in one piece; a line for each.
    private static func pipeline(_ wire: Wire, _ commands: [String], answers end: String = "\r\n") throws -> [String] {
        var lines: [String] = []
        for (at, _) in commands.enumerated() {
            lines.append(try wire.exchange(at == 0 ? commands.joined() : "", until: end))
            while lines.last!.components(separatedBy: end).count > 2, lines.count < commands.count {
                let parts = lines.removeLast().components(separatedBy: end).dropLast().map { $0 + end }
                lines += parts
            }
            if lines.count >= commands.count { break }
        }
        return lines
    }

    @Test("what timed out at a stopped node is not done when it wakes: no set on top of a newer one, no counter's add")
    func nothingLate() throws {
        let cluster = try TestCluster(nodes: 2)
        try Self.settle(cluster)
        let wire = try Wire(port: cluster[0].port)
        let names = (0..<16).map { "k\($0)" }
        for name in names {
            #expect(try wire.set(name, "before") == "STORED\r\n")
            _ = try wire.exchange("set counter:new:\(name) 0 0 1\r\n0\r\n", until: "\r\n")
        }
        try cluster[1].hang()
        let late = try Self.pipeline(
            wire, names.map { "set \($0) 0 0 4\r\nlate\r\n" } + names.map { "set counter:add:\($0) 0 0 1\r\n1\r\n" })
        try #require(late.count == 32)
        cluster[1].signal(SIGCONT)
        let newer = try Wire(port: cluster[1].port)
        let failed = names.indices.filter { late[$0].hasPrefix("SERVER_ERROR") }
        #expect(!failed.isEmpty && failed.count < names.count, "\(late)")
        for at in failed { #expect(try newer.set(names[at], "newer") == "STORED\r\n") }
        usleep(1_500_000)
        for at in failed { #expect(try newer.get(names[at]) == "newer") }
        for (at, name) in names.enumerated() {
            let wasAdded = late[names.count + at].hasPrefix("STORED")
            #expect(wasAdded || late[names.count + at].hasPrefix("SERVER_ERROR"), "\(late[names.count + at])")
            #expect(try newer.get("counter:get:\(name)") == (wasAdded ? "1" : "0"))
        }
    }

    @Test(
        "a hung node holds up one request; then its keys fail at once, the others answer, and it is back in two seconds"
    )
    func hung() throws {
        let cluster = try TestCluster(nodes: 3, arguments: ["-t", "2"])
        try Self.settle(cluster)
        let names = (0..<30).map { "k\($0)" }
        let wires = try (0..<4).map { _ in try Wire(port: cluster[0].port) }
        for name in names { #expect(try wires[0].set(name, "v\(name)") == "STORED\r\n") }
        let ask = "get \(names.joined(separator: " "))\r\n"
        let whole = try wires[0].exchange(ask, until: "END\r\n")
        #expect(whole.components(separatedBy: "VALUE ").count == 31)
        try cluster[2].hang()
        let first = try Self.seconds { _ = try wires[0].exchange(ask, until: "END\r\n") }
        #expect(first < 3)
        // On connections of both threads, whose links are not the same.
        for wire in wires {
            var answer = ""
            let later = try Self.seconds { answer = try wire.exchange(ask, until: "END\r\n") }
            #expect(later < 0.9, "\(later) s")
            let values = answer.components(separatedBy: "VALUE ").count - 1
            #expect(values > 5 && values < 30)
        }
        let status = try cluster.run(["cluster", "status", "--json"])
        #expect(status.code == 1 && status.output.contains("\"state\":\"down\""), "\(status.output)")
        try Self.waitFor(cluster[0], toLog: "peer n3")
        #expect(cluster[0].logText.contains("is lost: "))
        cluster[2].signal(SIGCONT)
        let healed = Date()
        // In whatever order: the keys of one request don't wait for each other.
        while try wires[1].exchange(ask, until: "END\r\n").count != whole.count,
            Date().timeIntervalSince(healed) < 10
        {
            usleep(20_000)
        }
        #expect(Date().timeIntervalSince(healed) < 4)
        try Self.waitFor(cluster[0], toLog: "is back")
    }

    @Test("the log says once that a peer is lost, once that it is back")
    func log() throws {
        let cluster = try TestCluster(nodes: 2)
        try Self.settle(cluster)
        cluster[1].stop(SIGKILL)
        try Self.waitFor(cluster[0], toLog: "peer n2")
        try Self.waitFor(cluster[0], toLog: "is lost: ")
        usleep(2_500_000)
        #expect(cluster[0].logText.components(separatedBy: "is lost").count == 2, "\(cluster[0].logText)")
        try cluster[1].start()
        try Self.waitFor(cluster[0], toLog: "is back")
        usleep(1_200_000)
        #expect(cluster[0].logText.components(separatedBy: "is back").count == 2, "\(cluster[0].logText)")
    }

    @Test("a node with another peer list is refused, and the status says so of it, and exits with 1")
    func otherList() throws {
        let cluster = try TestCluster(nodes: 2)
        try Self.settle(cluster)
        cluster[1].stop()
        let other = TestNode(
            name: "n2", port: cluster[1].port,
            arguments: [
                "--name", "n2", "--peers",
                "n1=127.0.0.1:\(cluster[0].port),n2=127.0.0.1:\(cluster[1].port),n3=127.0.0.1:1",
            ])
        try other.start()
        defer { other.stop() }
        try Self.waitFor(cluster[0], toLog: "different peer lists")
        let status = try cluster.run(["cluster", "status"])
        #expect(status.code == 1 && status.output.contains("refused"), "\(status.output)")
        let json = try #require(try cluster.run(["cluster", "status", "--json"]).json)
        let nodes = try #require(json["nodes"] as? [[String: Any]])
        #expect(nodes.map { $0["state"] as? String } == ["up", "refused"])
        #expect(nodes.allSatisfy { $0["epoch"] is String && $0["version"] is String && $0["scripts"] is [Any] })
    }

    // MARK: Secrets

    @Test("nodes with one secret work together; one with another is refused by name, and is not up")
    func secrets() throws {
        let (good, bad) = (try TemporaryFile("0123456789abcdef\n"), try TemporaryFile("0123456789abcdeX\n"))
        let cluster = try TestCluster(nodes: 3) { ["--cluster-secret", $0 == 2 ? bad.path : good.path] }
        let wire = try Wire(port: cluster[0].port)
        try Self.waitFor(cluster[0], toLog: "does not prove that it knows the cluster's secret")
        try Self.waitFor(cluster[2], toLog: "does not prove that it knows the cluster's secret")
        var answers: Set<String> = []
        for number in 0..<60 { answers.insert(String(try wire.set("k\(number)", "v").prefix(24))) }
        #expect(answers.contains("STORED\r\n") && answers.count == 2, "\(answers)")
        let json = try #require(try cluster.run(["cluster", "status", "--json"]).json)
        let nodes = try #require(json["nodes"] as? [[String: Any]])
        #expect(nodes.map { $0["state"] as? String } == ["up", "up", "refused"], "\(json)")
        for node in cluster.nodes { #expect(!node.logText.contains("0123456789")) }
    }

    @Test(
        "a secret that is missing, unreadable or too short stops the start with one line",
        arguments: [
            nil, "", "\n0123456789abcdef\n", "short\n",
        ] as [String?])
    func brokenSecret(_ text: String?) throws {
        let file = try text.map { try TemporaryFile($0) }
        let path = file?.path ?? "/nonexistent/secret"
        let serve = try Finished.run(
            Place.binary,
            [
                "serve", "-p", "21703", "--name", "n1", "--peers", "n1=127.0.0.1:1,n2=127.0.0.1:2", "--cluster-secret",
                path,
            ])
        #expect(serve.code != 0 && serve.errors.components(separatedBy: "\n").count == 2, "\(serve.errors)")
        #expect(serve.errors.contains(path))
    }

    @Test("peers on other machines, and passwords beside peers, want a secret; the line says so")
    func wantsSecret() throws {
        let users = try TemporaryFile("ann:pw\n")
        for arguments in [
            ["--name", "n1", "--peers", "n1=127.0.0.1:21701,n2=10.1.2.3:21702"],
            ["--name", "n1", "--peers", "n1=127.0.0.1:21701,n2=127.0.0.1:21702", "-Y", users.path],
        ] {
            let serve = try Finished.run(Place.binary, ["serve", "-p", "21703"] + arguments)
            #expect(serve.code != 0 && serve.errors.contains("--cluster-secret FILE"), "\(serve.errors)")
            #expect(serve.errors.components(separatedBy: "\n").count == 2)
        }
    }

    // MARK: Strangers

    @Test("a connection that calls itself a client gets a client's answers only; one that calls itself a node, none")
    func strangers() throws {
        let secret = try TemporaryFile("0123456789abcdef\n")
        let cluster = try TestCluster(nodes: 2, arguments: ["--cluster-secret", secret.path])
        try Self.settle(cluster)
        let port = cluster[0].port
        let client = try RawPeer(port: port, line: "peer 8 - -")
        let get = [1] + RawPeer.bytes(1, 4) + [107, 1] as [UInt8]
        #expect(try client.ask(get).contains("not allowed"))
        for verb in [2, 4, 8, 10] as [UInt8] {
            #expect(try client.ask(RawPeer.control(verb, [0xC0])).contains("not allowed"), "\(verb)")
        }
        #expect(try client.ask(RawPeer.fetch("node:name")).contains("n1"))
        #expect(try client.ask(RawPeer.fetch(String(repeating: "k", count: 251))).contains("250 bytes"))
        #expect(try client.ask(RawPeer.fetch("node:name"), left: 1_000, ago: 2_000).contains("too late"))
        #expect(try client.ask([200, 1, 2, 3]).contains("not understood"))
        for line in ["peer 3 - -", "peer 4 n2 ff", "peer 8 n2 ff", "peer 8 n1 -", "peer 9 - -", "peer 8 n9 0"] {
            #expect(throws: TestFailure.self, "\(line)") { _ = try RawPeer(port: port, line: line) }
        }
        // Garbage, and then silence: the node goes on.
        let garbage = try RawPeer(port: port, line: "peer 8 - -", greets: false)
        garbage.send([UInt8](repeating: 0xFF, count: 10_000))
        #expect(try Wire(port: port).set("after", "v").hasSuffix("\r\n"))
    }

    @Test("without virtual keys a command gets plain keys and the status, no jobs and no frames")
    func noVirtualKeys() throws {
        let cluster = try TestCluster(nodes: 1, arguments: ["--no-virtual-keys", "-F", "-X"])
        #expect(try cluster.run(["set", "k", "v"]).code == 0)
        #expect(try cluster.run(["get", "k"]).output == "v\n")
        #expect(try cluster.run(["cluster", "status"]).code == 0)
        let file = try TemporaryFile("function run(p) return 1 end", suffix: ".lua")
        for command in [
            ["job", "run", file.path], ["job", "list"], ["load", "f", Place.file("datasets/flights.csv.zst")],
        ] {
            let finished = try cluster.run(command)
            #expect(
                finished.code != 0 && (finished.errors + finished.output).contains("--no-virtual-keys"), "\(finished)")
        }
        #expect(try cluster.run(["query", "node:name:"]).code != 0)
    }

    @Test("where clients need a password, a command without one gets nothing, and one with it works")
    func passwords() throws {
        let users = try TemporaryFile("ann:secret word".replacingOccurrences(of: " ", with: "-") + "\n")
        let password = try TemporaryFile("secret-word\n")
        let wrong = try TemporaryFile("secret-worD\n")
        let cluster = try TestCluster(nodes: 1, arguments: [])
        cluster.stop()
        let port = cluster[0].port
        let process = Process()
        process.executableURL = URL(fileURLWithPath: Place.binary)
        process.arguments = ["serve", "-p", "\(port)", "-Y", users.path, "--exit-on-stdin-close"]
        process.standardInput = Pipe()
        process.standardError = FileHandle.nullDevice
        try process.run()
        defer { process.terminate() }
        let server = ["--server", "127.0.0.1:\(port)"]
        var stored = try Finished.run(
            Place.binary, ["set", "k", "v", "--login", "ann", "--password-file", password.path] + server)
        for _ in 0..<100 where stored.code != 0 {
            usleep(50_000)
            stored = try Finished.run(
                Place.binary, ["set", "k", "v", "--login", "ann", "--password-file", password.path] + server)
        }
        #expect(stored.code == 0, "\(stored.errors)")
        for arguments in [
            [], ["--login", "ann", "--password-file", wrong.path],
            ["--login", "bob", "--password-file", password.path],
        ] {
            for command in [["get", "k"], ["cluster", "status"], ["job", "list"], ["query", "node:name:"]] {
                let finished = try Finished.run(Place.binary, command + arguments + server)
                #expect(finished.code != 0 && !finished.output.contains("v\n"), "\(command) \(arguments)")
            }
        }
        #expect(throws: TestFailure.self) { _ = try RawPeer(port: port, line: "peer 8 - -") }
        _ = try RawPeer(port: port, line: "peer 8 - -", login: "ann", password: "secret-word")
        #expect(throws: TestFailure.self) { _ = try RawPeer(port: port, line: "peer 8 node ff") }
    }

    // MARK: Bounds

    private static func residentMebibytes(_ port: Int) throws -> Int {
        let stats = try Wire(port: port).exchange("stats\r\n", until: "END\r\n")
        guard let line = stats.components(separatedBy: "\r\n").first(where: { $0.hasPrefix("STAT pid ") }),
            let pid = line.split(separator: " ").last,
            let status = try? String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8),
            let rss = status.components(separatedBy: "\n").first(where: { $0.hasPrefix("VmRSS") }),
            let kilobytes = rss.split(separator: " ").dropFirst().first.flatMap({ Int($0) })
        else { throw TestFailure("no memory figure") }
        return kilobytes >> 10
    }

    @Test("answers that nobody takes, and values of countless small parts, cost a bounded amount of memory")
    func memory() throws {
        let cluster = try TestCluster(nodes: 1, arguments: ["-m", "64"])
        let port = cluster[0].port
        let value = String(repeating: "x", count: 1_000_000)
        #expect(try Wire(port: port).set("big", value) == "STORED\r\n")
        let client = try RawPeer(port: port, line: "peer 8 - -")
        for id in 0..<4_000 {
            client.send(RawPeer.request(UInt64(id + 1), RawPeer.fetch("big"), left: 60_000), waits: false)
        }
        usleep(1_500_000)
        let untaken = try Self.residentMebibytes(port)
        #expect(untaken < 400, "\(untaken) MiB")
        // 60 MiB of nil: sixteen times that, were it made.
        let other = try RawPeer(port: port, line: "peer 8 - -")
        let count = 60 << 20
        let nils = [0xDD] + RawPeer.bytes(UInt64(count), 4).reversed() + [UInt8](repeating: 0xC0, count: count)
        other.send(RawPeer.request(1, RawPeer.control(14, nils), left: 60_000))
        #expect(RawPeer.text(try other.frame().message).contains("not understood"))
        let after = try Self.residentMebibytes(port)
        #expect(after < 600, "\(after) MiB")
    }
}
