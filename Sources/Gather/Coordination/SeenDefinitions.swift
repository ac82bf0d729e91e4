// Which definitions a node has ever heard of, those that are dropped among them: a few numbers for each run of a node.

/// A definition that was seen and is not there was dropped, however long ago: so nothing is kept of a drop itself. Runs count
/// their definitions one after the other, so that the numbers of one are nearly always a single range.
package struct SeenDefinitions: Sendable, Equatable {
    /// By run, in order; no two of them touch.
    package private(set) var ranges: [UInt64: [ClosedRange<UInt64>]] = [:]

    package init() {}

    /// In order, each insertion is at the end.
    package init(_ ids: some Sequence<DefinitionID>) { for id in ids.sorted() { insert(id) } }

    package var isEmpty: Bool { ranges.isEmpty }

    package func contains(_ id: DefinitionID) -> Bool {
        guard let ranges = ranges[id.run] else { return false }
        var (low, high) = (0, ranges.count)
        while low < high {
            let middle = (low + high) / 2
            if ranges[middle].upperBound < id.number { low = middle + 1 } else { high = middle }
        }
        return low < ranges.count && ranges[low].contains(id.number)
    }

    /// The greatest number of a run; 0 when none was seen.
    package func last(ofRun run: UInt64) -> UInt64 { ranges[run]?.last?.upperBound ?? 0 }

    package mutating func insert(_ id: DefinitionID) { insert(id.number...id.number, run: id.run) }

    package mutating func insert(_ range: ClosedRange<UInt64>, run: UInt64) {
        insert([range], run: run)
    }

    package mutating func formUnion(_ other: Self) {
        for (run, ranges) in other.ranges { insert(ranges, run: run) }
    }

    private mutating func insert(_ added: [ClosedRange<UInt64>], run: UInt64) {
        let known = ranges[run] ?? []
        let isBehind = known.last.map { $0.lowerBound <= added[0].lowerBound } ?? true
        if isBehind {
            for range in added { Self.append(range, to: &ranges[run, default: []]) }
        } else {
            var joined: [ClosedRange<UInt64>] = []
            for range in (known + added).sorted(by: { $0.lowerBound < $1.lowerBound }) {
                Self.append(range, to: &joined)
            }
            ranges[run] = joined
        }
    }

    /// A range that begins no earlier than the last one.
    private static func append(_ range: ClosedRange<UInt64>, to ranges: inout [ClosedRange<UInt64>]) {
        if let last = ranges.last, range.lowerBound <= last.upperBound + 1 {
            ranges[ranges.count - 1] = last.lowerBound...max(last.upperBound, range.upperBound)
        } else {
            ranges.append(range)
        }
    }

    package func union(_ other: Self) -> Self {
        var both = self
        both.formUnion(other)
        return both
    }

    package func subtracting(_ other: Self) -> Self {
        var rest = Self()
        for (run, mine) in ranges {
            let kept = Self.subtract(other.ranges[run] ?? [], from: mine)
            if !kept.isEmpty { rest.ranges[run] = kept }
        }
        return rest
    }

    private static func subtract(
        _ others: [ClosedRange<UInt64>], from ranges: [ClosedRange<UInt64>]
    ) -> [ClosedRange<UInt64>] {
        var kept: [ClosedRange<UInt64>] = []
        var next = 0
        for range in ranges {
            var from = range.lowerBound
            while next < others.count, others[next].upperBound < from { next += 1 }
            var at = next
            while at < others.count, others[at].lowerBound <= range.upperBound {
                if others[at].lowerBound > from { kept.append(from...(others[at].lowerBound - 1)) }
                from = others[at].upperBound + 1
                at += 1
            }
            if from <= range.upperBound { kept.append(from...range.upperBound) }
        }
        return kept
    }

    /// Of one run.
    package func restricted(toRun run: UInt64) -> Self {
        var only = Self()
        if let ranges = ranges[run] { only.ranges[run] = ranges }
        return only
    }

    /// Whether a node may say so: numbers that there can be, and none of a run that are beyond what that run itself knows.
    package func canBe(beside own: SeenDefinitions, run: UInt64) -> Bool {
        for (other, ranges) in ranges {
            let limit = other == run ? own.last(ofRun: run) : DefinitionID.numberMax
            guard ranges.allSatisfy({ $0.lowerBound >= 1 && $0.upperBound <= limit }) else { return false }
        }
        return true
    }
}
