// What a whole process takes of the machine's memory, on the way and in the end.

import Foundation
import Testing

@Suite(.serialized) struct MemoryTests {
    /// One value of a schema with noise in it, as services store them; about half of it can be compressed away.
    private static func record(_ random: inout SystemRandomNumberGenerator, _ number: Int) -> String {
        let names = ["customer", "balance", "currency", "status", "updated_at", "country"]
        var text = "{\"id\":\(number)"
        for _ in 0..<16 {
            let name = names[Int.random(in: 0..<6, using: &random)]
            text += ",\"\(name)\":\"\(UInt64.random(in: 0...(.max), using: &random))\""
        }
        return text + "}"
    }

    private static func kilobytes(_ field: String, of process: String) throws -> Int {
        let status = try String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8)
        let line = status.split(separator: "\n").first { $0.hasPrefix("\(field):") }
        guard let text = line?.split(whereSeparator: \.isWhitespace).dropFirst().first, let kilobytes = Int(text) else {
            throw TestFailure("no \(field) of \(process)")
        }
        return kilobytes
    }

    private static func statistic(_ name: String, _ report: String) -> String? {
        let line = report.split(whereSeparator: \.isNewline).first { $0.hasPrefix("STAT \(name) ") }
        return line.map { String($0.split(separator: " ")[2]) }
    }

    @Test("a result of 40 MB arrives whole where items have 64 MB, also where it is read slowly; and leaves nothing")
    func largeResult() throws {
        let cluster = try TestCluster(nodes: 1, arguments: ["-m", "64"])
        defer { cluster.stop() }
        let wire = try Wire(port: cluster[0].port)
        let source = "function run() local t, x = {}, ('x'):rep(4000000) for i = 1, 10 do t[i] = x end return t end"
        #expect(try wire.set("job:define:big", source) == "STORED\r\n")
        for asks in ["get job:run:big\r\n", "mg job:run:big v\r\n"] {
            let client = try Wire(port: cluster[0].port)
            let answer = try client.exchange(asks + "mn\r\n", until: "MN\r\n", pauseMicroseconds: 2_000)
            #expect(answer.utf8.count > 40_000_000, "\(answer.prefix(400))")
        }
        var held = "?"
        for _ in 0..<100 where held != "0" {
            let report = try wire.exchange("stats cacheismo\r\n", until: "END\r\n")
            held = Self.statistic("job_script_bytes", report) ?? "?"
            if held != "0" { usleep(20_000) }
        }
        #expect(held == "0")
    }

    @Test(
        "a store that fills with values that shrink, and trains on them, takes no more on the way than in the end",
        .enabled(if: FileManager.default.fileExists(atPath: "/proc/self/status")))
    func peak() throws {
        let cluster = try TestCluster(nodes: 1, arguments: ["-m", "64", "-t", "2"])
        defer { cluster.stop() }
        let wire = try Wire(port: cluster[0].port)
        var random = SystemRandomNumberGenerator()
        for batch in 0..<240 {
            var sets = ""
            for at in 0..<1000 {
                let value = Self.record(&random, at)
                sets += "set key:\(batch * 1000 + at) 0 0 \(value.utf8.count) noreply\r\n\(value)\r\n"
            }
            _ = try wire.exchange(sets + "mn\r\n", until: "MN\r\n")
        }
        let pid = try #require(Self.statistic("pid", try wire.exchange("stats\r\n", until: "END\r\n")))
        var trainings = 0
        for _ in 0..<200 where trainings < 2 {
            let report = try wire.exchange("stats cacheismo\r\n", until: "END\r\n")
            trainings = Self.statistic("dictionary_trainings", report).flatMap { Int($0) } ?? 0
            if trainings < 2 { usleep(50_000) }
        }
        #expect(trainings == 2)
        let (most, now) = (try Self.kilobytes("VmHWM", of: pid), try Self.kilobytes("VmRSS", of: pid))
        // Code pages come and go.
        #expect(most <= now + 12_000)
    }
}
