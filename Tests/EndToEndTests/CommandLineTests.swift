// The commands of people and scripts: jobs by name, tables as CSV, where a key lives, and what a terminal shows.

import Foundation
import Testing

@Suite(.serialized) struct CommandLineEndToEndTests {
    private static let job = """
        job.about = "Adds"
        job.params = { by = 1 }
        function run(p) return { { n = 41 + p.by, text = 'a "b", c' } } end

        """

    @Test("a job is defined from a file or a pipe, shown as it was written, and run by its name on any node")
    func definedJobs() throws {
        let cluster = try TestCluster(nodes: 2)
        let file = try TemporaryFile(Self.job, suffix: ".lua")
        for name in ["adds", "a b:c%"] {
            let defined = try cluster.run(["job", "define", name, file.path])
            #expect(defined.code == 0 && defined.output == "defined \(name): Adds (by=1)\n", "\(defined)")
            let shown = try cluster.run(["job", "show", name], on: 1)
            #expect(shown.code == 0 && shown.output == Self.job, "\(shown)")
            let run = try cluster.run(["job", "run", name, "--set", "by=2", "--json"], on: 1)
            let rows = run.json?["result"] as? [[String: Any]]
            #expect(run.code == 0 && rows?.first?["n"] as? Int == 43, "\(run)")
        }
        let told = try cluster.run(["job", "show", "adds", "--json"]).json
        #expect(told?["about"] as? String == "Adds" && (told?["params"] as? [String: Int]) == ["by": 1])
        #expect(told?["source"] as? String == Self.job)
        let piped = try Finished.run(
            Place.binary, ["job", "define", "piped", "-", "--server", "127.0.0.1:\(cluster[1].port)"],
            input: "function map(shard) return 1 end")
        #expect(piped.output == "defined piped: a job\n", "\(piped)")
        #expect(try cluster.run(["job", "explain", "piped"]).output.contains("plain Lua"))
    }

