// What goes wrong in a user's hands: one clear line that names the thing and the remedy, and an exit code.

import Foundation
import Testing

@Suite(.serialized) struct BadInputTests {
    /// One line on standard error, starting with the program's name and holding these words, but for the functions of a script,
    /// which are indented below it; nothing on standard output.
    private func expectOneLine(_ run: Finished, _ words: String..., sourceLocation: SourceLocation = #_sourceLocation) {
        #expect(run.code != 0, sourceLocation: sourceLocation)
        let lines = run.errors.split(separator: "\n").filter { !$0.hasPrefix("  ") }
        #expect(lines.count == 1, "\(run.errors)", sourceLocation: sourceLocation)
        #expect(run.errors.hasPrefix("cacheismo: "), "\(run.errors)", sourceLocation: sourceLocation)
        for word in words {
            #expect(run.errors.contains(word), "\(word): \(run.errors)", sourceLocation: sourceLocation)
        }
        #expect(run.output == "", sourceLocation: sourceLocation)
    }

    private func cacheismo(_ arguments: String...) throws -> Finished { try Finished.run(Place.binary, arguments) }

    @Test("an unknown option is refused with a hint")
    func options() throws {
        expectOneLine(try cacheismo("serve", "--prot", "11311"), "'--prot'", "--port")
        expectOneLine(try cacheismo("-q"), "'-q'")
        expectOneLine(try cacheismo("-Z"), "-Z", "TLS")
        expectOneLine(try cacheismo("-d"), "-d", "foreground")
        expectOneLine(try cacheismo("-o", "ext_path=x"), "ext_path")
        expectOneLine(try cacheismo("-o", "nonsense"), "nonsense")
        expectOneLine(try cacheismo("-a", "999"), "--unix-mask 999")
        expectOneLine(try cacheismo("--port", "many"), "'many'", "--port")
        expectOneLine(try cacheismo("--port", "70000"), "--port 70000", "65535")
        expectOneLine(try cacheismo("-m", "0"), "--memory 0")
        expectOneLine(try cacheismo("-U", "11211"), "--udp-port 11211")
        expectOneLine(try cacheismo("job", "run"), "file")
    }

    @Test("a peer list with a mistake in it names the mistake")
    func peers() throws {
        expectOneLine(try cacheismo("--name", "n1"), "--peers")
        expectOneLine(try cacheismo("--name", "n1", "--peers", "n1=127.0.0.1"), "n1=127.0.0.1", "port")
        expectOneLine(try cacheismo("--name", "n9", "--peers", "n1=127.0.0.1:1,n2=127.0.0.1:2"), "n9", "n1")
        expectOneLine(try cacheismo("--name", "n1", "--peers", "n1=127.0.0.1:1,n1=127.0.0.1:2"), "n1")
    }

    @Test("a busy port is named")
    func busyPort() throws {
        let cluster = try TestCluster(nodes: 1)
        expectOneLine(try cacheismo("serve", "--port", "\(cluster[0].port)"), "\(cluster[0].port)", "in use")
    }

