// Whether bytes are text: UTF-8 (RFC 3629) without NUL bytes.

// Unsafe: reads the bytes it is given, within their bounds.

enum TextEncoding {
    typealias Bytes = UnsafeBufferPointer<UInt8>

    /// Where the first byte lies that is NUL or no part of a UTF-8 sequence; nil for text. Cost: one word at a time for ASCII.
    static func firstBadByte(_ bytes: Bytes) -> Int? {
        let raw = UnsafeRawBufferPointer(bytes)
        var at = 0
        while at < bytes.count {
            if at &+ 8 <= bytes.count {
                let word = raw.loadUnaligned(fromByteOffset: at, as: UInt64.self)
                // A high bit, or a zero byte, which borrows one.
                if (word | (word &- 0x0101_0101_0101_0101)) & 0x8080_8080_8080_8080 == 0 {
                    at &+= 8
                    continue
                }
            }
            let end = min(at &+ 8, bytes.count)
            while at < end {
                guard let length = sequenceBytes(bytes, at) else { return at }
                at &+= length
            }
        }
        return nil
    }

    /// The length of the character at a position; nil when it is none.
    private static func sequenceBytes(_ bytes: Bytes, _ at: Int) -> Int? {
        let first = bytes[at]
        if first < 0x80 { return first == 0 ? nil : 1 }
        let (length, second): (Int, ClosedRange<UInt8>)
        switch first {
        case 0xC2...0xDF: (length, second) = (2, 0x80...0xBF)
        case 0xE0: (length, second) = (3, 0xA0...0xBF)
        case 0xED: (length, second) = (3, 0x80...0x9F)  // no surrogates
        case 0xE1...0xEF: (length, second) = (3, 0x80...0xBF)
        case 0xF0: (length, second) = (4, 0x90...0xBF)
        case 0xF1...0xF3: (length, second) = (4, 0x80...0xBF)
        case 0xF4: (length, second) = (4, 0x80...0x8F)
        default: return nil
        }
        guard at + length <= bytes.count, second.contains(bytes[at + 1]) else { return nil }
        for index in at + 2..<max(at + 2, at + length) where bytes[index] & 0xC0 != 0x80 { return nil }
        return length
    }

    /// What is wrong with a field that is no text, and what to do. Nil for text.
    static func problem(_ field: Bytes) -> String? {
        guard let at = firstBadByte(field) else { return nil }
        let shown = FieldParsing.shown(field)
        return field[at] == 0
            ? "\(shown) has a NUL byte: is this text? (UTF-16 becomes it with: iconv -f utf-16 -t utf-8)"
            : "\(shown) is not UTF-8; \(remedy(field))"
    }

    /// Single bytes between ASCII letters are what the languages of western Europe have; what has several in a row is one of too
    /// many encodings to tell.
    private static func remedy(_ field: Bytes) -> String {
        let isAlone = field.indices.allSatisfy { field[$0] < 0x80 || $0 + 1 >= field.count || field[$0 + 1] < 0x80 }
        // Between 0x80 and 0x9F Latin-1 has nothing that one would write, and windows-1252 a few things.
        let controls = field.filter { (0x80...0x9F).contains($0) }
        let isWestern = controls.allSatisfy { windows1252.contains($0) }
        guard isAlone, isWestern, field.contains(where: { $0 < 0x80 }) else {
            return "what else can't be told; convert it first: iconv -f ENCODING -t utf-8 (iconv -l lists them)"
        }
        let name = controls.isEmpty ? "latin1" : "windows-1252"
        return "it looks like \(name); convert it first: iconv -f \(name) -t utf-8"
    }

    /// The euro, quotes, dashes, the ellipsis, the bullet, the trade mark, and letters with a caron or a ligature.
    private static let windows1252: Set<UInt8> = [
        0x80, 0x82, 0x84, 0x85, 0x8A, 0x8C, 0x8E, 0x91, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x99, 0x9A, 0x9C, 0x9E,
        0x9F,
    ]

    /// As an error message shows bytes, on one line: what is no text and what controls a terminal is written as `\xNN`.
    static func escaped(_ bytes: Bytes) -> String {
        var text = ""
        var at = 0
        while at < bytes.count {
            let length = sequenceBytes(bytes, at) ?? 0
            if length == 0 || bytes[at] < 0x20 || bytes[at] == 0x7F {
                switch bytes[at] {
                case UInt8(ascii: "\n"): text += "\\n"
                case UInt8(ascii: "\r"): text += "\\r"
                case UInt8(ascii: "\t"): text += "\\t"
                default:
                    let digits = String(bytes[at], radix: 16, uppercase: true)
                    text += "\\x" + (digits.count == 1 ? "0" : "") + digits
                }
                at += 1
            } else {
                text += String(decoding: bytes[at..<at + length], as: UTF8.self)
                at += length
            }
        }
        return text
    }
}
