// The built-in types as a table of (virtual key, answer), in order.

import Engine
import Testing

@Suite struct BuiltInTypeTests {
    private static let conversation: [(String, String)] = [
        // A set.
        ("set:put:s:a", "<miss>"), ("set:new:s", "CREATED"), ("set:count:s", "0"), ("set:getall:s", ""),
        ("set:put:s:banana", "SUCCESS"), ("set:put:s:apple", "SUCCESS"), ("set:put:s:apple", "SUCCESS"),
        ("set:count:s", "2"), ("set:exist:s:apple", "EXISTS"), ("set:exist:s:pear", "NOT_FOUND"),
        ("set:getall:s", "apple\r\nbanana\r\n"), ("set:delete:s:pear", "SUCCESS"), ("set:new:t", "CREATED"),
        ("set:put:t:cherry", "SUCCESS"), ("set:put:t:apple", "SUCCESS"),
        ("set:union:s:t", "apple\r\nbanana\r\ncherry\r\n"), ("set:intersection:s:t", "apple\r\n"),
        ("set:union:s:nowhere", "<script_error>"), ("set:union:s{g}:other{g}", "<miss>"),
        ("set:put:s", "<script_error>"),
        ("set:delete:s:apple", "SUCCESS"), ("set:getall:s", "banana\r\n"), ("set:new:s", "CREATED"),
        ("set:count:s", "0"),
        // A map.
        ("map:new:m", "CREATED"), ("map:get:m:k", "NOT_FOUND"), ("map:put:m:k:v", "SUCCESS"),
        ("map:put:m:b:a%3Ab", "SUCCESS"), ("map:get:m:k", "k : v"), ("map:count:m", "2"),
        ("map:getkeys:m", "b\r\nk\r\n"), ("map:getvalues:m", "a:b\r\nv\r\n"),
        ("map:getall:m", "b : a:b\r\nk : v\r\n"), ("map:put:m:k:w", "SUCCESS"), ("map:get:m:k", "k : w"),
        ("map:delete:m:k", "SUCCESS"), ("map:get:m:k", "NOT_FOUND"), ("map:count:m", "1"),
        ("map:put:m:k", "<script_error>"), ("map:get:nobody:k", "<miss>"), ("set:count:m", "<miss>"),
        // A quota.
        ("quota:addandcheck:q", "<miss>"), ("quota:new:q", "<script_error>"), ("quota:new:q:5", "<script_error>"),
        ("quota:new:q:5:week", "NOT_CREATED"), ("quota:new:q:x:day", "NOT_CREATED"),
        ("quota:new:q:-1:day", "NOT_CREATED"), ("quota:addandcheck:q", "<miss>"), ("quota:new:q:5:day", "CREATED"),
        ("quota:addandcheck:q", "QUOTA_OK"), ("quota:addandcheck:q:3", "QUOTA_OK"),
        ("quota:addandcheck:q:2", "QUOTA_EXCEEDED"), ("quota:addandcheck:q:1", "QUOTA_OK"),
        ("quota:addandcheck:q", "QUOTA_EXCEEDED"), ("quota:addandcheck:q:x", "<script_error>"),
        ("quota:addandcheck:q:-5", "<script_error>"), ("quota:addandcheck:q:0", "<script_error>"),
        ("quota:addandcheck:q:9223372036854775807", "QUOTA_EXCEEDED"), ("quota:reset:q", "QUOTA_OK"),
        ("quota:addandcheck:q:5", "QUOTA_OK"), ("quota:new:q:x:day", "NOT_CREATED"),
        ("quota:addandcheck:q:1", "QUOTA_EXCEEDED"),
        // A sliding window.
        ("swcounter:new:w:3", "CREATED"), ("swcounter:getlast:w", "0"), ("swcounter:getmin:w", "0"),
        ("swcounter:getmax:w", "0"), ("swcounter:getavg:w", "0"), ("swcounter:add:w:5", "SUCCESS"),
        ("swcounter:getmin:w", "5"), ("swcounter:getavg:w", "5"), ("swcounter:add:w:2", "SUCCESS"),
        ("swcounter:add:w:6.5", "SUCCESS"), ("swcounter:getavg:w", "4.5"), ("swcounter:getmax:w", "6.5"),
        ("swcounter:getlast:w", "6.5"), ("swcounter:add:w:-1", "SUCCESS"), ("swcounter:getavg:w", "2.5"),
        ("swcounter:getmin:w", "-1"), ("swcounter:getlast:w", "-1"), ("swcounter:add:w:x", "<script_error>"),
        ("swcounter:add:w", "<script_error>"), ("swcounter:add:w:1e999", "<script_error>"),
        ("swcounter:getavg:w", "2.5"), ("swcounter:new:w:0", "NOT_CREATED"), ("swcounter:new:w:x", "NOT_CREATED"),
        ("swcounter:getlast:w", "-1"), ("swcounter:new:w", "CREATED"), ("swcounter:getlast:w", "0"),
        // What is no method.
        ("set:nothing:s", "<script_error>"), ("bag:new:s", "<script_error>"), ("set:readonly:s", "<script_error>"),
        ("set:new", "<script_error>"),
    ]

    @Test("the built-in types answer as their ancestors did, with the right counts")
    func conversation() async throws {
        let host = try makeHost(clock: TestClock(seconds: 1_700_000_000))
        _ = await host.answer("set:new:s{g}")
        for (index, (key, answer)) in Self.conversation.enumerated() {
            #expect(await host.answer(key) == answer, "\(index): \(key)")
        }
    }

    @Test("a failing argument is named, and the place")
    func namesArgument() async throws {
        let host = try makeHost()
        _ = await host.answer("swcounter:new:w")
        #expect(
            await host.failure("swcounter:add:w:abc")?.message == "swcounter.lua:17: value must be a number, not 'abc'")
        #expect(await host.failure("map:put:none:a:b")?.message == "there is no map 'none'; make it with map:new:none")
    }

    @Test("a data block is the last argument, whatever its bytes")
    func dataBlock() async throws {
        let host = try makeHost()
        _ = await host.answer("map:new:m")
        #expect(await host.answer("map:put:m:k", data: "a:b\r\n\0c") == "SUCCESS")
        #expect(await host.answer("map:get:m:k") == "k : a:b\r\n\0c")
    }

    @Test(
        "a quota starts again at the end of its calendar hour, day or month in UTC",
        arguments: [
            ("hour", 1_709_254_799, 1_709_254_800), ("day", 1_709_251_199, 1_709_251_200),
            ("month", 1_709_251_199, 1_709_251_200),
        ])
    func window(period: String, last: Int, next: Int) async throws {
        let clock = TestClock(seconds: UInt64(last - 1))
        let host = try makeHost(clock: clock)
        #expect(await host.answer("quota:new:q:2:\(period)") == "CREATED")
        #expect(await host.answer("quota:addandcheck:q:2") == "QUOTA_OK")
        clock.set(seconds: UInt64(last))
        #expect(await host.answer("quota:addandcheck:q") == "QUOTA_EXCEEDED")
        clock.set(seconds: UInt64(next))
        #expect(await host.answer("quota:addandcheck:q:2") == "QUOTA_OK")
        #expect(await host.answer("quota:addandcheck:q") == "QUOTA_EXCEEDED")
    }
}
