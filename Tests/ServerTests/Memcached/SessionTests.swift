// The protocol tables in process, whole and in pieces of every kind; and what a table can't say.

import Engine
import Gather
import Server
import Testing

@Suite struct SessionTests {
    static func harness(
        _ configuration: SessionConfiguration = SessionConfiguration(), memoryBytes: Int = 16 << 20
    ) -> SessionHarness<Router> {
        SessionHarness(Router(engine: Engine(EngineConfiguration(memoryBytes: memoryBytes))), configuration)
    }

    @Test("every exchange answers as expected, all at once")
    func wholeExchanges() {
        for exchange in Wire.all {
            let harness = Self.harness()
            harness.send(exchange.send)
            let isSame = harness.text == exchange.expect
            #expect(isSame, "\(exchange.name): \(harness.text.prefix(300).debugDescription)")
            #expect((harness.session.verdict == .closing) == exchange.closes, "\(exchange.name)")
        }
    }

    @Test("every exchange answers the same byte by byte, and in pieces of 7, 1,000 and 65,536 bytes")
    func exchangesInPieces() {
        for exchange in Wire.all {
            for pieceBytes in [1, 7, 1000, 65_536] where exchange.send.utf8.count < 100_000 || pieceBytes > 500 {
                let harness = Self.harness()
                harness.send(exchange.send, pieceBytes: pieceBytes)
                let isSame = harness.text == exchange.expect
                #expect(isSame, "\(exchange.name) by \(pieceBytes): \(harness.text.prefix(300).debugDescription)")
            }
        }
    }

    @Test("random streams of words, right and wrong, answer the same in pieces of any size")
    func randomStreams() {
        let words = [
            "get", "gets", "gat", "gats", "set", "add", "replace", "append", "prepend", "cas", "incr", "decr", "delete",
            "touch", "flush_all", "version", "verbosity", "mn", "stats", "mg", "ms", "md", "ma", "me", "v", "k", "q",
            "N30", "T0",
            "MA", "O1", "I", "C5", "E7", "YQ==", "a", "b", "c", "0", "1", "2", "3", "-1", "x",
            "noreply", Wire.key251, "peer", "\u{0}", "\r", "4294967295",
        ]
        let endings = ["\r\n", "\n", "\r\n1\r\n", "\r\n12\r\n", "\r\n123\r\n", " ", "\r\n\r\n"]
        var random = SeededStream(state: 11)
        for round in 0..<300 {
            var stream = "mn\r\n"
            for _ in 0..<40 {
                for _ in 0..<random.below(7) { stream += words[random.below(words.count)] + " " }
                stream += words[random.below(words.count)] + endings[random.below(endings.count)]
                if random.below(3) == 0 { stream += "set a 0 0 2\r\n10\r\n" }
            }
            var answers: Set<String> = []
            for pieceBytes in [Int.max, 1, 2, 5, 64, 1 + random.below(100)] {
                let harness = Self.harness()
                harness.send(stream, pieceBytes: pieceBytes)
                // What `stats` says of bytes and times depends on when it is asked.
                answers.insert(
                    harness.text.split(separator: "\r\n", omittingEmptySubsequences: false)
                        .filter { !$0.hasPrefix("STAT ") }.joined(separator: "\r\n"))
            }
            #expect(answers.count == 1, "round \(round)")
        }
    }

    @Test("all exchanges on one connection, one after the other, do not disturb each other")
    func pipelined() {
        let harness = Self.harness()
        for exchange in Wire.all where !exchange.closes {
            harness.send(exchange.send + "flush_all\r\n", pieceBytes: 997)
            let isSame = harness.answer() == exchange.expect + "OK\r\n"
            #expect(isSame, "\(exchange.name)")
        }
    }

