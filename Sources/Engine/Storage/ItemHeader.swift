// What precedes each item in a segment: lengths, flags, expiry and the unique of the last store, in 12 to 28 bytes.
//
// Unsafe: an `ItemPointer` is a raw pointer into a segment; it is good until the store's lock is given back.
//
//   byte 0                                                                  8          12
//   +--------+----------------------------+-+-+-+-+-+---+-+-+----------------+-----------+- - - - -+- - - - - -+- - - - -+-----+-------+
//   | key  8 | value 28                   |F|E|D|C|I|use|R|X| unique, high 18| unique 32 | flags 4 | expiry 4  | extra 8 | key | value |
//   +--------+----------------------------+-+-+-+-+-+---+-+-+----------------+-----------+- - - - -+- - - - - -+- - - - -+-----+-------+
//     bits 0   8                           36 37 38 39 40 41-43 44 45 46-63
//
//   F, E: the flags / expiry word is present (absent means 0). D: dead, superseded or deleted.
//   C: the value is compressed. I: compressing it was tried, and is not worth it. use: hits, saturating at 7.
//   R: read since it was stored. X: the extra words are present: the second of the last access; then unique, top 14
//   bits | stale 1 | won 1. Only items that the meta commands gave a state, or a unique of the client's own, have them.
// An item takes its bytes rounded up to 4. Loads are unaligned throughout.

/// What the meta commands keep of an item beyond the rest: rare, so items without it pay nothing.
struct ItemExtra: Equatable {
    /// Unix seconds.
    var lastAccess: UInt32
    /// It was invalidated: readers are told so, and one of them wins the right to replace it.
    var isStale = false
    /// Somebody has won the right to replace it already.
    var isWon = false
}

/// The facts of one item that its header stores.
struct ItemFacts {
    var keyBytes: Int
    var valueBytes: Int
    var flags: UInt32
    var expiry: UInt32
    /// More than `uniqueMax` only together with `extra`.
    var unique: UInt64
    var extra: ItemExtra?

    /// Header, key and value, before rounding.
    var totalBytes: Int {
        ItemPointer.headerBytesMin &+ (flags == 0 ? 0 : 4) &+ (expiry == 0 ? 0 : 4)
            &+ (extra == nil ? 0 : ItemPointer.extraBytes) &+ keyBytes &+ valueBytes
    }

    /// What the item takes up in a segment.
    var strideBytes: Int { (totalBytes &+ 3) & ~3 }
}

struct ItemPointer {
    static let headerBytesMin = 12
    static let keyBytesMax = 255
    static let valueBytesMax = 1 << 28 - 1
    static let uniqueMax: UInt64 = 1 << 50 - 1
    static let extraBytes = 8
    static let useMax: UInt64 = 7
    private static let useExactMax: UInt64 = 4

    private static let hasFlagsBit: UInt64 = 1 << 36
    private static let hasExpiryBit: UInt64 = 1 << 37
    private static let deadBit: UInt64 = 1 << 38
    private static let compressedBit: UInt64 = 1 << 39
    private static let incompressibleBit: UInt64 = 1 << 40
    private static let useShift: UInt64 = 41
    private static let useMask: UInt64 = 7 << 41
    private static let readBit: UInt64 = 1 << 44
    private static let hasExtraBit: UInt64 = 1 << 45
    private static let uniqueShift: UInt64 = 46
    private static let uniqueHighMask: UInt64 = ~0 << 46
    // Of the second extra word.
    private static let uniqueTopShift: UInt64 = 50
    private static let uniqueTopMask: UInt32 = 0x3FFF
    private static let staleBit: UInt32 = 1 << 14
    private static let wonBit: UInt32 = 1 << 15

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
    var hasExtra: Bool { word & Self.hasExtraBit != 0 }
    /// Whether somebody has read it since it was stored.
    var isRead: Bool { word & Self.readBit != 0 }
    var isCompressed: Bool { word & Self.compressedBit != 0 }
    var isIncompressible: Bool { word & Self.incompressibleBit != 0 }

    var headerBytes: Int {
        let word = word
        return Self.headerBytesMin &+ Self.bit(word, Self.hasFlagsBit) &+ Self.bit(word, Self.hasExpiryBit)
            &+ Self.bit(word, Self.hasExtraBit) &* 2
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
        let low = (word >> Self.uniqueShift) << 32 | UInt64(base.loadUnaligned(fromByteOffset: 8, as: UInt32.self))
        return hasExtra ? UInt64(extraState & Self.uniqueTopMask) << Self.uniqueTopShift | low : low
    }

