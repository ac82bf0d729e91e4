// What a line of a meta command asks for, as ranges into the line it came in.

import Engine

enum MetaVerb: UInt8, Sendable {
    case get, set, delete, arithmetic, inspect
}

struct MetaRequest: Equatable {
    var command: MetaCommand
    /// As sent: base64 where `isBinaryKey`.
    var key: Range<Int>
    var isBinaryKey = false
    /// The flags, which the answer repeats in their order.
    var flags: Range<Int>
    var isQuiet = false
    /// Of the data block; only for a set.
    var valueBytes = 0
}

enum MetaParseResult: Equatable {
    case request(MetaRequest)
    /// `blockBytes`: the data block that follows all the same and is to be skipped; nil when its length is not known.
    case refused(Refusal, blockBytes: Int?)
}

/// The words of a line, one after the other.
struct WordCursor {
    let line: UnsafeRawBufferPointer
    var at: Int

    mutating func next() -> Range<Int>? {
        while at < line.count, line[at] == 0x20 { at += 1 }
        guard at < line.count else { return nil }
        let start = at
        while at < line.count, line[at] != 0x20 { at += 1 }
        return start..<at
    }
}
