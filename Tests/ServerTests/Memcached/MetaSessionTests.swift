// What the meta table can't say: the clock, answers from other nodes and from methods, and the first byte of a connection.

import Engine
import Gather
import Server
import Testing

@Suite struct MetaSessionTests {
    static let start: UInt32 = 1_000_000_000

    @Test("l counts from the store, and from the last access once it was asked for; t counts down")
    func times() {
        let harness = SessionTests.harness()
        harness.send("set a 0 100 1\r\n1\r\nset b 0 0 1\r\n1\r\nset b 0 0 1\r\n2\r\n", now: Self.start)
        _ = harness.answer()
        harness.send("mg a l t u\r\nset b 0 0 1\r\n3\r\n", now: Self.start + 5)
        #expect(harness.answer() == "HD l5 t95\r\nSTORED\r\n")
        harness.send("mg a l\r\nme b\r\n", now: Self.start + 7)
        #expect(harness.answer() == "HD l7\r\nME b exp=-1 la=2 cas=4 fetch=no cls=1 size=16\r\n")
        harness.send("get a\r\n", now: Self.start + 8)
        harness.send("mg a l u\r\nmg a l u h\r\n", now: Self.start + 11)
        #expect(harness.answer() == "VALUE a 0 1\r\n1\r\nEND\r\nHD l3\r\nHD l3 h1\r\n")
        harness.send("mg a\r\n", now: Self.start + 100)
        #expect(harness.answer() == "EN\r\n")
    }

    @Test("a win ends when the item's time does")
    func expiredWin() {
        let harness = SessionTests.harness()
        harness.send("mg a N5\r\nmg a N5\r\n", now: Self.start)
        #expect(harness.answer() == "HD W\r\nHD Z\r\n")
        harness.send("mg a N5\r\n", now: Self.start + 5)
        #expect(harness.answer() == "HD W\r\n")
    }

    @Test("commands for another node's key travel whole, and their answers keep key, opaque, order and quiet mode")
    func forwarded() throws {
        let router = ScriptedRouter()
        let harness = SessionHarness(router)
        harness.send(
            "mg r:1 v k O7 t W\r\nmg r:1 v k O7 t c\r\nms r:2 2 T0 s c\r\nhi\r\nmd cjoz b k q\r\nma r:4 q\r\nmn\r\n")
        #expect(harness.answer() == "CLIENT_ERROR invalid flag\r\n")
        let first = try #require(router.pending.first?.item?.0)
        var get = MetaCommand(.get)
        get.options = .wantsValue
        #expect(first == .meta(get, value: []))
        guard case .meta(let set, let value) = try #require(router.pending[1].item?.0) else {
            return #expect(Bool(false))
        }
        #expect(set.verb == .set && value == Array("hi".utf8))
        #expect(router.pending[2].key == Array("r:3".utf8))

        router.answer(3, .meta(MetaAnswer()))
        var deleted = MetaAnswer()
        deleted.status = .found
        router.answer(2, .meta(deleted))
        var stored = MetaAnswer()
        stored.status = .found
        stored.facts.unique = 12
        stored.facts.valueBytes = 2
        router.answer(1, .meta(stored))
        var found = MetaAnswer()
        found.status = .found
        found.value = [49]
        found.facts.unique = 9
        found.facts.expiryBefore = Expiry(stored: Self.start + 30)
        found.facts.isStale = true
        found.facts.wasWonBefore = true
        router.answer(0, .meta(found))
        harness.collect()
        #expect(harness.answer() == "VA 1 kr:1 O7 t30 c9 Z X\r\n1\r\nHD s2 c12\r\nNF\r\nMN\r\n")
    }

    @Test("a failure of another node is told, in quiet mode too")
    func forwardedFailure() {
        let router = ScriptedRouter()
        let harness = SessionHarness(router)
        harness.send("mg r:1 q\r\n")
        router.answer(0, .failed(Failure(.unreachable, "n2 is down")))
        harness.collect()
        #expect(harness.answer() == "SERVER_ERROR unreachable n2 is down\r\n")
    }

    @Test("mg calls a method, with base64 keys too; ms passes the data block; deletes never do")
    func methods() {
        let router = ScriptedRouter()
        let harness = SessionHarness(router)
        harness.send(
            "mg v:m:o v k s t\r\nmg djptOm8= b v k\r\nmg v:m:o v\r\nms v:m:o 2 s\r\nhi\r\nms v:m:o 2\r\nhi\r\nmd v:m:o\r\n"
        )
        #expect(router.pending.count == 5)
        #expect(router.pending[3].call?.1 == Array("hi".utf8))
        router.answer(0, .success(.int(42)))
        router.answer(1, .success(.string("x")))
        router.answer(2, .failure(Failure(.miss, "none")))
        router.answer(3, .success(.null))
        router.answer(4, .failure(Failure(.miss, "none")))
        harness.collect()
        #expect(
            harness.answer()
                == "VA 2 kv:m:o s2 t-1\r\n42\r\nVA 1 kdjptOm8= b\r\nx\r\nVA 16\r\nERROR_CACHE_MISS\r\nHD s2\r\nNS\r\n"
                + "CLIENT_ERROR script_error v:m:o names a method: get, set, mg and ms call it (add and ms with ME a new), "
                + "other commands are for plain keys\r\n")
    }

    @Test("a built-in type's method answers mg like get")
    func builtInType() {
        let harness = SessionTests.harness()
        harness.send("get set:new:s1\r\nms set:put:s1 3\r\na:b\r\nmg set:count:s1 v\r\nget set:count:s1\r\n")
        #expect(harness.answer().hasSuffix("HD\r\nVA 1\r\n1\r\nVALUE set:count:s1 0 1\r\n1\r\nEND\r\n"))
    }

    @Test("stats counts meta commands with the others")
    func statistics() {
        let harness = SessionTests.harness()
        harness.send("ms a 1\r\n1\r\nmg a\r\nmg b\r\nma a\r\nmd b\r\nmg a T9\r\nms a 1 C1000\r\n1\r\n")
        _ = harness.answer()
        harness.send("stats\r\n")
        let lines = Set(harness.answer().split(separator: "\r\n").map(String.init))
        for line in [
            "cmd_meta 7", "cmd_get 3", "get_hits 2", "get_misses 1", "cmd_set 2", "incr_hits 1", "delete_misses 1",
            "touch_hits 1", "cas_badval 1", "get_flushed 0", "idle_kicks 0",
        ] { #expect(lines.contains("STAT " + line), "\(line)") }
    }

    @Test("every list of stats ends in END and names each thing once")
    func statisticsLists() {
        let harness = SessionTests.harness()
        harness.send("set a 0 0 1\r\n1\r\n")
        _ = harness.answer()
        for topic in ["", " settings", " items", " slabs", " sizes", " sizes_enable", " conns", " cacheismo"] {
            harness.send("stats\(topic)\r\n")
            let answer = harness.answer()
            #expect(answer.hasSuffix("END\r\n"), "\(topic)")
            let names = answer.split(separator: "\r\n").dropLast().map { $0.split(separator: " ")[1] }
            #expect(Set(names).count == names.count, "\(topic)")
        }
    }
}
