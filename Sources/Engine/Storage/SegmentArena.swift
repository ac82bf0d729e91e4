// A range of addresses for all regular segments of a store, in huge pages where the store is large.
//
// Unsafe: owns the ranges; whoever takes a segment's memory gives it back before the arena ends.
//
// Items of one store are read at random. In pages of 4 KiB each read would miss the processor's translation cache too; in
// pages of 2 MiB a gigabyte has 512 of them.

import Glibc

struct SegmentArena: ~Copyable {
    private static let hugePageBytes = 2 << 20
    /// In a smaller store the last, partly used page would be too much of it.
    private static let hugeArenaBytesMin = 64 << 20

    private struct Range {
        let base: UnsafeMutableRawPointer
        let capacityBytes: Int
        /// Used so far.
        var usedBytes = 0
    }

    let segmentBytes: Int
    /// One, and another for each time that more was asked for than there was.
    private var ranges: [Range] = []
    /// Used before and given back to the kernel: their pages are zero again.
    private var free: [UnsafeMutableRawPointer] = []

    /// Only reserves addresses: memory is taken where it is written to.
    init(segmentBytes: Int, segmentsMax: Int) {
        self.segmentBytes = segmentBytes
        reserve(segmentsMax: segmentsMax)
    }

    /// Addresses for at least so many segments in all.
    mutating func reserve(segmentsMax: Int) {
        let missing = segmentsMax - ranges.reduce(0) { $0 + $1.capacityBytes / segmentBytes }
        if missing > 0 { ranges.append(Self.range(segmentBytes * missing)) }
    }

    private static func range(_ needed: Int) -> Range {
        let isHuge = needed >= Self.hugeArenaBytesMin
        let capacityBytes = (needed + Self.hugePageBytes - 1) & ~(Self.hugePageBytes - 1)
        guard let start = RawMemory.map(capacityBytes + Self.hugePageBytes) else {
            fatalError("the system has no addresses left for \(capacityBytes >> 20) MiB of items")
        }
        // Only whole, aligned ranges become huge pages.
        let skipped = -Int(bitPattern: start) & (Self.hugePageBytes - 1)
        let base = start + skipped
        if skipped > 0 { RawMemory.unmap(start, skipped) }
        let behind = Self.hugePageBytes - skipped
        if behind > 0 { RawMemory.unmap(base + capacityBytes, behind) }
        if isHuge { RawMemory.preferHugePages(base, capacityBytes) }
        return Range(base: base, capacityBytes: capacityBytes)
    }

    deinit { for range in ranges { RawMemory.unmap(range.base, range.capacityBytes) } }

    /// Memory of one segment, all zero; nil when the arena is used up.
    mutating func take() -> UnsafeMutableRawPointer? {
        if let pointer = free.popLast() { return pointer }
        for at in ranges.indices where ranges[at].usedBytes + segmentBytes <= ranges[at].capacityBytes {
            defer { ranges[at].usedBytes += segmentBytes }
            return ranges[at].base + ranges[at].usedBytes
        }
        return nil
    }

    /// Gives the memory back to the kernel at once.
    mutating func giveBack(_ pointer: UnsafeMutableRawPointer) {
        RawMemory.discard(pointer, segmentBytes)
        free.append(pointer)
    }
}
