// The requests that come next, as far as they are plain gets and sets: found in one pass, so that the memory of this node
// that they will touch is on its way before the first of them is answered.
//
// Unsafe: reads the input through a raw buffer, within its count.

import Engine
import Gather

/// A `get` of one key, or a `set` with its data block, complete in the input, in either of memcached's protocols.
struct PlainRequest {
    /// Where its key is.
    var keyStart: Int
    var keyBytes: Int
    /// Where the data block of a set is.
    var valueStart: Int
    /// All of it.
    var requestBytes: Int
    var hash: UInt64
    /// Nil: a get.
    var set: Block?
    /// A get of a key that names a method.
    var method: LocatedMethod?
    /// Of the key, or a few more.
    var colons = 0
    /// Which of the window's places its key's is, once they are known; below 0 where it is not among them.
    var placeAt = -1
    /// Where on another node it is answered.
    var place: Place?
    /// The get is of a key that names a method of that node.
    var isRemoteMethod = false

    struct Block {
        var flags: UInt32
        var exptime: Int64
        var valueBytes: Int
        var isSilent: Bool
    }

    @inline(__always)
    func key(in bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: bytes.baseAddress! + keyStart, count: keyBytes)
    }

    /// The data block of a set that was found in these bytes.
    @inline(__always)
    func value(_ block: Block, in bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: bytes[valueStart..<valueStart &+ block.valueBytes])
    }
}

/// A window over the input. Everything that is in any way unusual ends it and is left to the protocol's parser.
struct PlainRequests: ~Copyable {
    static let countMax = 16

    private let requests: UnsafeMutablePointer<PlainRequest>
    private let hashes: UnsafeMutablePointer<UInt64>
    private let methods: UnsafeMutablePointer<LocatedMethod>
    /// The window's keys, and where they live.
    private let keys: UnsafeMutableBufferPointer<UnsafeRawBufferPointer>
    private let places: UnsafeMutableBufferPointer<Place>
    private var count = 0
    private var at = 0

    init() {
        requests = .allocate(capacity: Self.countMax)
        hashes = .allocate(capacity: Self.countMax)
        methods = .allocate(capacity: Self.countMax)
        keys = .allocate(capacity: Self.countMax)
        places = .allocate(capacity: Self.countMax)
    }

    deinit {
        requests.deallocate()
        hashes.deallocate()
        methods.deallocate()
        keys.deallocate()
        places.deallocate()
    }

    /// The next one, where it lies in the window: good until that is filled anew.
    @inline(__always)
    mutating func next() -> UnsafePointer<PlainRequest>? {
        guard at < count else { return nil }
        defer { at &+= 1 }
        return UnsafePointer(requests + at)
    }

    /// The next request stays where it is; the input will be looked at anew.
    mutating func drop() { (at, count) = (0, 0) }

    /// Finds the plain requests from `start` on and starts to bring in what they need. Gets of methods are among them; a key
    /// of any other `kind` ends the search. `scan` knows the protocol: the request at a place, if it is a plain one, and how
    /// many colons its key has, or a few more.
    @inline(__always)
    mutating func fill(
        from start: Int, in bytes: UnsafeRawBufferPointer, stores: ItemStores, objects: ObjectHosts?,
        scan: (_ start: Int) -> (PlainRequest, colons: Int)?,
        findPlaces: (UnsafeBufferPointer<UnsafeRawBufferPointer>, UnsafeMutableBufferPointer<Place>) -> Bool,
        kind: (_ key: UnsafeRawBufferPointer, _ colons: Int, _ place: Place?) -> Router.KeyKind
    ) {
        at = 0
        count = 0
        var found = 0
        var keyCount = 0
        var position = start
        while found < Self.countMax, let (request, colons) = scan(position) {
            requests[found] = request
            requests[found].colons = colons
            // A key with more may name a method, and not itself say whose it is.
            if colons < 2 {
                requests[found].placeAt = keyCount
                keys[keyCount] = request.key(in: bytes)
                keyCount &+= 1
            }
            found &+= 1
            position &+= request.requestBytes
        }
        let areKnown = keyCount > 0 && findPlaces(UnsafeBufferPointer(rebasing: keys[..<keyCount]), places)
        var hashCount = 0
        var methodCount = 0
        search: while count < found {
            let key = requests[count].key(in: bytes)
            let placeAt = requests[count].placeAt
            switch kind(key, requests[count].colons, areKnown && placeAt >= 0 ? places[placeAt] : nil) {
            case .ownItem(let hash):
                requests[count].hash = hash
                hashes[hashCount] = hash
                hashCount &+= 1
            case .method(let method) where requests[count].set == nil:
                requests[count].method = method
                methods[methodCount] = method
                methodCount &+= 1
            case .remoteItem(let place): requests[count].place = place
            case .remoteMethod(let place) where requests[count].set == nil:
                requests[count].place = place
                requests[count].isRemoteMethod = true
            case .method, .remoteMethod, .other: break search
            }
            count &+= 1
        }
        if hashCount > 1 { stores.prefetch(UnsafeBufferPointer(start: hashes, count: hashCount)) }
        if methodCount > 1 { objects?.prefetch(UnsafeBufferPointer(start: methods, count: methodCount)) }
    }