    @Test("a dead server is named, and how to start one")
    func deadServer() throws {
        let port = try TestCluster.freePorts(1)[0]
        let server = ["--server", "127.0.0.1:\(port)"]
        for command in [
            ["job", "run", "jobs/top_keys.lua"], ["query", "node:name"], ["get", "x"], ["set", "x", "1"],
            ["load", "f", "datasets/flights.csv.zst"], ["cluster", "status"],
        ] {
            let run = try Finished.run(Place.binary, command + server)
            expectOneLine(run, "127.0.0.1:\(port)", "connection refused", "cacheismo serve -p \(port)")
            #expect(run.seconds < 3)
            let start = command[0] == "load" ? "datasets/flights.csv.zst: " : ""
            let end = command[0] == "load" ? "; nothing was loaded" : ""
            #expect(
                run.errors == "cacheismo: \(start)127.0.0.1:\(port) can't be reached: connection refused"
                    + "\(end) (is a node running there? start one with: cacheismo serve -p \(port))\n")
        }
        expectOneLine(try cacheismo("get", "x", "--server", "nowhere:port"), "nowhere:port")
    }

    @Test("a scripts folder that is missing or holds a broken file is named")
    func scripts() throws {
        expectOneLine(try cacheismo("--scripts", "/nonexistent"), "/nonexistent")
    }

    @Test("files that are missing, of no known kind, empty or broken are named, and nothing is loaded")
    func files() throws {
        let cluster = try TestCluster(nodes: 2)
        func load(_ file: String, _ more: String...) throws -> Finished { try cluster.run(["load", "f", file] + more) }
        expectOneLine(try load("/nonexistent.csv"), "/nonexistent.csv", "no such file")
        expectOneLine(try load("/tmp"), "/tmp")
        expectOneLine(try load("README.md"), "README.md", ".csv")
        let empty = try TemporaryFile("", suffix: ".csv")
        expectOneLine(try load(empty.path), empty.path, "empty")
        let packed = [UInt8](try Data(contentsOf: URL(fileURLWithPath: Place.file("datasets/flights.csv.zst"))))
        let truncated = try TemporaryFile(Array(packed[..<100_000]), suffix: ".csv.zst")
        expectOneLine(try load(truncated.path), truncated.path, "nothing was loaded")
        let noise = try TemporaryFile(Array("not zstd at all".utf8), suffix: ".csv.zst")
        expectOneLine(try load(noise.path), noise.path, "zstd")
        let schema = try TemporaryFile("a,b\n1,2\n", suffix: ".csv")
        expectOneLine(try load(schema.path, "--schema", "c:int"), "'c'")
        expectOneLine(try load(schema.path, "--schema", "a:number"), "number")
        #expect(try cluster.run(["query", "frame:list"]).output == "[]\n")
    }

    @Test("a row that does not fit is reported with its line, and nothing is loaded; or it is skipped and counted")
    func misfits() throws {
        let cluster = try TestCluster(nodes: 2)
        let rows = (1...30_000).map { "\($0),name\($0)" }
        let text = (["id,name"] + rows + ["oops,last", "30001,after"]).joined(separator: "\n") + "\n"
        let file = try TemporaryFile(text, suffix: ".csv")
        let stopped = try cluster.run(["load", "people", file.path])
        expectOneLine(stopped, file.path, "line 30002", "'id'", "'oops'", "nothing was loaded")
        let count = try TemporaryFile("function map(s) return s:frame('people'):count() end", suffix: ".lua")
        #expect(try cluster.run(["query", "frame:list"]).output == "[]\n")
        let skipped = try cluster.run(["load", "people", file.path, "--on-error", "skip"])
        #expect(skipped.code == 0)
        #expect(
            skipped.output.contains("loaded 30,001 rows") && skipped.output.contains("1 row did not fit"),
            "\(skipped.output)")
        #expect(skipped.errors.contains("line 30002"), "\(skipped.errors)")
        let all = try cluster.run(["job", "run", count.path, "--json"], on: 1)
        #expect((all.json?["result"] as? [[String: Int]])?.first?["count"] == 30_001)
    }

    @Test("a load that failed is not in the way of the next one; a frame keeps its columns")
    func schemas() throws {
        let cluster = try TestCluster(nodes: 3)
        let many = (1...20_000).map { "\($0)" }
        let broken = try TemporaryFile((["id"] + many + ["1.5"]).joined(separator: "\n") + "\n", suffix: ".csv")
        expectOneLine(try cluster.run(["load", "f", broken.path]), "line 20002", "'1.5'", "nothing was loaded")
        let typed = try cluster.run(["load", "f", broken.path, "--schema", "id:double"], on: 1)
        #expect(typed.output.contains("loaded 20,001 rows"), "\(typed.output)\(typed.errors)")
        let whole = try TemporaryFile("{\"id\":7}\n", suffix: ".ndjson")
        #expect(
            try cluster.run(["load", "f", whole.path], on: 2).output.contains("loaded 1 row into f, which had 20,001"))
        let other = try TemporaryFile("{\"id\":7,\"more\":1}\n", suffix: ".ndjson")
        expectOneLine(
            try cluster.run(["load", "f", other.path]), "frame 'f' exists with columns id:double", "nothing was loaded")
    }

    @Test("a job that is broken, raises, asks for what is not there or takes too long says so in one line")
    func jobs() throws {
        let cluster = try TestCluster(nodes: 2)
        let rows = try TemporaryFile("a,b\n1,x\n2,y\n", suffix: ".csv")
        #expect(try cluster.run(["load", "f", rows.path]).code == 0)
        func run(_ lua: String, _ more: String...) throws -> Finished {
            let file = try TemporaryFile(lua, suffix: ".lua")
            return try cluster.run(["job", "run", file.path] + more)
        }
        let none = try cluster.run(["job", "run", "jobs/nosuch.lua"])
        expectOneLine(none, "there is no file jobs/nosuch.lua", "there is no job")
        expectOneLine(try run("function map(shard\n  return 1\nend"), "script_error", ":2:")
        expectOneLine(try run("x = 1"), "neither map(shard, p) nor run(p)")
        expectOneLine(try run("function map() error('my own words') end"), "script_error", "my own words")
        expectOneLine(try run("function map() local t = nil; return t.x end"), "script_error", ":1:")
        expectOneLine(try run("function map(s) return s:frame('nosuch'):count() end"), "'nosuch'", "miss")
        expectOneLine(try run("function map(s) return s:frame('f'):group('c'):count() end"), "'c'", "a, b")
        expectOneLine(try run("function map(s) return s:frame('f'):where('a', '!', 1):count() end"), "'!'")
        expectOneLine(try run("function map(s) return s:frame('f'):agg{ x = sum('b') } end"), "'b'")
        expectOneLine(try run("function map(s) return 1 end"), "reduce(a, b)")
        expectOneLine(try run("function run() getFromServer('n9', 'k'); return 1 end"), "no server 'n9'", "n1, n2")
        expectOneLine(try run("function run() while true do end end", "--timeout", "300"), "time")
        expectOneLine(try run("function map() while true do end end", "--timeout", "300"), "time")
        expectOneLine(try run("job.params = { a = 1 } function run() return 1 end", "--set", "b=2"), "'b'", "it has a")
        expectOneLine(try run("function run() return 1 end", "--set", "b"), "name=value")
        expectOneLine(try run("function run() return 1 end", "--require", "most"), "most")
        let fine = try run("function map(s) return s:frame('f'):count() end")
        #expect(fine.code == 0, "\(fine.errors)")
    }

    @Test("an answer that could not be written is no success")
    func fullDisk() throws {
        let cluster = try TestCluster(nodes: 1)
        let command = "'\(Place.binary)' query node:name: --server 127.0.0.1:\(cluster[0].port)"
        let full = try Finished.run("/bin/sh", ["-c", command + " >/dev/full"])
        expectOneLine(full, "standard output")
        #expect(try Finished.run("/bin/sh", ["-c", command + " >&-"]).code == 0)
        #expect(try Finished.run("/bin/sh", ["-c", command]).output == "node\n")
    }

    @Test("a node without --port listens where its peers look for it; addresses may have ports of their own")
    func ports() throws {
        let ports = try TestCluster.freePorts(4)
        let peers = "n1=127.0.0.1:\(ports[0]),n2=127.0.0.1:\(ports[1])"
        let node = TestNode(
            name: "n1", port: ports[0], givesPort: false, arguments: ["--name", "n1", "--peers", peers])
        try node.start()
        node.stop()
        // The port that says when the node is up is the last one to be bound.
        let other = TestNode(
            name: "node", port: ports[2], arguments: ["-l", "127.0.0.1:\(ports[3]),127.0.0.1", "-m", "1", "-t1"])
        try other.start()
        #expect(try Wire(port: ports[3]).set("k", "v") == "STORED\r\n")
        #expect(try Wire(port: ports[2]).get("k") == "v")
        other.stop()
        expectOneLine(try cacheismo("-l", ""), "--listen")
        expectOneLine(try cacheismo("-l", "127.0.0.1:x"), "127.0.0.1:x")
        expectOneLine(try cacheismo("-l", "no.such.invalid"), "no.such.invalid", "no such address")
    }
}
