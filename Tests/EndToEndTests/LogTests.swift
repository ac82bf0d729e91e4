// What real nodes say in their logs: each thing once, when it happens, in lines that machines can read.

import Foundation
import Testing

@Suite struct LogTests {
    private static let script = """
        local T = object "t"
        function T.new() return { n = 0 } end
        function T:fail() error("no such thing: " .. tostring(self.n)) end
        function T:last() local n = 0 for i = 1, 2000000 do n = n + i end return n end
        T.readonly { "last", "fail" }
        """

    /// The lines of a node's log, each of them an object.
    private static func lines(_ node: TestNode) -> [[String: Any]] {
        node.logText.split(separator: "\n").map { line in
            let fields = (try? JSONSerialization.jsonObject(with: Data(line.utf8))) as? [String: Any]
            #expect(fields?["time"] is String && fields?["level"] is String && fields?["message"] is String, "\(line)")
            return fields ?? [:]
        }
    }

    private static func events(_ node: TestNode, _ name: String) -> [[String: Any]] {
        lines(node).filter { $0["event"] as? String == name }
    }

    /// Waits until the event is told.
    private static func wait(_ node: TestNode, _ name: String, meanwhile: () throws -> Void = {}) throws -> [String:
        Any]
    {
        for _ in 0..<6_000 {
            if let first = events(node, name).first { return first }
            try meanwhile()
            usleep(100_000)
        }
        throw TestFailure("\(node.name) never tells of \(name): \(node.logText)")
    }

    @Test("a node tells of its start, its scripts, their errors by kinds, what is slow and full, and its end, as JSON")
    func events() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("cacheismo-log-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let file = folder.appendingPathComponent("t.lua")
        try Self.script.write(to: file, atomically: true, encoding: .utf8)
        let cluster = try TestCluster(
            nodes: 1,
            arguments: ["--log-format", "json", "--slow-ms", "1", "--scripts", folder.path, "--frame-memory", "1"])
        let node = cluster[0]
        let started = try Self.wait(node, "started")
        #expect((started["addresses"] as? [String])?.first?.hasSuffix(":\(node.port)") == true, "\(started)")
        #expect(started["memoryBytes"] as? Int == 64 << 20 && started["version"] is String, "\(started)")
        let loaded = try Self.wait(node, "script_loaded")
        #expect(loaded["file"] as? String == "t.lua" && loaded["types"] as? [String] == ["t"])

        let wire = try Wire(port: node.port, timeoutSeconds: 600)
        _ = try wire.exchange("get t:new:a\r\n", until: "END\r\n")
        for _ in 0..<25 { _ = try wire.exchange("get t:fail:a\r\n", until: "\r\n") }
        let errors = Self.events(node, "script_error")
        #expect(errors.map { $0["count"] as? Int } == [1, 10], "\(errors)")
        #expect(errors.first?["what"] as? String == "t:fail" && errors.first?["object"] as? String == "a")
        #expect((errors.first?["error"] as? String)?.contains("t.lua:3: no such thing") == true, "\(errors)")
        _ = try wire.exchange("get t:last:a\r\n", until: "\r\n")
        let slow = try Self.wait(node, "slow")
        #expect(slow["what"] as? String == "t:last:a" && (slow["ms"] as? Double ?? 0) >= 1, "\(slow)")
        let told = try wire.exchange("stats slow\r\n", until: "END\r\n")
        #expect(told.contains("t:last:a ms="), "\(told)")

        // The frame that does not fit, before and after the limit was changed.
        let load = ["load", "flights", Place.file("datasets/flights.csv.zst")]
        #expect(try cluster.run(load).errors.contains("frame_memlimit"))
        let full = try Self.wait(node, "memory_full")
        #expect(full["memory"] as? String == "frames", "\(full)")
        #expect(try wire.exchange("frame_memlimit 256\r\n", until: "\r\n") == "OK\r\n")
        #expect(try cluster.run(load).code == 0)
        // Below what is used nothing goes, and nothing more comes.
        #expect(try wire.exchange("frame_memlimit 1\r\n", until: "\r\n") == "OK\r\n")
        let rows = "{\"carrier\":\"XX\"}\n"
        let append = "set frame:append:flights 0 0 \(rows.utf8.count)\r\n\(rows)\r\n"
        #expect(try wire.exchange(append, until: "\r\n").hasPrefix("SERVER_ERROR budget_exceeded"))
        #expect(try wire.get("frame:info:flights")?.contains("\"rows\":336776") == true)

        try "local T = object".write(to: file, atomically: true, encoding: .utf8)
        let refused = try Self.wait(node, "script_refused")
        #expect(refused["file"] as? String == "t.lua" && refused["reason"] is String)
        node.stop()
        #expect(Self.events(node, "shutdown").count == 1)
        #expect(Self.events(node, "started").count == 1)
    }

    @Test("nodes tell of peers that are lost and back, and of the rows that went with them")
    func peers() throws {
        let cluster = try TestCluster(nodes: 2, arguments: ["--log-format", "json"])
        try cluster.loadFlights()
        cluster[1].stop(SIGKILL)
        let ask = { _ = try Wire(port: cluster[0].port).exchange("get a b c d e f\r\n", until: "\r\n") }
        let lost = try Self.wait(cluster[0], "peer_lost", meanwhile: ask)
        #expect(lost["peer"] as? String == "n2" && lost["level"] as? String == "warning" && lost["reason"] is String)
        try cluster[1].start()
        let back = try Self.wait(cluster[0], "peer_back", meanwhile: ask)
        #expect(back["peer"] as? String == "n2")
        let rows = try Self.wait(cluster[0], "rows_lost")
        #expect(rows["frame"] as? String == "flights" && (rows["rows"] as? Int ?? 0) > 100_000, "\(rows)")
        #expect(Self.events(cluster[0], "peer_lost").count == 1)
    }

    @Test(
        "as text the same lines are for people; a level leaves out what is less important; what there is not is refused"
    )
    func text() throws {
        let cluster = try TestCluster(nodes: 1)
        // It answers a moment before it says so.
        for _ in 0..<6_000 where !cluster[0].logText.contains("\n") { usleep(100_000) }
        #expect(cluster[0].logText.contains(" has started: cacheismo "), "\(cluster[0].logText)")
        #expect(!cluster[0].logText.contains("event"))
        let quiet = try TestCluster(nodes: 1, arguments: ["--log-level", "error"])
        #expect(quiet[0].logText.isEmpty)
        for (option, word) in [("--log-format", "xml"), ("--log-level", "loud"), ("--slow-ms", "-1")] {
            let run = try Finished.run(Place.binary, ["serve", "\(option)=\(word)"])
            #expect(run.code != 0 && run.errors.contains(option), "\(run)")
        }
    }
}
