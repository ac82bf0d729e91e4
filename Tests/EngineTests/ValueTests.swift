// The value codecs: every value survives MessagePack, hostile bytes are refused, JSON comes out as its readers expect.

import Engine
import Testing

@Suite struct ValueTests {
    static let samples: [Value] = [
        .null, .bool(true), .bool(false), .int(0), .int(127), .int(128), .int(-1), .int(-32), .int(-33), .int(.max),
        .int(.min),
        .double(0), .double(-0.0), .double(1.5), .double(.infinity), .double(.leastNonzeroMagnitude), .bytes([]),
        .bytes([0, 255, 10]),
        .string("grüße"), .bytes(Array(repeating: 7, count: 31)), .bytes(Array(repeating: 7, count: 32)),
        .bytes(Array(repeating: 7, count: 256)), .bytes(Array(repeating: 7, count: 70_000)), .array([]),
        .array((0..<15).map { .int($0) }), .array((0..<16).map { .int($0) }), .array((0..<70_000).map { .int($0) }),
        .map([]), .object(["a": .int(1), "b": .array([.null, .object(["c": .double(2.25)])])]),
        .map([Value.Pair(.int(1), .string("x")), Value.Pair(.bool(true), .null)]),
    ]

    @Test("every value comes back from MessagePack")
    func roundTrip() {
        for (index, value) in Self.samples.enumerated() {
            let isSame = Value(messagePack: value.messagePack) == value
            #expect(isSame, "sample \(index)")
        }
    }

    @Test("MessagePack that is cut short or followed by more is refused")
    func truncated() {
        let whole = Value.object(["name": .string("x"), "list": .array([.int(1), .double(2)])]).messagePack
        for length in 0..<whole.count { #expect(Value(messagePack: whole[..<length]) == nil) }
        #expect(Value(messagePack: whole + [0]) == nil)
    }

    @Test("lengths that promise more than there is, and nesting without end, are refused")
    func hostile() {
        #expect(Value(messagePack: [0xDD, 0xFF, 0xFF, 0xFF, 0xFF]) == nil)
        #expect(Value(messagePack: [0xDF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0]) == nil)
        #expect(Value(messagePack: [0xDB, 0x7F, 0xFF, 0xFF, 0xFF, 1]) == nil)
        #expect(Value(messagePack: Array(repeating: 0x91, count: 100_000)) == nil)
        #expect(Value(messagePack: [0xC1]) == nil)
        // Keys are scalars: no map, no array.
        #expect(Value(messagePack: [0x81, 0x80, 0x00]) == nil && Value(messagePack: [0x81, 0x91, 0x01, 0x00]) == nil)
    }

    @Test(
        "JSON text",
        arguments: [
            (Value.null, "null"), (.int(-5), "-5"), (.double(3), "3"), (.double(0.1), "0.1"),
            (.double(.nan), "\"NaN\""),
            (.double(1e300), "1e+300"), (.string("a\"b\\c\n\u{1}"), #""a\"b\\c\n\u0001""#),
            (.bytes([0x61, 0xFF]), "\"a\u{FFFD}\""),
            (.array([.int(1), .null]), "[1,null]"), (.object(["b": .int(1), "a": .bool(true)]), #"{"b":1,"a":true}"#),
            (.map([Value.Pair(.int(7), .int(8))]), #"{"7":8}"#),
        ])
    func json(value: Value, text: String) {
        #expect(String(decoding: value.json, as: UTF8.self) == text)
    }

    @Test("a virtual key splits at colons, unescapes its arguments and knows its tag")
    func virtualKey() throws {
        func parse(_ text: String) -> VirtualKey? { Array(text.utf8).withUnsafeBytes { VirtualKey($0) } }
        let key = try #require(parse("quota:addandcheck:alice:3"))
        #expect(
            key
                == VirtualKey(
                    type: "quota", method: "addandcheck", object: Array("alice".utf8), arguments: [Array("3".utf8)]))
        #expect(parse("map:put:m:a%3Ab:%zz%4")?.arguments == [Array("a:b".utf8), Array("%zz%4".utf8)])
        #expect(parse("map:put:user{42}:k")?.routingKey == Array("42".utf8))
        #expect(parse("map:put:user{}:k")?.routingKey == Array("user{}".utf8))
        #expect(parse("frame:list")?.object == [])
        #expect(parse("map:put:m::x")?.arguments == [[], Array("x".utf8)])
        for plain in ["plain", ":a:b", "a::b", "a b:c:d", ""] { #expect(parse(plain) == nil) }
    }
}
