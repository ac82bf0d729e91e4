// Where a node says its memory is: the parts add up to what the system says the process has.

import Foundation
import Testing

@Suite struct MemoryTableTests {
    private static func table(_ node: TestNode) throws -> [String: Int] {
        let text = try Wire(port: node.port).exchange("stats memory\r\n", until: "END\r\n")
        let pairs = text.split(separator: "\r\n").compactMap { line -> (String, Int)? in
            let words = line.split(separator: " ")
            guard words.count == 3, let bytes = Int(words[2]) else { return nil }
            return (String(words[1]), bytes)
        }
        return Dictionary(pairs, uniquingKeysWith: { $1 })
    }

    /// Asks all of it at once, without answers but the last.
    private static func fill(_ node: TestNode, _ count: Int, _ request: (Int) -> String) throws {
        let wire = try Wire(port: node.port)
        for start in stride(from: 0, to: count, by: 1_000) {
            let requests = (start..<min(count, start + 1_000)).map(request).joined()
            _ = try wire.exchange(requests + "mn\r\n", until: "MN\r\n")
        }
    }

    @Test(
        "items, objects, pinned objects, frames and connections: the parts add up to the process's memory within a tenth"
    )
    func parts() throws {
        let http = try TestCluster.freePorts(1)[0]
        let cluster = try TestCluster(nodes: 1, arguments: ["-m", "512", "--http", "127.0.0.1:\(http)"])
        let node = cluster[0]
        let value = (0..<40).map { _ in String(UInt64.random(in: 0 ... .max), radix: 36) }.joined().prefix(400)
        try Self.fill(node, 250_000) { "set item\($0) 0 0 \(value.utf8.count) noreply\r\n\(value)\r\n" }
        try Self.fill(node, 60_000) { "set counter:new:counted\($0) 0 0 1 noreply\r\n5\r\n" }
        try Self.fill(node, 30_000) { "set quota:new:customer\($0):5 0 0 3 noreply\r\nday\r\n" }
        try cluster.loadFlights()
        _ = try cluster.run(["job", "run", Place.file("jobs/delays_by_carrier.lua")])
        let block = String(repeating: "x", count: 100_000)
        let halfSent = try (0..<200).map { at in
            let wire = try Wire(port: node.port)
            _ = try wire.exchange("set half\(at) 0 0 100010\r\n" + block, until: "")
            return wire
        }
        defer { withExtendedLifetime(halfSent) {} }
        var told: [String: Int] = [:]
        // What was sent has to be read yet.
        for _ in 0..<600 {
            told = try Self.table(node)
            if told["connections", default: 0] >= 200 * 100_000 { break }
            usleep(100_000)
        }
        let parts = [
            "items", "objects", "pinned", "scripts", "frames", "plan_cache", "dictionaries", "connections", "code",
            "allocator",
        ]
        let rss = try #require(told["rss"])
        let sum = parts.reduce(0) { $0 + told[$1, default: 0] }
        #expect(told["rest"] == rss - sum, "\(told)")
        #expect(abs(rss - sum) <= rss / 10, "\(told)")
        for (part, least) in [
            ("items", 100 << 20), ("objects", 8 << 20), ("pinned", 4 << 20), ("frames", 4 << 20), ("scripts", 1 << 18),
            ("connections", 200 * 100_000), ("code", 1 << 20),
        ] {
            #expect(told[part, default: 0] >= least, "\(part): \(told)")
        }
        // The same over HTTP, a moment later.
        let stats = try Finished.run("/usr/bin/curl", ["-s", "-m", "300", "http://127.0.0.1:\(http)/v1/stats"])
        let memory = try #require(stats.json?["memory"] as? [String: Int])
        for (name, part) in [("items", "items"), ("objects", "objects"), ("pinned", "pinned"), ("frames", "frames")] {
            #expect(abs((memory[name] ?? 0) - told[part, default: 0]) <= rss / 50, "\(name) \(memory)")
        }
        #expect(memory["pinnedLimit"] == 256 << 20 && memory["limit"] == 512 << 20)
        let named = [
            "items", "objects", "pinned", "scripts", "frames", "planCache", "dictionaries", "connections", "code",
            "allocator",
        ]
        #expect(named.reduce(memory["other"] ?? 0) { $0 + (memory[$1] ?? 0) } == memory["rss"])
    }

    @Test("a small node's memory is explained too, whatever it holds")
    func small() throws {
        let cluster = try TestCluster(nodes: 1, arguments: ["-m", "64"])
        let node = cluster[0]
        let value = (0..<40).map { _ in String(UInt64.random(in: 0 ... .max), radix: 36) }.joined().prefix(400)
        func check(_ what: String) throws {
            let told = try Self.table(node)
            let (rest, rss) = (told["rest", default: 0], told["rss", default: 0])
            #expect(abs(rest) <= rss / 10, "\(what): \(told)")
        }
        try Self.fill(node, 30_000) { "set counter:new:counted\($0) 0 0 1 noreply\r\n5\r\n" }
        try check("objects")
        try Self.fill(node, 10_000) { "set quota:new:customer\($0):5 0 0 3 noreply\r\nday\r\n" }
        try check("pinned objects")
        try Self.fill(node, 60_000) { "set item\($0) 0 0 \(value.utf8.count) noreply\r\n\(value)\r\n" }
        try check("items")
        try Self.fill(node, 200_000) { "set item\($0) 0 0 \(value.utf8.count) noreply\r\n\(value)\r\n" }
        try check("evictions")
    }
}
