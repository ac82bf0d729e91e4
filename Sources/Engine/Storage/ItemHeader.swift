// What precedes each item in a segment: lengths, flags, expiry and the unique of the last store, in 12 to 20 bytes.
//
// Unsafe: an `ItemPointer` is a raw pointer into a segment; it is good until the store's lock is given back.
//
//   byte 0                                                              8          12
//   +--------+----------------------------+-+-+-+-+-+---+----------------+-----------+- - - - -+- - - - - -+-----+-------+
//   | key  8 | value 28                   |F|E|D|C|X|use| unique, high 20| unique 32 | flags 4 | expiry 4  | key | value |
//   +--------+----------------------------+-+-+-+-+-+---+----------------+-----------+- - - - -+- - - - - -+-----+-------+
//     bits 0   8                           36 37 38 39 40 41-43  44-63
//
//   F, E: the flags / expiry word is present (absent means 0). D: dead, superseded or deleted.
//   C: the value is compressed. X: compressing it was tried, and is not worth it. use: hits, saturating at 7.
// An item takes its bytes rounded up to 4. Loads are unaligned throughout.

/// The facts of one item that its header stores.
struct ItemFacts {
    var keyBytes: Int
    var valueBytes: Int
    var flags: UInt32
    var expiry: UInt32
    var unique: UInt64

    /// Header, key and value, before rounding.
    var totalBytes: Int {
        ItemPointer.headerBytesMin &+ (flags == 0 ? 0 : 4) &+ (expiry == 0 ? 0 : 4) &+ keyBytes &+ valueBytes
    }

    /// What the item takes up in a segment.
    var strideBytes: Int { (totalBytes &+ 3) & ~3 }
}

struct ItemPointer {
    static let headerBytesMin = 12
    static let keyBytesMax = 255
    static let valueBytesMax = 1 << 28 - 1
    static let uniqueMax: UInt64 = 1 << 52 - 1
    static let useMax: UInt64 = 7
    private static let useExactMax: UInt64 = 4

    private static let hasFlagsBit: UInt64 = 1 << 36
    private static let hasExpiryBit: UInt64 = 1 << 37
    private static let deadBit: UInt64 = 1 << 38
    private static let compressedBit: UInt64 = 1 << 39
    private static let incompressibleBit: UInt64 = 1 << 40
    private static let useShift: UInt64 = 41
    private static let useMask: UInt64 = 7 << 41
    private static let uniqueShift: UInt64 = 44
    private static let uniqueHighMask: UInt64 = ~0 << 44

    let base: UnsafeMutableRawPointer

    @inline(__always)
    init(_ base: UnsafeMutableRawPointer) { self.base = base }

    @inline(__always)
    private var word: UInt64 {
        get { base.loadUnaligned(as: UInt64.self) }
        nonmutating set { base.storeBytes(of: newValue, as: UInt64.self) }
    }

    @inline(__always)
    private static func bit(_ word: UInt64, _ bit: UInt64) -> Int { word & bit == 0 ? 0 : 4 }

    var keyBytes: Int { Int(truncatingIfNeeded: word & 0xFF) }
    var valueBytes: Int { Int(truncatingIfNeeded: word >> 8 & 0xFFF_FFFF) }
    var hasFlags: Bool { word & Self.hasFlagsBit != 0 }
    var hasExpiry: Bool { word & Self.hasExpiryBit != 0 }
    var isDead: Bool { word & Self.deadBit != 0 }
    var isCompressed: Bool { word & Self.compressedBit != 0 }
    var isIncompressible: Bool { word & Self.incompressibleBit != 0 }

    var headerBytes: Int {
        let word = word
        return Self.headerBytesMin &+ Self.bit(word, Self.hasFlagsBit) &+ Self.bit(word, Self.hasExpiryBit)
    }

    var strideBytes: Int { (headerBytes &+ keyBytes &+ valueBytes &+ 3) & ~3 }

