// The memory of the items: segments in the order they were filled, and what is known of each.
//
// Unsafe: owns the segments' memory. A segment's number stays valid until it is released; 0 is no segment.
//
// A regular segment takes many small items and is filled from one end. A dedicated one is mapped for one large item, at
// its size. Both wait in the same queue, oldest first; the segment that is being filled is not in it yet.

struct Segment {
    /// Reclaiming: out of the queue, its items being copied or dropped step by step.
    enum State: UInt8 { case free, open, sealed, reclaiming }

    var base: UnsafeMutableRawPointer?
    var capacityBytes = 0
    /// Filled so far; the next item goes here.
    var usedBytes = 0
    /// Strides of the items that are not dead.
    var liveBytes = 0
    var liveItems = 0
    /// Neighbours in the queue, 0 at its ends.
    var older: UInt32 = 0
    var newer: UInt32 = 0
    var state = State.free
    var isDedicated = false
    /// It waits in the list of segments worth compacting.
    var isListedSparse = false
}

/// Segments in the order they were sealed.
struct SegmentQueue {
    var oldest: UInt32 = 0
    var newest: UInt32 = 0
    var count = 0
}

struct SegmentPool: ~Copyable {
    let segmentBytes: Int
    private(set) var table: UnsafeMutablePointer<Segment>
    private var tableCapacity = 16
    /// Numbers 1..<end have been in use.
    private(set) var end: UInt32 = 1
    private var freeNumbers: [UInt32] = []
    /// One empty regular segment is kept, so that steady eviction does not map and unmap.
    private var spare: UnsafeMutableRawPointer?
    /// Everything mapped for segments, the spare included.
    private(set) var mappedBytes = 0
    private(set) var segmentCount = 0

    init(segmentBytes: Int) {
        self.segmentBytes = segmentBytes
        table = .allocate(capacity: tableCapacity)
        table.initialize(repeating: Segment(), count: tableCapacity)
    }

    deinit {
        for number in 1..<max(end, 1) {
            if let base = table[Int(number)].base { RawMemory.unmap(base, table[Int(number)].capacityBytes) }
        }
        if let spare { RawMemory.unmap(spare, segmentBytes) }
        table.deallocate()
    }

    var tableBytes: Int { tableCapacity * MemoryLayout<Segment>.stride }
    var hasSpare: Bool { spare != nil }

    @inline(__always)
    subscript(number: UInt32) -> Segment {
        unsafeAddress { UnsafePointer(table + Int(number)) }
        nonmutating unsafeMutableAddress { table + Int(number) }
    }

    /// An open segment of `bytes`, or a regular one. Nil when the kernel has no memory or all numbers are in use.
    mutating func acquire(dedicatedBytes: Int? = nil) -> UInt32? {
        guard let number = nextNumber() else { return nil }
        let capacity = dedicatedBytes ?? segmentBytes
        let base: UnsafeMutableRawPointer
        if dedicatedBytes == nil, let spare {
            base = spare
            self.spare = nil
        } else if let mapped = RawMemory.map(capacity) {
            base = mapped
            mappedBytes += capacity
        } else {
            freeNumbers.append(number)
            return nil
        }
        self[number] = Segment(
            base: base, capacityBytes: capacity, state: .open, isDedicated: dedicatedBytes != nil)
        segmentCount += 1
        return number
    }

    private mutating func nextNumber() -> UInt32? {
        if let number = freeNumbers.popLast() { return number }
        guard end <= ItemIndex.segmentMax else { return nil }
        if Int(end) == tableCapacity {
            let grown = UnsafeMutablePointer<Segment>.allocate(capacity: tableCapacity * 2)
            grown.moveInitialize(from: table, count: tableCapacity)
            (grown + tableCapacity).initialize(repeating: Segment(), count: tableCapacity)
            table.deallocate()
            table = grown
            tableCapacity *= 2
        }
        defer { end += 1 }
        return end
    }

    /// Gives back the memory of a segment that is in no queue.
    mutating func release(_ number: UInt32) {
        let segment = self[number]
        precondition(segment.state != .free, "a segment was released twice")
        if !segment.isDedicated, spare == nil {
            spare = segment.base
        } else {
            RawMemory.unmap(segment.base!, segment.capacityBytes)
            mappedBytes -= segment.capacityBytes
        }
        self[number] = Segment()
        freeNumbers.append(number)
        segmentCount -= 1
    }

    mutating func releaseSpare() {
        guard let base = spare else { return }
        RawMemory.unmap(base, segmentBytes)
        mappedBytes -= segmentBytes
        spare = nil
    }

    // MARK: Queue

    /// Closes an open segment and puts it at the young end.
    func seal(_ number: UInt32, into queue: inout SegmentQueue) {
        self[number].state = .sealed
        self[number].older = queue.newest
        self[number].newer = 0
        if queue.newest != 0 { self[queue.newest].newer = number } else { queue.oldest = number }
        queue.newest = number
        queue.count += 1
    }

    func unlink(_ number: UInt32, from queue: inout SegmentQueue) {
        let (older, newer) = (self[number].older, self[number].newer)
        if older != 0 { self[older].newer = newer } else { queue.oldest = newer }
        if newer != 0 { self[newer].older = older } else { queue.newest = older }
        queue.count -= 1
    }
}
