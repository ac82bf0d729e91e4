// Loads beside jobs, and nodes that are killed while rows come in: a load is in an answer wholly or not at all.

import Foundation
import Synchronization
import Testing

@Suite(.serialized) struct WholeLoadTests {
    private static let count = "function map(s) return s:frame('f'):count() end"

    private static func file(rows: Int) throws -> TemporaryFile {
        var text = "a,b\n"
        for row in 0..<rows { text += "\(row),name\(row % 1_000)\n" }
        return try TemporaryFile(text, suffix: ".csv")
    }

    private struct Answer {
        var status: String
        var expected: Int
        var scanned: Int
        var count: Int
        var reason: String?
    }

    private static func answer(_ wire: Wire, _ require: String = "all") throws -> Answer? {
        guard let text = try wire.get("job:run:count:require=\(require)"),
            let json = try? JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any],
            let status = json["status"] as? String, let rows = json["rows"] as? [String: Any]
        else { return nil }
        let result = json["result"] as? [[String: Any]]
        return Answer(
            status: status, expected: rows["expected"] as? Int ?? -1, scanned: rows["scanned"] as? Int ?? -1,
            count: result?.first?["count"] as? Int ?? 0, reason: (json["error"] as? [String: Any])?["reason"] as? String
        )
    }

    private static func define(_ cluster: TestCluster) throws {
        #expect(try cluster.run(["set", "job:define:count", count]).code == 0)
        // Jobs are told to all nodes within a second.
        for node in cluster.nodes {
            let wire = try Wire(port: node.port)
            for _ in 0..<100 where try wire.get("job:list")?.contains("count") != true { usleep(20_000) }
        }
    }

    @Test("answers beside loads are of whole loads, and complete ones have all the rows that they expect")
    func beside() throws {
        let cluster = try TestCluster(nodes: 3)
        let rows = 100_000
        let file = try Self.file(rows: rows)
        #expect(try cluster.run(["load", "f", file.path]).code == 0)
        try Self.define(cluster)
        let (port, path) = (cluster[0].port, file.path)
        let isDone = Atomic<Bool>(false)
        let loaded = Atomic<Int>(1)
        let loading = Thread {
            for _ in 0..<6 {
                let load = try? Finished.run(Place.binary, ["load", "f", path, "--server", "127.0.0.1:\(port)"])
                if load?.code == 0 { loaded.add(1, ordering: .relaxed) }
            }
            isDone.store(true, ordering: .releasing)
        }
        loading.start()
        var (complete, others, counts): (Int, Int, Set<Int>) = (0, 0, [])
        let wires = try (1...2).map { try Wire(port: cluster[$0].port) }
        var last = 0
        while !isDone.load(ordering: .acquiring) {
            for wire in wires {
                guard let answer = try Self.answer(wire) else { throw TestFailure("no answer") }
                guard answer.status == "complete" else {
                    others += 1
                    #expect(answer.reason == "incomplete_data", "\(answer)")
                    continue
                }
                complete += 1
                #expect(answer.expected == answer.scanned && answer.scanned == answer.count, "\(answer)")
                #expect(answer.count % rows == 0 && answer.count >= last, "\(answer), after \(last)")
                last = max(last, answer.count)
                counts.insert(answer.count)
            }
        }
        #expect(loaded.load(ordering: .relaxed) == 7)
        #expect(try Self.answer(wires[0])?.count == 7 * rows)
        #expect(counts.count > 3 && complete > 20 * others, "\(complete) complete, \(others) not, \(counts)")
    }

    /// The rows that a node holds, visible or not, in bytes.
    private static func rowBytes(_ node: TestNode) throws -> Int {
        let text = try Wire(port: node.port).exchange("stats cacheismo\r\n", until: "END\r\n")
        let line = text.split(separator: "\r\n").first { $0.hasPrefix("STAT frame_row_bytes ") }
        return line.flatMap { Int($0.split(separator: " ")[2]) } ?? -1
    }

    /// A load whose file goes on for as long as this is there.
    private final class EndlessLoad {
        let process = Process()
        private let path: String
        private let descriptor: Int32

        init(_ cluster: TestCluster, on node: Int) throws {
            path = FileManager.default.temporaryDirectory.appendingPathComponent("\(UUID().uuidString).csv").path
            guard mkfifo(path, 0o600) == 0 else { throw TestFailure("no pipe at \(path)") }
            descriptor = open(path, O_RDWR | O_CLOEXEC)
            process.executableURL = URL(fileURLWithPath: Place.binary)
            process.arguments = ["load", "f", path, "--server", "127.0.0.1:\(cluster[node].port)"]
            process.standardOutput = FileHandle.nullDevice
            process.standardError = FileHandle.nullDevice
            process.standardInput = FileHandle.nullDevice
            try process.run()
        }

        /// Some blocks of rows, which the command has read in part when this returns.
        func write(rows: Int) throws {
            var text = Array("a,b\n".utf8)
            for row in 0..<rows { text += Array("\(row),name\(row % 1_000)\n".utf8) }
            var left = text[...]
            while !left.isEmpty {
                let written = left.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
                guard written > 0 else { throw TestFailure("the pipe is broken") }
                left = left.dropFirst(written)
            }
        }

        /// The file comes to its end.
        func close() {
            Glibc.close(descriptor)
            unlink(path)
        }

        var exitCode: Int32 {
            process.awaitEnd()
            return process.terminationStatus
        }
    }

    @Test("a node that is killed between two blocks leaves nothing of the load anywhere, whichever node it is")
    func killed() throws {
        let cluster = try TestCluster(nodes: 3)
        let small = try Self.file(rows: 10)
        for victim in [2, 0] {
            let load = try EndlessLoad(cluster, on: 0)
            try load.write(rows: 700_000)
            for node in cluster.nodes {
                for _ in 0..<5_000 where try Self.rowBytes(node) < 100_000 { usleep(2_000) }
                #expect(try Self.rowBytes(node) >= 100_000)
            }
            cluster[victim].stop(SIGKILL)
            load.close()
            #expect(load.exitCode == 1)
            for survivor in [0, 1, 2] where survivor != victim {
                for _ in 0..<300 where try Self.rowBytes(cluster[survivor]) != 0 { usleep(50_000) }
                #expect(try Self.rowBytes(cluster[survivor]) == 0)
            }
            try cluster[victim].start()
            // A later load goes to all three, and is all that there is.
            _ = try cluster.run(["query", "frame:drop:f"], on: 1)
            let again = try cluster.run(["load", "f", small.path], on: 1)
            #expect(again.code == 0 && again.output.contains("loaded 10 rows"), "\(again.output) \(again.errors)")
            try Self.define(cluster)
            let answer = try Self.answer(try Wire(port: cluster[1].port))
            #expect(answer?.status == "complete" && answer?.count == 10 && answer?.expected == 10)
            #expect(try cluster.run(["query", "frame:drop:f"], on: 1).code == 0)
            for node in cluster.nodes {
                for _ in 0..<100 where try Self.rowBytes(node) != 0 { usleep(20_000) }
            }
        }
    }

    @Test(
        "a coordinator that is killed between prepare and commit leaves nothing of the load, once its node is there again"
    )
    func killedBetween() throws {
        let cluster = try TestCluster(nodes: 3)
        let load = try EndlessLoad(cluster, on: 0)
        try load.write(rows: 700_000)
        for node in cluster.nodes {
            for _ in 0..<5_000 where try Self.rowBytes(node) < 100_000 { usleep(2_000) }
            #expect(try Self.rowBytes(node) >= 100_000)
        }
        // The third node does not answer that it is prepared, so that nothing is decided.
        try cluster[2].hang()
        load.close()
        usleep(300_000)
        cluster[0].stop(SIGKILL)
        #expect(load.exitCode == 1)
        let count = try Self.rowBytes(cluster[1])
        #expect(count >= 100_000, "what is prepared is kept until it is known what became of the load: \(count)")
        cluster[2].signal(SIGCONT)
        // Another run of it answers that it knows of no such load.
        try cluster[0].start()
        for survivor in [1, 2] {
            for _ in 0..<600 where try Self.rowBytes(cluster[survivor]) != 0 { usleep(100_000) }
            #expect(try Self.rowBytes(cluster[survivor]) == 0, "\(cluster[survivor].logText)")
        }
        try Self.define(cluster)
        let answer = try Self.answer(try Wire(port: cluster[1].port), "all")
        #expect(answer?.count == 0 && (answer?.expected ?? 0) <= 0, "\(String(describing: answer))")
    }

    @Test("a partial answer's rows are those that are in it")
    func partial() throws {
        let cluster = try TestCluster(nodes: 3)
        let file = try Self.file(rows: 200_000)
        #expect(try cluster.run(["load", "f", file.path]).code == 0)
        try Self.define(cluster)
        cluster[2].stop(SIGKILL)
        let wire = try Wire(port: cluster[0].port)
        let without = try Self.answer(wire, "any")
        #expect(without?.status == "partial" && without?.expected == 200_000 && without?.scanned == without?.count)
        // It is back and empty, and gets new rows: these are not in the answer, as it lacks others.
        try cluster[2].start()
        for _ in 0..<100 where try cluster.run(["cluster", "status"]).output.contains("down") { usleep(50_000) }
        let row = #"{"a":1,"b":"x"}"#
        #expect(try Wire(port: cluster[2].port).set("frame:append:f", row) == "STORED\r\n")
        let with = try Self.answer(wire, "any")
        #expect(with?.status == "partial" && with?.scanned == with?.count && with?.count == without?.count)
        #expect(with?.expected == 200_001)
    }
}
