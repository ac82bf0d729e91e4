// Indexes: objects in the order of a number of theirs, whatever becomes of them.

import Engine
import Testing

@Suite struct ObjectIndexTests {
    private static let gauge = """
        local Gauge = object "gauge"
        function Gauge.new(level) return { level = tonumber(level) or 0 } end
        function Gauge:set(level) self.level = tonumber(level) return "SET" end
        function Gauge:fail(level) self.level = tonumber(level) error("no") end
        function Gauge:void() self.level = nil return "VOID" end
        function Gauge:get() return self.level end
        function Gauge:lasting() return self.level, 2000, -self.level end
        Gauge.readonly { "get", "lasting" }
        Gauge.index { "get", "lasting" }
        """

    private static func ask(_ host: ObjectHost, _ question: IndexQuestion, _ name: String = "gauge.get") async throws
        -> IndexAnswer
    {
        try await withCheckedContinuation { continuation in
            host.ask(index: name, question, deadline: .never) { continuation.resume(returning: $0) }
        }.get()
    }

    private static func top(_ host: ObjectHost, _ limit: Int, _ name: String = "gauge.get") async throws -> [String] {
        try await ask(host, .top(limit), name).entries.map { entry in
            "\(String(decoding: entry.object, as: UTF8.self)) \(entry.value)"
        }
    }

    @Test("the greatest come first, of equal ones by name; a change moves its object, a failed one does not")
    func order() async throws {
        let host = try makeHost([script(Self.gauge)])
        for (name, level) in [("a", 3), ("b", 9), ("c", 5), ("d", 5)] {
            #expect(await host.answer("gauge:new:\(name):\(level)") == "CREATED")
        }
        #expect(try await Self.top(host, 10) == ["b 9.0", "c 5.0", "d 5.0", "a 3.0"])
        #expect(try await Self.top(host, 2) == ["b 9.0", "c 5.0"])
        #expect(await host.answer("gauge:set:a:7") == "SET")
        #expect(await host.answer("gauge:fail:d:100") == "<script_error>")
        #expect(try await Self.top(host, 3) == ["b 9.0", "a 7.0", "c 5.0"])
        let above = try await Self.ask(host, .above(5, limit: 2))
        #expect(above.count == 4 && above.entries.count == 2)
        #expect(try await Self.ask(host, .above(5.1, limit: 9)).entries.count == 2)
        #expect(try await Self.ask(host, .count).count == 4)
        #expect(await host.answer("gauge:void:b") == "VOID")
        #expect(await host.answer("gauge:drop:a") == "SUCCESS")
        #expect(await host.answer("gauge:new:c:1") == "CREATED")
        #expect(try await Self.top(host, 9) == ["d 5.0", "c 1.0"])
        #expect(await host.answer("gauge:new:c:one") == "CREATED")
        #expect(try await Self.ask(host, .count).count == 2)
        await withCheckedContinuation { continuation in host.removeAll { continuation.resume() } }
        #expect(try await Self.ask(host, .count).count == 0)
        await #expect(throws: Failure.self) { try await Self.ask(host, .count, "gauge.set") }
    }

    @Test("what changes by time alone does so in the index, and what expires leaves it")
    func time() async throws {
        let clock = TestClock(seconds: 1_000)
        let host = try makeHost([script(Self.gauge)], clock: clock)
        for level in 1...3 { _ = await host.answer("gauge:new:g\(level):\(level)") }
        _ = await host.answer("gauge:expire:g2:500")
        #expect(try await Self.top(host, 3, "gauge.lasting") == ["g3 3.0", "g2 2.0", "g1 1.0"])
        clock.set(seconds: 1_500)
        #expect(try await Self.top(host, 3, "gauge.lasting") == ["g3 3.0", "g1 1.0"])
        #expect(try await Self.ask(host, .count).count == 2)
        clock.set(seconds: 2_000)
        #expect(try await Self.top(host, 3, "gauge.lasting") == ["g1 -1.0", "g3 -3.0"])
        #expect(try await Self.top(host, 3) == ["g3 3.0", "g1 1.0"])
    }

