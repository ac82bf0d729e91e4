// Which keys are read most: a Space-Saving sketch over the hits of one shard.
// Metwally, Agrawal, El Abbadi: Efficient Computation of Frequent and Top-k Elements in Data Streams (ICDT 2005).

/// A key and how often it was hit.
package struct HotKey: Sendable, Equatable {
    package let key: [UInt8]
    package let count: UInt64
    /// The count is at most this much too high. (Once sampling has begun it is an estimate besides.)
    package let error: UInt64
}

/// The heaviest of at most `capacity` keys. Every access counts until `recordsPerPeriod` were recorded; then one in a
/// period, at random and weighing as much as the period, which doubles whenever as many more were recorded. Exact while no
/// more keys than the capacity were seen and sampling has not begun.
struct HotKeys {
    static let periodMax: UInt64 = 1024

    private let capacity: Int
    private let recordsPerPeriod: Int
    private var hashes: [UInt64] = []
    private var counts: [UInt64] = []
    private var errors: [UInt64] = []
    private var keys: [[UInt8]] = []
    private var period: UInt64 = 1
    private var recorded = 0
    /// Accesses to let pass before the next one is recorded.
    private var passing: UInt64 = 0
    private var random: UInt64 = 0x2545_F491_4F6C_DD1D

    init(capacity: Int, recordsPerPeriod: Int = 8_192) {
        self.capacity = capacity
        self.recordsPerPeriod = recordsPerPeriod
    }

    /// Counts one access. Cost: a decrement, but for the one in a period that is recorded (a scan of the hashes).
    @inline(__always)
    mutating func record(_ key: UnsafeRawBufferPointer, hash: UInt64) {
        if passing > 0 {
            passing &-= 1
            return
        }
        recordSample(key, hash: hash)
    }

    /// Counts one access that stands for a period of them, and returns how many to let pass before the next.
    mutating func recordNext(_ key: UnsafeRawBufferPointer, hash: UInt64) -> UInt64 {
        recordSample(key, hash: hash)
        defer { passing = 0 }
        return passing
    }

    @inline(never)
    private mutating func recordSample(_ key: UnsafeRawBufferPointer, hash: UInt64) {
        // Who brings an object back from the shelf calls it: it counts there.
        if ObjectKey.isOnShelf(key) { return }
        add(period, key, hash: hash)
        recorded += 1
        if recorded >= recordsPerPeriod, period < Self.periodMax {
            recorded = 0
            period *= 2
        }
        guard period > 1 else { return }
        // Random gaps of period on average: regular ones would miss keys that are read in turns.
        random ^= random << 13
        random ^= random >> 7
        random ^= random << 17
        passing = random % (2 * period - 1)
    }

    private mutating func add(_ weight: UInt64, _ key: UnsafeRawBufferPointer, hash: UInt64) {
        var at = 0
        while at < hashes.count {
            if hashes[at] == hash, keys[at].elementsEqual(key) {
                counts[at] += weight
                return
            }
            at += 1
        }
        if keys.count < capacity {
            hashes.append(hash)
            counts.append(weight)
            errors.append(0)
            keys.append(Array(key))
            return
        }
        // The newcomer takes the place of the lightest key, and its count: it can't have been seen more often.
        var lightest = 0
        for at in 1..<counts.count where counts[at] < counts[lightest] { lightest = at }
        hashes[lightest] = hash
        errors[lightest] = counts[lightest]
        counts[lightest] += weight
        keys[lightest] = Array(key)
    }

    /// The heaviest keys of several sketches together. What a full one does not have, it may have dropped at the count of its
    /// lightest key, which therefore counts as an error.
    static func top(_ limit: Int, of sketches: [HotKeys]) -> [HotKey] {
        var all: [[UInt8]: (count: UInt64, error: UInt64)] = [:]
        let dropped = sketches.map { $0.keys.count < $0.capacity ? 0 : $0.counts.min() ?? 0 }
        let droppedSum = dropped.reduce(0, +)
        for (sketch, dropped) in zip(sketches, dropped) {
            for at in sketch.keys.indices {
                let known = all[sketch.keys[at]] ?? (droppedSum, droppedSum)
                all[sketch.keys[at]] = (
                    known.count - dropped + sketch.counts[at], known.error - dropped + sketch.errors[at]
                )
            }
        }
        let sorted = all.map { HotKey(key: $0.key, count: $0.value.count, error: $0.value.error) }.sorted { a, b in
            a.count != b.count ? a.count > b.count : a.key.lexicographicallyPrecedes(b.key)
        }
        return Array(sorted.prefix(max(0, limit)))
    }
}
