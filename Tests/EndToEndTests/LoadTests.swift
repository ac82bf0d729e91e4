// Loading odd files, and what the command line gives back: bytes as they are, exit codes that tell the truth.

import Foundation
import Testing

@Suite(.serialized) struct LoadTests {
    private func rows(_ cluster: TestCluster, _ frame: String) throws -> [[String: Any]] {
        let job = try TemporaryFile(
            "function map(s) return s:frame('\(frame)'):rows{ 'a', 'b', limit = 100 } end", suffix: ".lua")
        let run = try cluster.run(["job", "run", job.path, "--json"])
        return run.json?["result"] as? [[String: Any]] ?? []
    }

    @Test("files with other delimiters and line ends load right, and what was assumed is said")
    func dialects() throws {
        let cluster = try TestCluster(nodes: 2)
        for (index, text) in ["a;b\n1;x,y\n2;z\n", "a\tb\r\n1\tx,y\r\n2\tz\r\n", "a|b\r1|x,y\r2|z\r"].enumerated() {
            let file = try TemporaryFile(text, suffix: ".csv")
            let load = try cluster.run(["load", "f\(index)", file.path])
            #expect(load.code == 0 && load.output.contains("loaded 2 rows"), "\(load.errors)")
            #expect(load.errors.contains("between fields"), "\(load.errors)")
            #expect(try rows(cluster, "f\(index)").compactMap { $0["b"] as? String }.sorted() == ["x,y", "z"])
        }
        let given = try TemporaryFile("a:b\n1:x\n", suffix: ".csv")
        #expect(try cluster.run(["load", "given", given.path, "--delimiter", ":"]).code == 0)
        #expect(try cluster.run(["load", "given", given.path, "--delimiter", "::"]).code != 0)
    }

    @Test("files that are no text of rows are refused in one line, and leave no frame")
    func refused() throws {
        let cluster = try TestCluster(nodes: 2)
        let files: [([UInt8], String, [String])] = [
            ([0x1F, 0x8B, 8, 0, 0], ".csv", ["gzip"]), ([0x50, 0x4B, 3, 4, 1], ".csv", ["zip"]),
            (Array("a,b\n1,M\u{FC}ller\n".unicodeScalars.map { UInt8($0.value) }), ".csv", ["line 2", "'b'", "iconv"]),
            ([0xFF, 0xFE] + Array("a,b\n".utf16.flatMap { [UInt8($0 & 0xFF), 0] }), ".csv", ["UTF-16"]),
            (Array("{\"a\":1}\n".utf8), ".csv", ["NDJSON"]),
            (Array("[{\"a\":1}]\n".utf8), ".ndjson", ["line 1", "jq"]),
            (Array("a,b\n1,2\n3,x\n4\n".utf8), ".csv", ["line 4"]), (Array("a\n1\n".utf8), ".txt", [".csv"]),
        ]
        for (bytes, suffix, words) in files {
            let file = try TemporaryFile(bytes, suffix: suffix)
            let load = try cluster.run(["load", "odd", file.path])
            #expect(
                load.code == 1 && load.output.isEmpty && load.errors.split(separator: "\n").count == 1, "\(load.errors)"
            )
            for word in words { #expect(load.errors.contains(word), "\(word): \(load.errors)") }
            #expect(try cluster.run(["query", "frame:list"]).output == "[]\n")
        }
        let none = try TemporaryFile("a,b\n1\n2\n", suffix: ".csv")
        let skipped = try cluster.run(["load", "odd", none.path, "--on-error", "skip"])
        #expect(skipped.code == 1 && skipped.errors.contains("none of its 2 rows fits"), "\(skipped.errors)")
        #expect(try cluster.run(["query", "frame:list"]).output == "[]\n")
    }

