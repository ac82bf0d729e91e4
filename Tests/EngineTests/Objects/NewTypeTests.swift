// The types that the ancestor did not have, as a table of (virtual key, answer), in order; and what the sketches promise.

import Engine
import Foundation
import Testing

@Suite struct NewTypeTests {
    private static let conversation: [(String, String)] = [
        // A counter.
        ("counter:add:c", "<miss>"), ("counter:new:c:x", "<script_error>"), ("counter:new:c", "CREATED"),
        ("counter:add:c", "1"), ("counter:add:c:41", "42"), ("counter:sub:c:2", "40"), ("counter:get:c", "40"),
        ("counter:add:c:9223372036854775807", "<script_error>"), ("counter:get:c", "40"), ("counter:reset:c", "40"),
        ("counter:add:c:0.5", "0.5"), ("counter:new:c:-9223372036854775808", "CREATED"),
        ("counter:sub:c", "<script_error>"), ("counter:get:c", "-9223372036854775808"),
        // A list.
        ("list:new:l:0", "NOT_CREATED"), ("list:new:l:2", "CREATED"), ("list:get:l", "[]"),
        ("list:getlast:l", "NOT_FOUND"), ("list:put:l:a", "1"), ("list:put:l:b", "2"), ("list:put:l:c", "2"),
        ("list:get:l", #"["c","b"]"#), ("list:get:l:1", #"["c"]"#), ("list:getall:l", "c\r\nb\r\n"),
        ("list:count:l", "2"), ("list:getlast:l", "c"), ("list:clear:l", "SUCCESS"), ("list:count:l", "0"),
        ("list:put:l:d", "1"), ("list:get:l:9", #"["d"]"#),
        // A session.
        ("session:new:s:0", "NOT_CREATED"), ("session:new:s:60", "CREATED"), ("session:getall:s", "{}"),
        ("session:put:s:name:alice", "SUCCESS"), ("session:get:s:name", "alice"), ("session:get:s:age", "NOT_FOUND"),
        ("session:getall:s", #"{"name":"alice"}"#), ("session:delete:s:name", "SUCCESS"),
        ("session:getall:s", "{}"), ("session:age:s", "0"), ("session:ttl:s", "60"), ("session:touch:s", "SUCCESS"),
        // The most frequent.
        ("topk:new:t:0", "NOT_CREATED"), ("topk:new:t:2", "CREATED"), ("topk:get:t", "[]"),
        ("topk:add:t:a", "SUCCESS"), ("topk:add:t:b:3", "SUCCESS"), ("topk:add:t:c:2", "SUCCESS"),
        ("topk:get:t", #"[{"count":3,"error":0,"item":"b"},{"count":2,"error":0,"item":"c"}]"#),
        ("topk:count:t:a", "1"), ("topk:count:t:z", "0"), ("topk:gettotal:t", "6"),
        ("topk:add:t:a:0", "<script_error>"),
        // How many different ones.
        ("hll:new:h:3", "NOT_CREATED"), ("hll:new:h", "CREATED"), ("hll:count:h", "0"), ("hll:add:h:a", "CHANGED"),
        ("hll:add:h:a", "SEEN"), ("hll:add:h:b:c", "CHANGED"), ("hll:count:h", "3"), ("hll:add:h", "<script_error>"),
        // Quantiles.
        ("digest:new:d", "CREATED"), ("digest:quantile:d:0.5", "NOT_FOUND"), ("digest:add:d:-4", "SUCCESS"),
        ("digest:add:d:0", "SUCCESS"), ("digest:add:d:8:2", "SUCCESS"), ("digest:quantile:d:0", "-4"),
        ("digest:quantile:d:1", "8"), ("digest:quantile:d:0.34", "0"), ("digest:count:d", "4"),
        ("digest:getmin:d", "-4"), ("digest:getmax:d", "8"), ("digest:getavg:d", "3"),
        ("digest:quantile:d:2", "<script_error>"),
        // A filter.
        ("bloom:new:b:0", "NOT_CREATED"), ("bloom:new:b:100:2", "NOT_CREATED"), ("bloom:new:b:100", "CREATED"),
        ("bloom:exist:b:x", "NOT_FOUND"), ("bloom:add:b:x", "ADDED"), ("bloom:add:b:x", "EXISTS"),
        ("bloom:exist:b:x", "EXISTS"), ("bloom:count:b", "1"),
        // What every type has.
        ("counter:new:e", "CREATED"), ("counter:ttl:e", "-1"), ("counter:expire:e:x", "<script_error>"),
        ("counter:expire:e:30", "SUCCESS"), ("counter:ttl:e", "30"), ("counter:expire:e:0", "SUCCESS"),
        ("counter:ttl:e", "-1"), ("counter:drop:e", "SUCCESS"), ("counter:drop:e", "<miss>"),
        ("counter:ttl:e", "<miss>"), ("quota:new:q:3:day", "CREATED"), ("quota:getleft:q", "3"),
    ]

    @Test("counters, lists, sessions, sketches and filters answer what they say")
    func conversation() async throws {
        let host = try makeHost(clock: TestClock(seconds: 1_700_000_000))
        for (index, (key, answer)) in Self.conversation.enumerated() {
            #expect(await host.answer(key) == answer, "\(index): \(key)")
        }
    }

    @Test("a lock is held by one, for no longer than its lease, under tokens that grow")
    func lock() async throws {
        let clock = TestClock(seconds: 1_000)
        let host = try makeHost(clock: clock)
        #expect(await host.answer("lock:new:k") == "CREATED")
        #expect(await host.answer("lock:new:k") == "CREATED")
        #expect(await host.answer("lock:holder:k") == "FREE")
        let first = await host.answer("lock:acquire:k:10:me")
        #expect(first == "1000000")
        #expect(await host.answer("lock:acquire:k:10") == "LOCKED")
        #expect(await host.answer("lock:holder:k") == #"{"left_ms":10000,"owner":"me","token":1000000}"#)
        #expect(await host.answer("lock:release:k:1") == "NOT_HELD")
        clock.set(seconds: 1_009)
        #expect(await host.answer("lock:renew:k:\(first):5") == "RENEWED")
        clock.set(seconds: 1_013)
        #expect(await host.answer("lock:acquire:k:1") == "LOCKED")
        clock.set(seconds: 1_014)
        #expect(await host.answer("lock:release:k:\(first)") == "NOT_HELD")
        let second = await host.answer("lock:acquire:k:1")
        #expect(Int(second) ?? 0 > Int(first) ?? 0)
        #expect(await host.answer("lock:release:k:\(second)") == "RELEASED")
        #expect(await host.answer("lock:holder:k") == "FREE")
        #expect(await host.answer("lock:acquire:k:0") == "<script_error>")
    }

    @Test("hll counts 20,000 different texts within four standard errors, and merges")
    func hll() async throws {
        let host = try makeHost()
        for name in ["{t}a", "{t}b"] { _ = await host.answer("hll:new:\(name)") }
        for index in 0..<10_000 {
            _ = await host.answer("hll:add:{t}a:x\(index):x\(index + 1)")
            _ = await host.answer("hll:add:{t}b:y\(index)")
        }
        let counted = Double(await host.answer("hll:count:{t}a")) ?? 0
        #expect(abs(counted - 10_001) < 10_001 * 0.065)
        #expect(await host.answer("hll:merge:{t}a:{t}b") == "SUCCESS")
        let merged = Double(await host.answer("hll:count:{t}a")) ?? 0
        #expect(abs(merged - 20_001) < 20_001 * 0.065)
    }

    @Test("a digest's quantiles are within 1 % of the true ones")
    func digest() async throws {
        let host = try makeHost()
        _ = await host.answer("digest:new:d")
        var values: [Double] = []
        var state: UInt64 = 1
        for _ in 0..<5_000 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            let value = exp(Double(state >> 40) / Double(1 << 24) * 12 - 3)
            values.append(value)
            _ = await host.answer("digest:add:d:\(value)")
        }
        values.sort()
        for q in [0.01, 0.25, 0.5, 0.9, 0.99, 0.999] {
            let truth = values[Int(q * Double(values.count - 1))]
            let answer = Double(await host.answer("digest:quantile:d:\(q)")) ?? 0
            #expect(abs(answer - truth) <= 0.0101 * truth, "\(q): \(answer) for \(truth)")
        }
    }

    @Test("a filter forgets nothing, and is wrong about as rarely as asked for")
    func bloom() async throws {
        let host = try makeHost()
        _ = await host.answer("bloom:new:b:2000:0.01")
        for index in 0..<2_000 { _ = await host.answer("bloom:add:b:in\(index)") }
        var wrong = 0
        for index in 0..<2_000 {
            #expect(await host.answer("bloom:exist:b:in\(index)") == "EXISTS")
            if await host.answer("bloom:exist:b:out\(index)") == "EXISTS" { wrong += 1 }
        }
        #expect(wrong < 60)
    }

    @Test("topk keeps what is frequent among many, its counts too low by no more than it says")
    func topk() async throws {
        let host = try makeHost()
        _ = await host.answer("topk:new:t:3")
        for round in 0..<3_000 {
            _ = await host.answer("topk:add:t:often")
            if round % 2 == 0 { _ = await host.answer("topk:add:t:half") }
            _ = await host.answer("topk:add:t:once\(round)")
        }
        let top = Value(json: Array(await host.answer("topk:get:t").utf8))
        guard case .array(let items)? = top, items.count == 3 else {
            Issue.record("\(String(describing: top))")
            return
        }
        for (item, (name, truth)) in zip(items, [("often", Int64(3_000)), ("half", 1_500)]) {
            guard case .int(let count)? = item["count"], case .int(let error)? = item["error"] else { continue }
            #expect(item["item"]?.text == name)
            #expect(count <= truth && count + error >= truth, "\(name): \(count) + \(error)")
        }
    }

    @Test("a count is kept, not counted, through put, put again, delete and failure")
    func counts() async throws {
        let host = try makeHost()
        for type in ["set", "map"] {
            _ = await host.answer("\(type):new:o")
            for index in 0..<50 { _ = await host.answer("\(type):put:o:k\(index % 20)\(type == "map" ? ":v" : "")") }
            #expect(await host.answer("\(type):count:o") == "20")
            _ = await host.answer("\(type):delete:o:k3")
            _ = await host.answer("\(type):delete:o:k3")
            #expect(await host.answer("\(type):put:o") == "<script_error>")
            #expect(await host.answer("\(type):count:o") == "19")
        }
    }
}
