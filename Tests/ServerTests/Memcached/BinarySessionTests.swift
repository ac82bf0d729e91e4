// The tables of the binary protocol in process, whole and in pieces of every kind; and what a table can't say.

import Engine
import Gather
import Server
import Synchronization
import Testing

@Suite struct BinarySessionTests {
    private static func answers(_ harness: SessionHarness<some CommandRouter>) -> [BinaryPacket] {
        let bytes = harness.answerBytes()
        guard let packets = BinaryPacket.answers(bytes) else {
            Issue.record("no whole answers: \(bytes.prefix(100))")
            return []
        }
        return packets
    }

    private static func send(_ packets: [BinaryPacket], _ harness: SessionHarness<some CommandRouter>) {
        harness.send(packets.flatMap(\.bytes))
    }

    /// What a harness answers.
    private static func ask(
        _ packets: [BinaryPacket], _ harness: SessionHarness<some CommandRouter>
    ) -> [BinaryPacket] {
        send(packets, harness)
        return answers(harness)
    }

    @Test(
        "every exchange answers as expected, all at once and in pieces", arguments: [Int.max, 1, 7, 25, 1000, 65_536])
    func exchanges(pieceBytes: Int) {
        for exchange in BinaryWire.all {
            let bytes = exchange.send.flatMap(\.bytes)
            guard bytes.count < 100_000 || pieceBytes > 50_000 else { continue }
            let harness = SessionTests.harness()
            harness.send(bytes, pieceBytes: pieceBytes)
            let answers = Self.answers(harness)
            #expect(answers == exchange.expect, "\(exchange.name)")
            #expect((harness.session.verdict == .closing) == exchange.closes, "\(exchange.name)")
        }
    }

    @Test("random requests, sound and not, answer the same in pieces of any size, and never more than is asked")
    func randomStreams() {
        var random = SeededRandom(5)
        for round in 0..<200 {
            var stream: [UInt8] = []
            for _ in 0..<30 { stream += Self.randomPacket(&random).bytes }
            var answers: Set<[UInt8]> = []
            for pieceBytes in [Int.max, 1, 5, 24, 64, 1 + random.below(100)] {
                let harness = SessionTests.harness()
                harness.send(stream, pieceBytes: pieceBytes)
                let bytes = harness.answerBytes()
                #expect(BinaryPacket.answers(bytes) != nil, "round \(round)")
                answers.insert(bytes)
            }
            #expect(answers.count == 1, "round \(round)")
        }
    }

    private static func randomPacket(_ random: inout SeededRandom) -> BinaryPacket {
        // Not stats: what it says of bytes depends on the cuts.
        var opcode = UInt8(random.below(0x26))
        if opcode == 0x10 || opcode == 0x07 || opcode == 0x17 { opcode = 0x0A }
        let key = ["a", "bb", "c:d:e", "map:new:m", "map:put:m:k"][random.below(5)]
        var packet: BinaryPacket =
            switch opcode {
            case 0x01...0x03, 0x11...0x13:
                .set(key, String(repeating: "7", count: random.below(20)), opcode: opcode, flags: 3)
            case 0x05, 0x06, 0x15, 0x16:
                .count(
                    key, UInt64(random.below(9)), opcode: opcode, initial: 5, exptime: random.below(2) == 0 ? 0 : .max)
            case 0x0E, 0x0F, 0x19, 0x1A: .ask(opcode, key, value: "12")
            case 0x1C...0x1E, 0x23, 0x24: .ask(opcode, key, extras: [0, 0, 0, 9])
            case 0x00, 0x04, 0x09, 0x0C, 0x0D, 0x14: .ask(opcode, key)
            case 0x21, 0x22: .ask(opcode, "PLAIN", value: "\0a\0b")
            default: .ask(opcode)
            }
        if random.below(4) == 0 { packet.unique = UInt64(random.below(4)) }
        packet.opaque = UInt32(random.below(1 << 30))
        switch random.below(60) {
        case 0: packet.keyLength = UInt16(random.below(400))
        case 1: packet.extrasLength = UInt8(random.below(30))
        case 2: packet.bodyLength = UInt32(random.below(300))
        default: break
        }
        return packet
    }

