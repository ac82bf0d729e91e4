// Cuts a stream of CSV or NDJSON, which arrives in pieces, into blocks of whole rows.

package enum RowFormat: Sendable {
    /// Newlines inside quoted fields belong to the field.
    case csv
    /// A row is a line.
    case ndjson
}

/// Feed with `append`, then take blocks with `next` until it answers nil; at the end of the input take `finish`.
package struct RowBlockSplitter: Sendable {
    private let format: RowFormat
    private let blockBytesTarget: Int
    private let rowBytesMax: Int
    private var buffer: [UInt8] = []
    /// Bytes of `buffer` looked at so far.
    private var scanned = 0
    /// The end of the last whole row among them, and the newlines before it.
    private var rowEnd = 0
    private var linesToRowEnd = 0
    private var lines = 0
    private var line = 1
    private var inQuotes = false
    private var atFieldStart = true
    private var justClosed = false

    /// Blocks are at most `blockBytesTarget` long unless a single row is longer; rows at most `rowBytesMax`.
    package init(format: RowFormat, blockBytesTarget: Int = 1 << 20, rowBytesMax: Int = 16 << 20) {
        self.format = format
        self.blockBytesTarget = blockBytesTarget
        self.rowBytesMax = rowBytesMax
    }

    package mutating func append(_ bytes: some Sequence<UInt8>) { buffer.append(contentsOf: bytes) }

    /// The next block, or nil when more input is needed. Throws at a row that is longer than allowed.
    package mutating func next() throws(RowError) -> TextBlock? {
        while scanned < buffer.count {
            if scanned >= blockBytesTarget, rowEnd > 0 { return cut() }
            let target = scanned < blockBytesTarget ? blockBytesTarget : scanned + 4096
            scan(upTo: min(target, buffer.count))
            if scanned - rowEnd > rowBytesMax {
                throw RowError(
                    line: line + linesToRowEnd, "a row of more than \(rowBytesMax) bytes; is a closing quote missing?")
            }
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
        buffer.withUnsafeBufferPointer { bytes in
            for at in scanned..<end {
                let byte = bytes[at]
                if byte == UInt8(ascii: "\n") {
                    lines &+= 1
                    if !inQuotes {
                        rowEnd = at &+ 1
                        linesToRowEnd = lines
                        atFieldStart = true
                        justClosed = false
                    }
                } else if format == .csv {
                    if byte == UInt8(ascii: "\"") {
                        // A quote right after a closing one is a doubled quote: the field goes on.
                        let opens = !inQuotes && (atFieldStart || justClosed)
                        justClosed = inQuotes
                        inQuotes = opens
                        atFieldStart = false
                    } else if !inQuotes {
                        atFieldStart = byte == UInt8(ascii: ",")
                        justClosed = false
                    }
                }
            }
        }
        scanned = end
    }
}
