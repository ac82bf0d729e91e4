// The values of a group with their counts: exact while there are few different ones, else in buckets of bounded relative
// error (DDSketch: Masson, Rim and Lee, VLDB 2019).

import Glibc

/// Merging is exact in both forms; a sketch takes in exact values by their buckets. So the order of merges does not show.
struct ValueSketch: Sendable {
    /// More different values than this go into buckets.
    static let exactMax = 65_536
    /// A quantile of buckets is off by at most this share of its value.
    static let relativeError = 0.005
    /// Buckets are half as wide as they might be, and a little less: so whole numbers, which the middle of a bucket is rounded to,
    /// stay within `relativeError` too.
    private static let bucketError = 0.002_49
    private static let gamma = (1 + bucketError) / (1 - bucketError)
    private static let logGamma = log(gamma)

    /// Ascending keys (integers, or `orderedKey` of doubles) with counts.
    private(set) var exact: [(key: Int64, count: Int64)] = []
    /// Nil while exact. Bucket `i > 0` holds magnitudes up to gamma^(i - offset); negative ones mirror; 0 zero.
    private(set) var buckets: [Int32: Int64]?
    /// The least and the greatest key, of buckets.
    private var ends: (low: Int64, high: Int64) = (0, 0)
    /// All counts together. As it fits 64 bits, each of them does, and any sum of some.
    private(set) var count: Int64 = 0

    var isExact: Bool { buckets == nil }

    /// Values or buckets.
    var size: Int { exact.count + (buckets?.count ?? 0) }
    static let emptyBytes = MemoryLayout<ValueSketch>.stride
    var memoryBytes: Int {
        Self.emptyBytes + (exact.isEmpty ? 0 : 32 + exact.capacity * 16) + (buckets.map { 64 + $0.capacity * 24 } ?? 0)
    }

    /// Ascending by key, no key twice. Of rows that there are, which are no more than fit.
    init(_ exact: [(key: Int64, count: Int64)] = [], isDouble: Bool) {
        self.exact = exact
        for (_, rows) in exact { count += rows }
        if exact.count > Self.exactMax { collapse(isDouble: isDouble) }
    }

    mutating func combine(_ other: ValueSketch, isDouble: Bool) throws(Failure) {
        guard other.count > 0 else { return }
        guard count > 0 else {
            self = other
            return
        }
        try count.add(count: other.count)
        if other.isExact, isExact {
            exact = Self.merged(exact, other.exact)
            if exact.count > Self.exactMax { collapse(isDouble: isDouble) }
            return
        }
        collapse(isDouble: isDouble)
        var theirs = other
        theirs.collapse(isDouble: isDouble)
        for (bucket, rows) in theirs.buckets ?? [:] { buckets![bucket, default: 0] += rows }
        ends = (min(ends.low, theirs.ends.low), max(ends.high, theirs.ends.high))
    }

    private static func merged(
        _ a: [(key: Int64, count: Int64)], _ b: [(key: Int64, count: Int64)]
    ) -> [(key: Int64, count: Int64)] {
        if a.isEmpty { return b }
        if b.isEmpty { return a }
        var result: [(key: Int64, count: Int64)] = []
        result.reserveCapacity(max(a.count, b.count))
        var (i, j) = (0, 0)
        while i < a.count, j < b.count {
            if a[i].key == b[j].key {
                result.append((a[i].key, a[i].count + b[j].count))
                i += 1
                j += 1
            } else if a[i].key < b[j].key {
                result.append(a[i])
                i += 1
            } else {
                result.append(b[j])
                j += 1
            }
        }
        result.append(contentsOf: a[i...])
        result.append(contentsOf: b[j...])
        return result
    }

    private mutating func collapse(isDouble: Bool) {
        guard isExact else { return }
        var buckets: [Int32: Int64] = [:]
        for (key, rows) in exact {
            buckets[Self.bucket(of: isDouble ? Double(totalKey: key) : Double(key)), default: 0] += rows
        }
        self.buckets = buckets
        if let first = exact.first, let last = exact.last { ends = (first.key, last.key) }
        exact = []
    }

    // MARK: Buckets

    private static let offset: Int32 = 1 << 20
    private static let infinityBucket = Int32.max - 1
    private static let nanBucket = Int32.max

    private static func bucket(of number: Double) -> Int32 {
        if number.isNaN { return nanBucket }
        if number == 0 { return 0 }
        guard number.isFinite else { return number < 0 ? -infinityBucket : infinityBucket }
        let index = Int32((log(number.magnitude) / logGamma).rounded(.up)) + offset
        return number < 0 ? -index : index
    }

    /// Whether `bucket(of:)` may answer this.
    private static func isBucket(_ bucket: Int32) -> Bool {
        bucket.magnitude < UInt32(2 * offset) || bucket.magnitude == UInt32(infinityBucket) || bucket == nanBucket
    }

