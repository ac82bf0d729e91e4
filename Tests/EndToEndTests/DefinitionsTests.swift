// Frames and jobs that are made on both sides of a cut, dropped on one, or asked for in a node that has just started: nothing is
// forgotten.

import Foundation
import Testing

@Suite(.serialized, .enabled(if: TwoHosts.areAllowed, "needs root and ip netns"))
struct DefinitionsTests {
    private static let count = "function map(s) return s:frame('f'):count() end"

    /// Rows of `f` by a job on each node; nil where it says that the frames are in conflict.
    private static func counts(_ nodes: TwoNodes) throws -> [Int?] {
        let job = try TemporaryFile(count, suffix: ".lua")
        return try (0..<2).map { at in
            let run = try nodes.run(["job", "run", job.path, "--json"], on: at)
            if run.json?["status"] as? String == "complete" {
                let rows = run.json?["result"] as? [[String: Any]]
                return rows?.first?["count"] as? Int ?? -1
            }
            let reason = (run.json?["error"] as? [String: Any])?["reason"] as? String
            #expect(reason == "conflict" || reason == "unreachable" || reason == "incomplete_data", "\(run)")
            return reason == "conflict" ? nil : -1
        }
    }

    /// The ids that the answer of a query names.
    private static func ids(_ text: String) -> [String] {
        text.matches(of: /([0-9a-f]{6,16}\.[0-9]+) with/).map { String($0.output.1) }
    }

    @Test(
        "a frame made on both sides of a cut is a conflict that names both, until one is dropped; the other has all its rows",
        arguments: [true, false])
    func frames(sameSchema: Bool) throws {
        let nodes = try TwoNodes(port: 21_720)
        try nodes.hosts.cut()
        let other = sameSchema ? "{\"a\":7}" : "{\"b\":\"x\"}"
        for (at, rows) in ["{\"a\":1}\n{\"a\":2}", other].enumerated() {
            let made = try nodes.set("frame:append:f", rows, on: at)
            #expect(made.code == 0, "\(made.errors)")
        }
        #expect(try nodes.set("frame:append:f", other, on: 1).code == 0)
        try nodes.healAndMeet()
        // At no time is an answer called complete that lacks acknowledged rows.
        for _ in 0..<20 {
            let found = try Self.counts(nodes)
            #expect(found.allSatisfy { $0 == nil || $0 == -1 }, "\(found)")
            if found == [nil, nil] { break }
            usleep(100_000)
        }
        #expect(try Self.counts(nodes) == [nil, nil])
        var ids: [String] = []
        for key in ["frame:info:f", "frame:drop:f", "frame:retain:f:1d"] {
            for at in 0..<2 {
                let answer = try nodes.query(key, on: at)
                ids = Self.ids(answer.errors)
                #expect(answer.code != 0 && ids.count == 2, "\(answer)")
                #expect(answer.errors.contains("with 2 rows of a:int"), "\(answer.errors)")
            }
        }
        let refused = try nodes.set("frame:append:f", "{\"a\":3}")
        #expect(refused.code != 0 && Self.ids(refused.errors) == ids, "\(refused)")
        let file = try TemporaryFile("a\n1\n", suffix: ".csv")
        let load = try nodes.run(["load", "f", file.path])
        #expect(load.code != 0 && Self.ids(load.errors) == ids, "\(load)")
        let status = try nodes.run(["cluster", "status", "--json"])
        let conflicts = status.json?["conflicts"] as? [[String: Any]]
        #expect(conflicts?.map { $0["name"] as? String } == ["f"], "\(status.output)")
        #expect(try nodes.query("frame:list").output == "[\"f\"]\n")
        // Each side has made one; which of them goes is for people to say.
        try #require(ids.count == 2)
        let kept = try nodes.query("frame:drop:f:\(ids[0])", on: 1)
        #expect(kept.code == 0 && kept.output.contains("\"rows\":2"), "\(kept)")
        #expect(try nodes.query("frame:drop:f:\(ids[0])").code != 0)
        #expect(try Self.counts(nodes) == [2, 2])
        #expect(try nodes.query("frame:info:f").code == 0)
        #expect(try nodes.query("frame:drop:f").code == 0)
        #expect(try nodes.query("frame:list", on: 1).output == "[]\n")
    }

