// How objects end: by time, by a word, by memory; and those that do not.

import Engine
import Testing

@Suite struct ObjectLifetimeTests {
    @Test("an object goes at its instant, live or on the shelf, and not before")
    func expires() async throws {
        let clock = TestClock(seconds: 1_000)
        let shelf = DictionaryShelf()
        let host = try makeHost(shelf: shelf, clock: clock) { $0.liveBytesMax = 1 << 20 }
        var key = parse("map:new:a")
        key.expiry = Expiry(stored: 1_010)
        _ = await host.ask(key)
        #expect(await host.answer("map:put:a:k:v") == "SUCCESS")
        #expect(await host.answer("map:ttl:a") == "10")
        // Enough of others to send it to the shelf.
        let filler = String(repeating: "v", count: 1000)
        for index in 0..<2000 {
            _ = await host.answer("map:new:m\(index)")
            _ = await host.answer("map:put:m\(index):k", data: filler)
        }
        #expect(shelf.contains(Array("\0obj\0map\0a".utf8)))
        clock.set(seconds: 1_009)
        #expect(await host.answer("map:get:a:k") == "k : v")
        #expect(await host.answer("map:ttl:a") == "1")
        clock.set(seconds: 1_010)
        #expect(await host.answer("map:get:a:k") == "<miss>")
        #expect(await host.answer("map:new:a") == "CREATED")
        #expect(await host.answer("map:ttl:a") == "-1")
    }

    @Test("expire moves the end, a negative time is now, a session lives on while it is used")
    func moves() async throws {
        let clock = TestClock(seconds: 1_000)
        let host = try makeHost(clock: clock)
        _ = await host.answer("counter:new:c")
        #expect(await host.answer("counter:expire:c:5") == "SUCCESS")
        clock.set(seconds: 1_004)
        #expect(await host.answer("counter:expire:c:5") == "SUCCESS")
        clock.set(seconds: 1_008)
        #expect(await host.answer("counter:add:c") == "1")
        #expect(await host.answer("counter:expire:c", data: "-1") == "SUCCESS")
        #expect(await host.answer("counter:get:c") == "<miss>")
        _ = await host.answer("session:new:s:10")
        for second in stride(from: 1_010, to: 1_080, by: 9) {
            clock.set(seconds: UInt64(second))
            #expect(await host.answer("session:touch:s") == "SUCCESS")
        }
        #expect(await host.answer("session:age:s") == "65")
        clock.set(seconds: 1_083)
        #expect(await host.answer("session:age:s") == "<miss>")
    }

    @Test("a method that fails moves no end; a readonly one may not")
    func undone() async throws {
        let clock = TestClock(seconds: 1_000)
        let host = try makeHost(
            [
                script(
                    """
                    local T = object "thing"
                    function T.new(seconds) if seconds then expire(tonumber(seconds)) end return {} end
                    function T:fail() expire(5) error("no") end
                    function T:look() expire(5) end
                    function T:move(seconds) expire(tonumber(seconds)) return "ok" end
                    T.readonly { "look" }
                    """)
            ], clock: clock)
        #expect(await host.answer("thing:new:a:50") == "CREATED")
        #expect(await host.answer("thing:ttl:a") == "50")
        #expect(await host.answer("thing:fail:a") == "<script_error>")
        #expect(await host.answer("thing:look:a") == "<script_error>")
        #expect(await host.answer("thing:move:a:-1") == "<script_error>")
        #expect(await host.answer("thing:ttl:a") == "50")
        #expect(await host.answer("thing:move:a:7") == "ok")
        #expect(await host.answer("thing:ttl:a") == "7")
        #expect(await host.answer("thing:move:a:0") == "ok")
        #expect(await host.answer("thing:ttl:a") == "-1")
    }

