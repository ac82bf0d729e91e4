// The memory of the items: segments in the order they were filled, and what is known of each.
//
// Unsafe: owns the segments' memory. A segment's number stays valid until it is released; 0 is no segment.
//
// A regular segment takes many small items and is filled from one end. A dedicated one is mapped for one large item, at
// its size. Both wait in the same queues, oldest first; the segments that are being filled are not in them yet.

import Synchronization

/// The two queues of S3-FIFO.
enum Lane: Int {
    /// What is new and has to prove itself.
    case small
    /// What was used while it was new, or was asked for again soon after it was dropped.
    case main
}

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
    var lane = Lane.small
    /// The dictionary of the compressed values in it; 0 for none.
    var dictionary: UInt8 = 0
    /// The first and the last instant at which an item in it expires, or expired: `.max` for never. Bounds only: items
    /// may have gone, or been touched.
    var expiryFirst = UInt32.max
    var expiryLast: UInt32 = 0
    /// It came to the main queue as it was, before the store was full for the first time: nothing in it was compressed.
    var isUntried = false
    var isDedicated = false
    /// It waits in the list of segments worth compacting.
    var isListedSparse = false
    /// Values in it that somebody is sending: until then its memory stays, whatever becomes of the segment.
    var pins: UInt32 = 0
}

/// Segments in the order they were sealed, and the one that is being filled.
struct SegmentQueue {
    var oldest: UInt32 = 0
    var newest: UInt32 = 0
    var count = 0
    /// The regular segment that is being filled; 0 when there is none.
    var open: UInt32 = 0
    /// Memory of all its segments, the open one included.
    var bytes = 0
}

struct SegmentPool: ~Copyable {
    // First of all, as the compiler (6.3) notes writes through the subscripts for the thread sanitizer at the first word of
    // this structure, and fails where that is no pointer: see decision 0014.
    private(set) var table: UnsafeMutablePointer<Segment>
    let segmentBytes: Int
    private var tableCapacity = 16
    /// Numbers 1..<end have been in use.
    private(set) var end: UInt32 = 1
    private var freeNumbers: [UInt32] = []
    private var arena: SegmentArena
    /// One empty regular segment is kept, so that steady eviction does not give back and take again.
    private var spare: UnsafeMutableRawPointer?
    /// Everything taken for segments, the spare included.
    private(set) var mappedBytes = 0
    private(set) var segmentCount = 0
    private let queues: UnsafeMutablePointer<SegmentQueue>

    /// `segmentsMax`: regular ones that may be in use at a time.
    init(segmentBytes: Int, segmentsMax: Int) {
        self.segmentBytes = segmentBytes
        arena = SegmentArena(segmentBytes: segmentBytes, segmentsMax: segmentsMax)
        table = .allocate(capacity: tableCapacity)
        table.initialize(repeating: Segment(), count: tableCapacity)
        queues = .allocate(capacity: 2)
        queues.initialize(repeating: SegmentQueue(), count: 2)
    }

    deinit {
        for number in 1..<max(end, 1) where table[Int(number)].isDedicated {
            if let base = table[Int(number)].base { RawMemory.unmap(base, table[Int(number)].capacityBytes) }
        }
        table.deallocate()
        queues.deallocate()
    }

    /// See `SegmentArena.reserve`.
    mutating func reserve(segmentsMax: Int) { arena.reserve(segmentsMax: segmentsMax) }

    var tableBytes: Int { tableCapacity * MemoryLayout<Segment>.stride }
    var hasSpare: Bool { spare != nil }

    @inline(__always)
    subscript(number: UInt32) -> Segment {
        unsafeAddress { UnsafePointer(table + Int(number)) }
        nonmutating unsafeMutableAddress { table + Int(number) }
    }

    /// Where a segment's facts are, or a queue's: good until the next segment is acquired.
    @inline(__always)
    func address(of number: UInt32) -> UnsafePointer<Segment> { UnsafePointer(table + Int(number)) }
    @inline(__always)
    func address(of lane: Lane) -> UnsafePointer<SegmentQueue> { UnsafePointer(queues + lane.rawValue) }

    /// Whether an item of that stride gets a segment of its own.
    @inline(__always)
    func isLarge(_ stride: Int) -> Bool { stride * 4 > segmentBytes }

