// Means and sums of squared distances by group: what variance and standard deviation are made of.

// Unsafe: adds into memory by group at ids that the numbering keeps below its size.

/// Of numbers as doubles. Distances are taken from the first value of each group, so that nothing is lost where values
/// are large and close together.
final class Moments: Accumulator {
    let slot: Int
    private let counts = GroupArray<Int64>(identity: 0)
    private let origins = GroupArray<Double>(identity: 0)
    private let sums = GroupArray<Double>(identity: 0)
    private let squares = GroupArray<Double>(identity: 0)

    init(slot: Int) { self.slot = slot }

    func moment(_ group: Int) -> Moment {
        let count = counts[group]
        guard count > 0 else { return Moment() }
        let mean = sums[group] / Double(count)
        // Squares that are too large stay infinite. What rounding made negative is nothing; NaN, of infinite values, stays.
        let squares = squares[group].isFinite ? squares[group] - mean * sums[group] : squares[group]
        return Moment(count: count, mean: origins[group] + mean, squares: squares < 0 ? 0 : squares)
    }

    func add(_ reader: BlockReader, _ ids: GroupIDs, groups: Int) throws(Failure) {
        for array in [origins, sums, squares] { array.grow(to: groups) }
        counts.grow(to: groups)
        let vector = try reader.vector(slot)
        vector.nulls.forEachGap(below: reader.count) { range in
            switch vector.elements {
            case .doubles(let doubles): for at in range { take(doubles[at], ids[at]) }
            case .bytes(let codes):
                for at in range { take(Double(vector.base &+ vector.scale &* Int64(codes[at])), ids[at]) }
            case .shorts(let codes):
                for at in range { take(Double(vector.base &+ vector.scale &* Int64(codes[at])), ids[at]) }
            default: for at in range { take(Double(vector.key(at: at)), ids[at]) }
            }
        }
    }

    @inline(__always)
    private func take(_ number: Double, _ group: Int) {
        if counts.start[group] == 0 { origins.start[group] = number }
        counts.start[group] &+= 1
        let distance = number - origins.start[group]
        sums.start[group] += distance
        squares.start[group] += distance * distance
    }
}