    @Test("gets tells the unique that cas wants, and each store changes it")
    func uniques() {
        let harness = Self.harness()
        harness.send("set a 0 0 1\r\n1\r\ngets a\r\ncas a 0 0 1 1\r\n2\r\ngets a\r\ncas a 0 0 1 1\r\n3\r\ngats 0 a\r\n")
        #expect(
            harness.text == "STORED\r\nVALUE a 0 1 1\r\n1\r\nEND\r\nSTORED\r\nVALUE a 0 1 2\r\n2\r\nEND\r\nEXISTS\r\n"
                + "VALUE a 0 1 2\r\n2\r\nEND\r\n")
    }

    @Test("relative and absolute times, and a delayed flush, follow the clock that is passed in")
    func times() {
        let harness = Self.harness()
        harness.send("set a 0 10 1\r\n1\r\nset b 0 1000000020 1\r\n1\r\ntouch a 10\r\n", now: 1_000_000_000)
        harness.send("get a b\r\n", now: 1_000_000_009)
        #expect(harness.answer().hasSuffix("VALUE a 0 1\r\n1\r\nVALUE b 0 1\r\n1\r\nEND\r\n"))
        harness.send("get a b\r\n", now: 1_000_000_010)
        #expect(harness.answer() == "VALUE b 0 1\r\n1\r\nEND\r\n")
        harness.send("flush_all 5\r\nget b\r\n", now: 1_000_000_010)
        #expect(harness.answer() == "OK\r\nVALUE b 0 1\r\n1\r\nEND\r\n")
        harness.send("get b\r\n", now: 1_000_000_015)
        #expect(harness.answer() == "END\r\n")
    }

    @Test("a session with much to say stops consuming until its output is taken, in the middle of a line too")
    func outputStalls() {
        var configuration = SessionConfiguration()
        configuration.outputBytesHigh = 1000
        let harness = Self.harness(configuration)
        harness.send("set a 0 0 300\r\n" + String(repeating: "x", count: 300) + "\r\n")
        _ = harness.answer()
        let line = Array(("get" + String(repeating: " a", count: 50) + "\r\nget a\r\n").utf8)
        line.withUnsafeBytes { harness.session.receive($0, now: 5) }
        #expect(harness.session.verdict == .stalled)
        #expect((1000..<1400).contains(harness.session.outputBytes))
        harness.send("mn\r\n")
        let value = "VALUE a 0 300\r\n" + String(repeating: "x", count: 300) + "\r\n"
        let isSame = harness.text == String(repeating: value, count: 50) + "END\r\n" + value + "END\r\nMN\r\n"
        #expect(isSame)
        #expect(harness.session.verdict == .open)
    }

    @Test("the first line of a peer hands the connection over, with every byte after it")
    func peer() {
        for pieceBytes in [1, 1000] {
            let harness = Self.harness()
            harness.send("peer 1 n2 epoch=3\r\n\u{1}\u{2}get a\r\n", pieceBytes: pieceBytes)
            #expect(harness.session.verdict == .upgradeToPeer(line: Array("peer 1 n2 epoch=3".utf8)))
            #expect(harness.session.takeRemainingInput() == Array("\u{1}\u{2}get a\r\n".utf8))
            #expect(harness.text == "")
        }
        let late = Self.harness()
        late.send("mn\r\npeer 1 n2\r\n")
        #expect(late.text == "MN\r\nERROR\r\n")
    }

    @Test("shutdown is a verdict where it is allowed; a flush is refused where it is not")
    func switches() {
        var configuration = SessionConfiguration()
        configuration.allowsShutdown = true
        configuration.allowsFlush = false
        let harness = Self.harness(configuration)
        harness.send("flush_all\r\nshutdown x\r\nshutdown graceful x\r\n")
        let invalid = "CLIENT_ERROR invalid shutdown mode\r\n"
        #expect(harness.text == "CLIENT_ERROR flush_all not allowed\r\n" + invalid + invalid)
        for words in ["shutdown", "shutdown graceful"] {
            let harness = Self.harness(configuration)
            harness.send(words + "\r\n")
            #expect(harness.session.verdict == .shutdown)
        }
    }

    @Test("stats counts what was done")
    func statistics() {
        let harness = Self.harness()
        harness.send(
            "set a 0 0 1\r\n1\r\nget a b\r\nincr a 1\r\nincr x 1\r\ndecr a 1\r\ndelete x\r\ntouch a 0\r\ncas a 0 0 1 99\r\n1\r\n"
        )
        _ = harness.answer()
        harness.send("stats\r\n")
        let lines = Set(harness.answer().split(separator: "\r\n").map(String.init))
        for line in [
            "cmd_get 2", "get_hits 1", "get_misses 1", "cmd_set 2", "incr_hits 1", "incr_misses 1", "decr_hits 1",
            "delete_misses 1", "touch_hits 1", "cas_badval 1", "curr_items 1", "total_items 1", "version 1.6.45",
        ] { #expect(lines.contains("STAT " + line), "\(line)") }
        harness.send("stats reset\r\nstats\r\n")
        #expect(harness.answer().contains("STAT cmd_get 0\r\n"))
        harness.send("stats cacheismo\r\n")
        #expect(harness.answer().contains("STAT shards 2\r\n"))
    }
}

/// A small, seeded generator (xorshift).
private struct SeededStream {
    var state: UInt64

    mutating func below(_ bound: Int) -> Int {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return Int((state >> 11) % UInt64(bound))
    }
}