    @Test("a time passes: gat, touch, set and a counter's expiry are told by the clock")
    func times() {
        let harness = SessionTests.harness()
        let soon = BinaryPacket.big(UInt32(10))
        Self.send(
            [
                .set("a", "1", opcode: 0x11, exptime: 5), .set("b", "1", opcode: 0x11), .set("c", "1", opcode: 0x11),
                .count("n", 1, opcode: 0x15, initial: 3, exptime: 10), .ask(0x1C, "b", extras: soon),
                .ask(0x24, "c", extras: soon),
            ], harness)
        _ = harness.answerBytes()
        func values(_ now: UInt32) -> String {
            harness.send(["a", "b", "c", "n"].flatMap { BinaryPacket.ask(0x0D, $0).bytes }, now: now)
            return Self.answers(harness).map { String(decoding: $0.key, as: UTF8.self) }.joined()
        }
        #expect(values(1_000_000_004) == "abcn")
        #expect(values(1_000_000_005) == "bcn")
        #expect(values(1_000_000_010) == "")
        harness.send(
            BinaryPacket.set("a", "1", opcode: 0x11).bytes + BinaryPacket.ask(0x18, extras: soon).bytes,
            now: 1_000_000_010)
        #expect(values(1_000_000_019) == "a")
        #expect(values(1_000_000_020) == "")
    }

    @Test("stats tells what the text protocol tells, and settings")
    func statistics() {
        let harness = SessionTests.harness()
        var found: [String: String] = [:]
        func read(_ topic: String) {
            let packets = Self.ask([.ask(0x10, topic, opaque: 8)], harness)
            #expect(packets.last == .answer(0x10, opaque: 8))
            for packet in packets.dropLast() {
                #expect(packet.opaque == 8 && packet.status == 0 && packet.extras.isEmpty)
                found[String(decoding: packet.key, as: UTF8.self)] = String(decoding: packet.value, as: UTF8.self)
            }
        }
        Self.send([.set("a", "1"), .ask(0x00, "a"), .ask(0x00, "b"), .ask(0x1C, "a", extras: [0, 0, 0, 0])], harness)
        Self.send([.ask(0x04, "b"), .count("n", 1), .set("a", "1", unique: 99)], harness)
        _ = harness.answerBytes()
        read("")
        let counted = [
            "cmd_get": "2", "get_hits": "1", "get_misses": "1", "cmd_set": "2", "cmd_touch": "1", "touch_hits": "1",
            "delete_misses": "1", "incr_misses": "1", "cas_badval": "1", "curr_items": "1", "version": "1.6.45",
        ]
        for (name, value) in counted { #expect(found[name] == value, "\(name)") }
        read("settings")
        #expect(found["binding_protocol"] == "auto-negotiate")
        #expect(found["item_size_max"] == "1048576")
        Self.send([.ask(0x10, "detail on"), .ask(0x00, "a:b")], harness)
        _ = harness.answerBytes()
        let detail = Self.ask([.ask(0x10, "detail dump")], harness)
        #expect(detail == [.answer(0x10, "detailed", value: "PREFIX a get 1 hit 0 set 0 del 0\r\n"), .answer(0x10)])
    }

    @Test("a large value is answered whole, whether it is sent from where it lies or not")
    func largeValues() {
        let harness = SessionTests.harness()
        let large = String(repeating: "0123456789abcdef", count: 4_000)
        let answers = Self.ask([.set("a", large), .ask(0x0C, "a"), .ask(0x00, "a"), .ask(0x0A)], harness)
        #expect(
            answers == [
                .answer(0x01, unique: 1), .value(large, opcode: 0x0C, key: "a", unique: 1), .value(large, unique: 1),
                .answer(0x0A),
            ])
    }

    // MARK: Which protocol

    @Test("the first byte of a connection decides, once")
    func firstByte() {
        let text = SessionTests.harness()
        text.send(Array("mn\r\n".utf8) + [0x80, 13, 10])
        #expect(text.answer() == "MN\r\n\(Wire.badFormat)")
        #expect(text.session.verdict == .open)
        let binary = SessionTests.harness()
        binary.send(BinaryPacket.ask(0x0A).bytes + Array("version\r\n".utf8))
        #expect(Self.answers(binary) == [.answer(0x0A)])
        #expect(binary.session.verdict == .closing)
    }

    @Test("-B leaves one protocol, and the other is cut off; peers come in any case")
    func oneProtocol() {
        var configuration = SessionConfiguration()
        configuration.wireProtocol = .text
        let text = SessionTests.harness(configuration)
        Self.send([.ask(0x0A)], text)
        #expect(text.session.verdict == .closing && text.answerBytes().isEmpty)
        configuration.wireProtocol = .binary
        let binary = SessionTests.harness(configuration)
        binary.send("version\r\n")
        #expect(binary.session.verdict == .closing && binary.answerBytes().isEmpty)
        let right = SessionTests.harness(configuration)
        #expect(Self.ask([.ask(0x0A)], right) == [.answer(0x0A)])
        let peer = SessionTests.harness(configuration)
        peer.send("peer 1 n2\r\n")
        #expect(peer.session.verdict == .upgradeToPeer(line: Array("peer 1 n2".utf8)))
    }

    // MARK: Logins

