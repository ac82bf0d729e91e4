// Numbers at their edges, in every built-in type: what is no number, what does not fit, what would become none.

import Engine
import Testing

@Suite struct NumberEdgeTests {
    private static let least = "-9223372036854775808"
    private static let most = "9223372036854775807"

    private static let conversation: [(String, String)] = [
        // Counters stay whole, and finite.
        ("counter:new:c:12345678901234567890", "<script_error>"), ("counter:new:c:\(most)", "CREATED"),
        ("counter:add:c:1", "<script_error>"), ("counter:add:c", "<script_error>"), ("counter:get:c", most),
        ("counter:sub:c:-1", "<script_error>"), ("counter:sub:c:\(least)", "<script_error>"),
        ("counter:sub:c:\(most)", "0"), ("counter:sub:c:\(least)", "<script_error>"), ("counter:get:c", "0"),
        ("counter:sub:c", "-1"), ("counter:sub:c:\(least)", most), ("counter:new:c:\(least)", "CREATED"),
        ("counter:add:c:-1", "<script_error>"), ("counter:sub:c:1", "<script_error>"), ("counter:add:c:\(most)", "-1"),
        ("counter:add:c:9223372036854775808", "<script_error>"),
        ("counter:add:c:-9223372036854775809", "<script_error>"),
        ("counter:new:c:1e308", "CREATED"), ("counter:add:c:1e308", "<script_error>"), ("counter:get:c", "1e+308"),
        ("counter:sub:c:-1e308", "<script_error>"), ("counter:sub:c:1e308", "0"),
        ("counter:add:c:1e309", "<script_error>"),
        // With a fraction: neither is rounded nor dropped.
        ("counter:new:c1:9007199254740993", "CREATED"), ("counter:add:c1:0.5", "<script_error>"),
        ("counter:sub:c1:0.5", "<script_error>"), ("counter:add:c1:1e3", "<script_error>"),
        ("counter:get:c1", "9007199254740993"), ("counter:sub:c1:1", "9007199254740992"),
        ("counter:add:c1:0.5", "<script_error>"), ("counter:get:c1", "9007199254740992"),
        ("counter:new:c2:1e16", "CREATED"), ("counter:add:c2", "<script_error>"),
        ("counter:sub:c2:0.5", "<script_error>"),
        ("counter:add:c2:2", "1.0000000000000002e+16"), ("counter:add:c2:9007199254740993", "<script_error>"),
        ("counter:add:c2:0", "1.0000000000000002e+16"), ("counter:new:c3:0.5", "CREATED"),
        ("counter:add:c3:0.25", "0.75"),
        // The most frequent: counts and total.
        ("topk:new:t", "CREATED"), ("topk:add:t:a:\(most)", "SUCCESS"), ("topk:add:t:a:1", "<script_error>"),
        ("topk:add:t:b", "<script_error>"), ("topk:count:t:a", most), ("topk:gettotal:t", most),
        ("topk:get:t:-1", "<script_error>"), ("topk:get:t:\(least)", "<script_error>"),
        ("topk:get:t:\(most)", "[{\"count\":\(most),\"error\":0,\"item\":\"a\"}]"),
        // Windows: the average of what is too large to be summed.
        ("swcounter:new:w:2", "CREATED"), ("swcounter:add:w:1e308", "SUCCESS"), ("swcounter:add:w:1e308", "SUCCESS"),
        ("swcounter:getavg:w", "1e+308"), ("swcounter:add:w:-1e308", "SUCCESS"), ("swcounter:getavg:w", "0"),
        ("swcounter:add:w:1e309", "<script_error>"),
        // Quantiles.
        ("digest:new:d", "CREATED"), ("digest:add:d:1e308", "SUCCESS"), ("digest:add:d:1e308", "<script_error>"),
        ("digest:count:d", "1"), ("digest:getavg:d", "1e+308"), ("digest:add:d:1:\(most)", "<script_error>"),
        ("digest:add:d:1:9223372036854775808", "<script_error>"), ("digest:quantile:d:nan", "<script_error>"),
        ("digest:quantile:d:-0.1", "<script_error>"),
        // Quotas.
        ("quota:new:q:\(most):day", "CREATED"), ("quota:addandcheck:q:\(most)", "QUOTA_OK"),
        ("quota:addandcheck:q", "QUOTA_EXCEEDED"), ("quota:addandcheck:q:9223372036854775808", "<script_error>"),
        ("quota:getleft:q", "0"), ("quota:getshare:q", "1"),
        // Sizes, seconds.
        ("list:new:l:9223372036854775808", "NOT_CREATED"), ("list:new:l", "CREATED"), ("list:put:l:a", "1"),
        ("list:get:l:-1", "<script_error>"), ("list:get:l:\(least)", "<script_error>"), ("list:get:l:0", "[]"),
        ("list:get:l:\(most)", #"["a"]"#), ("session:new:s:\(most)", "NOT_CREATED"),
        ("session:new:s:4000000000", "NOT_CREATED"), ("session:new:s:315360000", "CREATED"),
        ("counter:expire:c:\(most)", "<script_error>"), ("counter:ttl:c", "-1"),
        ("counter:expire:c:5000000000", "<script_error>"),
        ("counter:expire:c:2594967294", "SUCCESS"), ("counter:ttl:c", "2594967294"),
        ("counter:expire:c:2594967295", "<script_error>"), ("counter:expire:c:+5", "<script_error>"),
        ("counter:expire:c:\(least)", "SUCCESS"), ("counter:ttl:c", "<miss>"),
    ]

    @Test("what does not fit is refused, and what was there stays")
    func conversation() async throws {
        let host = try makeHost(clock: TestClock(seconds: 1_700_000_000))
        for (index, (key, answer)) in Self.conversation.enumerated() {
            #expect(await host.answer(key) == answer, "\(index): \(key)")
        }
    }

    @Test(
        "only decimal text is a number",
        arguments: [
            "0x10", " 5", "5 ", " 5 ", "+5", "", "-", ".5", "5.", "1e", "1e+", "inf", "-inf", "nan", "infinity",
            "1_000", "٣",
            "1,5", "0b1", "1e3.5", "--1",
        ])
    func noNumbers(text: String) async throws {
        let host = try makeHost()
        _ = await host.answer("counter:new:c")
        _ = await host.answer("quota:new:q:5:day")
        _ = await host.answer("list:new:l")
        for key in [
            "counter:new:d", "counter:add:c", "counter:sub:c", "quota:addandcheck:q", "list:get:l", "counter:expire:c",
        ] {
            #expect(
                await host.answer(key, data: text)
                    == (key == "counter:new:d" && text.isEmpty ? "CREATED" : "<script_error>"))
        }
        for key in ["list:new:x", "hll:new:x", "swcounter:new:x", "topk:new:x", "session:new:x", "bloom:new:x"]
        where !text.isEmpty {
            #expect(await host.answer(key, data: text) == "<miss>", "\(key)")
        }
        #expect(await host.answer("counter:get:c") == "0")
    }

    @Test("a number with a fraction or an exponent is one, but no whole one")
    func decimals() async throws {
        let host = try makeHost()
        _ = await host.answer("counter:new:c")
        for (text, sum) in [("1.5", "1.5"), ("-0.5", "1"), ("1e3", "1001"), ("2.5E-1", "1001.25"), ("007", "1008.25")] {
            #expect(await host.answer("counter:add:c:\(text)") == sum)
        }
        _ = await host.answer("quota:new:q:50000:day")
        for text in ["1.5", "5.0", "1e3"] {
            #expect(await host.answer("quota:addandcheck:q:\(text)") == "<script_error>")
        }
        #expect(
            await host.failure("quota:addandcheck:q:5.0")?.message
                == "quota.lua:23: count must be a whole number, not '5.0'")
        #expect(
            await host.failure("counter:add:c:99999999999999999999")?.message
                .hasSuffix("amount does not fit into 64 bits: '99999999999999999999'") == true)
    }
}
