// What a command line of memcached's classic text protocol asks for, as ranges into the bytes it came in.

import Engine

enum RetrievalVerb: Sendable {
    case get, gets, gat, gats

    var answersUnique: Bool { self == .gets || self == .gats }
    var touches: Bool { self == .gat || self == .gats }
}

/// A storage command; its data block follows the line.
struct StorageRequest: Equatable {
    var verb: StoreVerb
    var key: Range<Int>
    var flags: UInt32
    /// As sent: see `expiryInstant`.
    var exptime: Int64
    var valueBytes: Int
    var cas: UInt64
    var isSilent: Bool
}

enum Request: Equatable {
    /// `keys` spans all keys of the line and the blanks between them; each is known to be short enough.
    case retrieval(RetrievalVerb, exptime: Int64, keys: Range<Int>)
    case storage(StorageRequest)
    case delete(key: Range<Int>, isSilent: Bool)
    case arithmetic(ArithmeticVerb, key: Range<Int>, delta: UInt64, isSilent: Bool)
    case touch(key: Range<Int>, exptime: Int64, isSilent: Bool)
    case flushAll(delaySeconds: Int64, isSilent: Bool)
    case stats(argument: Range<Int>)
    case verbosity(isSilent: Bool)
    case version
    case metaNoop
    case shutdown
    case quit
}

/// Why a line was refused; the text is the answer on the wire.
enum Refusal: Equatable {
    case error, badFormat, badDeleteFormat, badExptime, badDelta

    var line: StaticString {
        switch self {
        case .error: "ERROR\r\n"
        case .badFormat: "CLIENT_ERROR bad command line format\r\n"
        case .badDeleteFormat: "CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\r\n"
        case .badExptime: "CLIENT_ERROR invalid exptime argument\r\n"
        case .badDelta: "CLIENT_ERROR invalid numeric delta argument\r\n"
        }
    }
}

enum ParseResult: Equatable {
    /// The line has not ended yet.
    case needMore
    /// A whole line; the next one, or the data block, starts `lineBytes` further on.
    case request(Request, lineBytes: Int)
    case refused(Refusal, lineBytes: Int, isSilent: Bool)
    /// The line is longer than any may be: the connection can't be trusted any more.
    case lineTooLong
}

/// The instant an item is over, by memcached's rule: 0 never, negative at once, up to 30 days from now on, else absolute.
/// Both in unix seconds; 1 stands for "at once".
func expiryInstant(_ exptime: Int64, now: UInt32) -> UInt32 {
    let relativeMax: Int64 = 30 * 24 * 60 * 60
    if exptime == 0 { return 0 }
    if exptime < 0 { return 1 }
    let instant = exptime <= relativeMax ? Int64(now) + exptime : exptime
    return UInt32(clamping: instant)
}
