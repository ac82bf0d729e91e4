// Making an object only where there is none, for every type; locks that nobody can make his own by making them anew.

import Engine
import Testing

@Suite struct CreateIfAbsentTests {
    /// What makes one of each built-in type.
    private static let arguments = ["quota": ":5:day"]

    @Test("create makes an object of any type where there is none, and leaves one that is there as it is")
    func everyType() async throws {
        let host = try makeHost()
        for type in ObjectTypes.builtIn.types.values.sorted(by: { $0.name < $1.name }) {
            let rest = Self.arguments[type.name] ?? ""
            var verbs = ["create"]
            if !type.methods.contains("add") { verbs.append("add") }
            for verb in verbs {
                #expect(await host.answer("\(type.name):\(verb):\(verb)\(rest)") == "CREATED", "\(type.name)")
                #expect(await host.answer("\(type.name):\(verb):\(verb)\(rest)") == "EXISTS", "\(type.name)")
                #expect(await host.answer("\(type.name):\(verb):\(verb)\(rest)", data: "") == "<miss>")
            }
        }
        #expect(await host.answer("counter:create:c:5") == "CREATED")
        #expect(await host.answer("counter:create:c:7") == "EXISTS")
        #expect(await host.answer("counter:get:c") == "5")
        #expect(await host.answer("counter:add:c:2") == "7")
        #expect(await host.answer("quota:add:q:5:day") == "CREATED")
        #expect(await host.answer("quota:addandcheck:q:3") == "QUOTA_OK")
        #expect(await host.answer("quota:add:q:9:day") == "EXISTS")
        #expect(await host.answer("quota:getleft:q") == "2")
        #expect(await host.answer("session:add:s:60") == "CREATED")
        #expect(await host.answer("session:put:s:k:v") == "SUCCESS")
        #expect(await host.answer("session:add:s:60") == "EXISTS")
        #expect(await host.answer("session:get:s:k") == "v")
        #expect(await host.answer("list:create:l:0") == "NOT_CREATED")
        #expect(await host.answer("counter:create:x:y") == "<script_error>")
        #expect(await host.answer("counter:get:x") == "<miss>")
    }

    @Test("what expired or was dropped is not there; what is on the shelf is")
    func lifetimes() async throws {
        let clock = TestClock(seconds: 1_000)
        let host = try makeHost(clock: clock) { $0.liveBytesMax = 300 << 10 }
        #expect(await host.answer("counter:create:c:1") == "CREATED")
        #expect(await host.answer("counter:expire:c:10") == "SUCCESS")
        clock.set(seconds: 1_009)
        #expect(await host.answer("counter:create:c:2") == "EXISTS")
        clock.set(seconds: 1_010)
        #expect(await host.answer("counter:create:c:3") == "CREATED")
        #expect(await host.answer("counter:get:c") == "3")
        #expect(await host.answer("counter:drop:c") == "SUCCESS")
        #expect(await host.answer("counter:create:c:4") == "CREATED")
        for index in 0..<2_000 {
            _ = await host.answer("map:new:m\(index)")
            _ = await host.answer("map:put:m\(index):k", data: String(repeating: "v", count: 500))
        }
        #expect(host.statistics.shelved > 100)
        #expect(await host.answer("map:add:m0") == "EXISTS")
        #expect(await host.answer("map:count:m0") == "1")
        var key = parse("map:new:m0")
        key.onlyIfAbsent = true
        #expect(try await host.ask(key).get() == .string("EXISTS"))
    }

    @Test("a type's own create and add come before the verbs of that name, and add of new still makes it")
    func precedence() async throws {
        let source = script(
            "local T = object 't' function T.new() return { n = 0 } end function T:create() return 'mine' end "
                + "function T:add() return 'mine too' end")
        let host = try makeHost([source])
        var key = parse("t:new:a")
        key.onlyIfAbsent = true
        #expect(try await host.ask(key).get() == .string("CREATED"))
        #expect(try await host.ask(key).get() == .string("EXISTS"))
        #expect(await host.answer("t:create:a") == "mine")
        #expect(await host.answer("t:add:a") == "mine too")
    }

