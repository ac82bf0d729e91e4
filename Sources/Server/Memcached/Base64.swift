// Base64 (RFC 4648, padded) for binary keys.
//
// Unsafe: reads and writes through raw buffers, within their counts.

enum Base64 {
    /// How many bytes the text stands for; nil when it is no base64, or stands for none.
    static func decodedCount(_ text: UnsafeRawBufferPointer) -> Int? {
        guard text.count > 0, text.count % 4 == 0 else { return nil }
        var padding = 0
        while padding < 2, text[text.count - 1 - padding] == UInt8(ascii: "=") { padding += 1 }
        for byte in text[..<(text.count - padding)] where sextet(byte) == nil { return nil }
        return text.count / 4 * 3 - padding
    }

    /// Decodes what `decodedCount` has accepted into `target`, which has room for it; returns how many bytes.
    @discardableResult
    static func decode(_ text: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer) -> Int {
        var word: UInt32 = 0
        var bits = 0
        var count = 0
        for byte in text {
            guard let value = sextet(byte) else { break }
            word = word << 6 | UInt32(value)
            bits += 6
            guard bits >= 8 else { continue }
            bits -= 8
            target[count] = UInt8(truncatingIfNeeded: word >> UInt32(bits))
            count += 1
        }
        return count
    }

    static func decoded(_ text: UnsafeRawBufferPointer) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: text.count) { buffer, count in
            count = decode(text, into: UnsafeMutableRawBufferPointer(buffer))
        }
    }

    static func encoded(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
        var text: [UInt8] = []
        text.reserveCapacity((bytes.count + 2) / 3 * 4)
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let count = min(3, bytes.count - start)
            var word: UInt32 = 0
            for at in 0..<3 { word = word << 8 | (at < count ? UInt32(bytes[start + at]) : 0) }
            for at in 0..<4 {
                text.append(at <= count ? digit(UInt8(word >> UInt32(18 - 6 * at) & 63)) : UInt8(ascii: "="))
            }
        }
        return text
    }

    private static func digit(_ value: UInt8) -> UInt8 {
        switch value {
        case 0..<26: UInt8(ascii: "A") + value
        case 26..<52: UInt8(ascii: "a") + value - 26
        case 52..<62: UInt8(ascii: "0") + value - 52
        default: value == 62 ? UInt8(ascii: "+") : UInt8(ascii: "/")
        }
    }

    private static func sextet(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): byte - UInt8(ascii: "A")
        case UInt8(ascii: "a")...UInt8(ascii: "z"): byte - UInt8(ascii: "a") + 26
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0") + 52
        case UInt8(ascii: "+"): 62
        case UInt8(ascii: "/"): 63
        default: nil
        }
    }
}
