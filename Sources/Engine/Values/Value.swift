// A value as scripts, codecs and answers share it: what a Lua value is once it has left Lua.

/// A tree of plain data. Strings are bytes (Lua's are); `map` keeps its order, so that columns come out as asked for.
package enum Value: Sendable, Hashable {
    case null
    case bool(Bool)
    case int(Int64)
    case double(Double)
    case bytes([UInt8])
    case array([Value])
    case map([Pair])

    package struct Pair: Sendable, Hashable {
        package let key: Value
        package let value: Value
        package init(_ key: Value, _ value: Value) {
            self.key = key
            self.value = value
        }
    }

    package static func string(_ text: some StringProtocol) -> Value { .bytes(Array(text.utf8)) }

    /// A list or a map.
    package var isTable: Bool {
        switch self {
        case .array, .map: true
        default: false
        }
    }

    /// A map with string keys, in the order given.
    package static func object(_ pairs: KeyValuePairs<String, Value>) -> Value {
        .map(pairs.map { Pair(.string($0.key), $0.value) })
    }

    /// The value under a string key of a map; nil for anything else.
    package subscript(key: String) -> Value? {
        guard case .map(let pairs) = self else { return nil }
        let wanted = Value.string(key)
        return pairs.first { $0.key == wanted }?.value
    }

    /// The text of a string value (invalid UTF-8 is repaired); nil for anything else.
    package var text: String? {
        guard case .bytes(let bytes) = self else { return nil }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// How the value answers a `get`: strings and numbers as text, nothing as the empty string, the rest as JSON.
    package var answer: [UInt8] {
        switch self {
        case .bytes(let bytes): bytes
        case .null: []
        case .double(let number): number.nameOfNoNumber.map { Array($0.description.utf8) } ?? json
        default: json
        }
    }
}
