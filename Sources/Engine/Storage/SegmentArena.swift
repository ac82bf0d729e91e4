// One range of addresses for all regular segments of a store, in huge pages where the store is large.
//
// Unsafe: owns the range; whoever takes a segment's memory gives it back before the arena ends.
//
// Items of one store are read at random. In pages of 4 KiB each read would miss the processor's translation cache too; in
// pages of 2 MiB a gigabyte has 512 of them.

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

struct SegmentArena: ~Copyable {
    private static let hugePageBytes = 2 << 20
    /// In a smaller store the last, partly used page would be too much of it.
    private static let hugeArenaBytesMin = 64 << 20

    let segmentBytes: Int
    private let base: UnsafeMutableRawPointer
    private let capacityBytes: Int
    /// Never used so far.
    private var freshBytes = 0
    /// Used before and given back to the kernel: their pages are zero again.
    private var free: [UnsafeMutableRawPointer] = []

    /// Only reserves addresses: memory is taken where it is written to.
    init(segmentBytes: Int, segmentsMax: Int) {
        self.segmentBytes = segmentBytes
        let needed = segmentBytes * segmentsMax
        let isHuge = needed >= Self.hugeArenaBytesMin
        capacityBytes = (needed + Self.hugePageBytes - 1) & ~(Self.hugePageBytes - 1)
        guard let start = RawMemory.map(capacityBytes + Self.hugePageBytes) else {
            fatalError("the system has no addresses left for \(capacityBytes >> 20) MiB of items")
        }
        // Only whole, aligned ranges become huge pages.
        let skipped = -Int(bitPattern: start) & (Self.hugePageBytes - 1)
        base = start + skipped
        if skipped > 0 { RawMemory.unmap(start, skipped) }
        let behind = Self.hugePageBytes - skipped
        if behind > 0 { RawMemory.unmap(base + capacityBytes, behind) }
        if isHuge { RawMemory.preferHugePages(base, capacityBytes) }
    }

    deinit { RawMemory.unmap(base, capacityBytes) }

    /// Memory of one segment, all zero; nil when the arena is used up.
    mutating func take() -> UnsafeMutableRawPointer? {
        if let pointer = free.popLast() { return pointer }
        guard freshBytes + segmentBytes <= capacityBytes else { return nil }
        defer { freshBytes += segmentBytes }
        return base + freshBytes
    }

    /// Gives the memory back to the kernel at once.
    mutating func giveBack(_ pointer: UnsafeMutableRawPointer) {
        RawMemory.discard(pointer, segmentBytes)
        free.append(pointer)
    }
}
