// The states of variance and standard deviation: count, mean and squared distances, merged after Chan, Golub and LeVeque.

/// Of the values of one group.
struct Moment: Sendable {
    var count: Int64 = 0
    var mean = 0.0
    /// The sum of squared distances from the mean.
    var squares = 0.0

    mutating func combine(_ other: Moment) throws(Failure) {
        guard other.count > 0 else { return }
        guard count > 0 else {
            self = other
            return
        }
        let before = Double(count)
        try count.add(count: other.count)
        let total = Double(count)
        let distance = other.mean - mean
        mean += distance * (Double(other.count) / total)
        squares += other.squares + distance * distance * (before * Double(other.count) / total)
    }
}

/// Of a sample: divided by one less than the count. The order of merges shows in the last digits only. NaN where a value is
/// infinite or NaN (or two are further apart than any double), infinite where only the squares are beyond doubles.
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

    mutating func combine(_ other: any AggregateStates, groups: [Int]) throws(Failure) {
        guard let other = other as? Self else { preconditionFailure("states of one shape") }
        for (index, group) in groups.enumerated() { try moments[group].combine(other.moments[index]) }
    }

    var memoryBytes: Int { moments.count * 24 }

    func finish(_ group: Int) -> Scalar {
        let moment = moments[group]
        guard moment.count > 1 else { return .null }
        guard moment.mean.isFinite else { return .double(.nan) }
        let variance = moment.squares / Double(moment.count - 1)
        return .double(isRoot ? variance.squareRoot() : variance)
    }

    func encode(_ group: Int, to out: inout WireWriter) {
        out.append(moments[group].count)
        out.append(moments[group].mean)
        out.append(moments[group].squares)
    }

    mutating func decodeNext(_ reader: inout WireReader) throws(WireDamage) {
        let moment = Moment(count: try reader.rowCount(), mean: try reader.double(), squares: try reader.double())
        guard !(moment.squares < 0) else { throw WireDamage() }
        moments.append(moment)
    }
}
