// Values as JSON that loses nothing, and the columns of rows: bytes that are no UTF-8 as base64, integers beyond 2^53 as text where that is wanted.

package import Engine

extension Value {
    /// In a form whose JSON loses nothing; the same value where nothing in it needs another form. Cost: a look at all of it.
    package func lossless(textIntegers: Bool) -> Value {
        needsForm(textIntegers) ? formed(textIntegers) : self
    }

    private static let exact: ClosedRange<Int64> = -(1 << 53)...1 << 53

    private func needsForm(_ textIntegers: Bool) -> Bool {
        switch self {
        case .null, .bool, .double: false
        case .int(let number): textIntegers && !Self.exact.contains(number)
        case .bytes(let bytes): !Self.isText(bytes)
        case .array(let list): list.contains { $0.needsForm(textIntegers) }
        case .map(let pairs): pairs.contains { $0.value.needsForm(textIntegers) }
        }
    }

    private func formed(_ textIntegers: Bool) -> Value {
        switch self {
        case .null, .bool, .double: self
        case .int(let number): textIntegers && !Self.exact.contains(number) ? .string(String(number)) : self
        case .bytes(let bytes):
            Self.isText(bytes) ? self : .object(["base64": .bytes(bytes.withUnsafeBytes { Base64.encoded($0) })])
        case .array(let list): .array(list.map { $0.formed(textIntegers) })
        case .map(let pairs): .map(pairs.map { Pair($0.key, $0.value.formed(textIntegers)) })
        }
    }

    private static func isText(_ bytes: [UInt8]) -> Bool {
        bytes.allSatisfy { $0 < 0x80 } || String(validating: bytes, as: UTF8.self) != nil
    }

    /// The columns of a result that is rows of objects, by their first appearance, each of the type that all its values have;
    /// nil for any other result.
    package var columns: Value? {
        guard case .array(let rows) = self, !rows.isEmpty else { return nil }
        var names: [Value] = []
        var types: [Value: String] = [:]
        for row in rows {
            guard case .map(let pairs) = row else { return nil }
            for pair in pairs {
                guard case .bytes = pair.key else { return nil }
                let type = pair.value.columnType
                switch types[pair.key] {
                case nil:
                    names.append(pair.key)
                    types[pair.key] = type ?? ""
                case "": types[pair.key] = type ?? ""
                case let known? where type != nil && type != known:
                    types[pair.key] = Self.common(known, type ?? known)
                default: break
                }
            }
        }
        return .array(
            names.map { name in
                let type = types[name] ?? ""
                return .object(["name": name, "type": .string(type.isEmpty ? "string" : type)])
            })
    }

    private static func common(_ a: String, _ b: String) -> String {
        switch Set([a, b]) {
        case ["int", "double"]: "double"
        case ["time", "string"]: "string"
        default: "json"
        }
    }

    private var columnType: String? {
        switch self {
        case .null: nil
        case .bool: "bool"
        case .int: "int"
        case .double: "double"
        case .bytes(let bytes): Self.isInstant(bytes) ? "time" : "string"
        case .array, .map: "json"
        }
    }

    /// As frames write times: `2013-01-01T05:00:00Z`, or with six digits of fraction.
    private static func isInstant(_ bytes: [UInt8]) -> Bool {
        guard bytes.count == 20 || bytes.count == 27, bytes.last == UInt8(ascii: "Z"), bytes[10] == UInt8(ascii: "T")
        else {
            return false
        }
        return bytes.withUnsafeBufferPointer { Timestamp.parse($0) } != nil
    }
}
