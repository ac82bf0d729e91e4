// An object's form on the shelf, and what it takes while it is live.

/// When it expires, in unix seconds or 0 for never, four bytes; which version of its type's script it is of, four bytes; then its
/// MessagePack.
enum Shelved {
    private static let headBytes = 8

    /// `version`: see `LoadedType.shelfVersion`.
    static func encode(_ value: Value, expiry: Expiry, version: UInt32) -> [UInt8] {
        var bytes: [UInt8] = []
        withUnsafeBytes(of: expiry.stored.littleEndian) { bytes.append(contentsOf: $0) }
        withUnsafeBytes(of: version.littleEndian) { bytes.append(contentsOf: $0) }
        value.appendMessagePack(to: &bytes)
        return bytes
    }

    static func decode(_ bytes: [UInt8]) -> (expiry: Expiry, value: Value)? {
        guard bytes.count > headBytes, let value = Value(messagePack: bytes[headBytes...]) else { return nil }
        return (expiry(of: bytes), value)
    }

    /// Of a form that has it.
    static func expiry(of bytes: [UInt8]) -> Expiry { Expiry(stored: number(bytes[..<4])) }

    /// Of a form that has it.
    static func version(of bytes: [UInt8]) -> UInt32 { number(bytes[4..<8]) }

    private static func number(_ bytes: ArraySlice<UInt8>) -> UInt32 {
        bytes.reversed().reduce(0) { $0 << 8 | UInt32($1) }
    }

    /// What a value takes in Lua 5.4, roughly: 56 bytes a table, 16 an element, 24 a field, their numbers rounded up to powers
    /// of two; a string its bytes and 25 more.
    static func liveBytes(_ value: Value) -> Int {
        switch value {
        case .null, .bool, .int, .double: return 0
        case .bytes(let bytes): return 25 + bytes.count
        case .array(let elements):
            return elements.reduce(56 + 16 * roundedUp(elements.count)) { $0 + liveBytes($1) }
        case .map(let pairs):
            // Names of fields are shared.
            return pairs.reduce(56 + 24 * roundedUp(pairs.count)) { $0 + liveBytes($1.value) }
        }
    }

    private static func roundedUp(_ count: Int) -> Int {
        count < 2 ? count : 1 << (Int.bitWidth - (count - 1).leadingZeroBitCount)
    }
}
