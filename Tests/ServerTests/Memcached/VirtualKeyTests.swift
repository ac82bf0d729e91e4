// What a session makes of virtual keys: the exptime of a set, misses of both kinds, failures in a request for several keys.

import Engine
import Gather
import Server
import Testing

@Suite struct VirtualKeyTests {
    @Test("the exptime of a set or ms goes with the call as an instant")
    func exptime() {
        let router = ScriptedRouter()
        let harness = SessionHarness(router)
        harness.send(
            "set v:new:a 0 0 0\r\n\r\nset v:new:b 0 4000000000 1\r\nx\r\nms v:new:c 1 T4000000000\r\ny\r\nget v:m:d\r\n"
        )
        let expiries = router.pending.compactMap { $0.call?.0.expiry.stored }
        #expect(expiries == [0, 4_000_000_000, 4_000_000_000, 0])
        #expect(router.pending.compactMap { $0.call?.1 } == [[], [120], [121]])
    }

    @Test("a key that no script knows of is a plain miss, an object that is not there says so")
    func misses() {
        let router = ScriptedRouter()
        let harness = SessionHarness(router)
        harness.send("get v:m:1\r\nget v:m:2\r\nmg v:m:3 v\r\nmg v:m:4 v\r\n")
        for index in [0, 2] { router.answer(index, .failure(.noSuchKey)) }
        for index in [1, 3] { router.answer(index, .failure(Failure(.miss, "there is no m"))) }
        harness.collect()
        #expect(
            harness.answer()
                == "END\r\nVALUE v:m:2 0 16\r\nERROR_CACHE_MISS\r\nEND\r\nEN\r\nVA 16\r\nERROR_CACHE_MISS\r\n")
    }

    @Test("among several keys one that fails is left out, and spoils no other")
    func several() {
        let router = ScriptedRouter()
        let harness = SessionHarness(router)
        harness.send("get v:m:1 v:m:2 v:m:3\r\n")
        router.answer(0, .success(.int(1)))
        router.answer(1, .failure(Failure(.budgetExceeded, "too much")))
        router.answer(2, .success(.int(3)))
        harness.collect()
        #expect(harness.answer() == "VALUE v:m:1 0 1\r\n1\r\nVALUE v:m:3 0 1\r\n3\r\nEND\r\n")
    }
}
