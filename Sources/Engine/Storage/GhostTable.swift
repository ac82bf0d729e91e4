// What was dropped lately: 4 bytes a key, so that a key that comes back soon is known to deserve more room.
//
// Unsafe: owns its entries' memory.
//
//   entry   +-- fingerprint 18 --+-- M --+-- tick 13 --+      0: empty.  M: it was dropped from the main queue
//
// Sixteen entries make a bucket. A newcomer takes an empty entry of its bucket or the oldest one. As many keys are
// remembered as there are items, counted in drops: an entry older than that is void. The tick is the time in 1,024ths
// of that; it goes round eight times before an entry could look young again, and by then it has been overwritten.

struct GhostTable: ~Copyable {
    private static let bucketEntries = 16
    private static let tickMask: UInt32 = 1 << 13 - 1
    private static let mainBit: UInt32 = 1 << 13
    private static let fingerprintMask: UInt32 = ~0 << 14
    private static let ticksPerGeneration = 1024

    private let entries: UnsafeMutablePointer<UInt32>
    private let buckets: Int
    private var insertions = 0
    /// Keys dropped from either queue lately; halved once a generation.
    private(set) var smallDrops = 0
    private(set) var mainDrops = 0

    /// Remembers about `capacity` keys.
    init(capacity: Int) {
        buckets = max(1, capacity / Self.bucketEntries)
        entries = .allocate(capacity: buckets * Self.bucketEntries)
        entries.initialize(repeating: 0, count: buckets * Self.bucketEntries)
    }

    deinit { entries.deallocate() }

    var capacity: Int { buckets * Self.bucketEntries }
    var memoryBytes: Int { capacity * MemoryLayout<UInt32>.stride }

    private var tick: UInt32 {
        UInt32(truncatingIfNeeded: insertions * Self.ticksPerGeneration / capacity) & Self.tickMask
    }

    @inline(__always)
    private func locate(_ hash: UInt64) -> (bucket: UnsafeMutablePointer<UInt32>, fingerprint: UInt32) {
        let mixed = Partition.withinShard(hash) &* 0xD6E8_FEB8_6659_FD93
        let number = Int(truncatingIfNeeded: ((mixed >> 32) &* UInt64(truncatingIfNeeded: buckets)) >> 32)
        let fingerprint = UInt32(truncatingIfNeeded: mixed) & Self.fingerprintMask
        // Empty entries are 0, so no fingerprint is.
        return (entries + number * Self.bucketEntries, fingerprint == 0 ? Self.fingerprintMask : fingerprint)
    }

    /// Remembers a key that was dropped. Cost: one cache line.
    mutating func insert(hash: UInt64, from lane: Lane) {
        let (bucket, fingerprint) = locate(hash)
        let now = tick
        insertions &+= 1
        if lane == .small { smallDrops += 1 } else { mainDrops += 1 }
        if insertions % capacity == 0 { (smallDrops, mainDrops) = (smallDrops / 2, mainDrops / 2) }
        var victim = 0
        var victimAge: UInt32 = 0
        for at in 0..<Self.bucketEntries {
            if bucket[at] == 0 {
                victim = at
                break
            }
            let age = (now &- bucket[at]) & Self.tickMask
            if age >= victimAge { (victim, victimAge) = (at, age) }
        }
        bucket[victim] = fingerprint | (lane == .main ? Self.mainBit : 0) | now
    }

    /// The queue that the key was dropped from lately, if it was, and forgets it. Another key looks like it once in
    /// about 16,000 times.
    mutating func take(hash: UInt64) -> Lane? {
        let (bucket, fingerprint) = locate(hash)
        let now = tick
        for at in 0..<Self.bucketEntries where bucket[at] & Self.fingerprintMask == fingerprint && bucket[at] != 0 {
            let entry = bucket[at]
            bucket[at] = 0
            let age = (now &- entry) & Self.tickMask
            guard age <= Self.ticksPerGeneration else { return nil }
            return entry & Self.mainBit != 0 ? .main : .small
        }
        return nil
    }
}