    @Test("a load that is killed, or refused in a later block, leaves no frame; one that was there stays")
    func failedLoads() throws {
        let cluster = try TestCluster(nodes: 3)
        let many = (1...300_000).map { "\($0),name\($0)" }.joined(separator: "\n")
        let file = try TemporaryFile("a,b\n" + many + "\noops,x\n", suffix: ".csv")
        let load = try cluster.run(["load", "f", file.path])
        #expect(load.code == 1 && load.errors.contains("line 300002") && load.errors.contains("--schema 'a:string'"))
        #expect(try cluster.run(["query", "frame:list"]).output == "[]\n")
        for signal in [SIGINT, SIGKILL] {
            let process = Process()
            process.executableURL = URL(fileURLWithPath: Place.binary)
            process.arguments = ["load", "f", file.path, "--server", "127.0.0.1:\(cluster[1].port)"]
            process.standardOutput = FileHandle.nullDevice
            process.standardError = FileHandle.nullDevice
            try process.run()
            for _ in 0..<500 where try cluster.run(["query", "frame:list"]).output == "[]\n" { usleep(1_000) }
            kill(process.processIdentifier, signal)
            process.awaitEnd()
            var list = ""
            for _ in 0..<100 where list != "[]\n" {
                list = try cluster.run(["query", "frame:list"]).output
                usleep(50_000)
            }
            #expect(list == "[]\n")
        }
        let small = try TemporaryFile("a,b\n1,x\n", suffix: ".csv")
        #expect(try cluster.run(["load", "f", small.path]).code == 0)
        #expect(try cluster.run(["load", "f", file.path]).code == 1)
        #expect(try rows(cluster, "f").count == 1)
    }

    @Test("values come back byte for byte, from the arguments, from standard input, and to standard output")
    func bytes() throws {
        let cluster = try TestCluster(nodes: 2)
        let server = "--server 127.0.0.1:\(cluster[0].port)"
        let bytes = [UInt8]((0...255).map { UInt8($0) }) + [0xC3, 0xFF, 0x0D, 0x0A]
        let file = try TemporaryFile(bytes, suffix: ".bin")
        let set = try Finished.run("/bin/sh", ["-c", "'\(Place.binary)' set k - \(server) < \(file.path)"])
        #expect(set.output == "STORED\n", "\(set.errors)")
        let copy = try TemporaryFile("", suffix: ".bin")
        _ = try Finished.run("/bin/sh", ["-c", "'\(Place.binary)' get k \(server) > \(copy.path)"])
        #expect([UInt8](try Data(contentsOf: copy.url)) == bytes + [0x0A])
        let script =
            "'\(Place.binary)' set \"$(printf 'k\\377')\" \"$(printf 'v\\376')\" \(server) && "
            + "'\(Place.binary)' get \"$(printf 'k\\377')\" \(server) > \(copy.path)"
        #expect(try Finished.run("/bin/sh", ["-c", script]).code == 0)
        #expect([UInt8](try Data(contentsOf: copy.url)) == [0x76, 0xFE, 0x0A])
    }

    @Test("exit code 0 is for complete answers alone")
    func exitCodes() throws {
        let cluster = try TestCluster(nodes: 2)
        func code(_ arguments: String...) throws -> Int32 { try cluster.run(arguments).code }
        #expect(try code("set", "job:define:bad", "function map() error('no') end") == 0)
        #expect(try code("set", "job:define:good", "function run() return 1 end") == 0)
        #expect(try code("query", "job:run:good") == 0)
        let bad = try cluster.run(["query", "job:run:bad"])
        #expect(
            bad.code == 1 && bad.output.contains("\"error\"") && bad.errors.contains("script_error"), "\(bad.errors)")
        #expect(try code("get", "job:run:bad", "--json") == 1)
        #expect(try code("query", "job:run:nosuch") == 1)
        #expect(try code("get", "nosuch") == 1)
        let missing = try cluster.run(["query", "quota:addandcheck:nosuch:1"])
        #expect(missing.code == 1 && missing.output.isEmpty, "\(missing.output)")
        #expect(try code("cluster", "status") == 0)
        #expect(try code("job", "list") == 0)
        cluster[1].stop()
        #expect(try code("cluster", "status") == 1)
        #expect(try code("job", "list") == 1)
    }
}
