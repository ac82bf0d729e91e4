// Real memcached clients against three real nodes.

import Foundation
import Testing

@Suite(.serialized) struct ClientTests {
    @Test("memccapable's ascii tests pass against each of three nodes")
    func memccapable() throws {
        let cluster = try TestCluster(nodes: 3)
        for node in cluster.nodes {
            let run = try Finished.run("/usr/bin/env", ["memccapable", "-a", "-h", "127.0.0.1", "-p", "\(node.port)"])
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

    @Test("a node that is ended while it works ends at once, and says nothing")
    func endedAtWork() throws {
        for round in 0..<3 {
            let cluster = try TestCluster(nodes: 2)
            #expect(try Wire(port: cluster[0].port).set("job:define:j", "function run() return 1 end") == "STORED\r\n")
            let work = String(repeating: "get job:run:j\r\n", count: 200)
            let wires = try (0..<8).map { try Wire(port: cluster[$0 % 2].port) }
            for wire in wires { _ = try wire.exchange(work, until: "\r\n") }
            for node in cluster.nodes {
                node.stop()
                #expect(node.logText == "", "round \(round)")
                #expect(node.exitCode == 0)
            }
        }
    }
}
