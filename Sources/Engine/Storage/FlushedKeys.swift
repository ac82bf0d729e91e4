// The keys that a flush took, for a while and where they are few: so that a miss can be told from one of a flushed item.

/// By their hashes. memcached meets flushed items where they lie; here they are gone with the flush.
struct FlushedKeys {
    /// Of more keys than these none is kept.
    static let countMax = 4096
    static let secondsMax: UInt32 = 60

    private var hashes: Set<UInt64> = []
    private var end: UInt32 = 0
    /// Misses of keys that a flush had taken.
    private(set) var misses: UInt64 = 0

    @inline(__always)
    var isEmpty: Bool { hashes.isEmpty }

    mutating func insert(_ hash: UInt64, now: UInt32) {
        hashes.insert(Partition.withinShard(hash))
        let (sum, isLate) = now.addingReportingOverflow(Self.secondsMax)
        end = isLate ? .max : sum
    }

    /// The key was asked for and is not there. Counts it once.
    mutating func noteMiss(_ hash: UInt64, now: UInt32) {
        guard !hashes.isEmpty else { return }
        if now >= end { return removeAll() }
        if hashes.remove(Partition.withinShard(hash)) != nil { misses += 1 }
    }

    /// The key is stored anew.
    @inline(__always)
    mutating func forget(_ hash: UInt64) {
        if !hashes.isEmpty { hashes.remove(Partition.withinShard(hash)) }
    }

    mutating func removeAll() { hashes = [] }
}
