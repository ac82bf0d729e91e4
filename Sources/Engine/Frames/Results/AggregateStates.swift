// The algebra of aggregates: a state for each group, combined with others, finished to a value.

/// States of all groups of one aggregate, by group index. Combining is associative and commutative, with the state of
/// a group that saw nothing as its identity (for sums of doubles: up to the compensated rounding).
protocol AggregateStates: Sendable {
    var count: Int { get }
    /// Initialize: adds identities until there are `count` groups.
    mutating func grow(to count: Int)
    /// Combine: takes in other states of the same kind; `groups[i]` is the group that their group `i` belongs to. Throws when
    /// a count does not fit, whatever the order, or when the work is to end; what was combined until then is of no use.
    mutating func combine(_ other: any AggregateStates, groups: [Int], _ pace: WorkPace) throws(Failure)
    /// Finalize.
    func finish(_ group: Int) throws(Failure) -> Scalar
    /// By what share of the true value an answer may be off; nil while all are exact.
    var relativeError: Double? { get }
    /// What they hold, about, in bytes.
    var memoryBytes: Int { get }
    func encode(_ group: Int, to out: inout WireWriter)
    /// Reads the next group's state.
    mutating func decodeNext(_ reader: inout WireReader) throws(WireDamage)
}

extension AggregateStates {
    var relativeError: Double? { nil }
}

struct CountStates: AggregateStates {
    private(set) var counts: [Int64] = []

    init(counts: [Int64] = []) { self.counts = counts }

    var count: Int { counts.count }

    mutating func grow(to count: Int) { counts.append(contentsOf: repeatElement(0, count: count - counts.count)) }

    mutating func combine(_ other: any AggregateStates, groups: [Int], _ pace: WorkPace) throws(Failure) {
        guard let other = other as? Self else { preconditionFailure("states of one shape") }
        try pace.inPieces(groups.count) { (range) throws(Failure) in
            for index in range { try counts[groups[index]].add(count: other.counts[index]) }
        }
    }

    var memoryBytes: Int { counts.count * 8 }

    func finish(_ group: Int) -> Scalar { .int(counts[group]) }

    func encode(_ group: Int, to out: inout WireWriter) { out.append(counts[group]) }

    mutating func decodeNext(_ reader: inout WireReader) throws(WireDamage) {
        counts.append(try reader.rowCount())
    }
}

/// Exact: a 128-bit sum of as many 64-bit integers as a count can count cannot overflow.
struct IntegerSumStates: AggregateStates {
    let isAverage: Bool
    let name: String
    private var sums: [Int128] = []
    private var counts: [Int64] = []

    init(isAverage: Bool, name: String, sums: [Int128] = [], counts: [Int64] = []) {
        self.isAverage = isAverage
        self.name = name
        self.sums = sums
        self.counts = counts
    }

    var count: Int { counts.count }

    mutating func grow(to count: Int) {
        sums.append(contentsOf: repeatElement(0, count: count - sums.count))
        counts.append(contentsOf: repeatElement(0, count: count - counts.count))
    }

    mutating func combine(_ other: any AggregateStates, groups: [Int], _ pace: WorkPace) throws(Failure) {
        guard let other = other as? Self else { preconditionFailure("states of one shape") }
        try pace.inPieces(groups.count) { (range) throws(Failure) in
            for index in range {
                try counts[groups[index]].add(count: other.counts[index])
                sums[groups[index]] += other.sums[index]
            }
        }
    }

    var memoryBytes: Int { counts.count * 24 }

    func finish(_ group: Int) throws(Failure) -> Scalar {
        guard counts[group] > 0 else { return .null }
        // The conversion of 128 bits is some hundred times slower.
        let narrow = Int64(exactly: sums[group])
        if isAverage {
            return .double((narrow.map { Double($0) } ?? Double(sums[group])) / Double(counts[group]))
        }
        guard let sum = narrow else {
            throw Failure(
                .budgetExceeded, "the sum '\(name)' is \(sums[group]), beyond 64-bit integers; ask for avg and count")
        }
        return .int(sum)
    }

    func encode(_ group: Int, to out: inout WireWriter) {
        out.append(sums[group])
        out.append(counts[group])
    }

    mutating func decodeNext(_ reader: inout WireReader) throws(WireDamage) {
        let sum = try reader.number(Int128.self)
        let count = try reader.rowCount()
        // A damaged state must not be able to overflow the sum later.
        guard sum.magnitude <= UInt128(count) << 63 else { throw WireDamage() }
        sums.append(sum)
        counts.append(count)
    }
}

/// Compensated (Neumaier): `high` is the plain sum, `low` what rounding lost. So the order of rows and merges shows only
/// beyond about 100 bits of the sum of magnitudes. Infinities and NaN come out as plain addition gives them.
struct DoubleSumStates: AggregateStates {
    let isAverage: Bool
    private var highs: [Double] = []
    private var lows: [Double] = []
    private var counts: [Int64] = []

    init(isAverage: Bool, highs: [Double] = [], lows: [Double] = [], counts: [Int64] = []) {
        self.isAverage = isAverage
        self.highs = highs
        self.lows = lows
        self.counts = counts
    }

    var count: Int { counts.count }

    mutating func grow(to count: Int) {
        highs.append(contentsOf: repeatElement(0, count: count - highs.count))
        lows.append(contentsOf: repeatElement(0, count: count - lows.count))
        counts.append(contentsOf: repeatElement(0, count: count - counts.count))
    }

    mutating func combine(_ other: any AggregateStates, groups: [Int], _ pace: WorkPace) throws(Failure) {
        guard let other = other as? Self else { preconditionFailure("states of one shape") }
        try pace.inPieces(groups.count) { (range) throws(Failure) in
            for index in range {
                try add(other.highs[index], other.lows[index], other.counts[index], to: groups[index])
            }
        }
    }

    private mutating func add(_ high: Double, _ low: Double, _ count: Int64, to group: Int) throws(Failure) {
        let (sum, lost) = Double.twoSum(highs[group], high)
        highs[group] = sum
        lows[group] += lost + low
        try counts[group].add(count: count)
    }

    var memoryBytes: Int { counts.count * 24 }

    func finish(_ group: Int) -> Scalar {
        guard counts[group] > 0 else { return .null }
        let sum = highs[group].isFinite ? highs[group] + lows[group] : highs[group]
        return .double(isAverage ? sum / Double(counts[group]) : sum)
    }

    func encode(_ group: Int, to out: inout WireWriter) {
        out.append(highs[group])
        out.append(lows[group])
        out.append(counts[group])
    }

    mutating func decodeNext(_ reader: inout WireReader) throws(WireDamage) {
        highs.append(try reader.double())
        lows.append(try reader.double())
        counts.append(try reader.rowCount())
    }
}

extension Double {
    /// The rounded sum and exactly what rounding lost (Knuth). The second is NaN where the first is not finite.
    @inline(__always)
    static func twoSum(_ a: Double, _ b: Double) -> (sum: Double, lost: Double) {
        let sum = a + b
        let shadow = sum - a
        return (sum, (a - (sum - shadow)) + (b - shadow))
    }
}

extension WireReader {
    /// A count of rows. Any is believed, as partials may be merged as often as a script likes.
    mutating func rowCount() throws(WireDamage) -> Int64 {
        let count = try number(Int64.self)
        guard count >= 0 else { throw WireDamage() }
        return count
    }
}