    var key: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base + headerBytes, count: keyBytes) }

    var value: UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(start: base + headerBytes + keyBytes, count: valueBytes)
    }

    var flags: UInt32 { hasFlags ? base.loadUnaligned(fromByteOffset: 12, as: UInt32.self) : 0 }

    var expiry: UInt32 { hasExpiry ? base.loadUnaligned(fromByteOffset: expiryOffset, as: UInt32.self) : 0 }

    private var expiryOffset: Int { 12 &+ Self.bit(word, Self.hasFlagsBit) }

    var unique: UInt64 {
        (word >> Self.uniqueShift) << 32 | UInt64(base.loadUnaligned(fromByteOffset: 8, as: UInt32.self))
    }

    /// Hits since the item was written or last kept, 0...7; see `countHit`.
    var use: UInt64 { (word & Self.useMask) >> Self.useShift }

    /// Whether the item's time is over at `now`.
    @inline(__always)
    func isExpired(at now: UInt32) -> Bool {
        guard hasExpiry else { return false }
        let expiry = expiry
        return expiry != 0 && expiry <= now
    }

    @inline(__always)
    func matches(_ wanted: UnsafeRawBufferPointer) -> Bool {
        let key = key
        return key.count == wanted.count
            && (wanted.count == 0 || equalBytes(key.baseAddress!, wanted.baseAddress!, wanted.count))
    }

    // MARK: Changes in place

    func markDead() { word |= Self.deadBit }

    func markIncompressible() { word |= Self.incompressibleBit }

    /// The value's bytes are another representation now: compressed or not.
    func setCompressed(_ isCompressed: Bool) {
        word = isCompressed ? word | Self.compressedBit : word & ~Self.compressedBit
    }

    func setUse(_ use: UInt64) { word = word & ~Self.useMask | min(use, Self.useMax) << Self.useShift }

    /// Counts a hit; writes to the item only while its counter is not full, so that hot items stay clean in the cache.
    @inline(__always)
    func countUse() {
        let word = word
        if word & Self.useMask < Self.useExactMax << Self.useShift { self.word = word &+ 1 << Self.useShift }
    }

    /// As `countUse`, and beyond 4 counts one hit in 4, 8 and 16, at random: 7 is reached after 32 hits on average. True
    /// when it was reached just now.
    @inline(__always)
    func countHit(_ random: inout UInt64) -> Bool {
        let word = word
        let use = (word & Self.useMask) >> Self.useShift
        if use < Self.useExactMax {
            self.word = word &+ 1 << Self.useShift
            return false
        }
        return use == Self.useMax ? false : countRareHit(use, &random)
    }

    @inline(never)
    private func countRareHit(_ use: UInt64, _ random: inout UInt64) -> Bool {
        random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        guard random >> (64 - (use - 2)) == 0 else { return false }
        word = word &+ 1 << Self.useShift
        return use + 1 == Self.useMax
    }

    func setUnique(_ unique: UInt64) {
        word = word & ~Self.uniqueHighMask | (unique >> 32) << Self.uniqueShift
        base.storeBytes(of: UInt32(truncatingIfNeeded: unique), toByteOffset: 8, as: UInt32.self)
    }

    /// Only where the word is there: see `hasFlags`.
    func setFlags(_ flags: UInt32) { base.storeBytes(of: flags, toByteOffset: 12, as: UInt32.self) }

    /// Only where the word is there: see `hasExpiry`.
    func setExpiry(_ expiry: UInt32) { base.storeBytes(of: expiry, toByteOffset: expiryOffset, as: UInt32.self) }

    /// Writes a dead item over `stride` bytes that nothing else needs, so that a walk over the segment passes them.
    func initializeFiller(stride: Int) {
        precondition(stride >= Self.headerBytesMin && stride & 3 == 0 && stride <= Self.valueBytesMax)
        word = Self.deadBit | UInt64(truncatingIfNeeded: stride - Self.headerBytesMin) << 8
    }

    /// Writes header and key of a new item; the value is left to the caller. The lengths must be within the maxima.
    func initialize(_ facts: ItemFacts, key: UnsafeRawBufferPointer) {
        precondition(key.count == facts.keyBytes && facts.keyBytes <= Self.keyBytesMax)
        precondition(facts.valueBytes <= Self.valueBytesMax && facts.unique <= Self.uniqueMax)
        var word = UInt64(truncatingIfNeeded: facts.keyBytes) | UInt64(truncatingIfNeeded: facts.valueBytes) << 8
        if facts.flags != 0 { word |= Self.hasFlagsBit }
        if facts.expiry != 0 { word |= Self.hasExpiryBit }
        self.word = word
        setUnique(facts.unique)
        if facts.flags != 0 { setFlags(facts.flags) }
        if facts.expiry != 0 { setExpiry(facts.expiry) }
        if let source = key.baseAddress, key.count > 0 {
            (base + headerBytes).copyMemory(from: source, byteCount: key.count)
        }
    }
}
