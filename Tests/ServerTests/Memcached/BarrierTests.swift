// What concerns everything there is comes after all that was asked for before it, and before all that comes behind.

import Engine
import Server
import Testing

@Suite struct BarrierTests {
    @Test(
        "a flush waits for what was sent before it, and what comes behind it for the flush", arguments: [true, false])
    func flush(isSilent: Bool) {
        let router = ScriptedRouter()
        let harness = SessionHarness(router)
        harness.send(
            "set r:1 0 0 1 noreply\r\n1\r\nset a 0 0 1 noreply\r\n1\r\nget v:m:2\r\n"
                + "flush_all\(isSilent ? " noreply" : "")\r\nset r:3 0 0 1\r\n1\r\nget a\r\n")
        #expect(router.pending.count == 2)
        router.answer(0, .stored)
        harness.collect()
        #expect(router.pending.count == 2)
        router.answer(1, .success(.int(7)))
        harness.collect()
        #expect(router.pending.count == 3)
        #expect(router.pending[2].flush?.0 == 0)
        harness.collect()
        #expect(harness.answer() == "VALUE v:m:2 0 1\r\n7\r\nEND\r\n")
        router.answer(2, .success(.null))
        harness.collect()
        #expect(router.pending.count == 4)
        router.answer(3, .stored)
        harness.collect()
        #expect(harness.answer() == (isSilent ? "" : "OK\r\n") + "STORED\r\nEND\r\n")
        #expect(harness.session.verdict == .open)
    }

    @Test("a flush that failed on another node says so, and the connection goes on")
    func failedFlush() {
        let router = ScriptedRouter()
        let harness = SessionHarness(router)
        harness.send("flush_all\r\nmn\r\n")
        router.answer(0, .failure(Failure(.unreachable, "n2 is down")))
        harness.collect()
        #expect(harness.answer() == "SERVER_ERROR unreachable n2 is down\r\nMN\r\n")
    }

    @Test("many flushes behind each other, with requests between, are carried out one by one")
    func manyFlushes() {
        for answersAtOnce in [true, false] {
            let router = ScriptedRouter(answersAtOnce: answersAtOnce)
            let harness = SessionHarness(router)
            harness.send(String(repeating: "set a 0 0 1\r\n1\r\nflush_all\r\nget a\r\n", count: 300))
            var answered = 0
            while answered < router.pending.count {
                router.answer(answered, .success(.null))
                answered += 1
                harness.collect()
            }
            #expect(answered == (answersAtOnce ? 0 : 300))
            let isRight = harness.answer() == String(repeating: "STORED\r\nOK\r\nEND\r\n", count: 300)
            #expect(isRight)
        }
    }

    @Test("of flushes to come behind each other only the last is carried to the nodes; one at once always is")
    func flushesToCome() {
        let router = ScriptedRouter()
        let harness = SessionHarness(router)
        harness.send(
            String(repeating: "flush_all 1000 noreply\r\n", count: 1_000)
                + "flush_all 500\r\nflush_all\r\nflush_all 7\r\n"
                + "flush_all 9\r\nmn\r\n")
        var delays: [UInt32] = []
        while delays.count < router.pending.count {
            delays.append(router.pending[delays.count].flush?.0 ?? .max)
            router.answer(delays.count - 1, .success(.null))
            harness.collect()
        }
        #expect(delays == [0, 9])
        #expect(harness.answer() == "OK\r\nOK\r\nOK\r\nOK\r\nMN\r\n")
        #expect(harness.statistics[.cmdFlush] == 1_004)
    }

    @Test("shutdown, cache_memlimit and lists wait for what was sent before them")
    func others() {
        var configuration = SessionConfiguration()
        configuration.allowsShutdown = true
        for line in [
            "shutdown", "cache_memlimit 64", "frame_memlimit 64", "stats settings", "lru_crawler metadump all",
        ] {
            let router = ScriptedRouter()
            let harness = SessionHarness(router, configuration)
            harness.send("set r:1 0 0 1 noreply\r\n1\r\n\(line)\r\n")
            #expect(harness.session.verdict == .stalled, "\(line)")
            #expect(harness.answer() == "")
            router.answer(0, .stored)
            harness.collect()
            #expect(harness.session.verdict == (line == "shutdown" ? .shutdown : .open))
            #expect(harness.answer().isEmpty == (line == "shutdown"), "\(line)")
        }
    }

    @Test("a service waits for what was sent before it: in a set, a get, among other keys, and in mg")
    func services() {
        let requests = [
            "set v:service:x 0 0 1\r\n1\r\n", "get v:service:x\r\n", "get v:service:x a\r\n", "mg v:service:x v\r\n",
        ]
        for request in requests {
            let router = ScriptedRouter()
            let harness = SessionHarness(router)
            harness.send("set a 0 0 1\r\n1\r\nset r:1 0 0 1\r\n1\r\n" + request + "mn\r\n")
            #expect(router.pending.count == 1, "\(request)")
            router.answer(0, .stored)
            harness.collect()
            #expect(router.pending.count == 2, "\(request)")
            router.answer(1, .success(.int(5)))
            harness.collect()
            #expect(router.pending.count == 2, "\(request)")
            let answer = harness.answer()
            #expect(answer.hasPrefix("STORED\r\nSTORED\r\n") && answer.hasSuffix("\r\nMN\r\n"), "\(answer)")
            if request.hasPrefix("get v:service:x a") {
                #expect(answer.contains("VALUE v:service:x 0 1\r\n5\r\nVALUE a 0 1\r\n1\r\nEND\r\n"))
            }
        }
    }
}