    @Test("acquire makes the lock, and of two clients one has it; new does not free it")
    func acquires() async throws {
        let host = try makeHost(clock: TestClock(seconds: 1_000))
        let token = await host.answer("lock:acquire:k:10:first")
        #expect(Int(token) != nil)
        #expect(await host.answer("lock:acquire:k:10:second") == "LOCKED")
        #expect(await host.answer("lock:new:k") == "LOCKED")
        #expect(await host.answer("lock:new:k", data: "") == "<miss>")
        #expect(await host.answer("lock:add:k") == "EXISTS")
        #expect(await host.answer("lock:acquire:k:10:second") == "LOCKED")
        #expect(await host.answer("lock:release:k:\(token)") == "RELEASED")
        #expect(await host.answer("lock:new:k") == "CREATED")
        for bad in ["0", "-1", "x", "1e9", "nan", "inf", "0x10", " 5"] {
            #expect(await host.answer("lock:acquire:new\(bad.count):\(bad)") == "<script_error>", "\(bad)")
            #expect(await host.answer("lock:holder:new\(bad.count)") == "<miss>", "\(bad)")
        }
    }

    @Test("tokens grow over drop, new, flush and expiry, while the clock stands still and when it goes back")
    func tokens() async throws {
        let clock = TestClock(seconds: 100_000)
        let host = try makeHost(clock: clock)
        var last = 0
        func acquire(_ what: String) async {
            let token = Int(await host.answer("lock:acquire:k:1"))
            #expect(token ?? 0 > last, "\(what): \(String(describing: token)) after \(last)")
            last = token ?? last
        }
        await acquire("made by acquire")
        for _ in 0..<5 {
            #expect(await host.answer("lock:drop:k") == "SUCCESS")
            await acquire("after drop")
        }
        #expect(await host.answer("lock:drop:k") == "SUCCESS")
        #expect(await host.answer("lock:new:k") == "CREATED")
        await acquire("after new")
        await withCheckedContinuation { continuation in host.removeAll { continuation.resume() } }
        await acquire("after a flush")
        clock.set(seconds: 90_000)
        #expect(await host.answer("lock:drop:k") == "SUCCESS")
        await acquire("with a clock that went back")
        clock.set(seconds: 200_000)
        await acquire("after the lock that acquire made has gone")
        clock.set(seconds: 200_001)
        await acquire("after a lease")
    }

    @Test("a lock that acquire made goes some time after its lease, one that new made stays")
    func briefLocks() async throws {
        let clock = TestClock(seconds: 1_000)
        let host = try makeHost(clock: clock)
        let token = await host.answer("lock:acquire:brief:10")
        _ = await host.answer("lock:new:stays")
        _ = await host.answer("lock:acquire:stays:10")
        #expect(await host.answer("lock:ttl:brief") == "3610")
        #expect(await host.answer("lock:ttl:stays") == "-1")
        clock.set(seconds: 1_100)
        #expect(await host.answer("lock:release:brief:\(token)") == "NOT_HELD")
        #expect(await host.answer("lock:holder:brief") == "FREE")
        clock.set(seconds: 5_000)
        #expect(await host.answer("lock:holder:brief") == "<miss>")
        #expect(await host.answer("lock:holder:stays") == "FREE")
    }

    @Test("what a failing method made is gone again")
    func madeInVain() async throws {
        let source = script(
            """
            local T = object "t"
            function T.new() return { n = 0 } end
            function T:bump(how) self.n = self.n + 1 if how == "raise" then error("no") end return self.n end
            T.makes { bump = function() return { n = 10 } end }
            """)
        let host = try makeHost([source])
        #expect(await host.answer("t:bump:a:raise") == "<script_error>")
        #expect(await host.answer("t:ttl:a") == "<miss>")
        #expect(await host.answer("t:bump:a") == "11")
        #expect(await host.answer("t:bump:a") == "12")
        #expect(await host.answer("t:bump:a:raise") == "<script_error>")
        #expect(await host.answer("t:bump:a") == "13")
    }
}
