// Real memcached clients against three real nodes.

import Foundation
import Testing

@Suite(.serialized) struct ClientTests {
    @Test("memccapable's tests of both protocols pass against each of three nodes", arguments: ["-a", "-b"])
    func memccapable(protocolOption: String) throws {
        let cluster = try TestCluster(nodes: 3)
        for node in cluster.nodes {
            let run = try Finished.run(
                "/usr/bin/env", ["memccapable", protocolOption, "-h", "127.0.0.1", "-p", "\(node.port)"])
            #expect(run.code == 0, "\(run.output)\(run.errors)")
            #expect(run.output.contains("All tests passed"), "\(run.output)")
        }
    }

    @Test("pymemcache finds every command, key and method on whichever node it asks")
    func pymemcache() throws {
        let cluster = try TestCluster(nodes: 3)
        let addresses = cluster.nodes.map { "127.0.0.1:\($0.port)" }
        let run = try Finished.run(Place.python, [Place.file("Tests/Clients/pymemcache_checks.py")] + addresses)
        let failures = run.output.split(separator: "\n").filter { !$0.hasPrefix("ok") }.joined(separator: "\n")
        #expect(run.code == 0, "\(failures)\n\(run.errors)")
    }

    @Test("the binary protocol reaches every key and method by any node, bears what is malformed, and serves pylibmc")
    func binaryProtocol() throws {
        let cluster = try TestCluster(nodes: 3)
        let addresses = cluster.nodes.map { "127.0.0.1:\($0.port)" }
        try Self.checkBinary(addresses)
    }

    @Test("a login in the binary protocol, and one by the text protocol's set on the same node")
    func binaryLogin() throws {
        let users = try TemporaryFile("ann:pw\n")
        let port = try TestCluster.freePorts(1)[0]
        let process = Process()
        process.executableURL = URL(fileURLWithPath: Place.binary)
        process.arguments = ["serve", "-p", "\(port)", "-Y", users.path, "--exit-on-stdin-close"]
        process.standardInput = Pipe()
        process.standardError = FileHandle.nullDevice
        try process.run()
        defer { kill(process.processIdentifier, SIGKILL) }
        for _ in 0..<500 where (try? Wire(port: port)) == nil { usleep(20_000) }
        try Self.checkBinary(["--login", "ann:pw", "127.0.0.1:\(port)"])
        let wire = try Wire(port: port)
        #expect(try wire.exchange("set x 0 0 6\r\nann pw\r\n", until: "\r\n") == "STORED\r\n")
        #expect(try wire.get("a") == "1")
    }

    private static func checkBinary(_ arguments: [String]) throws {
        let run = try Finished.run(Place.python, [Place.file("Tests/Clients/binary_checks.py")] + arguments)
        let failures = run.output.split(separator: "\n").filter { !$0.hasPrefix("ok") }.joined(separator: "\n")
        #expect(run.code == 0, "\(failures)\n\(run.errors)")
    }