    @inline(__always)
    subscript(lane: Lane) -> SegmentQueue {
        unsafeAddress { UnsafePointer(queues + lane.rawValue) }
        nonmutating unsafeMutableAddress { queues + lane.rawValue }
    }

    /// An open segment of `bytes`, or a regular one. Nil when the kernel has no memory or all numbers are in use.
    mutating func acquire(_ lane: Lane, dedicatedBytes: Int? = nil) -> UInt32? {
        guard let number = nextNumber() else { return nil }
        let capacity = dedicatedBytes ?? segmentBytes
        let base: UnsafeMutableRawPointer
        if dedicatedBytes == nil, let spare {
            base = spare
            self.spare = nil
        } else if let mapped = dedicatedBytes == nil ? arena.take() : RawMemory.map(capacity) {
            base = mapped
            mappedBytes += capacity
        } else {
            freeNumbers.append(number)
            return nil
        }
        self[number] = Segment(
            base: base, capacityBytes: capacity, state: .open, lane: lane, isDedicated: dedicatedBytes != nil)
        segmentCount += 1
        self[lane].bytes += capacity
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

    /// Gives back the memory of a segment that was unlinked or never sealed.
    mutating func release(_ number: UInt32) {
        let segment = self[number]
        precondition(segment.state != .free, "a segment was released twice")
        self[segment.lane].bytes -= segment.capacityBytes
        if self[segment.lane].open == number { self[segment.lane].open = 0 }
        guard segment.pins == 0 else {
            self[number] = Segment(
                base: segment.base, capacityBytes: segment.capacityBytes, isDedicated: segment.isDedicated,
                pins: segment.pins)
            return
        }
        giveBack(number)
    }

    private mutating func giveBack(_ number: UInt32) {
        let segment = self[number]
        if segment.isDedicated {
            RawMemory.unmap(segment.base!, segment.capacityBytes)
            mappedBytes -= segment.capacityBytes
        } else if spare == nil {
            spare = segment.base
        } else {
            arena.giveBack(segment.base!)
            mappedBytes -= segment.capacityBytes
        }
        self[number] = Segment()
        freeNumbers.append(number)
        segmentCount -= 1
    }

    /// One pin more; false when there are too many. Several readers may do so at a time.
    func pin(_ number: UInt32) -> Bool {
        let offset = MemoryLayout<Segment>.offset(of: \.pins)!
        let pins = (UnsafeMutableRawPointer(table + Int(number)) + offset).assumingMemoryBound(to: Atomic<UInt32>.self)
        guard pins.pointee.load(ordering: .relaxed) < .max / 2 else { return false }
        pins.pointee.add(1, ordering: .relaxed)
        return true
    }

    /// Gives back a pin; with the last one of a segment that was released meanwhile goes its memory.
    mutating func unpin(_ number: UInt32) {
        self[number].pins -= 1
        if self[number].pins == 0, self[number].state == .free { giveBack(number) }
    }

    mutating func releaseSpare() {
        guard let base = spare else { return }
        arena.giveBack(base)
        mappedBytes -= segmentBytes
        spare = nil
    }

    // MARK: Queues

    /// Closes an open segment and puts it at the young end of its queue.
    func seal(_ number: UInt32) {
        let lane = self[number].lane
        let newest = self[lane].newest
        if self[lane].open == number { self[lane].open = 0 }
        self[number].state = .sealed
        self[number].older = newest
        self[number].newer = 0
        if newest != 0 { self[newest].newer = number } else { self[lane].oldest = number }
        self[lane].newest = number
        self[lane].count += 1
    }

    func unlink(_ number: UInt32) {
        let segment = self[number]
        if segment.older != 0 {
            self[segment.older].newer = segment.newer
        } else {
            self[segment.lane].oldest = segment.newer
        }
        if segment.newer != 0 {
            self[segment.newer].older = segment.older
        } else {
            self[segment.lane].newest = segment.older
        }
        self[segment.lane].count -= 1
    }

    /// Puts a sealed segment at the young end of a queue, which may be the one it comes from.
    func requeue(_ number: UInt32, to lane: Lane) {
        unlink(number)
        self[self[number].lane].bytes -= self[number].capacityBytes
        self[lane].bytes += self[number].capacityBytes
        self[number].lane = lane
        seal(number)
    }
}
