// Names and arguments cut short, for lines that people read: whoever makes them may make them long.

enum CutText {
    /// What a line shows of a name, an argument or a data block.
    static let partBytesMax = 40

    /// On one line, whatever it holds; what is longer ends in `…`, behind a whole character.
    static func of(_ bytes: some BidirectionalCollection<UInt8>, bytesMax: Int = partBytesMax) -> String {
        guard bytes.count > bytesMax else { return text(bytes) }
        var end = bytes.index(bytes.startIndex, offsetBy: bytesMax)
        // Where the next byte goes on with a character, that is left out.
        var most = 3
        while most > 0, end > bytes.startIndex, bytes[end] & 0xC0 == 0x80 {
            end = bytes.index(end, offsetBy: -1)
            most -= 1
        }
        return text(bytes[..<end]) + "…"
    }

    private static func text(_ bytes: some BidirectionalCollection<UInt8>) -> String {
        String(decoding: bytes.map { $0 < 32 || $0 == 127 ? UInt8(ascii: " ") : $0 }, as: UTF8.self)
    }
}

extension Failure {
    /// The same with less to read: its message, and each line of its stack, cut short.
    func cut(messageBytesMax: Int) -> Failure {
        func cut(_ text: String) -> String {
            text.utf8.count <= messageBytesMax ? text : CutText.of(Array(text.utf8), bytesMax: messageBytesMax)
        }
        return saying(cut(message)).with(stack: stack.map(cut))
    }
}