    @Test(
        "what is no job is refused in one line: a name that nobody defined, a file that is not there, Lua that is none")
    func noJobs() throws {
        let cluster = try TestCluster(nodes: 1)
        let broken = try TemporaryFile("function map( end", suffix: ".lua")
        for (arguments, words) in [
            (["run", "nosuch"], ["there is no job 'nosuch'", "job define NAME FILE"]),
            (["show", "nosuch"], ["there is no job 'nosuch'"]), (["show", "beef"], ["there is no job 'beef'"]),
            (["explain", "nosuch"], ["there is no job 'nosuch'"]),
            (["run", "./nosuch"], ["there is no file ./nosuch", "there is no job './nosuch'"]),
            (["run", "nosuch.lua"], ["there is no file nosuch.lua", "there is no job 'nosuch.lua'"]),
            (["explain", "nosuch.lua"], ["there is no file nosuch.lua", "there is no job 'nosuch.lua'"]),
            (["define", "x", broken.path], ["x:1:"]), (["define", "x", "nosuch.lua"], ["nosuch.lua", "no such file"]),
            (["run", "nosuch", "--csv", "--json"], ["--csv and --json"]),
        ] {
            let run = try cluster.run(["job"] + arguments)
            #expect(run.code == 1 && run.output == "", "\(arguments): \(run)")
            #expect(run.errors.split(separator: "\n").count == 1, "\(arguments): \(run.errors)")
            for word in words { #expect(run.errors.contains(word), "\(arguments): \(run.errors)") }
        }
    }

    @Test("a job runs by the name that it was defined by, even one that looks like a file, unless there is that file")
    func namesLikeFiles() throws {
        let cluster = try TestCluster(nodes: 1)
        for (at, name) in ["x.lua", "../x", "a b/c:d", "/tmp"].enumerated() {
            let file = try TemporaryFile(
                "function map(shard) return \(at) end function reduce(a, b) return a end", suffix: ".lua")
            #expect(try cluster.run(["job", "define", name, file.path]).code == 0)
            let run = try cluster.run(["job", "run", name, "--json"])
            #expect(run.code == 0 && run.json?["job"] as? String == name, "\(run)")
            let explained = try cluster.run(["job", "explain", name])
            #expect(explained.code == 0, "\(explained)")
            // The file itself is run all the same.
            #expect(try cluster.run(["job", "define", file.path, Place.file("jobs/top_keys.lua")]).code == 0)
            #expect(try cluster.run(["job", "run", file.path]).output.contains("complete"))
        }
        let more = try cluster.run(["job", "run", "x.lua", "--require", "4"])
        #expect(more.code == 1 && more.errors.contains("the cluster has 1 node"), "\(more)")
        let reply = try Wire(port: cluster[0].port).get("job:run:x.lua:require=4") ?? ""
        #expect(reply.contains("the cluster has 1 node"), "\(reply)")
    }

    @Test("--csv prints rows with a header where there would be a table, and what is said of them on standard error")
    func csv() throws {
        let cluster = try TestCluster(nodes: 1)
        let file = try TemporaryFile(Self.job, suffix: ".lua")
        _ = try cluster.run(["job", "define", "adds", file.path])
        let rows = "n,text\n42,\"a \"\"b\"\", c\"\n"
        for arguments in [["job", "run", "adds"], ["query", "job:run:adds"]] {
            let run = try cluster.run(arguments + ["--csv"])
            #expect(run.code == 0 && run.output == rows, "\(run)")
            #expect(run.errors.hasPrefix("cacheismo: complete: "), "\(run.errors)")
        }
        #expect(try cluster.run(["query", "job:list:", "--csv"]).output == "value\nadds\n")
        let list = try cluster.run(["job", "list", "--csv"]).output.split(separator: "\n")
        #expect(list.first == "id,job,node,status,ms" && list.count == 3, "\(list)")
        let id = String(try #require(list.last?.prefix { $0 != "," }))
        let shown = try cluster.run(["job", "show", id, "--csv"]).output
        #expect(shown.hasPrefix("id,job,node,status,ms,rows,expected\n\(id),adds,node,complete,"), "\(shown)")
        #expect(try cluster.run(["cluster", "status", "--csv"]).output.hasPrefix("node,address,state,"))
        let failing = try TemporaryFile("function run(p) error('no') end", suffix: ".lua")
        let failed = try cluster.run(["job", "run", failing.path, "--csv"])
        #expect(failed.code == 1 && failed.output == "" && failed.errors.contains("script_error"), "\(failed)")
    }

    @Test("cluster owner names the node that stores a key, whichever is asked, and the shard that only that one knows")
    func owner() throws {
        let cluster = try TestCluster(nodes: 3)
        var owners: Set<String> = []
        for index in 0..<24 {
            let key = "key:\(index)"
            let told = try (0..<2).map {
                try #require(try cluster.run(["cluster", "owner", key, "--json"], on: $0).json)
            }
            let name = try #require(told[0]["node"] as? String)
            let owner = try #require(cluster.nodes.first { $0.name == name })
            owners.insert(name)
            #expect(told[0] as NSDictionary == told[1] as NSDictionary)
            #expect(told[0]["kind"] as? String == "item" && told[0]["by"] as? String == key)
            #expect(told[0]["address"] as? String == "127.0.0.1:\(owner.port)")
            #expect((0..<16_384).contains(try #require(told[0]["partition"] as? Int)))
            let shard = try #require(told[0]["shard"] as? Int)
            // Its items are one more where it is said to be.
            func items() throws -> String? {
                let stats = try Wire(port: owner.port).exchange("stats cacheismo\r\n", until: "END\r\n")
                return stats.split(separator: "\r\n").first { $0.hasPrefix("STAT shard:\(shard):items ") }.map(
                    String.init)
            }
            let before = try items()
            #expect(try Wire(port: cluster[index % 3].port).set(key, "x") == "STORED\r\n")
            #expect(try items() != before, "\(key): \(before ?? "") on \(name)")
        }
        #expect(owners.count > 1)
        let plain = try cluster.run(["cluster", "owner", "alice", "--json"]).json
        let tagged = try cluster.run(["cluster", "owner", "quota:get:{alice}x:1", "--json"]).json
        #expect(tagged?["kind"] as? String == "object" && tagged?["by"] as? String == "alice")
        #expect(tagged?["partition"] as? Int == plain?["partition"] as? Int)
        let service = try cluster.run(["cluster", "owner", "job:list:"])
        #expect(service.code == 0 && service.output.contains("service") && service.output.contains("any"))
        let name = try #require(plain?["node"] as? String)
        let dead = try #require(cluster.nodes.firstIndex { $0.name == name })
        cluster[dead].stop(SIGKILL)
        let gone = try cluster.run(["cluster", "owner", "alice"], on: (dead + 1) % 3)
        #expect(
            gone.code == 1 && gone.output.contains(name) && gone.errors.contains("the shard is not known"), "\(gone)")
    }

    @Test("a terminal shows how far a job is; nothing else does")
    func terminal() throws {
        let cluster = try TestCluster(nodes: 2)
        try cluster.loadFlights()
        let run = try Finished.run(
            Place.python,
            [Place.file("Tests/Clients/terminal_checks.py"), Place.binary, "127.0.0.1:\(cluster[0].port)"])
        let failures = run.output.split(separator: "\n").filter { !$0.hasPrefix("ok") }.joined(separator: "\n")
        #expect(run.code == 0, "\(failures)\n\(run.errors)")
        let piped = try cluster.run(["job", "run", Place.file("jobs/worst_hours.lua")])
        #expect(piped.code == 0 && piped.errors == "", "\(piped.errors)")
    }

    @Test("without a terminal top prints once: people a table, machines what every node does")
    func top() throws {
        let cluster = try TestCluster(nodes: 2)
        let wire = try Wire(port: cluster[0].port)
        #expect(try wire.set("hot", "x") == "STORED\r\n")
        for _ in 0..<50 { _ = try wire.get("hot") }
        let text = try cluster.run(["top"])
        #expect(text.code == 0 && text.errors == "", "\(text)")
        for words in ["2 of 2 nodes up", "gets/s", "Hot keys\n", "hot ", "Jobs under way\nnone"] {
            #expect(text.output.contains(words), "\(words): \(text.output)")
        }
        let told = try cluster.run(["top", "--json"], on: 1).json
        let nodes = try #require(told?["nodes"] as? [[String: Any]])
        #expect(nodes.map { $0["node"] as? String } == ["n1", "n2"])
        #expect(nodes.allSatisfy { $0["getsPerSecond"] is Int && $0["state"] as? String == "up" }, "\(nodes)")
        #expect((told?["hotKeys"] as? [[String: Any]])?.first?["key"] as? String == "hot")
        cluster[1].stop(SIGKILL)
        let part = try cluster.run(["top", "--once"])
        #expect(part.code == 1 && part.output.contains("1 of 2 nodes up"), "\(part)")
        #expect(part.output.contains("n2 is down: "), "\(part)")
    }
}
