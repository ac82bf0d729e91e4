// The examples of docs/operations.md, typed in at a real node, and the rules that it explains.

import Foundation
import Testing

@Suite struct OperationsExamplesTests {
    private static func document() throws -> String {
        try String(contentsOfFile: Place.file("docs/operations.md"), encoding: .utf8)
    }

    /// A line without what is different each time.
    private static func shape(_ line: Substring) -> String {
        String(line.replacing(#/at=\S+/#, with: "at=#").replacing(#/-?[0-9]+(\.[0-9]+)?/#, with: "#"))
    }

    private static func isAsSaid(_ said: [Substring], _ answer: [Substring]) -> Bool {
        if let dots = said.firstIndex(of: "…") {
            let (before, after) = (said[..<dots], said[(dots + 1)...])
            return answer.count >= before.count + after.count
                && isAsSaid(Array(before), Array(answer.prefix(before.count)))
                && isAsSaid(Array(after), Array(answer.suffix(after.count)))
        }
        return said.map(shape) == answer.map(shape)
    }

    @Test("what is typed in is answered as the document says, but for the numbers")
    func sessions() throws {
        let cluster = try TestCluster(nodes: 1, arguments: ["--slow-ms", "1"])
        try cluster.loadFlights()
        let wire = try Wire(port: cluster[0].port, timeoutSeconds: 600)
        for minimum in 0..<100 {
            _ = try cluster.run(
                ["job", "run", Place.file("jobs/delays_by_carrier.lua"), "--set", "min_delay=\(minimum)"])
            if try wire.exchange("stats slow\r\n", until: "END\r\n").contains("job delays_by_carrier") { break }
        }
        let sessions = try Self.document().matches(of: #/<!-- session -->\n```\n(.*?)```/#.dotMatchesNewlines())
        #expect(sessions.count == 4)
        for session in sessions {
            for part in ("\n" + session.1).components(separatedBy: "\n> ").dropFirst() {
                let lines = part.split(separator: "\n")
                let said = Array(lines.dropFirst())
                let end = try #require(said.last)
                var text = try wire.exchange("\(lines[0])\r\n", until: said.contains("…") ? "\(end)\r\n" : "\r\n")
                while !said.contains("…"), text.split(separator: "\r\n").count < said.count {
                    text += try wire.exchange("", until: "\r\n")
                }
                let answer = text.split(separator: "\r\n")
                #expect(Self.isAsSaid(said, answer), "\(lines[0]): \(answer)")
            }
        }
    }

    @Test("a line of the log has the fields that the document shows")
    func log() throws {
        let example = try #require(try Self.document().firstMatch(of: #/<!-- log -->\n```\n(.*?)\n```/#))
        func fields(_ line: Substring) -> [String: Any] {
            ((try? JSONSerialization.jsonObject(with: Data(line.utf8))) as? [String: Any]) ?? [:]
        }
        let said = fields(example.1)
        #expect(said["event"] as? String == "shutdown")
        let cluster = try TestCluster(nodes: 1, arguments: ["--log-format", "json"])
        cluster.stop()
        let lines = cluster[0].logText.split(separator: "\n").map(fields)
        let told = try #require(lines.first { $0["event"] as? String == "shutdown" })
        #expect(Set(told.keys) == Set(said.keys), "\(told)")
        // The fields that the table names.
        let table = try #require(try Self.document().firstMatch(of: #/\| `started` \| notice \| `([^`]*)`/#))
        let started = try #require(lines.first { $0["event"] as? String == "started" })
        let named = Set(table.1.split(separator: " ").map(String.init) + ["time", "level", "message", "event"])
        #expect(Set(started.keys) == named, "\(started)")
    }

    @Test("every alert is explained, and no other")
    func alerts() throws {
        let rules = try String(contentsOfFile: Place.file("deploy/prometheus/alerts.yml"), encoding: .utf8)
        let defined = Set(rules.matches(of: #/- alert: (\w+)/#).map { String($0.1) })
        let explained = Set(try Self.document().matches(of: #/(?m)^\| `(Cacheismo\w+)` \|/#).map { String($0.1) })
        #expect(defined == explained && defined.count > 10)
    }
}