    @Test("a key set on one node is read on the others, and on the others only through its owner")
    func forwarding() throws {
        let cluster = try TestCluster(nodes: 3)
        for index in 0..<30 {
            let key = "key:\(index)"
            #expect(try Wire(port: cluster[index % 3].port).set(key, "v\(index)") == "STORED\r\n")
            for node in cluster.nodes { #expect(try Wire(port: node.port).get(key) == "v\(index)") }
        }
        let held = try cluster.nodes.map { node in
            let stats = try Wire(port: node.port).exchange("stats\r\n", until: "END\r\n")
            let line = try #require(stats.split(separator: "\r\n").first { $0.hasPrefix("STAT curr_items ") })
            return try #require(Int(line.split(separator: " ")[2]))
        }
        #expect(held.reduce(0, +) == 30)
        #expect(held.allSatisfy { $0 < 30 })
    }

    @Test("meta commands reach the owner of a key from any node, with state, uniques and base64 keys")
    func metaForwarding() throws {
        let cluster = try TestCluster(nodes: 3)
        for index in 0..<12 {
            let key = "meta:\(index)"
            func ask(_ node: Int, _ line: String) throws -> String {
                try Wire(port: cluster[(index + node) % 3].port).exchange(line + "\r\nmn\r\n", until: "MN\r\n")
            }
            #expect(try ask(0, "ms \(key) 2 E77 F5 c k\r\nhi") == "HD c77 k\(key)\r\nMN\r\n")
            #expect(try ask(1, "mg \(key) v f c s h t O9") == "VA 2 f5 c77 s2 h0 t-1 O9\r\nhi\r\nMN\r\n")
            #expect(try ask(2, "md \(key) I E78") == "HD\r\nMN\r\n")
            #expect(try ask(0, "mg \(key) c") == "HD c78 X W\r\nMN\r\n")
            #expect(try ask(1, "mg \(key) c") == "HD c78 Z X\r\nMN\r\n")
            #expect(try ask(2, "ms \(key) 1 C77\r\n1") == "EX\r\nMN\r\n")
            #expect(try ask(0, "ma n\(key) N0 J5 v q") == "VA 1\r\n5\r\nMN\r\n")
            #expect(try ask(1, "ma n\(key) D3 v") == "VA 1\r\n8\r\nMN\r\n")
            #expect(try ask(2, "mg none\(key) v q") == "MN\r\n")
            #expect(try ask(2, "md n\(key) q") == "MN\r\n")
        }
        for node in 0..<3 {
            let wire = try Wire(port: cluster[node].port)
            _ = try wire.exchange("ms AAo= 1 b q\r\n\(node)\r\nmn\r\n", until: "MN\r\n")
            let other = try Wire(port: cluster[(node + 1) % 3].port)
            #expect(
                try other.exchange("mg AAo= b v k\r\nmn\r\n", until: "MN\r\n") == "VA 1 kAAo= b\r\n\(node)\r\nMN\r\n")
        }
    }

    @Test("a full node keeps taking writes")
    func eviction() throws {
        let cluster = try TestCluster(nodes: 1, arguments: ["--memory", "4"])
        let wire = try Wire(port: cluster[0].port)
        let value = String(repeating: "x", count: 4_000)
        var batch = ""
        for index in 0..<5_000 {
            batch += "set k\(index) 0 0 4000 noreply\r\n\(value)\r\n"
            if index % 100 == 99 {
                #expect(try wire.exchange(batch + "version\r\n", until: "\r\n").hasPrefix("VERSION"))
                batch = ""
            }
        }
        #expect(try wire.get("k4999") == value)
        #expect(try wire.get("k0") == nil)
        let stats = try wire.exchange("stats\r\n", until: "END\r\n")
        let evictions = try #require(stats.split(separator: "\r\n").first { $0.hasPrefix("STAT evictions ") })
        #expect(try #require(Int(evictions.split(separator: " ")[2])) > 1_000)
    }

    @Test("a node that is ended while it works ends at once, and says nothing but of its peers and itself")
    func endedAtWork() throws {
        for round in 0..<3 {
            let cluster = try TestCluster(nodes: 2, arguments: ["--slow-ms", "0"])
            #expect(try Wire(port: cluster[0].port).set("job:define:j", "function run() return 1 end") == "STORED\r\n")
            let work = String(repeating: "get job:run:j\r\n", count: 200)
            let wires = try (0..<8).map { try Wire(port: cluster[$0 % 2].port) }
            for wire in wires { _ = try wire.exchange(work, until: "\r\n") }
            for node in cluster.nodes {
                node.stop()
                let expected = [
                    "[Gather] peer n", "[Server] \(node.name) has started", "[Server] \(node.name) shuts down",
                ]
                let lines = node.logText.split(separator: "\n").filter { line in
                    !expected.contains { line.contains($0) }
                }
                #expect(lines.isEmpty, "round \(round): \(lines)")
                #expect(node.exitCode == 0)
            }
        }
    }
}
