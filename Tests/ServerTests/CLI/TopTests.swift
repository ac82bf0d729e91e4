// What `top` makes of two looks at the nodes: rates, hot keys, jobs, and the lines that it draws of them.

import Engine
import Gather
import Server
import Testing

@Suite struct TopTests {
    private static func node(
        _ name: String, atSeconds seconds: UInt64, pid: Int64 = 7, gets: Int64, hits: Int64,
        hot: [(String, Int64)] = [],
        jobs: [Value] = [], maps: [Value] = []
    ) -> ClusterActivity.Node {
        ClusterActivity.Node(
            name: name, address: HostPort(host: "127.0.0.1", port: 1), nanoseconds: seconds * 1_000_000_000,
            answer: .success(
                .object([
                    "figures": .object([
                        "stats": .object([
                            "pid": .int(pid), "cmd_get": .int(gets), "get_hits": .int(hits),
                            "get_misses": .int(gets - hits), "rusage_user": .double(Double(seconds) / 4),
                            "rusage_system": .double(0),
                        ]),
                        "memory": .object(["items": .int(25), "limit": .int(100), "rss": .int(3 << 20)]),
                        "hot": .array(hot.map { .object(["key": .string($0.0), "count": .int($0.1)]) }),
                    ]),
                    "runs": .array(jobs), "maps": .array(maps),
                ])))
    }

    private static func gone(_ name: String) -> ClusterActivity.Node {
        ClusterActivity.Node(
            name: name, address: HostPort(host: "127.0.0.1", port: 2), nanoseconds: 0,
            answer: .failure(Failure(.unreachable, "it is not there")))
    }

    @Test("rates are of the time between two looks, and none are known of one, or across a restart")
    func rates() {
        let before = ClusterActivity(nodes: [Self.node("a", atSeconds: 10, gets: 100, hits: 50)])
        let now = ClusterActivity(nodes: [Self.node("a", atSeconds: 12, gets: 300, hits: 200)])
        let row = now.rows(since: before)[0]
        #expect(row["getsPerSecond"] == .int(100) && row["hitPercent"] == .double(75))
        #expect(row["cpuPercent"] == .double(25) && row["memoryPercent"] == .double(25))
        #expect(row["setsPerSecond"] == .null && row["framesPercent"] == .null)
        #expect(now.rows(since: nil)[0]["getsPerSecond"] == .null)
        let restarted = ClusterActivity(nodes: [Self.node("a", atSeconds: 12, pid: 8, gets: 300, hits: 200)])
        #expect(restarted.rows(since: before)[0]["getsPerSecond"] == .null)
        let idle = ClusterActivity(nodes: [Self.node("a", atSeconds: 13, gets: 300, hits: 200)])
        #expect(idle.rows(since: now)[0]["hitPercent"] == .null)
    }

    @Test("the hottest keys of all nodes come first, and jobs have the rows of all nodes")
    func keysAndJobs() {
        func job(_ id: String, _ state: String, _ started: String) -> Value {
            .object([
                "id": .string(id), "job": .string("j"), "node": .string("a"), "state": .string(state),
                "started": .string(started), "ms": .double(1.6),
            ])
        }
        func map(_ id: String, _ rows: Int64) -> Value {
            .object(["id": .string(id), "rows": .int(rows), "expected": .int(10)])
        }
        let before = ClusterActivity(nodes: [Self.node("a", atSeconds: 1, gets: 0, hits: 0, hot: [("x", 10)])])
        let now = ClusterActivity(nodes: [
            Self.node(
                "a", atSeconds: 2, gets: 0, hits: 0, hot: [("x", 30), ("y", 5)],
                jobs: [job("2", "running", "T2"), job("3", "done", "T0"), job("1", "running", "T1")],
                maps: [map("1", 4)]),
            Self.node("b", atSeconds: 2, gets: 0, hits: 0, hot: [("z", 20)], maps: [map("1", 3)]),
        ])
        let hot = now.hotKeys(since: before, limit: 2)
        #expect(hot.map { $0["key"]?.text } == ["x", "z"])
        #expect(hot[0]["readsPerSecond"] == .int(20) && hot[1]["readsPerSecond"] == .null)
        #expect(now.jobs.map { $0["id"]?.text } == ["1", "2"])
        #expect(now.jobs[0]["rows"] == .int(7) && now.jobs[0]["expected"] == .int(20) && now.jobs[1]["rows"] == .null)
    }

    @Test("a screen has as many lines as the terminal, none wider, and names the nodes that are not there")
    func screen() {
        let activity = ClusterActivity(nodes: [
            Self.node("a", atSeconds: 1, gets: 0, hits: 0, hot: [("bell\u{7}\u{1B}[2J", 1)]), Self.gone("b"),
        ])
        #expect(!activity.isWhole && activity.reasons == ["b is down: it is not there"])
        let screen = TopScreen(activity, since: nil, time: "10:00:00 UTC")
        #expect(screen.text.hasPrefix("cacheismo  1 of 2 nodes up  10:00:00 UTC\n\nnode  state  gets/s"))
        #expect(screen.text.contains("bell\\x07\\x1b[2J") && screen.text.hasSuffix("b is down: it is not there"))
        for (rows, columns) in [(1, 80), (5, 10), (40, 200)] {
            let lines = screen.lines(rows: rows, columns: columns, help: "q ends")
            #expect(lines.count == rows && lines.allSatisfy { $0.count <= columns } && lines.last == "q ends")
        }
    }
}