    private static func middle(of bucket: Int32) -> Double {
        if bucket == nanBucket { return .nan }
        if bucket == 0 { return 0 }
        if abs(bucket) == infinityBucket { return bucket < 0 ? -.infinity : .infinity }
        let magnitude = exp(Double(abs(bucket) - offset) * logGamma + log(2 / (gamma + 1)))
        return bucket < 0 ? -magnitude : magnitude
    }

    /// The key of the value whose rank the share of all values reach, see `QuantileRank`; of buckets one near it, and no less or
    /// greater than all values.
    func quantile(_ share: Double, isDouble: Bool) -> Int64? {
        guard count > 0 else { return nil }
        let rank = QuantileRank.rank(ofShare: share, count: count)
        var seen: Int64 = 0
        guard let buckets else {
            for (key, rows) in exact {
                seen += rows
                if seen >= rank { return key }
            }
            return nil
        }
        if rank == 1 { return ends.low }
        if rank == count { return ends.high }
        for bucket in buckets.keys.sorted() {
            seen += buckets[bucket] ?? 0
            guard seen >= rank else { continue }
            let near = Self.middle(of: bucket)
            let key = isDouble ? near.orderedKey : Int64(exactly: near.rounded()) ?? (near < 0 ? .min : .max)
            return min(max(key, ends.low), ends.high)
        }
        return nil
    }

    // MARK: Wire

    func encode(to out: inout WireWriter) {
        out.append(UInt8(isExact ? 0 : 1))
        if let buckets {
            out.append(ends.low)
            out.append(ends.high)
            out.append(UInt32(buckets.count))
            for bucket in buckets.keys.sorted() {
                out.append(bucket)
                out.append(buckets[bucket] ?? 0)
            }
        } else {
            out.append(UInt32(exact.count))
            for (key, rows) in exact {
                out.append(key)
                out.append(rows)
            }
        }
    }

    init(_ reader: inout WireReader) throws(WireDamage) {
        switch try reader.number(UInt8.self) {
        case 0:
            let size = try reader.count(bytesEach: 16)
            guard size <= Self.exactMax else { throw WireDamage() }
            for _ in 0..<size {
                let key = try reader.number(Int64.self)
                let rows = try reader.rowCount()
                guard exact.last.map({ $0.key < key }) ?? true else { throw WireDamage() }
                try note(rows)
                exact.append((key, rows))
            }
        case 1:
            ends = (try reader.number(), try reader.number())
            var read: [Int32: Int64] = [:]
            for _ in 0..<(try reader.count(bytesEach: 12)) {
                let bucket = try reader.number(Int32.self)
                let rows = try reader.rowCount()
                guard Self.isBucket(bucket), read.updateValue(rows, forKey: bucket) == nil else { throw WireDamage() }
                try note(rows)
            }
            guard !read.isEmpty, ends.low <= ends.high else { throw WireDamage() }
            buckets = read
        default: throw WireDamage()
        }
    }

    /// Of rows as another node counted them, together with all others of the sketch.
    private mutating func note(_ rows: Int64) throws(WireDamage) {
        let (sum, isBeyond) = count.addingReportingOverflow(rows)
        guard rows > 0, !isBeyond else { throw WireDamage() }
        count = sum
    }
}

/// One quantile of each group.
struct QuantileStates: AggregateStates {
    let share: Double
    let type: ColumnType
    private var sketches: [ValueSketch]

    init(share: Double, type: ColumnType, sketches: [ValueSketch] = []) {
        self.share = share
        self.type = type
        self.sketches = sketches
    }

    var count: Int { sketches.count }

    mutating func grow(to count: Int) {
        sketches.append(
            contentsOf: repeatElement(ValueSketch(isDouble: type == .double), count: count - sketches.count))
    }

    mutating func combine(_ other: any AggregateStates, groups: [Int], _ pace: WorkPace) throws(Failure) {
        guard let other = other as? Self else { preconditionFailure("states of one shape") }
        for (index, group) in groups.enumerated() {
            try pace.spend(4 + sketches[group].size + other.sketches[index].size)
            try sketches[group].combine(other.sketches[index], isDouble: type == .double)
        }
    }

    var memoryBytes: Int { sketches.reduce(0) { $0 + $1.memoryBytes } }

    func finish(_ group: Int) -> Scalar {
        guard let key = sketches[group].quantile(share, isDouble: type == .double) else { return .null }
        return switch type {
        case .double: .double(Double(totalKey: key))
        case .time: .time(key)
        default: .int(key)
        }
    }

    var relativeError: Double? { sketches.contains { !$0.isExact } ? ValueSketch.relativeError : nil }

    func encode(_ group: Int, to out: inout WireWriter) { sketches[group].encode(to: &out) }

    mutating func decodeNext(_ reader: inout WireReader) throws(WireDamage) {
        sketches.append(try ValueSketch(&reader))
    }
}