    @Test("objects on the shelf stay in the index, evicted ones leave it")
    func shelf() async throws {
        let shelf = DictionaryShelf()
        let host = try makeHost([script(Self.gauge)], shelf: shelf) { $0.liveBytesMax = 1 << 20 }
        for level in 0..<10_000 { _ = await host.answer("gauge:new:g\(level):\(level * 7919 % 10_000)") }
        #expect(shelf.count > 2_000)
        #expect(try await Self.ask(host, .count).count == 10_000)
        #expect(host.statistics.indexBytes > 1_000_000)
        #expect(try await Self.ask(host, .above(9_900, limit: 5)).count == 100)
        #expect(
            try await Self.top(host, 500).map { $0.split(separator: " ")[1] } == (0..<500).map { "\(9_999 - $0).0" })
        let live = host.count
        shelf.evictAll()
        let left = try await Self.ask(host, .top(1_000))
        #expect(left.entries.count == min(1_000, live))
        #expect(try await Self.ask(host, .count).count == live)
        for entry in left.entries.prefix(50) {
            let name = String(decoding: entry.object, as: UTF8.self)
            #expect(await host.answer("gauge:get:\(name)") == "\(Int(entry.value))")
        }
    }

    @Test("an index that a new version of a type declares knows the objects that were there, live or not")
    func reloaded() async throws {
        let before = Self.gauge.split(separator: "\n").filter { !$0.contains("index") }.joined(separator: "\n")
        let shelf = DictionaryShelf()
        let host = try makeHost([script(before)], shelf: shelf) { $0.liveBytesMax = 1 << 20 }
        for level in 0..<10_000 { _ = await host.answer("gauge:new:g\(level):\(level)") }
        #expect(host.statistics.shelved > 1_000)
        // What has expired, and what is no object, is none of them.
        #expect(
            shelf.put(
                Array("\0obj\0gauge\0gone".utf8), [1, 0, 0, 0] + Value.map([]).messagePack, expiry: Expiry(stored: 1)))
        #expect(shelf.put(Array("\0obj\0gauge\0broken".utf8), [0, 0, 0, 0] + Value.int(1).messagePack, expiry: .never))
        await #expect(throws: Failure.self) { try await Self.ask(host, .count) }
        let types = try ObjectTypes(adding: [script(Self.gauge)])
        await withCheckedContinuation { continuation in host.install(types) { _ in continuation.resume() } }
        #expect(await host.answer("gauge:set:g17:50000") == "SET")
        #expect(try await Self.top(host, 2) == ["g17 50000.0", "g9999 9999.0"])
        #expect(try await Self.ask(host, .count).count == 10_000)
        let without = try ObjectTypes(adding: [script(before)])
        await withCheckedContinuation { continuation in host.install(without) { _ in continuation.resume() } }
        await #expect(throws: Failure.self) { try await Self.ask(host, .count) }
    }

    @Test("an index that outgrows its memory says so, and nothing wrong")
    func bounded() async throws {
        let host = try makeHost([script(Self.gauge)]) { $0.indexBytesMax = 100_000 }
        for level in 0..<2_000 { _ = await host.answer("gauge:new:g\(level):\(level)") }
        let failure = await #expect(throws: Failure.self) { try await Self.ask(host, .count) }
        #expect(failure?.reason == .budgetExceeded)
        #expect(await host.answer("gauge:get:g1999") == "1999")
    }

    @Test("a method of an index that loops, writes or raises spoils no other, and the object is as it was")
    func hostile() async throws {
        let source = """
            local T = object "odd"
            function T.new(how) return { how = how, n = 1 } end
            function T:set(n) self.n = tonumber(n) return self.n end
            function T:share()
                if self.how == "loop" then while true do end end
                if self.how == "write" then self.n = 99 end
                if self.how == "expire" then expire(1) end
                if self.how == "raise" then error("no") end
                if self.how == "nan" then return 0 / 0 end
                if self.how == "text" then return "7" end
                return self.n
            end
            T.readonly { "share" }
            T.index { "share" }
            """
        let host = try makeHost([script(source)])
        for how in ["loop", "write", "expire", "raise", "nan", "text", "fine"] {
            #expect(await host.answer("odd:new:\(how):\(how)") == "CREATED")
            #expect(await host.answer("odd:set:\(how):3") == "3")
        }
        #expect(try await Self.top(host, 10, "odd.share") == ["fine 3.0"])
        #expect(await host.answer("odd:ttl:expire") == "-1")
        #expect(throws: Failure.self) {
            try ObjectTypes(adding: [script("local T = object 'x' function T.new() return {} end T.index { 'a' }")])
        }
    }

    @Test("quotas near their limit are found, and are free again in the next window")
    func quotas() async throws {
        let clock = TestClock(seconds: 1_700_000_000)
        let host = try makeHost(clock: clock)
        for (name, limit, period) in [("a", 10, "hour"), ("b", 10, "day"), ("c", 10, "month"), ("d", 0, "day")] {
            _ = await host.answer("quota:new:\(name):\(limit):\(period)")
        }
        for (name, used) in [("a", 9), ("b", 8), ("c", 7)] {
            _ = await host.answer("quota:addandcheck:\(name):\(used)")
        }
        #expect(try await Self.top(host, 9, "quota.getshare") == ["d 1.0", "a 0.9", "b 0.8", "c 0.7"])
        clock.set(seconds: 1_700_003_600)
        #expect(try await Self.top(host, 9, "quota.getshare") == ["d 1.0", "b 0.8", "c 0.7", "a 0.0"])
        // 14 November 2023: a month ends 30 November.
        clock.set(seconds: 1_701_388_799)
        #expect(try await Self.top(host, 2, "quota.getshare") == ["d 1.0", "c 0.7"])
        clock.set(seconds: 1_701_388_800)
        #expect(try await Self.top(host, 2, "quota.getshare") == ["d 1.0", "a 0.0"])
    }
}
