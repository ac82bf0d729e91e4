// The values of a group with their counts: exact while there are few different ones, else in buckets of bounded relative
// error (DDSketch: Masson, Rim and Lee, VLDB 2019).

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Merging is exact in both forms; a sketch takes in exact values by their buckets. So the order of merges does not show.
struct ValueSketch: Sendable {
    /// More different values than this go into buckets.
    static let exactMax = 65_536
    /// A quantile of buckets is off by at most this share of its value.
    static let relativeError = 0.005
    private static let gamma = (1 + relativeError) / (1 - relativeError)
    private static let logGamma = log(gamma)

    /// Ascending keys (integers, or `orderedKey` of doubles) with counts.
    private(set) var exact: [(key: Int64, count: Int64)] = []
    /// Ascending; nil while exact. Bucket `i > 0` holds magnitudes up to gamma^(i - offset); negative ones mirror; 0 zero.
    private(set) var buckets: [Int32: Int64]?

    var isExact: Bool { buckets == nil }

    /// Ascending by key, no key twice.
    init(_ exact: [(key: Int64, count: Int64)] = [], isDouble: Bool) {
        self.exact = exact
        if exact.count > Self.exactMax { collapse(isDouble: isDouble) }
    }

    mutating func combine(_ other: ValueSketch, isDouble: Bool) {
        if other.isExact, isExact {
            exact = Self.merged(exact, other.exact)
            if exact.count > Self.exactMax { collapse(isDouble: isDouble) }
            return
        }
        collapse(isDouble: isDouble)
        var theirs = other
        theirs.collapse(isDouble: isDouble)
        for (bucket, count) in theirs.buckets ?? [:] { buckets![bucket, default: 0] += count }
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
        for (key, count) in exact {
            buckets[Self.bucket(of: isDouble ? Double(totalKey: key) : Double(key)), default: 0] += count
        }
        self.buckets = buckets
        exact = []
    }

    private static let offset: Int32 = 1 << 20
    private static let nanBucket = Int32.max

    private static func bucket(of number: Double) -> Int32 {
        if number.isNaN { return nanBucket }
        if number == 0 { return 0 }
        let magnitude = min(max(number.magnitude, .leastNormalMagnitude), .greatestFiniteMagnitude)
        let index = Int32((log(magnitude) / logGamma).rounded(.up)) + offset
        return number < 0 ? -index : index
    }

    private static func middle(of bucket: Int32) -> Double {
        if bucket == nanBucket { return .nan }
        if bucket == 0 { return 0 }
        let magnitude = 2 * exp(Double(abs(bucket) - offset) * logGamma) / (gamma + 1)
        return bucket < 0 ? -magnitude : magnitude
    }

    var count: Int64 {
        buckets?.values.reduce(0, +) ?? exact.reduce(0) { $0 + $1.count }
    }

    /// The value of the rank that `share` of all values reach: the least value `v` such that at least `share` of the
    /// values are not greater. An exact key, or a number near it.
    func quantile(_ share: Double) -> (key: Int64?, near: Double?)? {
        let count = count
        guard count > 0 else { return nil }
        let rank = max(1, min(count, Int64((Double(count) * share).rounded(.up))))
        var seen: Int64 = 0
        if let buckets {
            for bucket in buckets.keys.sorted() {
                seen += buckets[bucket] ?? 0
                if seen >= rank { return (nil, Self.middle(of: bucket)) }
            }
        }
        for (key, count) in exact {
            seen += count
            if seen >= rank { return (key, nil) }
        }
        return nil
    }

    // MARK: Wire

    func encode(to out: inout WireWriter) {
        out.append(UInt8(isExact ? 0 : 1))
        if let buckets {
            out.append(UInt32(buckets.count))
            for bucket in buckets.keys.sorted() {
                out.append(bucket)
                out.append(buckets[bucket] ?? 0)
            }
        } else {
            out.append(UInt32(exact.count))
            for (key, count) in exact {
                out.append(key)
                out.append(count)
            }
        }
    }

    init(_ reader: inout WireReader) throws(WireDamage) {
        switch try reader.number(UInt8.self) {
        case 0:
            let count = try reader.count(bytesEach: 16)
            guard count <= Self.exactMax else { throw WireDamage() }
            for _ in 0..<count {
                let key = try reader.number(Int64.self)
                let rows = try reader.rowCount()
                guard rows > 0, exact.last.map({ $0.key < key }) ?? true else { throw WireDamage() }
                exact.append((key, rows))
            }
        case 1:
            var read: [Int32: Int64] = [:]
            for _ in 0..<(try reader.count(bytesEach: 12)) {
                let bucket = try reader.number(Int32.self)
                let rows = try reader.rowCount()
                guard rows > 0, bucket != .min, read.updateValue(rows, forKey: bucket) == nil else {
                    throw WireDamage()
                }
            }
            buckets = read
        default: throw WireDamage()
        }
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

    mutating func combine(_ other: any AggregateStates, groups: [Int]) {
        guard let other = other as? Self else { preconditionFailure("states of one shape") }
        for (index, group) in groups.enumerated() {
            sketches[group].combine(other.sketches[index], isDouble: type == .double)
        }
    }

    var memoryBytes: Int { sketches.reduce(0) { $0 + 32 + $1.exact.count * 16 + ($1.buckets?.count ?? 0) * 32 } }

    func finish(_ group: Int) -> Scalar {
        guard let found = sketches[group].quantile(share) else { return .null }
        switch (type, found.key, found.near) {
        case (.double, let key?, _): return .double(Double(totalKey: key))
        case (.time, let key?, _): return .time(key)
        case (_, let key?, _): return .int(key)
        case (.double, _, let near?): return .double(near)
        case (.time, _, let near?): return .time(Int64(exactly: near.rounded()) ?? (near < 0 ? .min : .max))
        case (_, _, let near?): return .int(Int64(exactly: near.rounded()) ?? (near < 0 ? .min : .max))
        default: return .null
        }
    }

    var relativeError: Double? { sketches.contains { !$0.isExact } ? ValueSketch.relativeError : nil }

    func encode(_ group: Int, to out: inout WireWriter) { sketches[group].encode(to: &out) }

    mutating func decodeNext(_ reader: inout WireReader) throws(WireDamage) {
        sketches.append(try ValueSketch(&reader))
    }
}