    @Test("pinned objects never leave; when they fill their memory new ones are refused, until some go")
    func pinned() async throws {
        let shelf = DictionaryShelf()
        let host = try makeHost(shelf: shelf) {
            $0.liveBytesMax = 1 << 20
            $0.pinnedBytesMax = 2 << 20
        }
        var made = 0
        var refused: Failure?
        while refused == nil, made < 100_000 {
            if case .failure(let failure) = await host.ask(parse("quota:new:q\(made):5:day")) {
                refused = failure
            } else {
                made += 1
            }
        }
        #expect(refused?.reason == .budgetExceeded)
        #expect(refused?.message.contains("quota:drop:NAME") == true)
        #expect(made > 1_000 && shelf.count == 0 && host.count == made)
        // What is there works on, and so do objects that may leave.
        #expect(await host.answer("quota:addandcheck:q0") == "QUOTA_OK")
        #expect(await host.answer("counter:new:c") == "CREATED")
        for index in 0..<(made / 2) { #expect(await host.answer("quota:drop:q\(index)") == "SUCCESS") }
        #expect(await host.answer("quota:new:again:5:day") == "CREATED")
    }

    @Test("maps that fill the memory, and their garbage once they are dropped, keep no pinned object from being made")
    func pinnedBesideMaps() async throws {
        let host = try makeHost {
            $0.liveBytesMax = 1 << 20
            $0.pinnedBytesMax = 2 << 20
            $0.shelfBytesMax = 64 << 10
        }
        let filler = String(repeating: "v", count: 10_000)
        for index in 0..<12 {
            #expect(await host.answer("map:new:m\(index)") == "CREATED")
            for field in 0..<50 { _ = await host.answer("map:put:m\(index):f\(field)", data: "\(field)\(filler)") }
        }
        #expect(host.statistics.memoryBytes > 5 << 20)
        #expect(await host.answer("quota:new:q1:5:day") == "CREATED")
        for index in 0..<12 { #expect(await host.answer("map:drop:m\(index)") == "SUCCESS") }
        #expect(await host.answer("quota:new:q2:5:day") == "CREATED")
        #expect(await host.answer("lock:new:l") == "CREATED")
    }

    @Test("a pinned object that its methods let grow counts as what it has become")
    func pinnedThatGrows() async throws {
        let types = [
            script(
                """
                local Pile = object "pile"
                Pile.pinned()
                function Pile.new() return { items = {} } end
                function Pile:put(text, times)
                  for i = 1, tonumber(times) do self.items[#self.items + 1] = text .. i end
                  return #self.items
                end
                """)
        ]
        let host = try makeHost(types) {
            $0.liveBytesMax = 1 << 20
            $0.pinnedBytesMax = 4 << 20
        }
        #expect(await host.answer("pile:new:p") == "CREATED")
        for _ in 0..<80 { _ = await host.answer("pile:put:p:\(String(repeating: "x", count: 100)):500") }
        for _ in 0..<2_000 { _ = await host.answer("pile:put:p:x:0") }
        let refusal = await host.failure("pile:new:other")
        #expect(refusal?.reason == .budgetExceeded)
        #expect(refusal?.message.contains("of the shard: drop some (pile:drop:NAME)") == true)
        #expect(await host.answer("pile:drop:p") == "SUCCESS")
        #expect(await host.answer("pile:new:other") == "CREATED")
    }

    @Test("what live objects take is lent by the store of the items")
    func lends() async throws {
        let engine = Engine(EngineConfiguration(shards: 1, memoryBytes: 64 << 20))
        let before = engine.shards[0].items.statistics.limitBytes
        let filler = String(repeating: "v", count: 50_000)
        for index in 0..<100 {
            _ = await engine.shards[0].objects.ask(parse("map:new:m\(index)"))
            _ = await engine.shards[0].objects.ask(parse("map:put:m\(index):k"), data: Array(filler.utf8))
        }
        let lent = before - engine.shards[0].items.statistics.limitBytes
        #expect(lent > 4 << 20 && lent < 16 << 20)
        await withCheckedContinuation { continuation in
            engine.shards[0].objects.removeAll { continuation.resume() }
        }
        #expect(before - engine.shards[0].items.statistics.limitBytes < 1 << 20)
        engine.shards[0].items.checkInvariants()
    }
}
