// `%XX` for bytes that can't stand where a key, or a name, is to be read: in dumps, lines of a watch, names of JSON, and virtual keys.

enum PercentEscapes {
    /// What a URL has as it is: letters, digits and `-._~`.
    static func isUnreserved(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
            UInt8(ascii: "~"):
            true
        default: false
        }
    }

    /// What begins an escape is escaped itself, whatever `isKept` says.
    static func escaped(_ bytes: some Sequence<UInt8>, keeping isKept: (UInt8) -> Bool) -> [UInt8] {
        var text: [UInt8] = []
        for byte in bytes { write(byte, keeping: isKept) { text.append($0) } }
        return text
    }

    /// The letters that stand for a byte, one or three.
    @inline(__always)
    static func write(_ byte: UInt8, keeping isKept: (UInt8) -> Bool, _ take: (UInt8) -> Void) {
        guard byte == UInt8(ascii: "%") || !isKept(byte) else { return take(byte) }
        take(UInt8(ascii: "%"))
        take(digit(byte >> 4))
        take(digit(byte & 15))
    }

    private static func digit(_ value: UInt8) -> UInt8 { value < 10 ? 0x30 + value : 0x37 + value }
}
