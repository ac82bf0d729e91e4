// What stands behind a backslash in a text of JSON (RFC 8259), for all that reads it.

// Unsafe: reads the bytes it is given, within their bounds.

enum JSONEscape {
    case character(Unicode.Scalar)
    /// Half of a surrogate pair, with no escape behind it that could be the other half.
    case half
    /// Half of a pair, with an escape behind it that is no other half.
    case brokenPair
    /// A letter that means nothing.
    case unknown
    /// It has no four hexadecimal digits, or the text ends.
    case incomplete

    /// Reads from the byte behind the backslash on; leaves `at` behind what was read.
    init(_ bytes: UnsafeBufferPointer<UInt8>, at: inout Int) {
        guard at < bytes.count else {
            self = .incomplete
            return
        }
        let letter = bytes[at]
        at += 1
        switch letter {
        case UInt8(ascii: "n"): self = .character("\n")
        case UInt8(ascii: "t"): self = .character("\t")
        case UInt8(ascii: "r"): self = .character("\r")
        case UInt8(ascii: "b"): self = .character("\u{8}")
        case UInt8(ascii: "f"): self = .character("\u{C}")
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): self = .character(Unicode.Scalar(letter))
        case UInt8(ascii: "u"): self = Self.unicode(bytes, &at)
        default: self = .unknown
        }
    }

    private static func unicode(_ bytes: UnsafeBufferPointer<UInt8>, _ at: inout Int) -> JSONEscape {
        guard let high = unit(bytes, &at) else { return .incomplete }
        if let scalar = Unicode.Scalar(high) { return .character(scalar) }
        let isFirst = high < 0xDC00
        guard isFirst, bytes.count - at >= 2, bytes[at] == UInt8(ascii: "\\"), bytes[at + 1] == UInt8(ascii: "u") else {
            return .half
        }
        at += 2
        guard let low = unit(bytes, &at) else { return .incomplete }
        guard (0xDC00...0xDFFF).contains(low),
            let scalar = Unicode.Scalar(0x10000 + (high - 0xD800) << 10 + (low - 0xDC00))
        else { return .brokenPair }
        return .character(scalar)
    }

    private static func unit(_ bytes: UnsafeBufferPointer<UInt8>, _ at: inout Int) -> UInt32? {
        guard bytes.count - at >= 4 else { return nil }
        var unit: UInt32 = 0
        for byte in bytes[at..<at + 4] {
            let digit: UInt8
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = byte - 48
            case UInt8(ascii: "a")...UInt8(ascii: "f"), UInt8(ascii: "A")...UInt8(ascii: "F"): digit = byte & 0xDF - 55
            default: return nil
            }
            unit = unit << 4 | UInt32(digit)
        }
        at += 4
        return unit
    }
}
