// What a real Prometheus makes of /metrics: its checks are silent, it scrapes three nodes, and rules and board name only what there is.

import Foundation
import Testing

/// A Prometheus of Debian's, on a free port and with a folder of its own, both gone with it.
final class TestPrometheus {
    private let process = Process()
    private let folder: URL
    private let port: Int

    init(targets: [String]) throws {
        port = try TestCluster.freePorts(1)[0]
        folder = FileManager.default.temporaryDirectory.appendingPathComponent(
            "cacheismo-prometheus-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        // As docs/dashboards.md has it, scraped more often.
        let documented = try String(contentsOfFile: Place.file("docs/dashboards.md"), encoding: .utf8)
        guard
            let example = documented.firstMatch(
                of: #/<!-- config: prometheus.yml -->\n```yaml\n(.*?)```/#.dotMatchesNewlines())
        else { throw TestFailure("docs/dashboards.md has no prometheus.yml") }
        let list = targets.map { "\"\($0)\"" }.joined(separator: ", ")
        let configuration = String(example.1).replacing("15s", with: "1s")
            .replacing(#/targets: \[.*?\]/#, with: "targets: [\(list)]")
            .replacing("[alerts.yml]", with: "[\(Place.file("deploy/prometheus/alerts.yml"))]")
        let file = folder.appendingPathComponent("prometheus.yml")
        try configuration.write(to: file, atomically: true, encoding: .utf8)
        process.executableURL = URL(fileURLWithPath: "/usr/bin/prometheus")
        process.arguments = [
            "--config.file=\(file.path)", "--storage.tsdb.path=\(folder.path)/data",
            "--web.listen-address=127.0.0.1:\(port)",
        ]
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
    }

    deinit {
        process.terminate()
        process.awaitEnd()
        try? FileManager.default.removeItem(at: folder)
    }

    /// The values that a query has now, by their labels' text.
    func ask(_ query: String) throws -> [(labels: [String: String], value: Double)] {
        let run = try Finished.run(
            "/usr/bin/curl",
            ["-s", "-m", "60", "-G", "http://127.0.0.1:\(port)/api/v1/query", "--data-urlencode", "query=\(query)"])
        let data = run.json?["data"] as? [String: Any]
        return ((data?["result"] as? [[String: Any]]) ?? []).compactMap { entry in
            guard let labels = entry["metric"] as? [String: String], let pair = entry["value"] as? [Any],
                let text = pair.last as? String, let value = Double(text)
            else { return nil }
            return (labels, value)
        }
    }

    /// The same once `isThere` says so.
    func wait(
        for query: String, _ isThere: ([(labels: [String: String], value: Double)]) -> Bool,
        meanwhile: () throws -> Void
    ) throws -> [(labels: [String: String], value: Double)] {
        var found: [(labels: [String: String], value: Double)] = []
        let end = Date().addingTimeInterval(600)
        while Date() < end {
            try meanwhile()
            found = try ask(query)
            if isThere(found) { return found }
            usleep(300_000)
        }
        return found
    }
}

@Suite(.serialized) struct PrometheusTests {
    private static let lua = ["-H", "Content-Type: application/x-lua", "--data-binary"]

    /// Three nodes with some of everything.
    private static func filled() throws -> HTTPCluster {
        let nodes = try HTTPCluster(nodes: 3)
        try nodes.cluster.loadFlights()
        let source = "@" + Place.file("jobs/delays_by_carrier.lua")
        #expect(try nodes.ask("/v1/jobs/delays", ["-X", "PUT"] + lua + [source]).status == 200)
        try use(nodes)
        return nodes
    }

    private static func use(_ nodes: HTTPCluster) throws {
        for at in 0..<3 {
            let wire = try Wire(port: nodes.cluster[at].port)
            _ = try wire.exchange("set a 0 0 1\r\nx\r\nget a\r\nget none\r\n", until: "END\r\nEND\r\n")
            _ = try wire.exchange("get quota:add:alice\(at):5:day\r\n", until: "END\r\n")
            _ = try wire.exchange("get quota:addandcheck:alice\(at):1\r\n", until: "END\r\n")
            _ = try nodes.ask("/v1/jobs/delays/run?min_delay=\(Int.random(in: 0..<100))", node: at)
        }
    }

    @Test("promtool has nothing to say about the metrics of a node, nor about the rules")
    func checks() throws {
        let nodes = try Self.filled()
        let text = try nodes.ask("/metrics").body
        #expect(text.contains("cacheismo_job_runs_total"))
        let checked = try Finished.run("/usr/bin/promtool", ["check", "metrics"], input: text)
        #expect(checked.code == 0 && checked.output.isEmpty && checked.errors.isEmpty, "\(checked)")
        let rules = try Finished.run(
            "/usr/bin/promtool", ["check", "rules", Place.file("deploy/prometheus/alerts.yml")])
        #expect(rules.code == 0, "\(rules)")
        let tried = try Finished.run(
            "/usr/bin/promtool", ["test", "rules", Place.file("deploy/prometheus/alerts_test.yml")])
        #expect(tried.code == 0, "\(tried)")
    }

    @Test("rules, board and documents name only metrics that a node has")
    func names() throws {
        let nodes = try Self.filled()
        let text = try nodes.ask("/metrics").body
        var names = Set<String>()
        for match in text.matches(of: #/(?m)^# TYPE (\S+) (\S+)$/#) {
            names.insert(String(match.1))
            guard match.2 == "histogram" else { continue }
            for ending in ["_bucket", "_sum", "_count"] { names.insert(String(match.1) + ending) }
        }
        #expect(names.count > 40)
        let files = [
            "deploy/prometheus/alerts.yml", "deploy/prometheus/alerts_test.yml", "deploy/grafana/cacheismo.json",
            "docs/dashboards.md", "docs/operations.md",
        ]
        for file in files {
            let wanted = try String(contentsOfFile: Place.file(file), encoding: .utf8)
                .matches(of: #/\b(memcached|cacheismo)_[a-z_]+/#).map { String($0.0) }
            #expect(!wanted.isEmpty, "\(file)")
            for name in Set(wanted).subtracting(names) { Issue.record("\(file): there is no metric \(name)") }
        }
    }

    @Test(
        "a Prometheus scrapes three nodes, and answers rates of commands and quantiles of jobs' and methods' durations")
    func scrapes() throws {
        let nodes = try Self.filled()
        let prometheus = try TestPrometheus(targets: (0..<3).map { nodes.address(node: $0) })
        func wait(_ query: String, _ isThere: ([Double]) -> Bool) throws {
            let found = try prometheus.wait(for: query) {
                isThere($0.map(\.value))
            } meanwhile: {
                try Self.use(nodes)
            }
            #expect(isThere(found.map(\.value)), "\(query): \(found)")
        }
        try wait("up") { $0 == [1, 1, 1] }
        try wait(#"rate(memcached_commands_total{command="get",status="hit"}[1m])"#) {
            $0.count == 3 && !$0.contains(0)
        }
        for bucket in ["cacheismo_job_duration_seconds_bucket", "cacheismo_method_duration_seconds_bucket"] {
            try wait("histogram_quantile(0.99, sum by (le) (rate(\(bucket)[1m])))") { $0.count == 1 && $0[0] > 0 }
        }
        try wait("sum(cacheismo_frame_rows{frame=\"flights\"})") { $0 == [336_776] }
        try wait("sum by (peer) (cacheismo_peer_up)") { $0 == [2, 2, 2] }
        try wait("cacheismo_peer_round_trip_seconds") { $0.count == 6 && $0.allSatisfy { 0 < $0 && $0 < 60 } }
        try wait("sum(cacheismo_forwarded_total)") { $0.count == 1 && $0[0] > 0 }
    }
}