    private static func harnessWithUsers() throws -> SessionHarness<Router> {
        var configuration = SessionConfiguration()
        configuration.credentials = try Credentials(name: "users") { () throws(Failure) in Array("foo:bar".utf8) }
        return SessionTests.harness(configuration)
    }

    private static let welcome = BinaryPacket.answer(0x21, value: "Authenticated")

    @Test("before a login nothing is done, and the connection ends")
    func strangers() throws {
        for opcode in [0x00, 0x01, 0x08, 0x0A, 0x10, 0x50] as [UInt8] {
            let harness = try Self.harnessWithUsers()
            #expect(Self.ask([.ask(opcode), .ask(0x0B)], harness) == [.error(opcode, 0x20)])
            #expect(harness.session.verdict == .closing)
        }
    }

    @Test("a login by PLAIN, in one step or in two; a wrong one takes a right one back")
    func logins() throws {
        let harness = try Self.harnessWithUsers()
        let right = BinaryPacket.ask(0x21, "PLAIN", value: "\0foo\0bar")
        let answers = Self.ask(
            [
                .ask(0x0B), .ask(0x20), .ask(0x21, "CRAM-MD5", value: "x"), .ask(0x21, "PLAIN", value: "foo bar"),
                .ask(0x21, "PLAIN", value: "\0foo\0baz"), .ask(0x21, "PLAIN", value: "other\0foo\0bar"),
                .ask(0x22, "PLAIN", value: "\0foo\0bar"), .ask(0x21, String(repeating: "M", count: 33)), right,
                .set("a", "1"), .ask(0x21, "PLAIN"), .ask(0x22, "PLAIN", value: "foo\0foo\0bar"), .ask(0x00, "a"),
                .ask(0x21, "PLAIN", value: "\0foo\0"), .ask(0x00, "a"),
            ], harness)
        #expect(
            answers == [
                .answer(0x0B, value: "1.6.45"), .answer(0x20, value: "PLAIN"), .error(0x21, 0x20), .error(0x21, 0x20),
                .error(0x21, 0x20), .error(0x21, 0x20), .error(0x22, 0x20), .error(0x21, 4), Self.welcome,
                .answer(0x01, unique: 1), .error(0x21, 0x21), .answer(0x22, value: "Authenticated"),
                .value("1", unique: 1), .error(0x21, 0x20), .error(0x00, 0x20),
            ])
        #expect(harness.session.verdict == .closing)
        let other = try Self.harnessWithUsers()
        let long = BinaryPacket.ask(0x21, "PLAIN", value: String(repeating: "\0", count: 5_000))
        #expect(Self.ask([long, right, .ask(0x0A)], other) == [.error(0x21, 3), Self.welcome, .answer(0x0A)])
    }

    // MARK: Answers that wait

    @Test("keys of another node and methods are answered in their order, what is quiet says nothing")
    func pending() {
        let router = ScriptedRouter()
        let harness = SessionHarness(router)
        Self.send(
            [
                .ask(0x00, "r:a", opaque: 1), .ask(0x0D, "r:b", opaque: 2), .ask(0x0D, "r:c", opaque: 3),
                .set("r:d", "1", opaque: 4), .set("r:e", "1", opcode: 0x11, opaque: 5), .count("r:f", 2),
                .ask(0x00, "v:m:o", opaque: 6), .set("v:m:o", "x", opaque: 7), .ask(0x04, "r:g"),
                .ask(0x1C, "r:h", extras: [0, 0, 0, 1]), .ask(0x23, "r:i", extras: [0, 0, 0, 1]),
                .ask(0x0A, opaque: 8),
            ], harness)
        #expect(Self.answers(harness).isEmpty)
        #expect(router.pending.count == 11)
        func meta(_ status: MetaStatus, _ unique: UInt64 = 0, _ value: String = "") -> ItemOutcome {
            var answer = MetaAnswer()
            (answer.status, answer.value) = (status, Array(value.utf8))
            answer.facts.unique = unique
            return .meta(answer)
        }
        // The last ones first: nobody overtakes anybody.
        for (at, outcome) in [
            10: ItemOutcome.value(flags: 4, cas: 9, bytes: [0x31]), 9: .value(flags: 3, cas: 8, bytes: [0x31]),
            8: meta(.miss), 5: meta(.found, 77, "12"), 4: meta(.found, 76), 3: meta(.found, 75), 2: .miss,
            1: .value(flags: 2, cas: 6, bytes: [0x32]), 0: .miss,
        ].sorted(by: { $0.key > $1.key }) {
            if at == 5 {
                let succeeded: Result<Value, Failure> = .success(.bytes(Array("yes".utf8)))
                router.answer(7, .failure(Failure(.miss, "no such object")))
                router.answer(6, succeeded)
            }
            router.answer(at, outcome)
        }
        harness.collect()
        #expect(
            Self.answers(harness) == [
                .error(0x00, 1, opaque: 1), .value("2", opcode: 0x0D, key: "r:b", flags: 2, opaque: 2, unique: 6),
                .answer(0x01, opaque: 4, unique: 75), .number(12, unique: 77), .value("yes", opaque: 6),
                .error(0x01, 5, opaque: 7), .error(0x04, 1), .value("", opcode: 0x1C, flags: 3, unique: 8),
                .value("1", opcode: 0x23, key: "r:i", flags: 4, unique: 9), .answer(0x0A, opaque: 8),
            ])
    }

    @Test(
        "no method is called by what compares a unique, which no method could",
        arguments: [0x01, 0x11, 0x02, 0x03, 0x0E])
    func uniquesOfMethods(opcode: UInt8) {
        let router = ScriptedRouter()
        let extras: [UInt8] = opcode == 0x0E ? [] : Array(repeating: 0, count: 8)
        let sent = BinaryPacket.ask(opcode, "v:m:o", extras: extras, value: "x", unique: 55)
        let answers = Self.ask([sent, .ask(0x0A)], SessionHarness(router))
        #expect(answers.map(\.status) == [5, 0] && answers.last == .answer(0x0A), "\(answers)")
        #expect(router.pending.isEmpty)
    }

    @Test("what failed elsewhere says why, with a status by whose fault it is; a quiet get leaves it out")
    func failures() {
        let router = ScriptedRouter()
        let harness = SessionHarness(router)
        Self.send(
            [
                .ask(0x00, "r:a"), .ask(0x0D, "r:b"), .set("r:c", "1", opcode: 0x11), .ask(0x00, "v:m:o"),
                .ask(0x00, "v:m:p"), .ask(0x00, "v:m:q"), .ask(0x04, "v:m:q"), .ask(0x0A),
            ], harness)
        for at in 0..<3 { router.answer(at, .failed(Failure(.unreachable, "n3"))) }
        router.answer(3, .failure(Failure(.wrongType, "no map")))
        router.answer(4, .failure(Failure(.overloaded, "later")))
        router.answer(5, .failure(Failure(.scriptError, "q.lua:1: no")))
        harness.collect()
        let refused =
            "script_error v:m:q names a method: get, set, mg and ms call it (add and ms with ME a new), other commands "
            + "are for plain keys"
        #expect(
            Self.answers(harness) == [
                .answer(0x00, value: "unreachable n3", status: 0x86),
                .answer(0x11, value: "unreachable n3", status: 0x86),
                .answer(0x00, value: "wrong_type no map", status: 5),
                .answer(0x00, value: "overloaded later", status: 0x85),
                .answer(0x00, value: "script_error q.lua:1: no", status: 5),
                .answer(0x04, value: refused, status: 5), .answer(0x0A),
            ])
    }

    @Test("a flush waits for what came before it, and what comes behind it waits for the flush")
    func flushIsABarrier() {
        let router = ScriptedRouter()
        let harness = SessionHarness(router)
        Self.send([.ask(0x00, "r:a"), .ask(0x08, opaque: 1), .ask(0x00, "r:b")], harness)
        #expect(router.pending.count == 1)
        router.answer(0, .miss)
        harness.collect()
        #expect(Self.answers(harness) == [.error(0x00, 1)])
        #expect(router.pending.count == 2)
        router.answer(1, .success(.null))
        harness.collect()
        #expect(Self.answers(harness) == [.answer(0x08, opaque: 1)])
        #expect(router.pending.count == 3)
    }

    @Test("under -F a flush is refused, and the connection goes on")
    func flushRefused() {
        var configuration = SessionConfiguration()
        configuration.allowsFlush = false
        let harness = SessionTests.harness(configuration)
        #expect(
            Self.ask([.ask(0x08), .ask(0x18), .ask(0x0A)], harness) == [
                .error(0x08, 0x20), .error(0x18, 0x20), .answer(0x0A),
            ])
    }

    @Test("a half-sent value for which there is no memory is refused, its rest skipped")
    func refusedBuffers() {
        let harness = SessionTests.harness()
        let whole = BinaryPacket.set("a", String(repeating: "x", count: 10_000), opaque: 3).bytes
        Self.send([.set("a", "1", opcode: 0x11)], harness)
        harness.send(Array(whole[..<5_000]))
        #expect(harness.session.refuseHeld())
        harness.takeOnce()
        harness.send(Array(whole[5_000...]) + BinaryPacket.ask(0x00, "a").bytes)
        #expect(Self.answers(harness) == [.error(0x01, 0x82, opaque: 3), .error(0x00, 1)])
        #expect(harness.session.verdict == .open)
    }
}