    /// The key that a `get` of one key or a `set` begins with, if that is what the bytes are.
    static func firstKey(_ bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        guard bytes.count >= 8, let base = bytes.baseAddress else { return nil }
        let verb = base.loadUnaligned(as: UInt32.self)
        guard verb == get || verb == set else { return nil }
        let (end, _) = KeyScan.end(bytes, from: 4)
        return UnsafeRawBufferPointer(rebasing: bytes[4..<end])
    }

    private static let get = UInt32(littleEndian: 0x2074_6567)  // "get "
    private static let set = UInt32(littleEndian: 0x2074_6573)  // "set "

    /// The request whose line starts there, in the text protocol.
    @inline(__always)
    static func scan(
        _ bytes: UnsafeRawBufferPointer, _ start: Int, _ valueBytesMax: Int
    ) -> (PlainRequest, colons: Int)? {
        // The shortest line of interest, `get k`, has 7 bytes with its end; with 8 no load needs a check.
        guard bytes.count &- start >= 8, let base = bytes.baseAddress else { return nil }
        let verb = base.loadUnaligned(fromByteOffset: start, as: UInt32.self)
        guard verb == get || verb == set else { return nil }
        let (end, colons) = KeyScan.end(bytes, from: start &+ 4)
        let keyBytes = end &- start &- 4
        guard keyBytes > 0, keyBytes <= RequestParser.keyBytesMax, end &+ 1 < bytes.count else { return nil }
        if verb == get {
            guard endsLine(base, end) else { return nil }
            return (
                PlainRequest(
                    keyStart: start &+ 4, keyBytes: keyBytes, valueStart: 0, requestBytes: end &+ 2 &- start, hash: 0,
                    set: nil),
                colons
            )
        }
        guard let found = block(bytes, end, valueBytesMax) else { return nil }
        let requestBytes = found.lineEnd &+ found.block.valueBytes &+ 2 &- start
        return (
            PlainRequest(
                keyStart: start &+ 4, keyBytes: keyBytes, valueStart: found.lineEnd, requestBytes: requestBytes,
                hash: 0, set: found.block),
            colons
        )
    }

    /// ` flags exptime bytes[ noreply]`, the line's end, and a whole data block.
    @inline(__always)
    private static func block(
        _ bytes: UnsafeRawBufferPointer, _ start: Int, _ valueBytesMax: Int
    ) -> (block: PlainRequest.Block, lineEnd: Int)? {
        var at = start
        guard let flags = number(bytes, &at), flags <= UInt64(UInt32.max), let exptime = number(bytes, &at),
            let valueBytes = number(bytes, &at), valueBytes <= UInt64(truncatingIfNeeded: valueBytesMax),
            at &+ 2 <= bytes.count, let base = bytes.baseAddress
        else { return nil }
        var isSilent = false
        if bytes[at] == 0x20 {
            guard at &+ 10 <= bytes.count,
                base.loadUnaligned(fromByteOffset: at, as: UInt64.self) == noreply
            else { return nil }
            isSilent = true
            at &+= 8
        }
        let lineEnd = at &+ 2
        let blockEnd = lineEnd &+ Int(truncatingIfNeeded: valueBytes)
        guard endsLine(base, at), blockEnd &+ 2 <= bytes.count, endsLine(base, blockEnd) else { return nil }
        return (
            PlainRequest.Block(
                flags: UInt32(truncatingIfNeeded: flags), exptime: Int64(truncatingIfNeeded: exptime),
                valueBytes: Int(truncatingIfNeeded: valueBytes), isSilent: isSilent),
            lineEnd
        )
    }

