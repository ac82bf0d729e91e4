// What JSON and MessagePack can say and a value can't hold, what a value holds and JSON can't say, and how long it gets.

import Engine
import Testing

@Suite struct ValueEdgeTests {
    private static func failure<T>(_ body: () throws(Failure) -> T) -> String? {
        do throws(Failure) { _ = try body() } catch { return error.message }
        return nil
    }

    @Test("infinities and NaN are texts in JSON, also as keys, and bare words as an answer")
    func noNumbers() {
        let value = Value.array([.double(.infinity), .double(-.infinity), .double(.nan), .double(-.nan)])
        #expect(String(decoding: value.json, as: UTF8.self) == #"["Infinity","-Infinity","NaN","NaN"]"#)
        let key = Value.map([
            .init(.double(.infinity), .int(1)), .init(.double(1.5), .int(2)), .init(.bool(true), .int(3)),
        ])
        #expect(String(decoding: key.json, as: UTF8.self) == #"{"Infinity":1,"1.5":2,"true":3}"#)
        #expect(
            Value.double(.nan).answer == Array("NaN".utf8) && Value.double(-.infinity).answer == Array("-Infinity".utf8)
        )
        #expect(Value.double(2).answer == Array("2".utf8))
    }

    @Test(
        "an integer in JSON beyond 64 bits is a double where that is the same number, and refused where it is not",
        arguments: [
            ("9223372036854775807", Value.int(.max)), ("-9223372036854775808", .int(.min)),
            ("9223372036854775808", .double(0x1p63)), ("-9223372036854775809", nil), ("12345678901234567890", nil),
            ("18446744073709551616", .double(0x1p64)), ("18446744073709551615", nil),
            ("100000000000000000000", .double(1e20)), ("123456789012345670000", .double(1.2345678901234567e20)),
            ("123456789012345678901", nil), ("1e400", nil), ("-1e400", nil),
            ("12345678901234567890.0", .double(1.2345678901234567e19)),
            ("1e19", .double(1e19)), (String(repeating: "9", count: 400), nil),
            ("1" + String(repeating: "0", count: 39), nil),
        ] as [(String, Value?)])
    func integers(text: String, value: Value?) {
        #expect(Value(json: Array(text.utf8)) == value)
        if value == nil {
            #expect(
                Self.failure { () throws(Failure) in try Value(parsingJSON: Array(text.utf8)) }?
                    .hasSuffix("is beyond what a number can hold; write it as text") == true)
        }
    }

    @Test("MessagePack of every kind is read, or refused by name")
    func messagePack() {
        func reason(_ bytes: [UInt8]) -> String? {
            Self.failure { () throws(Failure) in try Value(parsingMessagePack: bytes) }
        }
        let most = withUnsafeBytes(of: UInt64(Int64.max).bigEndian) { Array($0) }
        #expect(Value(messagePack: [0xCF] + most) == .int(.max))
        #expect(
            reason([0xCF, 0x80] + [UInt8](repeating: 0, count: 7))
                == "this is no msgpack: the integer 9223372036854775808 is beyond 64 bits with sign; send it as text")
        #expect(reason([0xCF] + [UInt8](repeating: 0xFF, count: 8))?.contains("18446744073709551615") == true)
        for bytes in [
            [0xD4, 1, 0], [0xD5, 1, 0, 0], [0xD6, 0xFF, 0, 0, 0, 0], [0xD7] + [UInt8](repeating: 0, count: 9),
            [0xD8] + [UInt8](repeating: 0, count: 17), [0xC7, 0, 1], [0xC8, 0, 0, 1], [0xC9, 0, 0, 0, 0, 1],
            [0x91, 0xD4, 1, 0],
        ] as [[UInt8]] {
            #expect(reason(bytes) == "this is no msgpack: extension types mean nothing here; send plain values")
        }
        #expect(Value(messagePack: [0xCA, 0x3F, 0xC0, 0, 0]) == .double(1.5))
        #expect(Value(messagePack: [0xCA, 0x7F, 0x80, 0, 0]) == .double(.infinity))
        for key in [[0xC0], [0xCB, 0x7F, 0xF8, 0, 0, 0, 0, 0, 0], [0x90], [0x80], [0xCA, 0x7F, 0xC0, 0, 0]] as [[UInt8]]
        {
            #expect(
                reason([0x81] + key + [1]) == "this is no msgpack: a key must be a number, a string or a boolean")
        }
        #expect(
            Value(messagePack: [0x82, 0xC3, 1, 0xFF, 2])
                == .map([.init(.bool(true), .int(1)), .init(.int(-1), .int(2))]))
        #expect(reason([UInt8](repeating: 0x91, count: 64) + [1])?.contains("nested deeper than 64") == true)
        #expect(Value(messagePack: [UInt8](repeating: 0x91, count: 63) + [1]) != nil)
        #expect(reason([1, 2])?.contains("something behind the value") == true)
        #expect(reason([0xC1]) == "this is no msgpack" && reason([]) == "this is no msgpack")
    }

    @Test("JSON is as long as it is said to be at most, and stops where it would be longer")
    func lengths() {
        for value in ValueTests.samples + [
            .bytes([UInt8](repeating: 1, count: 1_000)), .array([.bytes([255]), .string("é\"")]),
        ] {
            let json = value.json
            #expect(value.json(bytesMax: json.count) == json)
            #expect(value.json(bytesMax: json.count - 1) == nil && value.json(bytesMax: 0) == nil)
        }
        let large = Value.array([.bytes([UInt8](repeating: 1, count: 4 << 20))])
        #expect(large.json.count == 6 * (4 << 20) + 4 && large.json(bytesMax: 24 << 20) == nil)
        #expect(large.json(bytesMax: 1 << 20) == nil)
        #expect(Value.array([Value](repeating: .double(-0.1), count: 100_000)).json(bytesMax: 1 << 10) == nil)
    }
}
