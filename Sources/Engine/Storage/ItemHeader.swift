// What precedes each item in a segment: lengths, flags, expiry and the unique of the last store, in 12 to 28 bytes.
//
// Unsafe: an `ItemPointer` is a raw pointer into a segment; it is good until the store's lock is given back.
//
// Readers that are not alone count their hits, and note the second: of these words, which several may write at a time, the
// last to write wins. They are written and read as atomics, without any order. Everything else changes only under a lock
// that lets in no reader.
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
// An item takes its bytes rounded up to 4, and all its words lie at multiples of 4.

import Synchronization

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
    var expiry: Expiry
    /// More than `uniqueMax` only together with `extra`.
    var unique: UInt64
    var extra: ItemExtra?

    /// Header, key and value, before rounding.
    var totalBytes: Int {
        ItemPointer.headerBytesMin &+ (flags == 0 ? 0 : 4) &+ (expiry.isNever ? 0 : 4)
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
    private static let useExactMax: UInt32 = 4

    // Of the word at byte 4.
    private static let hasFlagsBit: UInt32 = 1 << 4
    private static let hasExpiryBit: UInt32 = 1 << 5
    private static let deadBit: UInt32 = 1 << 6
    private static let compressedBit: UInt32 = 1 << 7
    private static let incompressibleBit: UInt32 = 1 << 8
    private static let useShift: UInt32 = 9
    private static let useMask: UInt32 = 7 << 9
    private static let readBit: UInt32 = 1 << 12
    private static let hasExtraBit: UInt32 = 1 << 13
    private static let uniqueShift: UInt32 = 14
    private static let uniqueHighMask: UInt32 = ~0 << 14
    // Of the second extra word.
    private static let uniqueTopShift: UInt64 = 50
    private static let uniqueTopMask: UInt32 = 0x3FFF
    private static let staleBit: UInt32 = 1 << 14
    private static let wonBit: UInt32 = 1 << 15

    let base: UnsafeMutableRawPointer

    @inline(__always)
    init(_ base: UnsafeMutableRawPointer) { self.base = base }

    /// The key's length, and the lower 24 bits of the value's.
    @inline(__always)
    private var lengths: UInt32 {
        get { base.load(as: UInt32.self) }
        nonmutating set { base.storeBytes(of: newValue, as: UInt32.self) }
    }

    /// The upper 4 bits of the value's length, and what the bits above are named for.
    @inline(__always)
    private var state: UInt32 {
        get { shared(4).pointee.load(ordering: .relaxed) }
        nonmutating set { shared(4).pointee.store(newValue, ordering: .relaxed) }
    }

    @inline(__always)
    private func shared(_ offset: Int) -> UnsafeMutablePointer<Atomic<UInt32>> {
        (base + offset).assumingMemoryBound(to: Atomic<UInt32>.self)
    }

    @inline(__always)
    private static func bytes(_ state: UInt32, _ bit: UInt32) -> Int { state & bit == 0 ? 0 : 4 }

    var keyBytes: Int { Int(truncatingIfNeeded: lengths & 0xFF) }
    var valueBytes: Int { Int(truncatingIfNeeded: lengths >> 8 | (state & 0xF) << 24) }
    var hasFlags: Bool { state & Self.hasFlagsBit != 0 }
    var hasExpiry: Bool { state & Self.hasExpiryBit != 0 }
    var isDead: Bool { state & Self.deadBit != 0 }
    var hasExtra: Bool { state & Self.hasExtraBit != 0 }
    /// Whether somebody has read it since it was stored.
    var isRead: Bool { state & Self.readBit != 0 }
    var isCompressed: Bool { state & Self.compressedBit != 0 }
    var isIncompressible: Bool { state & Self.incompressibleBit != 0 }

    var headerBytes: Int {
        let state = state
        return Self.headerBytesMin &+ Self.bytes(state, Self.hasFlagsBit) &+ Self.bytes(state, Self.hasExpiryBit)
            &+ Self.bytes(state, Self.hasExtraBit) &* 2
    }

    var strideBytes: Int { (headerBytes &+ keyBytes &+ valueBytes &+ 3) & ~3 }

    var key: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base + headerBytes, count: keyBytes) }

    var value: UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(start: base + headerBytes + keyBytes, count: valueBytes)
    }

    var flags: UInt32 { hasFlags ? base.loadUnaligned(fromByteOffset: 12, as: UInt32.self) : 0 }

    var expiry: Expiry {
        hasExpiry ? Expiry(stored: base.loadUnaligned(fromByteOffset: expiryOffset, as: UInt32.self)) : .never
    }

    private var expiryOffset: Int { 12 &+ Self.bytes(state, Self.hasFlagsBit) }

    var unique: UInt64 {
        let low = UInt64(state >> Self.uniqueShift) << 32 | UInt64(base.load(fromByteOffset: 8, as: UInt32.self))
        return hasExtra ? UInt64(extraState & Self.uniqueTopMask) << Self.uniqueTopShift | low : low
    }

    /// Nil where the words are absent.
    var extra: ItemExtra? {
        guard hasExtra else { return nil }
        let state = extraState
        return ItemExtra(
            lastAccess: shared(extraOffset).pointee.load(ordering: .relaxed),
            isStale: state & Self.staleBit != 0, isWon: state & Self.wonBit != 0)
    }

    private var extraOffset: Int { expiryOffset &+ Self.bytes(state, Self.hasExpiryBit) }

    private var extraState: UInt32 { base.loadUnaligned(fromByteOffset: extraOffset &+ 4, as: UInt32.self) }

    /// Hits since the item was written or last kept, 0...7; see `countHit`.
    var use: UInt64 { UInt64((state & Self.useMask) >> Self.useShift) }

    /// Whether the item's time is over at `now`.
    @inline(__always)
    func isExpired(at now: UInt32) -> Bool { hasExpiry && expiry.isOver(at: now) }

    @inline(__always)
    func matches(_ wanted: UnsafeRawBufferPointer) -> Bool {
        let key = key
        return key.count == wanted.count
            && (wanted.count == 0 || equalBytes(key.baseAddress!, wanted.baseAddress!, wanted.count))
    }

    // MARK: Changes in place

    func markDead() { state |= Self.deadBit }

    func markIncompressible() { state |= Self.incompressibleBit }

    /// The value's bytes are another representation now: compressed or not.
    func setCompressed(_ isCompressed: Bool) {
        state = isCompressed ? state | Self.compressedBit : state & ~Self.compressedBit
    }

    func setUse(_ use: UInt64) {
        state = state & ~Self.useMask | UInt32(truncatingIfNeeded: min(use, Self.useMax)) << Self.useShift
    }

    /// Counts a read; writes to the item only while its counter is not full, so that hot items stay clean in the cache.
    @inline(__always)
    func countUse() {
        let state = state
        let counted = state & Self.useMask < Self.useExactMax << Self.useShift ? state &+ 1 << Self.useShift : state
        if counted | Self.readBit != state { self.state = counted | Self.readBit }
    }

    /// As `countUse`, and beyond 4 counts one hit in 4, 8 and 16, at random: 7 is reached after 32 hits on average. True
    /// when it was reached just now.
    @inline(__always)
    func countHit(_ random: inout UInt64) -> Bool {
        let state = state
        let use = (state & Self.useMask) >> Self.useShift
        if use < Self.useExactMax {
            self.state = (state &+ 1 << Self.useShift) | Self.readBit
            return false
        }
        if state & Self.readBit == 0 { self.state = state | Self.readBit }
        return use == UInt32(Self.useMax) ? false : countRareHit(use, &random)
    }

    @inline(never)
    private func countRareHit(_ use: UInt32, _ random: inout UInt64) -> Bool {
        random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        guard random >> (64 - (UInt64(use) - 2)) == 0 else { return false }
        setUse(UInt64(use) + 1)
        return use + 1 == UInt32(Self.useMax)
    }

    /// Counts a write in place: used once more, and nobody has read what it holds now.
    @inline(__always)
    func countWrite() {
        let state = state & ~Self.readBit
        self.state = state & Self.useMask < Self.useExactMax << Self.useShift ? state &+ 1 << Self.useShift : state
    }

    func markRead() { state |= Self.readBit }

    func setUnique(_ unique: UInt64) {
        let high = UInt32(truncatingIfNeeded: unique >> 32)
        state = state & ~Self.uniqueHighMask | high << Self.uniqueShift  // the top 14 bits fall off
        base.storeBytes(of: UInt32(truncatingIfNeeded: unique), toByteOffset: 8, as: UInt32.self)
        guard hasExtra else { return }
        let words = extraState & ~Self.uniqueTopMask | UInt32(truncatingIfNeeded: unique >> Self.uniqueTopShift)
        base.storeBytes(of: words, toByteOffset: extraOffset &+ 4, as: UInt32.self)
    }

    /// Only where the words are there: see `hasExtra`.
    func setExtra(_ extra: ItemExtra) {
        var state = extraState & Self.uniqueTopMask
        if extra.isStale { state |= Self.staleBit }
        if extra.isWon { state |= Self.wonBit }
        setLastAccess(extra.lastAccess)
        base.storeBytes(of: state, toByteOffset: extraOffset &+ 4, as: UInt32.self)
    }

    /// Only where the words are there: see `hasExtra`.
    func setLastAccess(_ second: UInt32) {
        let word = shared(extraOffset)
        if word.pointee.load(ordering: .relaxed) != second { word.pointee.store(second, ordering: .relaxed) }
    }

    /// Only where the word is there: see `hasFlags`.
    func setFlags(_ flags: UInt32) { base.storeBytes(of: flags, toByteOffset: 12, as: UInt32.self) }

    /// Only where the word is there: see `hasExpiry`.
    func setExpiry(_ expiry: Expiry) {
        base.storeBytes(of: expiry.stored, toByteOffset: expiryOffset, as: UInt32.self)
    }

    /// Writes a dead item over `stride` bytes that nothing else needs, so that a walk over the segment passes them.
    func initializeFiller(stride: Int) {
        precondition(stride >= Self.headerBytesMin && stride & 3 == 0 && stride <= Self.valueBytesMax)
        setLengths(key: 0, value: stride - Self.headerBytesMin, Self.deadBit)
    }

    /// Writes header and key of a new item; the value is left to the caller. The lengths must be within the maxima.
    func initialize(_ facts: ItemFacts, key: UnsafeRawBufferPointer) {
        precondition(key.count == facts.keyBytes && facts.keyBytes <= Self.keyBytesMax)
        precondition(facts.valueBytes <= Self.valueBytesMax && (facts.unique <= Self.uniqueMax || facts.extra != nil))
        var state: UInt32 = 0
        if facts.flags != 0 { state |= Self.hasFlagsBit }
        if !facts.expiry.isNever { state |= Self.hasExpiryBit }
        if facts.extra != nil { state |= Self.hasExtraBit }
        setLengths(key: facts.keyBytes, value: facts.valueBytes, state)
        if let extra = facts.extra { setExtra(extra) }
        setUnique(facts.unique)
        if facts.flags != 0 { setFlags(facts.flags) }
        if !facts.expiry.isNever { setExpiry(facts.expiry) }
        if let source = key.baseAddress, key.count > 0 {
            (base + headerBytes).copyMemory(from: source, byteCount: key.count)
        }
    }

    private func setLengths(key: Int, value: Int, _ bits: UInt32) {
        lengths = UInt32(truncatingIfNeeded: key) | UInt32(truncatingIfNeeded: value) << 8
        state = bits | UInt32(truncatingIfNeeded: value >> 24)
    }
}
