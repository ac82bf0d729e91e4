// Replies keep the order of their requests while some of the answers are still on their way.

import Engine
import Gather
import Glibc
import Server
import Synchronization
import Testing

@Suite struct PendingTests {
    @Test("replies go out in request order, whatever the order in which the answers come")
    func order() {
        let router = ScriptedRouter()
        let harness = SessionHarness(router)
        harness.send("set a 0 0 1\r\n1\r\nget r:1\r\nget a\r\nget r:2\r\nmn\r\nget v:m:3\r\nget a\r\n")
        #expect(harness.answer() == "STORED\r\n")
        router.answer(1, .value(flags: 2, cas: 5, bytes: [50]))
        router.answer(2, .success(.int(33)))
        #expect(harness.wakes.value == 1)
        harness.collect()
        #expect(harness.answer() == "")
        router.answer(0, .miss)
        #expect(harness.wakes.value == 2)
        harness.collect()
        #expect(
            harness.answer() == "END\r\nVALUE a 0 1\r\n1\r\nEND\r\nVALUE r:2 2 1\r\n2\r\nEND\r\nMN\r\n"
                + "VALUE v:m:3 0 2\r\n33\r\nEND\r\nVALUE a 0 1\r\n1\r\nEND\r\n")
        harness.send("get a\r\n")
        #expect(harness.answer() == "VALUE a 0 1\r\n1\r\nEND\r\n")
    }

    @Test(
        "every order of four answers gives the same replies, but for keys of one retrieval, which don't wait for each other"
    )
    func allOrders() throws {
        for permutation in Self.permutations(4) {
            let router = ScriptedRouter()
            let harness = SessionHarness(router)
            harness.send("get r:0\r\nget r:1 r:2\r\nmn\r\nget r:3\r\n")
            for index in permutation {
                router.answer(index, .value(flags: 0, cas: 0, bytes: [UInt8(48 + index)]))
                harness.collect()
            }
            let at = (0..<4).map { number in permutation.firstIndex(of: number)! }
            // Their turn comes once the first request is answered.
            let isSecondFirst = max(at[0], at[2]) < at[1]
            let (one, two) = ("VALUE r:1 0 1\r\n1\r\n", "VALUE r:2 0 1\r\n2\r\n")
            #expect(
                harness.text == "VALUE r:0 0 1\r\n0\r\nEND\r\n\(isSecondFirst ? two + one : one + two)END\r\nMN\r\n"
                    + "VALUE r:3 0 1\r\n3\r\nEND\r\n")
        }
    }

    @Test("of several keys those that are there are answered at once; only the end waits for the one that is not")
    func aheadOfASlowKey() {
        let router = ScriptedRouter()
        let harness = SessionHarness(router)
        harness.send("set a 0 0 1\r\n1\r\nset b 0 0 1\r\n2\r\n")
        _ = harness.answer()
        harness.send("get a r:1 b r:2 a r:3 b\r\nget a\r\nget r:4 r:5\r\nget b\r\n")
        #expect(harness.answer() == "VALUE a 0 1\r\n1\r\n")
        router.answer(2, .value(flags: 0, cas: 0, bytes: [51]))
        harness.collect()
        #expect(
            harness.answer()
                == "VALUE b 0 1\r\n2\r\nVALUE a 0 1\r\n1\r\nVALUE r:3 0 1\r\n3\r\nVALUE b 0 1\r\n2\r\n")
        router.answer(1, .miss)
        // The next requests' answers wait for their turn.
        router.answer(4, .value(flags: 0, cas: 0, bytes: [53]))
        harness.collect()
        #expect(harness.answer() == "")
        router.answer(0, .failed(Failure(.timeout, "hung")))
        harness.collect()
        #expect(harness.answer() == "END\r\nVALUE a 0 1\r\n1\r\nEND\r\nVALUE r:5 0 1\r\n5\r\n")
        router.answer(3, .value(flags: 0, cas: 0, bytes: [52]))
        harness.collect()
        #expect(harness.answer() == "VALUE r:4 0 1\r\n4\r\nEND\r\nVALUE b 0 1\r\n2\r\nEND\r\n")
        #expect(harness.statistics[.cmdGet] == 10)
        harness.send("get a\r\n")
        #expect(harness.answer() == "VALUE a 0 1\r\n1\r\nEND\r\n")
    }

    static func permutations(_ count: Int) -> [[Int]] {
        guard count > 0 else { return [[]] }
        return permutations(count - 1).flatMap { rest in
            (0...rest.count).map { at in
                var longer = rest
                longer.insert(count - 1, at: at)
                return longer
            }
        }
    }

    @Test("answers that come at once need no wake-up")
    func atOnce() {
        let harness = SessionHarness(ScriptedRouter(answersAtOnce: true))
        harness.send("get r:1\r\ngets r:2 v:m:o\r\nmn\r\n")
        #expect(
            harness.text
                == "VALUE r:1 0 3\r\nr:1\r\nEND\r\nVALUE r:2 0 3 7\r\nr:2\r\nVALUE v:m:o 0 1 0\r\no\r\nEND\r\nMN\r\n")
        #expect(harness.wakes.value == 0)
    }

    @Test("a failure is told where one key was asked for, and left out among several")
    func failures() {
        let router = ScriptedRouter()
        let harness = SessionHarness(router)
        harness.send(
            "get r:1\r\nget r:2 r:3\r\nget v:m:4\r\nget v:m:5\r\nget v:m:6 v:m:7\r\nset v:m:8 0 0 3\r\nabc\r\nset v:m:9 0 0 0\r\n\r\nset v:m:a 0 0 0\r\n\r\nset r:4 0 0 1\r\n1\r\n"
        )
        let down = Failure(.unreachable, "n2 is down")
        router.answer(0, .failed(down))
        router.answer(1, .failed(down))
        router.answer(2, .value(flags: 0, cas: 0, bytes: [51]))
        router.answer(3, .failure(Failure(.miss, "no object")))
        router.answer(4, .failure(Failure(.timeout, "too slow")))
        router.answer(5, .failure(Failure(.timeout, "too slow")))
        router.answer(6, .success(.null))
        router.answer(7, .success(.null))
        router.answer(8, .failure(Failure(.miss, "no object")))
        router.answer(9, .failure(Failure(.scriptError, "line 3")))
        router.answer(10, .failed(down))
        harness.collect()
        #expect(
            harness.text == "SERVER_ERROR unreachable n2 is down\r\nVALUE r:3 0 1\r\n3\r\nEND\r\n"
                + "VALUE v:m:4 0 16\r\nERROR_CACHE_MISS\r\nEND\r\nSERVER_ERROR timeout too slow\r\n"
                + "VALUE v:m:7 0 0\r\n\r\nEND\r\nSTORED\r\nNOT_STORED\r\nCLIENT_ERROR script_error line 3\r\n"
                + "SERVER_ERROR unreachable n2 is down\r\n")
        #expect(router.pending[7].call?.1 == Array("abc".utf8))
        #expect(harness.statistics[.forwardErrors] == 3)
        #expect(harness.statistics[.virtualErrors] == 3)
    }

    @Test("a turn sends one message to a node, however many commands it has, and a large value one of its own")
    func messagesPerTurn() {
        let router = ScriptedRouter(answersAtOnce: true)
        let harness = SessionHarness(router)
        func messages(_ text: String) -> Int {
            let before = router.messages.withLock { $0 }
            harness.send(text)
            return router.messages.withLock { $0 } - before
        }
        #expect(messages("get r:1\r\n") == 1)
        #expect(messages((0..<32).map { "get r:\($0)\r\nget own\r\nset r:\($0) 0 0 1\r\n1\r\n" }.joined()) == 1)
        #expect(messages("get \((0..<100).map { "r:\($0)" }.joined(separator: " "))\r\n") == 1)
        #expect(messages("mg r:1 v\r\nincr r:1 1\r\ndelete r:1 noreply\r\nmn\r\n") == 1)
        let large = String(repeating: "x", count: 100_000)
        #expect(messages("get r:1\r\nset r:1 0 0 100000\r\n\(large)\r\nget r:1\r\nget r:2\r\n") == 3)
        #expect(messages("get own\r\nversion\r\n") == 0)
    }

    @Test(
        "values behind keys that were answered ahead of their turn are sent once, in pieces or all, and then forgotten")
    func aheadOfTurn() {
        let router = ScriptedRouter()
        let harness = SessionHarness(router)
        let large = String(repeating: "v", count: 40_000)
        harness.send("set own 0 0 40000\r\n\(large)\r\n")
        _ = harness.answer()
        harness.send("get r:0 own r:1 own r:2 own r:3 own\r\n")
        let own = "VALUE own 0 40000\r\n\(large)\r\n"
        func value(_ number: Int) -> String { "VALUE r:\(number) 0 1\r\n\(number)\r\n" }
        // The first node is slow: all others' values, and those of this node behind them, go out before it answers.
        var expected = ""
        for number in [2, 1, 3] {
            router.answer(number, .value(flags: 0, cas: 1, bytes: Array("\(number)".utf8)))
            harness.collect()
        }
        let ahead = harness.answer()
        #expect(ahead.utf8.count == 4 * own.utf8.count + 3 * value(0).utf8.count)
        for number in 1...3 { #expect(ahead.contains(value(number))) }
        router.answer(0, .value(flags: 0, cas: 1, bytes: Array("0".utf8)))
        harness.collect()
        expected = value(0) + "END\r\n"
        #expect(harness.answer() == expected)
        harness.send("get own\r\n")
        let isRight = harness.answer() == own + "END\r\n"
        #expect(isRight)
    }

    @Test("every writing verb is forwarded with its arguments, and noreply stays silent")
    func forwardedVerbs() {
        let router = ScriptedRouter()
        let harness = SessionHarness(router)
        harness.send(
            "set r:a 7 0 1\r\n1\r\ncas r:a 0 0 1 9\r\n2\r\nincr r:a 5\r\ndelete r:a\r\ntouch r:a -1\r\ngat 0 r:a\r\n"
                + "set r:a 0 0 1 noreply\r\n1\r\n", now: 1_000_000_000)
        let commands = router.pending.compactMap { $0.item?.0 }
        #expect(
            commands == [
                .store(.set, flags: 7, expiry: .never, cas: 0, value: [49]),
                .store(.cas, flags: 0, expiry: .never, cas: 9, value: [50]),
                .arithmetic(.increment, delta: 5), .delete, .touch(expiry: Expiry(stored: 1)),
                .getAndTouch(expiry: .never),
                .store(.set, flags: 0, expiry: .never, cas: 0, value: [49]),
            ])
        for (index, outcome) in [ItemOutcome.stored, .exists, .number(12), .deleted, .touched, .miss, .stored]
            .enumerated()
        {
            router.answer(index, outcome)
        }
        harness.collect()
        #expect(harness.text == "STORED\r\nEXISTS\r\n12\r\nDELETED\r\nTOUCHED\r\nEND\r\n")
    }

    @Test("at most so many answers are awaited; then the session stops consuming, and goes on as they come")
    func pendingLimit() {
        var configuration = SessionConfiguration()
        configuration.pendingMax = 10
        let router = ScriptedRouter()
        let harness = SessionHarness(router, configuration)
        let requests = (0..<35).map { $0 % 5 == 4 ? "set r:\($0) 0 0 1 noreply\r\n1\r\n" : "get r:\($0)\r\n" }.joined()
        harness.send(requests)
        #expect(router.pending.count == 10)
        #expect(harness.session.verdict == .stalled)
        var answered = 0
        while answered < router.pending.count {
            router.answer(answered, answered % 5 == 4 ? .stored : .miss)
            answered += 1
            harness.collect()
            #expect(router.pending.count <= answered + 10)
        }
        #expect(answered == 35)
        #expect(harness.text == String(repeating: "END\r\n", count: 28))
        #expect(harness.session.verdict == .open)
    }

    @Test("bytes that wait behind an answer are bounded")
    func queuedLimit() {
        var configuration = SessionConfiguration()
        configuration.queuedBytesMax = 10_000
        let router = ScriptedRouter()
        let harness = SessionHarness(router, configuration)
        harness.send("set a 0 0 1000\r\n" + String(repeating: "x", count: 1000) + "\r\nget r:1\r\n")
        harness.send(String(repeating: "get a\r\nget r:2\r\n", count: 100))
        #expect(harness.session.verdict == .stalled)
        #expect(router.pending.count < 15)
        _ = harness.answer()
        var answered = 0
        while answered < router.pending.count {
            router.answer(answered, .miss)
            answered += 1
            harness.collect()
        }
        #expect(answered == 101)
        #expect(harness.text.utf8.count == 5 + 100 * (16 + 1000 + 2 + 5 + 5))
    }

    @Test("values on their way to another node are bounded too, and all of them arrive")
    func valuesOnTheirWay() {
        var configuration = SessionConfiguration()
        configuration.queuedBytesMax = 1 << 20
        let router = ScriptedRouter()
        let harness = SessionHarness(router, configuration)
        let value = String(repeating: "v", count: 100_000)
        for number in 0..<40 {
            harness.send("set r:\(number) 0 0 100000\r\n\(value)\r\nms r:\(number) 100000\r\n\(value)\r\n")
        }
        #expect(router.pending.count == 11)
        var answered = 0
        var found = MetaAnswer()
        found.status = .found
        while answered < router.pending.count {
            router.answer(answered, answered % 2 == 0 ? .stored : .meta(found))
            answered += 1
            harness.collect()
            #expect(router.pending.count - answered <= 11)
        }
        #expect(answered == 80)
        #expect(harness.text == String(repeating: "STORED\r\nHD\r\n", count: 40))
    }

    @Test("quit waits for the answers that were asked for before it")
    func quit() {
        let router = ScriptedRouter()
        let harness = SessionHarness(router)
        harness.send("get r:1\r\nquit\r\nget r:2\r\n")
        #expect(harness.session.verdict == .closing)
        #expect(!harness.session.isSettled)
        router.answer(0, .miss)
        harness.collect()
        #expect(harness.text == "END\r\n")
        #expect(harness.session.isSettled)
        #expect(router.pending.count == 1)
    }

    @Test("the larger the answers from elsewhere, the fewer are asked for at a time")
    func answerBytes() {
        var configuration = SessionConfiguration()
        configuration.answerBytesMax = 1 << 20
        let router = ScriptedRouter()
        let harness = SessionHarness(router, configuration)
        harness.send(String(repeating: "get r:x\r\n", count: 200))
        let first = router.pending.count
        #expect(first < 20)
        var answered = 0
        let large = [UInt8](repeating: 1, count: 1 << 20)
        while answered < 50 {
            router.answer(answered, .value(flags: 0, cas: 0, bytes: large))
            answered += 1
            harness.collect()
            _ = harness.answer()
            #expect(router.pending.count - answered <= max(1, first - answered))
        }
        var most = 0
        while answered < 200 {
            router.answer(answered, .miss)
            answered += 1
            harness.collect()
            most = max(most, router.pending.count - answered)
        }
        #expect(most > 20)  // small answers let more through again
    }

    @Test("a client that reads nothing stops its own requests: answers from elsewhere do not pile up in the node")
    func clientThatReadsNothing() throws {
        let router = ScriptedRouter()
        let loop = ServingLoop(index: 0)
        defer { loop.shutdown() }
        var configuration = MemcachedListenerConfiguration()
        configuration.port = 0
        let listener = MemcachedListener(configuration, router: router, loops: [loop])
        try listener.start()
        defer { listener.stop() }
        let client = LoopbackClient(port: listener.ports[0])
        let count = 3_000
        client.send(String(repeating: "get r:x\r\n", count: count))
        let value = [UInt8](repeating: 120, count: 100_000)
        var answered = 0
        func answerPending() {
            while answered < router.pending.count {
                router.answer(answered, .value(flags: 0, cas: 0, bytes: value))
                answered += 1
            }
        }
        // Until it has asked for nothing more for a while.
        var quietRounds = 0
        while quietRounds < 50 {
            let before = answered
            answerPending()
            quietRounds = answered == before ? quietRounds + 1 : 0
            usleep(5_000)
        }
        #expect(answered < 500)
        let answerBytes = "VALUE r:x 0 100000\r\n".utf8.count + 100_000 + "\r\nEND\r\n".utf8.count
        var bytes = 0
        for number in 0..<count {
            while answered <= number {
                answerPending()
                usleep(200)
            }
            bytes += client.receive(answerBytes).utf8.count
        }
        #expect(bytes == count * answerBytes)
    }
}
