// What a command line of memcached's text protocol asks for, as ranges into the bytes it came in.

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
    /// As sent: see `Expiry`.
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
    case stats(arguments: Range<Int>)
    case verbosity(isSilent: Bool)
    case version
    /// A meta command; its line is parsed when it is performed.
    case meta(MetaVerb)
    case metaNoop
    /// Accepted for those who send it; nothing here depends on it.
    case acknowledged
    /// Drop what has expired; `isEmpty`: of classes that have nothing.
    case crawl(isEmpty: Bool)
    case allowCrawls(Bool)
    case memoryLimit(megabytes: UInt64, isSilent: Bool)
    case frameMemoryLimit(megabytes: UInt64, isSilent: Bool)
    case watch(WatchTopics)
    /// `isKnown`: there is such a way of shutting down.
    case shutdown(isKnown: Bool)
    case quit
    /// Lists this node's keys. `isEmpty`: only those of size classes that there are not.
    case dump(KeyDumpStyle, isEmpty: Bool)

    /// Concerns everything there is, not some keys: what was asked for before it has to be done first.
    var isBarrier: Bool {
        switch self {
        case .flushAll, .memoryLimit, .frameMemoryLimit, .shutdown, .stats, .crawl, .dump: true
        case .retrieval, .storage, .delete, .arithmetic, .touch, .verbosity, .version, .meta, .metaNoop, .acknowledged,
            .allowCrawls, .watch, .quit:
            false
        }
    }
}

/// Why a line was refused; the text is the answer on the wire.
enum Refusal: Equatable {
    /// `malformed` is not silenced by a noreply, as it was not read so far.
    case error, malformed, badFormat, badDeleteFormat, badExptime, badDelta
    // Of the meta commands.
    case tooManyFlags, duplicateFlag, invalidFlag, invalidOrDuplicateFlag, badToken, badModeLength, badSetMode
    case badArithmeticMode, badInitial, badMetaDelta, badKeyEncoding, opaqueTooLong
    // Of commands about slabs and LRU lists, which are not here.
    case noSlabs, sameSlabs, badSlabs, badClass, badSleep, tooLargeShares, noWatch

    var line: StaticString {
        switch self {
        case .error: "ERROR\r\n"
        case .badFormat, .malformed: "CLIENT_ERROR bad command line format\r\n"
        case .badDeleteFormat: "CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\r\n"
        case .badExptime: "CLIENT_ERROR invalid exptime argument\r\n"
        case .badDelta: "CLIENT_ERROR invalid numeric delta argument\r\n"
        case .tooManyFlags: "CLIENT_ERROR options flags are too long\r\n"
        case .duplicateFlag: "CLIENT_ERROR duplicate flag\r\n"
        case .invalidFlag: "CLIENT_ERROR invalid flag\r\n"
        case .invalidOrDuplicateFlag: "CLIENT_ERROR invalid or duplicate flag\r\n"
        case .badToken: "CLIENT_ERROR bad token in command line format\r\n"
        case .badModeLength: "CLIENT_ERROR incorrect length for M token\r\n"
        case .badSetMode: "CLIENT_ERROR invalid mode for ms M token\r\n"
        case .badArithmeticMode: "CLIENT_ERROR invalid mode for ma M token\r\n"
        case .badInitial: "CLIENT_ERROR invalid numeric initial value\r\n"
        case .badMetaDelta: "CLIENT_ERROR invalid numeric delta value\r\n"
        case .badKeyEncoding: "CLIENT_ERROR error decoding key\r\n"
        case .opaqueTooLong: "CLIENT_ERROR opaque token too long\r\n"
        case .noSlabs: "NOSPARE source class has no spare pages\r\n"
        case .sameSlabs: "SAME src and dst class are identical\r\n"
        case .badSlabs: "BADCLASS invalid src or dst class id\r\n"
        case .badSleep: "CLIENT_ERROR sleep must be one second or less\r\n"
        case .tooLargeShares: "ERROR hot and warm pcts must not exceed 80\r\n"
        case .badClass: "BADCLASS invalid class id\r\n"
        case .noWatch: "CLIENT_ERROR watch commands not allowed\r\n"
        }
    }
}

enum ParseResult: Equatable {
    /// The line has not ended yet.
    case needMore
    /// A whole line; the next one, or the data block, starts `lineBytes` further on.
    case request(Request, lineBytes: Int)
    /// `blockBytes`: of the data block that follows all the same, with its end, and is to be skipped.
    case refused(Refusal, lineBytes: Int, isSilent: Bool, blockBytes: Int = 0)
    /// The line is longer than any may be, or an HTTP request's: this is no client of ours.
    case notAClient
}