    @Test("a job defined on both sides of a cut is a conflict, until it is defined anew or dropped")
    func jobs() throws {
        let nodes = try TwoNodes(port: 21_721)
        func run(_ at: Int) throws -> String {
            let run = try nodes.query("job:run:j", on: at)
            return run.code == 0 ? run.output : run.errors
        }
        #expect(try nodes.set("job:define:j", "function run() return 'before' end").code == 0)
        #expect(try run(1).contains("before"))
        for ends in ["define", "drop"] {
            try nodes.hosts.cut()
            for at in 0..<2 {
                #expect(try nodes.set("job:define:j", "function run() return 'side \(at)' end", on: at).code == 0)
                #expect(try run(at).contains("side \(at)"))
            }
            try nodes.healAndMeet()
            usleep(1_500_000)
            for at in 0..<2 {
                let answer = try run(at)
                #expect(answer.contains("there are 2 jobs 'j'"), "\(answer)")
            }
            #expect(try nodes.run(["cluster", "status"]).errors.contains("conflict: there are 2 jobs j"))
            if ends == "define" {
                #expect(try nodes.set("job:define:j", "function run() return 'after' end", on: 1).code == 0)
                for at in 0..<2 { #expect(try run(at).contains("after")) }
            } else {
                #expect(try nodes.query("job:drop:j").code == 0)
                for at in 0..<2 { #expect(try run(at).contains("there is no job 'j'")) }
            }
        }
    }

    @Test(
        "a frame dropped and made anew while a node was cut off is what that node has, too, and the old one stays away")
    func droppedMeanwhile() throws {
        let nodes = try TwoNodes(port: 21_722)
        #expect(try nodes.set("frame:append:f", "{\"a\":1}").code == 0)
        usleep(1_200_000)
        try nodes.hosts.cut()
        #expect(try nodes.query("frame:drop:f").code == 0)
        #expect(try nodes.set("frame:append:f", "{\"b\":\"x\"}\n{\"b\":\"y\"}\n{\"b\":\"z\"}").code == 0)
        try nodes.healAndMeet()
        usleep(1_500_000)
        #expect(try Self.counts(nodes) == [3, 3])
        #expect(try nodes.query("frame:info:f", on: 1).output.contains("\"name\":\"b\""))
    }
}

@Suite(.serialized) struct SettlingTests {
    @Test("a node that was restarted doesn't say that there is no job or frame before it has heard from the others")
    func restarted() throws {
        let cluster = try TestCluster(nodes: 3)
        let first = try Wire(port: cluster[0].port)
        #expect(try first.set("job:define:j", "function run() return 'here' end") == "STORED\r\n")
        #expect(try first.set("frame:append:f", "{\"a\":1}") == "STORED\r\n")
        var early = 0
        for _ in 0..<5 {
            // The others are there and take a moment.
            for other in [0, 2] { try cluster[other].hang() }
            cluster[1].stop(SIGKILL)
            let begun = Date()
            try cluster[1].start()
            let wire = try Wire(port: cluster[1].port)
            let answers = try ["job:run:j", "frame:info:f", "job:drop:j", "frame:drop:f"].map {
                try wire.get($0) ?? "a miss"
            }
            if Date().timeIntervalSince(begun) < 0.9 {
                early += 1
                for answer in answers {
                    #expect(answer.contains("unreachable") && answer.contains("has not heard from n1, n3"), "\(answer)")
                }
            }
            for other in [0, 2] { cluster[other].signal(SIGCONT) }
            var answer = ""
            while !answer.contains("here"), Date().timeIntervalSince(begun) < 10 {
                answer = try wire.get("job:run:j") ?? "a miss"
            }
            #expect(answer.contains("here"), "\(answer)")
        }
        #expect(early > 0)
    }

    @Test("a node whose peers are not there says within a second what it does not find")
    func alone() throws {
        let ports = try TestCluster.freePorts(2)
        let node = TestNode(
            name: "n1", port: ports[0],
            arguments: ["--name", "n1", "--peers", "n1=127.0.0.1:\(ports[0]),n2=127.0.0.1:\(ports[1])"])
        try node.start()
        defer { node.stop() }
        let started = Date()
        let wire = try Wire(port: node.port)
        while try wire.exchange("get job:run:j\r\n", until: "\r\n").contains("unreachable") {
            try #require(Date().timeIntervalSince(started) < 2)
        }
        #expect(try wire.exchange("get job:run:j\r\n", until: "\r\n").contains("there is no job 'j'"))
    }
}