    private static let noreply = UInt64(littleEndian: 0x796C_7065_726F_6E20)  // " noreply"

    @inline(__always)
    private static func endsLine(_ base: UnsafeRawPointer, _ at: Int) -> Bool {
        base.loadUnaligned(fromByteOffset: at, as: UInt16.self) == UInt16(littleEndian: 0x0A0D)
    }

    /// A blank and up to ten digits; `at` then is behind them.
    @inline(__always)
    private static func number(_ bytes: UnsafeRawBufferPointer, _ at: inout Int) -> UInt64? {
        guard at < bytes.count, bytes[at] == 0x20 else { return nil }
        let first = at &+ 1
        at = first
        var value: UInt64 = 0
        while at < bytes.count {
            let digit = bytes[at] &- 0x30
            guard digit < 10 else { break }
            value = value &* 10 &+ UInt64(digit)
            at &+= 1
        }
        return at > first && at &- first <= 10 ? value : nil
    }
}

/// Where keys end, eight bytes at a time.
enum KeyScan {
    private static let ones: UInt64 = 0x0101_0101_0101_0101
    private static let highs: UInt64 = 0x8080_8080_8080_8080

    /// The first byte from `start` on that is a blank or a control character, or the end; and how many colons come before:
    /// never too few, but a `;` behind one may count as another.
    @inline(__always)
    static func end(_ bytes: UnsafeRawBufferPointer, from start: Int) -> (Int, colons: Int) {
        guard let base = bytes.baseAddress else { return (start, 0) }
        var at = start
        var count = 0
        while at &+ 8 <= bytes.count {
            let word = UInt64(littleEndian: base.loadUnaligned(fromByteOffset: at, as: UInt64.self))
            let colons = zeroBytes(word ^ (ones &* 0x3A))
            // The high bit of each byte below 0x21; a byte above a found one may be marked too, the lowest is right.
            let ends = (word &- ones &* 0x21) & ~word & highs
            if ends != 0 {
                let index = ends.trailingZeroBitCount
                if colons != 0 { count &+= (colons & (1 << UInt64(index) &- 1)).nonzeroBitCount }
                return (at &+ (index >> 3), count)
            }
            if colons != 0 { count &+= colons.nonzeroBitCount }
            at &+= 8
        }
        while at < bytes.count, bytes[at] > 0x20 {
            if bytes[at] == 0x3A { count &+= 1 }
            at &+= 1
        }
        return (at, count)
    }

    /// How many colons there are among so many bytes from `start` on: never too few, but a `;` behind one may count as another.
    @inline(__always)
    static func colons(_ bytes: UnsafeRawBufferPointer, from start: Int, count: Int) -> Int {
        guard let base = bytes.baseAddress else { return 0 }
        let end = start &+ count
        var at = start
        var found = 0
        while at &+ 8 <= end {
            let word = UInt64(littleEndian: base.loadUnaligned(fromByteOffset: at, as: UInt64.self))
            let colons = zeroBytes(word ^ (ones &* 0x3A))
            if colons != 0 { found &+= colons.nonzeroBitCount }
            at &+= 8
        }
        while at < end {
            if bytes[at] == 0x3A { found &+= 1 }
            at &+= 1
        }
        return found
    }

    /// The first blank from `start` on, or the end. Control characters are part of a key, as in memcached.
    @inline(__always)
    static func blank(_ bytes: UnsafeRawBufferPointer, from start: Int) -> Int {
        guard let base = bytes.baseAddress else { return start }
        var at = start
        while at &+ 8 <= bytes.count {
            let word = UInt64(littleEndian: base.loadUnaligned(fromByteOffset: at, as: UInt64.self))
            let blanks = zeroBytes(word ^ (ones &* 0x20))
            if blanks != 0 { return at &+ (blanks.trailingZeroBitCount >> 3) }
            at &+= 8
        }
        while at < bytes.count, bytes[at] != 0x20 { at &+= 1 }
        return at
    }

    /// Marks the bytes that are zero by their high bit; the lowest mark is right.
    @inline(__always)
    private static func zeroBytes(_ word: UInt64) -> UInt64 { (word &- ones) & ~word & highs }
}
