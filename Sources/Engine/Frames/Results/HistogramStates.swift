// The states of histogram: a count for each bin of each group.

struct HistogramStates: AggregateStates {
    private let binCount: Int
    /// By group, then bin.
    private var counts: [Int64]

    init(binCount: Int, counts: [Int64] = []) {
        self.binCount = binCount
        self.counts = counts
    }

    var count: Int { counts.count / binCount }

    mutating func grow(to count: Int) {
        counts.append(contentsOf: repeatElement(0, count: count * binCount - counts.count))
    }

    mutating func combine(_ other: any AggregateStates, groups: [Int], _ pace: WorkPace) throws(Failure) {
        guard let other = other as? Self else { preconditionFailure("states of one shape") }
        try pace.inPieces(groups.count, units: binCount) { (range) throws(Failure) in
            for index in range {
                for bin in 0..<binCount {
                    try counts[groups[index] * binCount + bin].add(count: other.counts[index * binCount + bin])
                }
            }
        }
    }

    var memoryBytes: Int { counts.count * 8 }

    func finish(_ group: Int) -> Scalar {
        .structured(.array(counts[group * binCount..<(group + 1) * binCount].map { .int($0) }))
    }

    func encode(_ group: Int, to out: inout WireWriter) {
        for bin in 0..<binCount { out.append(counts[group * binCount + bin]) }
    }

    mutating func decodeNext(_ reader: inout WireReader) throws(WireDamage) {
        for _ in 0..<binCount { counts.append(try reader.rowCount()) }
    }
}