    /// Nil where the words are absent.
    var extra: ItemExtra? {
        guard hasExtra else { return nil }
        let state = extraState
        return ItemExtra(
            lastAccess: base.loadUnaligned(fromByteOffset: extraOffset, as: UInt32.self),
            isStale: state & Self.staleBit != 0, isWon: state & Self.wonBit != 0)
    }

    private var extraOffset: Int { expiryOffset &+ Self.bit(word, Self.hasExpiryBit) }

    private var extraState: UInt32 { base.loadUnaligned(fromByteOffset: extraOffset &+ 4, as: UInt32.self) }

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

    /// Counts a read; writes to the item only while its counter is not full, so that hot items stay clean in the cache.
    @inline(__always)
    func countUse() {
        let word = word
        let counted = word & Self.useMask < Self.useExactMax << Self.useShift ? word &+ 1 << Self.useShift : word
        if counted | Self.readBit != word { self.word = counted | Self.readBit }
    }

    /// As `countUse`, and beyond 4 counts one hit in 4, 8 and 16, at random: 7 is reached after 32 hits on average. True
    /// when it was reached just now.
    @inline(__always)
    func countHit(_ random: inout UInt64) -> Bool {
        let word = word
        let use = (word & Self.useMask) >> Self.useShift
        if use < Self.useExactMax {
            self.word = (word &+ 1 << Self.useShift) | Self.readBit
            return false
        }
        if word & Self.readBit == 0 { self.word = word | Self.readBit }
        return use == Self.useMax ? false : countRareHit(use, &random)
    }

    @inline(never)
    private func countRareHit(_ use: UInt64, _ random: inout UInt64) -> Bool {
        random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        guard random >> (64 - (use - 2)) == 0 else { return false }
        word = word &+ 1 << Self.useShift
        return use + 1 == Self.useMax
    }

    /// Counts a write in place: used once more, and nobody has read what it holds now.
    @inline(__always)
    func countWrite() {
        let word = word & ~Self.readBit
        self.word = word & Self.useMask < Self.useExactMax << Self.useShift ? word &+ 1 << Self.useShift : word
    }

    func markRead() { word |= Self.readBit }

    func setUnique(_ unique: UInt64) {
        word = word & ~Self.uniqueHighMask | (unique >> 32) << Self.uniqueShift  // the top 14 bits fall off
        base.storeBytes(of: UInt32(truncatingIfNeeded: unique), toByteOffset: 8, as: UInt32.self)
        guard hasExtra else { return }
        let state = extraState & ~Self.uniqueTopMask | UInt32(truncatingIfNeeded: unique >> Self.uniqueTopShift)
        base.storeBytes(of: state, toByteOffset: extraOffset &+ 4, as: UInt32.self)
    }

    /// Only where the words are there: see `hasExtra`.
    func setExtra(_ extra: ItemExtra) {
        var state = extraState & Self.uniqueTopMask
        if extra.isStale { state |= Self.staleBit }
        if extra.isWon { state |= Self.wonBit }
        base.storeBytes(of: extra.lastAccess, toByteOffset: extraOffset, as: UInt32.self)
        base.storeBytes(of: state, toByteOffset: extraOffset &+ 4, as: UInt32.self)
    }

    /// Only where the words are there: see `hasExtra`.
    func setLastAccess(_ second: UInt32) { base.storeBytes(of: second, toByteOffset: extraOffset, as: UInt32.self) }

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
        precondition(facts.valueBytes <= Self.valueBytesMax && (facts.unique <= Self.uniqueMax || facts.extra != nil))
        var word = UInt64(truncatingIfNeeded: facts.keyBytes) | UInt64(truncatingIfNeeded: facts.valueBytes) << 8
        if facts.flags != 0 { word |= Self.hasFlagsBit }
        if facts.expiry != 0 { word |= Self.hasExpiryBit }
        if facts.extra != nil { word |= Self.hasExtraBit }
        self.word = word
        if let extra = facts.extra { setExtra(extra) }
        setUnique(facts.unique)
        if facts.flags != 0 { setFlags(facts.flags) }
        if facts.expiry != 0 { setExpiry(facts.expiry) }
        if let source = key.baseAddress, key.count > 0 {
            (base + headerBytes).copyMemory(from: source, byteCount: key.count)
        }
    }
}
