// How long things took, counted by bounds that are the same for all of a kind: what metrics call a histogram.

package struct DurationHistogram: Sendable, Equatable {
    /// Upper bounds in nanoseconds, ascending; what is longer than all of them is counted in the end.
    package let bounds: [UInt64]
    /// One for each bound, and the last for what is beyond; not cumulative.
    package private(set) var counts: [UInt64]
    package private(set) var nanoseconds: UInt64 = 0

    package init(bounds: [UInt64]) {
        self.bounds = bounds
        counts = Array(repeating: 0, count: bounds.count + 1)
    }

    package var count: UInt64 { counts.reduce(0, &+) }

    /// `weight`: how many have taken about so long.
    package mutating func add(nanoseconds: UInt64, weight: UInt64 = 1) {
        counts[bounds.firstIndex { nanoseconds <= $0 } ?? bounds.count] &+= weight
        self.nanoseconds &+= nanoseconds &* weight
    }

    package static func + (a: Self, b: Self) -> Self {
        precondition(a.bounds == b.bounds, "histograms of one kind have the same bounds")
        var sum = a
        for at in sum.counts.indices { sum.counts[at] &+= b.counts[at] }
        sum.nanoseconds &+= b.nanoseconds
        return sum
    }

    /// From a microsecond to a quarter of a second: methods have a tenth of one.
    package static let ofMethods = DurationHistogram(
        bounds: [
            1_000, 2_500, 10_000, 25_000, 100_000, 250_000, 1_000_000, 2_500_000, 10_000_000, 25_000_000, 100_000_000,
            250_000_000,
        ])

    /// From a tenth of a millisecond to a minute.
    package static let ofJobs = DurationHistogram(
        bounds: [
            100_000, 250_000, 1_000_000, 2_500_000, 10_000_000, 25_000_000, 50_000_000, 100_000_000, 250_000_000,
            500_000_000, 1_000_000_000, 2_500_000_000, 5_000_000_000, 10_000_000_000, 30_000_000_000, 60_000_000_000,
        ])
}
