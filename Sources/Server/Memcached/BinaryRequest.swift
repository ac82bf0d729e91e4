// What a request of memcached's binary protocol asks for: its header, its opcode, and what its extras say.
//
// Unsafe: a header is read from raw bytes, of which the caller knows that there are enough.
//
//      0        1        2        3        4        5        6        7
//     +--------+--------+--------+--------+--------+--------+--------+--------+
//     | magic  | opcode |   key bytes     | extras | type   | vbucket/status  |
//     +--------+--------+--------+--------+--------+--------+--------+--------+
//     |   bytes of extras, key and value  |              opaque               |
//     +--------+--------+--------+--------+--------+--------+--------+--------+
//     |                                unique                                 |
//     +--------+--------+--------+--------+--------+--------+--------+--------+
//     extras, key, value; all numbers are big endian

enum BinaryMagic {
    static let request: UInt8 = 0x80
    static let reply: UInt8 = 0x81
}

struct BinaryHeader: Equatable {
    static let bytes = 24

    let opcode: UInt8
    let keyBytes: Int
    let extrasBytes: Int
    /// Extras, key and value.
    let bodyBytes: Int
    let opaque: UInt32
    /// The cas unique that an item has to have; 0: any.
    let unique: UInt64

    /// Of at least 24 bytes. Type and vbucket are passed over, as memcached does.
    @inline(__always)
    init(_ bytes: UnsafeRawPointer) {
        let first = UInt64(bigEndian: bytes.loadUnaligned(as: UInt64.self))
        let second = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
        opcode = UInt8(truncatingIfNeeded: first >> 48)
        keyBytes = Int(truncatingIfNeeded: first >> 32 & 0xFFFF)
        extrasBytes = Int(truncatingIfNeeded: first >> 24 & 0xFF)
        bodyBytes = Int(truncatingIfNeeded: second >> 32)
        opaque = UInt32(truncatingIfNeeded: second)
        unique = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 16, as: UInt64.self))
    }

    var echo: BinaryEcho {
        @inline(__always) get { BinaryEcho(opcode: opcode, opaque: opaque) }
    }
    /// Not below 0 where the header is sound: see `isSound`.
    var valueBytes: Int { bodyBytes - extrasBytes - keyBytes }
    /// Extras and key are parts of the body.
    var isSound: Bool { keyBytes + extrasBytes <= bodyBytes }
    var requestBytes: Int { Self.bytes + bodyBytes }
    /// Where the value starts, from the header's start on.
    var valueStart: Int { Self.bytes + extrasBytes + keyBytes }
}

/// What an answer repeats of its request.
struct BinaryEcho: Equatable, Sendable {
    let opcode: UInt8
    let opaque: UInt32

    /// The opcode is one of those whose names end in Q: see `BinaryVerb`.
    var isQuiet: Bool {
        @inline(__always) get { opcode < 64 && Self.quiet & (1 << UInt64(opcode)) != 0 }
    }
    /// The key comes with the answer.
    var answersKey: Bool {
        @inline(__always) get { opcode < 64 && Self.withKey & (1 << UInt64(opcode)) != 0 }
    }

    /// GETQ, GETKQ, SETQ to PREPENDQ, GATQ, GATKQ.
    private static var quiet: UInt64 {
        1 << 0x09 | 1 << 0x0D | 0x7F << 0x11 | 1 << 0x18 | 1 << 0x19 | 1 << 0x1A | 1 << 0x1E | 1 << 0x24
    }
    /// GETK, GETKQ, GATK, GATKQ.
    private static var withKey: UInt64 { 1 << 0x0C | 1 << 0x0D | 1 << 0x23 | 1 << 0x24 }
}

/// What an opcode asks for, whether it is to be answered quietly or not.
enum BinaryVerb: Equatable, Sendable {
    case get, touch, getAndTouch
    case set, add, replace, append, prepend
    case delete, increment, decrement
    case quit, flush, noop, version, statistics
    case listMechanisms, authenticate, authenticateFurther

    /// Nil where there is no such opcode.
    init?(opcode: UInt8) {
        switch opcode {
        case 0x00, 0x09, 0x0C, 0x0D: self = .get
        case 0x01, 0x11: self = .set
        case 0x02, 0x12: self = .add
        case 0x03, 0x13: self = .replace
        case 0x04, 0x14: self = .delete
        case 0x05, 0x15: self = .increment
        case 0x06, 0x16: self = .decrement
        case 0x07, 0x17: self = .quit
        case 0x08, 0x18: self = .flush
        case 0x0A: self = .noop
        case 0x0B: self = .version
        case 0x0E, 0x19: self = .append
        case 0x0F, 0x1A: self = .prepend
        case 0x10: self = .statistics
        case 0x1C: self = .touch
        case 0x1D, 0x1E, 0x23, 0x24: self = .getAndTouch
        case 0x20: self = .listMechanisms
        case 0x21: self = .authenticate
        case 0x22: self = .authenticateFurther
        default: return nil
        }
    }

    /// A request of it may have a value; all others end with their key.
    var takesValue: Bool {
        switch self {
        case .set, .add, .replace, .append, .prepend, .authenticate, .authenticateFurther: true
        default: false
        }
    }

    /// Answers what an item has.
    var isRetrieval: Bool { self == .get || self == .touch || self == .getAndTouch }

    /// An item's value, which may be as large as an item.
    var isStorage: Bool {
        switch self {
        case .set, .add, .replace, .append, .prepend: true
        default: false
        }
    }

    /// What is answered to who has not said who it is.
    var isForStrangers: Bool {
        switch self {
        case .version, .listMechanisms, .authenticate, .authenticateFurther: true
        default: false
        }
    }

    /// Concerns everything there is, not some keys: what was asked for before it has to be done first.
    var isBarrier: Bool { self == .flush || self == .statistics }
}

/// One request, as far as its key; its value follows that.
struct BinaryRequest: Equatable {
    let header: BinaryHeader
    let verb: BinaryVerb
    /// Of set, add and replace.
    var flags: UInt32 = 0
    /// In seconds, an instant beyond 30 days; `flush`: when. Nil where the request names none.
    var exptime: UInt32?
    /// Of increment and decrement.
    var delta: UInt64 = 0
    var initial: UInt64 = 0

    /// The expiry of a counter that is not to be made where there is none.
    static let exptimeOfNone = UInt32.max

    /// From the header's start on.
    var key: Range<Int> { header.valueStart - header.keyBytes..<header.valueStart }
}

/// How a request went, as answers say it.
enum BinaryStatus: UInt16, Sendable {
    case done = 0x0000
    case notFound = 0x0001
    case exists = 0x0002
    case tooLarge = 0x0003
    case invalid = 0x0004
    case notStored = 0x0005
    case notANumber = 0x0006
    case notAuthenticated = 0x0020
    case authenticateFurther = 0x0021
    case unknownCommand = 0x0081
    case outOfMemory = 0x0082
    case busy = 0x0085
    case temporaryFailure = 0x0086

    /// The words that memcached says with it; the last ones come with words of their own.
    var words: StaticString {
        switch self {
        case .done: ""
        case .notFound: "Not found"
        case .exists: "Data exists for key."
        case .tooLarge: "Too large."
        case .invalid: "Invalid arguments"
        case .notStored: "Not stored."
        case .notANumber: "Non-numeric server-side value for incr or decr"
        case .notAuthenticated: "Auth failure."
        case .authenticateFurther: ""
        case .unknownCommand: "Unknown command"
        case .outOfMemory: "Out of memory"
        case .busy: "Busy"
        case .temporaryFailure: "Temporary failure"
        }
    }
}
