// Fields and rows of a block of CSV (RFC 4180), one after the other.

// Unsafe: reads one block, within its bounds; a field is valid until the next one is read.

/// A quote opens a quoted field only where the field begins; elsewhere it is a character like any other. Outside quotes a
/// row ends at LF, at CR LF, or at a CR alone.
struct CSVCursor: ~Copyable {
    typealias Field = UnsafeBufferPointer<UInt8>

    enum End {
        /// Another field follows in this row.
        case separator
        case row
        /// Something other than a separator follows the closing quote, or there is none.
        case broken
    }

    private let bytes: Field
    private let delimiter: UInt8
    private(set) var at = 0
    private(set) var field: Field
    private(set) var isQuoted = false
    /// Where the last quoted field opened.
    private(set) var quoteAt = 0
    /// Where doubled quotes are made single.
    private let scratch: UnsafeMutableBufferPointer<UInt8>
    /// How many lines end before which position: asked for ever later ones.
    private var counted = (at: 0, lines: 0)

    private static let quote = UInt8(ascii: "\"")
    private static let lineFeed = UInt8(ascii: "\n")
    private static let carriageReturn = UInt8(ascii: "\r")

    init(_ bytes: Field, delimiter: UInt8) {
        self.bytes = bytes
        self.delimiter = delimiter
        field = Field(rebasing: bytes[..<0])
        scratch = .allocate(capacity: bytes.contains(Self.quote) ? bytes.count : 0)
    }

    deinit { scratch.deallocate() }

    var atEnd: Bool { at >= bytes.count }

    /// Passes over empty lines; answers whether a row follows.
    mutating func findRow() -> Bool {
        while at < bytes.count, bytes[at] == Self.lineFeed || bytes[at] == Self.carriageReturn { at += 1 }
        return at < bytes.count
    }

    @inline(__always)
    mutating func nextField() -> End {
        if at < bytes.count, bytes[at] == Self.quote { return quotedField() }
        isQuoted = false
        let start = at
        while at < bytes.count {
            let byte = bytes[at]
            if byte == delimiter {
                field = Field(rebasing: bytes[start..<at])
                at &+= 1
                return .separator
            }
            if byte <= Self.carriageReturn, byte == Self.lineFeed || byte == Self.carriageReturn { break }
            at &+= 1
        }
        field = Field(rebasing: bytes[start..<at])
        passLineEnd()
        return .row
    }

    @inline(__always)
    private mutating func passLineEnd() {
        if at < bytes.count, bytes[at] == Self.carriageReturn { at &+= 1 } else { return passLineFeed() }
        passLineFeed()
    }

    @inline(__always)
    private mutating func passLineFeed() {
        if at < bytes.count, bytes[at] == Self.lineFeed { at &+= 1 }
    }

    @inline(never)
    private mutating func quotedField() -> End {
        isQuoted = true
        quoteAt = at
        let start = at + 1
        at = start
        var copied: Int?
        while at < bytes.count {
            let byte = bytes[at]
            at += 1
            if byte != Self.quote {
                if let count = copied {
                    scratch[count] = byte
                    copied = count + 1
                }
            } else if at < bytes.count, bytes[at] == Self.quote {
                let count = copied ?? copyToScratch(start..<at - 1)
                scratch[count] = byte
                copied = count + 1
                at += 1
            } else {
                field = copied.map { Field(rebasing: scratch[..<$0]) } ?? Field(rebasing: bytes[start..<at - 1])
                return endOfQuoted()
            }
        }
        // Nobody knows where the field ends; its first line shows which one it is.
        var end = start
        while end < bytes.count, bytes[end] != Self.lineFeed, bytes[end] != Self.carriageReturn { end += 1 }
        field = Field(rebasing: bytes[start..<end])
        return .broken
    }

    private func copyToScratch(_ range: Range<Int>) -> Int {
        _ = scratch.update(fromContentsOf: bytes[range])
        return range.count
    }

    private mutating func endOfQuoted() -> End {
        guard at < bytes.count else { return .row }
        if bytes[at] == delimiter {
            at += 1
            return .separator
        }
        guard bytes[at] == Self.lineFeed || bytes[at] == Self.carriageReturn else { return .broken }
        passLineEnd()
        return .row
    }

    /// Goes to the row after the one that begins at `start`, whatever its fields look like. Of a row whose quotes don't add
    /// up only the first line is passed over: what an open quote would take in are rows most often.
    mutating func skipRow(from start: Int) {
        at = start
        var end = End.separator
        while end == .separator { end = nextField() }
        guard end == .broken else { return }
        at = start
        while at < bytes.count, bytes[at] != Self.lineFeed, bytes[at] != Self.carriageReturn { at += 1 }
        passLineEnd()
    }

    /// Lines that end before position `end`, which is no earlier than the one asked for last. For error messages.
    mutating func lines(before end: Int) -> Int {
        let end = min(end, bytes.count)
        while counted.at < end {
            let byte = bytes[counted.at]
            counted.at += 1
            let isAlone =
                byte == Self.carriageReturn
                && (counted.at == bytes.count || bytes[counted.at] != Self.lineFeed)
            if byte == Self.lineFeed || isAlone { counted.lines += 1 }
        }
        return counted.lines
    }
}
