// The states of variance and standard deviation: count, mean and squared distances, merged after Chan, Golub and LeVeque.

/// Of the values of one group.
struct Moment: Sendable, BitwiseCopyable {
    private(set) var count: Int64 = 0
    /// NaN once a value is infinite or NaN, else finite.
    private(set) var mean = 0.0
    /// What `mean` lacks: where values are large and close together, it is most of what tells the means of two parts apart.
    private(set) var rest = 0.0
    /// The sum of squared distances from the mean. Infinite where it is beyond doubles, which does not depend on the order of
    /// merges, as it only grows.
    private(set) var squares = 0.0

    init() {}

    /// Of a single value.
    init(_ number: Double) {
        count = 1
        mean = number.isFinite ? number : .nan
    }

    /// Of values whose distances from `origin` and their squares have these sums, which are finite.
    init(count: Int64, origin: Double, sum: Double, squares: Double) {
        guard count > 0 else { return }
        self.count = count
        let distance = sum / Double(count)
        (mean, rest) = Double.twoSum(origin, distance)
        if !mean.isFinite { (mean, rest) = (origin, 0) }
        self.squares = max(0, squares - distance * sum)
    }

    mutating func combine(_ other: Moment) throws(Failure) {
        var sum = count
        try sum.add(count: other.count)
        merge(other)
    }

    /// Of counts that fit.
    mutating func merge(_ other: Moment) {
        guard other.count > 0 else { return }
        guard count > 0 else {
            self = other
            return
        }
        let (mine, theirs) = (Double(count), Double(other.count))
        count &+= other.count
        let total = mine + theirs
        let (apart, lost) = Double.twoSum(other.mean, -mean)
        guard apart.isFinite else { return mergeFar(other, share: theirs / total) }
        let distance = apart + (lost + (other.rest - rest))
        (mean, rest) = Double.sum(mean, rest, distance * (theirs / total))
        // In this order it is beyond doubles only where the product is.
        squares += other.squares + distance * (mine * (theirs / total)) * distance
    }

    /// Means that are further apart than any double, or one that is none.
    private mutating func mergeFar(_ other: Moment, share: Double) {
        (mean, rest) = (mean * (1 - share) + other.mean * share, 0)
        squares = mean.isFinite ? .infinity : .nan
    }

    // MARK: Wire

    func encode(to out: inout WireWriter) {
        out.append(count)
        out.append(mean)
        out.append(rest)
        out.append(squares)
    }

    init(_ reader: inout WireReader) throws(WireDamage) {
        count = try reader.rowCount()
        mean = try reader.double()
        rest = try reader.double()
        squares = try reader.double()
        // Nothing that a merge could not have left.
        let isNumber = mean.isFinite && squares >= 0 && rest.magnitude <= mean.magnitude.ulp
        guard isNumber || (mean.isNaN && !(squares < 0)) else { throw WireDamage() }
        if mean.isNaN { rest = 0 }
    }
}

extension Double {
    /// A number in two parts and another one, in two parts.
    fileprivate static func sum(_ high: Double, _ low: Double, _ other: Double) -> (Double, Double) {
        let (sum, lost) = twoSum(high, other)
        let (whole, rest) = twoSum(sum, lost + low)
        return (whole, rest)
    }
}

/// Of a sample: divided by one less than the count. The order of merges shows in the last digits only. NaN where a value is
/// infinite or NaN, infinite where only the squares are beyond doubles.
struct MomentStates: AggregateStates {
    let isRoot: Bool
    private var moments: [Moment]

    init(isRoot: Bool, moments: [Moment] = []) {
        self.isRoot = isRoot
        self.moments = moments
    }

    var count: Int { moments.count }

    mutating func grow(to count: Int) {
        moments.append(contentsOf: repeatElement(Moment(), count: count - moments.count))
    }

    mutating func combine(_ other: any AggregateStates, groups: [Int], _ pace: WorkPace) throws(Failure) {
        guard let other = other as? Self else { preconditionFailure("states of one shape") }
        try pace.inPieces(groups.count) { (range) throws(Failure) in
            for index in range { try moments[groups[index]].combine(other.moments[index]) }
        }
    }

    var memoryBytes: Int { moments.count * MemoryLayout<Moment>.stride }

    func finish(_ group: Int) -> Scalar {
        let moment = moments[group]
        guard moment.count > 1 else { return .null }
        guard moment.mean.isFinite else { return .double(.nan) }
        let variance = moment.squares / Double(moment.count - 1)
        return .double(isRoot ? variance.squareRoot() : variance)
    }

    func encode(_ group: Int, to out: inout WireWriter) { moments[group].encode(to: &out) }

    mutating func decodeNext(_ reader: inout WireReader) throws(WireDamage) { moments.append(try Moment(&reader)) }
}
