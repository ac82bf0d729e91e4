// Cuts a stream of CSV or NDJSON, which arrives in pieces, into blocks of whole rows.

package enum RowFormat: Sendable, Hashable {
    /// CSV with this byte between fields. Line ends inside quoted fields belong to the field.
    case delimited(by: UInt8)
    /// A row is a line.
    case ndjson

    package static let csv = RowFormat.delimited(by: UInt8(ascii: ","))

    /// A tab, or a character that one can see and that is no quote.
    package static func canDelimit(_ byte: UInt8) -> Bool {
        byte == 0x09 || ((0x20..<0x7F).contains(byte) && byte != UInt8(ascii: "\""))
    }
}

/// Feed with `append`, then take blocks with `next` until it answers nil; at the end of the input take `finish`. A row ends
/// where `CSVCursor` ends it, also one whose quotes don't add up: at its first line.
package struct RowBlockSplitter: Sendable {
    private enum State: Sendable {
        case fieldStart, plain, quoted
        /// After a quote within a quoted field.
        case closed
        /// Nothing but the end of the line matters.
        case line
    }

    /// Nil for NDJSON.
    private let delimiter: UInt8?
    private let blockBytesTarget: Int
    private let rowBytesMax: Int
    private var buffer: [UInt8] = []
    /// Bytes of `buffer` looked at so far.
    private var scanned = 0
    private var state: State
    /// The end of the last whole row among them, and the lines before it.
    private var rowEnd = 0
    private var linesToRowEnd = 0
    private var lines = 0
    private var line = 1

    /// Blocks are at most `blockBytesTarget` long unless a single row is longer; rows at most `rowBytesMax`.
    package init(format: RowFormat, blockBytesTarget: Int = 1 << 20, rowBytesMax: Int = 16 << 20) {
        if case .delimited(let byte) = format { delimiter = byte } else { delimiter = nil }
        state = delimiter == nil ? .line : .fieldStart
        self.blockBytesTarget = blockBytesTarget
        self.rowBytesMax = rowBytesMax
    }

    package mutating func append(_ bytes: some Sequence<UInt8>) { buffer.append(contentsOf: bytes) }

    /// The next block, or nil when more input is needed. Throws at a row that is longer than allowed.
    package mutating func next() throws(RowError) -> TextBlock? {
        while scanned < buffer.count {
            if scanned >= blockBytesTarget, rowEnd > 0 { return cut() }
            let target = scanned < blockBytesTarget ? blockBytesTarget : scanned + 4096
            let before = (scanned, rowEnd)
            scan(upTo: min(target, buffer.count))
            if scanned - rowEnd > rowBytesMax {
                // A quote that nobody closes takes in all that follows: its line ends it, and whoever parses it says so.
                guard state == .quoted, endRowAtFirstLine() else {
                    throw RowError(
                        line: line + linesToRowEnd,
                        "a row of more than \(rowBytesMax) bytes; a row ends with its line: is this text?")
                }
            }
            if before == (scanned, rowEnd) { break }  // the byte after a CR decides
        }
        return scanned >= blockBytesTarget && rowEnd > 0 ? cut() : nil
    }

    /// What is left, its last row ended or not; nil when nothing is. Call after `next` has answered nil.
    package mutating func finish() -> TextBlock? {
        guard !buffer.isEmpty else { return nil }
        defer { buffer = [] }
        return TextBlock(bytes: buffer, firstLine: line)
    }

    private mutating func cut() -> TextBlock {
        let block = TextBlock(bytes: Array(buffer[..<rowEnd]), firstLine: line)
        buffer.removeFirst(rowEnd)
        line += linesToRowEnd
        lines -= linesToRowEnd
        scanned -= rowEnd
        rowEnd = 0
        linesToRowEnd = 0
        return block
    }

    private mutating func scan(upTo end: Int) {
        while scanned < end {
            switch state {
            case .fieldStart:
                let isQuote = buffer[scanned] == Self.quote
                if isQuote { scanned += 1 }
                state = isQuote ? .quoted : .plain
            case .plain: guard passPlain(upTo: end) else { return }
            case .line: guard passLine(upTo: end) else { return }
            case .quoted: guard passQuoted(upTo: end) else { return }
            case .closed:
                let byte = buffer[scanned]
                if byte == Self.quote {  // right after a closing one it is a doubled quote: the field goes on
                    scanned += 1
                    state = .quoted
                } else if byte == delimiter || byte == Self.lineFeed || byte == Self.carriageReturn {
                    state = .plain
                } else if !endRowAtFirstLine() {
                    state = .line
                }
            }
        }
    }

    /// To the next field or row. False at a CR whose next byte is not there yet.
    private mutating func passPlain(upTo end: Int) -> Bool {
        var at = scanned
        let delimiter = delimiter ?? Self.lineFeed
        buffer.withUnsafeBufferPointer { bytes in
            while at < end, bytes[at] != delimiter, bytes[at] != Self.lineFeed, bytes[at] != Self.carriageReturn {
                at &+= 1
            }
        }
        scanned = at
        guard at < end else { return true }
        guard buffer[at] == delimiter else { return endRow() }
        scanned += 1
        state = .fieldStart
        return true
    }

    private mutating func passLine(upTo end: Int) -> Bool {
        var at = scanned
        buffer.withUnsafeBufferPointer { bytes in
            while at < end, bytes[at] != Self.lineFeed, bytes[at] != Self.carriageReturn { at &+= 1 }
        }
        scanned = at
        return at < end ? endRow() : true
    }

    /// To the byte after the closing quote.
    private mutating func passQuoted(upTo end: Int) -> Bool {
        var (at, newLines) = (scanned, 0)
        var (isClosed, isWhole) = (false, true)
        buffer.withUnsafeBufferPointer { bytes in
            while at < end, !isClosed {
                let byte = bytes[at]
                if byte == Self.lineFeed { newLines &+= 1 }
                if byte == Self.carriageReturn {
                    guard at + 1 < bytes.count else {
                        isWhole = false
                        return
                    }
                    if bytes[at + 1] != Self.lineFeed { newLines &+= 1 }
                }
                isClosed = byte == Self.quote
                at &+= 1
            }
        }
        scanned = at
        lines += newLines
        if isClosed { state = .closed }
        return isWhole
    }

    /// Passes over the line end at `scanned`. False at a CR whose next byte is not there yet.
    private mutating func endRow() -> Bool {
        if buffer[scanned] == Self.carriageReturn {
            guard scanned + 1 < buffer.count else { return false }
            scanned += buffer[scanned + 1] == Self.lineFeed ? 2 : 1
        } else {
            scanned += 1
        }
        lines += 1
        rowEnd = scanned
        linesToRowEnd = lines
        state = delimiter == nil ? .line : .fieldStart
        return true
    }

    /// Ends the row that was begun at its first line, and goes on behind it. False when it has only one.
    private mutating func endRowAtFirstLine() -> Bool {
        let isLineEnd = { (byte: UInt8) in byte == Self.lineFeed || byte == Self.carriageReturn }
        guard let at = buffer[rowEnd..<scanned].firstIndex(where: isLineEnd) else { return false }
        scanned = at
        lines = linesToRowEnd
        return endRow()
    }

    private static let quote = UInt8(ascii: "\"")
    private static let lineFeed = UInt8(ascii: "\n")
    private static let carriageReturn = UInt8(ascii: "\r")
}
