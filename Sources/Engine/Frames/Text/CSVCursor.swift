// Fields and rows of a block of CSV (RFC 4180), one after the other.

// Unsafe: reads one block, within its bounds; a field is valid until the next one is read.

/// A quote opens a quoted field only where the field begins; elsewhere it is a character like any other.
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
    private(set) var at = 0
    private(set) var field: Field
    private(set) var isQuoted = false
    /// Where doubled quotes are made single.
    private let scratch: UnsafeMutableBufferPointer<UInt8>

    init(_ bytes: Field) {
        self.bytes = bytes
        field = Field(rebasing: bytes[..<0])
        scratch = .allocate(capacity: bytes.contains(UInt8(ascii: "\"")) ? bytes.count : 0)
    }

    deinit { scratch.deallocate() }

    var atEnd: Bool { at >= bytes.count }

    /// Passes over empty lines; answers whether a row follows.
    mutating func findRow() -> Bool {
        while at < bytes.count {
            if bytes[at] == UInt8(ascii: "\n") {
                at += 1
            } else if bytes[at] == UInt8(ascii: "\r"), at + 1 >= bytes.count || bytes[at + 1] == UInt8(ascii: "\n") {
                at += min(2, bytes.count - at)
            } else {
                return true
            }
        }
        return false
    }

    @inline(__always)
    mutating func nextField() -> End {
        if at < bytes.count, bytes[at] == UInt8(ascii: "\"") { return quotedField() }
        isQuoted = false
        let start = at
        while at < bytes.count {
            let byte = bytes[at]
            if byte == UInt8(ascii: ",") {
                field = Field(rebasing: bytes[start..<at])
                at &+= 1
                return .separator
            }
            if byte == UInt8(ascii: "\n") { break }
            at &+= 1
        }
        let end = at > start && bytes[at &- 1] == UInt8(ascii: "\r") ? at &- 1 : at
        field = Field(rebasing: bytes[start..<end])
        at &+= 1
        return .row
    }

    @inline(never)
    private mutating func quotedField() -> End {
        isQuoted = true
        let start = at + 1
        at = start
        var copied: Int?
        while at < bytes.count {
            let byte = bytes[at]
            at += 1
            if byte != UInt8(ascii: "\"") {
                if let count = copied {
                    scratch[count] = byte
                    copied = count + 1
                }
            } else if at < bytes.count, bytes[at] == UInt8(ascii: "\"") {
                let count = copied ?? copyToScratch(start..<at - 1)
                scratch[count] = byte
                copied = count + 1
                at += 1
            } else {
                field = copied.map { Field(rebasing: scratch[..<$0]) } ?? Field(rebasing: bytes[start..<at - 1])
                return endOfQuoted()
            }
        }
        field = Field(rebasing: bytes[start...])
        return .broken
    }

    private func copyToScratch(_ range: Range<Int>) -> Int {
        _ = scratch.update(fromContentsOf: bytes[range])
        return range.count
    }

    private mutating func endOfQuoted() -> End {
        guard at < bytes.count else { return .row }
        if bytes[at] == UInt8(ascii: ",") {
            at += 1
            return .separator
        }
        if bytes[at] == UInt8(ascii: "\r"), at + 1 >= bytes.count || bytes[at + 1] == UInt8(ascii: "\n") { at += 1 }
        guard at >= bytes.count || bytes[at] == UInt8(ascii: "\n") else { return .broken }
        at += 1
        return .row
    }

    /// Goes to the row after the one that begins at `start`, whatever its fields look like.
    mutating func skipRow(from start: Int) {
        at = start
        var (inQuotes, atFieldStart) = (false, true)
        while at < bytes.count {
            let byte = bytes[at]
            at += 1
            if inQuotes {
                guard byte == UInt8(ascii: "\"") else { continue }
                if at < bytes.count, bytes[at] == byte { at += 1 } else { inQuotes = false }
            } else if byte == UInt8(ascii: "\n") {
                return
            } else {
                inQuotes = atFieldStart && byte == UInt8(ascii: "\"")
            }
            atFieldStart = byte == UInt8(ascii: ",")
        }
    }

    /// Newlines before position `end`. For error messages.
    func lines(before end: Int) -> Int { bytes[..<min(end, bytes.count)].count { $0 == UInt8(ascii: "\n") } }
}
