// Lists of keys: what they say of each, and that a long one keeps its place among the answers.

import Engine
import Gather
import Server
import Testing

@Suite struct KeyDumpTests {
    private static let now: UInt32 = 1_000_000_000

    @Test("metadump tells key, end, access, unique, reads and size of each item, with keys as in a URL")
    func facts() {
        let harness = SessionTests.harness()
        harness.send("set a%/é:~ 7 100 3\r\nabc\r\n", now: Self.now)
        harness.send("get a%/é:~\r\n", now: Self.now + 5)
        _ = harness.answer()
        for argument in ["all", "hash", "1", "1,2", "5,1"] {
            harness.send("lru_crawler metadump \(argument)\r\n", now: Self.now + 9)
            let answer = harness.answer()
            let facts = "key=a%25%2F%C3%A9%3A~ exp=1000000100 la=1000000000 cas=1 fetch=yes cls=1 size=32\n"
            #expect(answer == "OK\r\n\(facts)END\r\n", "\(answer)")
        }
        harness.send("lru_crawler metadump all\r\n", now: Self.now + 100)
        #expect(harness.answer() == "OK\r\nEND\r\n")
    }

    @Test("mgdump lists commands that read each item, in base64 where a key can't be sent as it is")
    func commands() {
        for (key, base64) in [("AAEC", true), ("AQ==", true), ("IGE=", true), ("abc", false)] {
            let harness = SessionTests.harness()
            harness.send("ms \(key) 2\(base64 ? " b" : "")\r\nhi\r\n")
            _ = harness.answer()
            harness.send("lru_crawler mgdump all\r\n")
            let answer = harness.answer()
            #expect(answer == "OK\r\nmg \(key)\(base64 ? " b" : "")\r\nEN\r\n")
            harness.send(answer.replacing("OK\r\n", with: "").replacing("\r\nEN", with: " v"))
            #expect(harness.answer() == "VA 2\r\nhi\r\n")
        }
    }

    @Test(
        "a list of any length, asked for in any pieces, is whole, and what follows comes after it",
        arguments: [1, 1000])
    func long(pieceBytes: Int) {
        var configuration = SessionConfiguration()
        configuration.outputBytesHigh = 4096
        let harness = SessionTests.harness(configuration)
        harness.send((0..<5000).map { "set key-\($0) 0 0 1 noreply\r\n1\r\n" }.joined())
        harness.send(
            "lru_crawler metadump all\r\nget key-1\r\nlru_crawler mgdump hash\r\nmn\r\n", pieceBytes: pieceBytes)
        // By bytes, as a return and a line feed are one character.
        let lines = harness.answer().utf8.split(separator: 0x0A).map { String(decoding: $0, as: UTF8.self) }
        guard lines.count == 10_008 else {
            Issue.record("\(lines.count) lines")
            return
        }
        #expect(lines[0] == "OK\r")
        #expect(Set(lines[1...5000].map { $0.prefix { $0 != " " } }) == Set((0..<5000).map { "key=key-\($0)" }))
        #expect(lines[5001..<5006] == ["END\r", "VALUE key-1 0 1\r", "1\r", "END\r", "OK\r"])
        #expect(Set(lines[5006..<10_006]) == Set((0..<5000).map { "mg key-\($0)\r" }))
        #expect(lines[10_006...] == ["EN\r", "MN\r"])
    }

    @Test("stats cachedump lists keys up to a number, or to 2 MiB")
    func cacheDump() {
        let harness = SessionTests.harness()
        harness.send("set a 0 0 3\r\nabc\r\nstats cachedump 1 0\r\nset b 0 9 3\r\nabc\r\nstats cachedump 1 1\r\n")
        let answer = harness.answer()
        #expect(answer.hasPrefix("STORED\r\nITEM a [3 b; 0 s]\r\nEND\r\nSTORED\r\nITEM "))
        #expect(answer.components(separatedBy: "ITEM ").count == 3)
        let key = String(repeating: "k", count: 200)
        harness.send((0..<12_000).map { "set \(key)\($0) 0 0 0 noreply\r\n\r\n" }.joined())
        harness.send("stats cachedump 1 0\r\n")
        let bytes = harness.answer().utf8.count
        #expect(bytes >= 2 << 20 && bytes < (2 << 20) + 300)
    }

    @Test("nobody is told the keys under -X")
    func forbidden() {
        var configuration = SessionConfiguration()
        configuration.allowsDump = false
        let harness = SessionTests.harness(configuration)
        harness.send(
            "set a 0 0 1 noreply\r\n1\r\nlru_crawler metadump all\r\nlru_crawler mgdump all\r\nstats cachedump 1 0\r\n")
        #expect(
            harness.answer() == "ERROR metadump not allowed\r\nERROR key dump not allowed\r\n"
                + "CLIENT_ERROR stats cachedump not allowed\r\n")
    }
}

extension String {
    fileprivate func components(separatedBy part: String) -> [Substring] {
        self.split(separator: part, omittingEmptySubsequences: false)
    }
}
