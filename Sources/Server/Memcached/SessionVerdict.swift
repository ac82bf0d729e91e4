// What a session wants of whoever drives it, and how it tells a peer's first line.
//
// Unsafe: looks at the first bytes of a connection, within their count.

/// What the driver should do once the output is sent.
package enum SessionVerdict: Equatable, Sendable {
    /// Go on reading.
    case open
    /// Don't read: output or pending answers have to drain first; then call `resume`.
    case stalled
    /// Close once the output is out.
    case closing
    /// The connection is a peer's: hand over its first line (without the line end) and `takeRemainingInput()`.
    case upgradeToPeer(line: [UInt8])
    /// The client asked for the server to stop.
    case shutdown
}

/// What the first bytes of a connection are.
enum OpeningWords {
    case clients
    case needsMore
    /// Without its end; `bytes` of the input are its.
    case peers([UInt8], bytes: Int)

    init(_ bytes: UnsafeRawBufferPointer) {
        let word: StaticString = "peer "
        let seen = min(bytes.count, 5)
        guard word.withUTF8Buffer({ bytes.prefix(seen).elementsEqual($0.prefix(seen)) }) else {
            self = .clients
            return
        }
        guard let newline = bytes.prefix(RequestParser.lineBytesMax).firstIndex(of: 0x0A) else {
            self = .needsMore
            return
        }
        var line = Array(bytes[..<newline])
        if line.last == 0x0D { line.removeLast() }
        self = .peers(line, bytes: newline + 1)
    }
}
