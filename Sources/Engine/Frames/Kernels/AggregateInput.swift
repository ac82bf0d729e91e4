// The loops of aggregates: one typed pass over the selected rows of a piece, into an array by local group.

// Unsafe: reads a view's pointers at rows of the selection and group ids below `localCount`; both come from this scan.

/// The rows of a piece that passed the filters: all of the first `count`, or those listed.
struct Selection: @unchecked Sendable {
    let count: Int
    /// Ascending; nil for all.
    let rows: UnsafePointer<UInt32>?
}

/// The group of each selected row within the piece ("local"), and the partial's group of each of those ("global").
struct LocalGroups: @unchecked Sendable {
    /// By position in the selection; nil where all rows belong to group 0.
    let ids: UnsafePointer<UInt32>?
    let count: Int
    /// -1 for a local group without rows.
    let globals: [Int]
    /// Selected rows by local group.
    let rowCounts: [Int64]
}

struct AggregateInput {
    /// Nil for count().
    let column: ColumnView?
    let selection: Selection
    let groups: LocalGroups

    func forEachGroup(_ body: (_ local: Int, _ global: Int) -> Void) {
        for (local, global) in groups.globals.enumerated() where global >= 0 { body(local, global) }
    }

    /// Calls `body` with the row and local group of every selected row. Inlined four times, so that each loop is plain.
    @inline(__always)
    private func forEachRow(_ body: (_ row: Int, _ group: Int) -> Void) {
        switch (selection.rows, groups.ids) {
        case (nil, nil): for row in 0..<selection.count { body(row, 0) }
        case (nil, let ids?): for row in 0..<selection.count { body(row, Int(ids[row])) }
        case (let rows?, nil): for at in 0..<selection.count { body(Int(rows[at]), 0) }
        case (let rows?, let ids?): for at in 0..<selection.count { body(Int(rows[at]), Int(ids[at])) }
        }
    }

    /// Sums by local group of a number of each row. Neighbouring rows, often of the same group, add to different lanes,
    /// so that no addition waits for the one before; many groups use one lane, as they rarely meet.
    @inline(__always)
    private func laneSums(_ addend: (_ row: Int) -> Int64) -> [Int64] {
        let count = groups.count
        let stride = count <= 4096 ? count : 0
        var sums = [Int64](repeating: 0, count: max(stride * 4, count))
        sums.withUnsafeMutableBufferPointer { sums in
            let sums = sums.baseAddress!
            var lane = 0
            forEachRow { row, group in
                sums[group &+ lane] &+= addend(row)
                lane = lane == stride &* 3 ? 0 : lane &+ stride
            }
        }
        guard stride > 0 else { return sums }
        return (0..<count).map { sums[$0] &+ sums[$0 + count] &+ sums[$0 + 2 * count] &+ sums[$0 + 3 * count] }
    }

    // MARK: Count

    /// Rows with a value by local group; all rows for count().
    func valueCounts() -> [Int64] {
        guard let validity = column?.validity else { return groups.rowCounts }
        guard selection.rows == nil else {
            return laneSums { Int64(truncatingIfNeeded: validity.words[$0 &>> 6] &>> UInt64($0 & 63) & 1) }
        }
        return groups.rowCounts.subtractingNulls(of: validity, rowCount: selection.count, ids: groups.ids)
    }

    // MARK: Sum

    /// Exact sums by local group, given its rows with a value. Rows without one hold an offset of 0: they add nothing to
    /// a sum of offsets.
    func integerSums(valueCounts counts: [Int64]) -> [Int128] {
        guard case .integers(let integers)? = column?.values else { preconditionFailure("a column of integers") }
        let offsets: [Int128] =
            switch integers.width {
            case .one: offsetSums(integers.pointer.assumingMemoryBound(to: UInt8.self))
            case .two: offsetSums(integers.pointer.assumingMemoryBound(to: UInt16.self))
            case .four: offsetSums(integers.pointer.assumingMemoryBound(to: UInt32.self))
            case .eight: wideSums(integers.pointer.assumingMemoryBound(to: Int64.self))
            }
        guard integers.base != 0 else { return offsets }
        return (0..<groups.count).map { offsets[$0] + Int128(integers.base) * Int128(counts[$0]) }
    }

    /// Offsets are below 2^32 and rows at most 2^16, so that 64 bits hold every sum.
    private func offsetSums<O: FixedWidthInteger & UnsignedInteger>(_ offsets: UnsafePointer<O>) -> [Int128] {
        if groups.ids == nil {
            var sum: Int64 = 0
            forEachRow { row, _ in sum &+= Int64(truncatingIfNeeded: offsets[row]) }
            return [Int128(sum)]
        }
        return laneSums { Int64(truncatingIfNeeded: offsets[$0]) }.map { Int128($0) }
    }

    private func wideSums(_ values: UnsafePointer<Int64>) -> [Int128] {
        var sums = [Int128](repeating: 0, count: groups.count)
        sums.withUnsafeMutableBufferPointer { sums in
            let sums = sums.baseAddress!
            forEachRow { row, group in sums[group] &+= Int128(values[row]) }
        }
        return sums
    }

    /// Compensated sums by local group; rows without a value hold 0.0. Adding 0.0 to a sum changes nothing but a -0.0.
    func doubleSums() -> (high: [Double], low: [Double]) {
        guard case .doubles(let doubles)? = column?.values else { preconditionFailure("a column of doubles") }
        let values = doubles.pointer
        var highs = [Double](repeating: 0, count: groups.count)
        var lows = [Double](repeating: 0, count: groups.count)
        highs.withUnsafeMutableBufferPointer { highs in
            lows.withUnsafeMutableBufferPointer { lows in
                let (highs, lows) = (highs.baseAddress!, lows.baseAddress!)
                forEachRow { row, group in
                    let (sum, lost) = Double.twoSum(highs[group], values[row])
                    highs[group] = sum
                    lows[group] += lost
                }
            }
        }
        return (highs, lows)
    }

    // MARK: Min and max

    /// The least or greatest key by local group; meaningless for a group without values.
    func extremeKeys(isMin: Bool) -> [Int64] {
        guard let column else { preconditionFailure("min and max have a column") }
        switch column.values {
        case .doubles(let doubles):
            let values = doubles.pointer
            return extremes(isMin: isMin) { values[$0].totalKey }
        case .strings(let strings): return rankExtremes(strings, isMin: isMin)
        case .integers(let integers):
            let base = integers.base
            switch integers.width {
            case .one:
                let offsets = integers.pointer.assumingMemoryBound(to: UInt8.self)
                return extremes(isMin: isMin) { base &+ Int64(offsets[$0]) }
            case .two:
                let offsets = integers.pointer.assumingMemoryBound(to: UInt16.self)
                return extremes(isMin: isMin) { base &+ Int64(offsets[$0]) }
            case .four:
                let offsets = integers.pointer.assumingMemoryBound(to: UInt32.self)
                return extremes(isMin: isMin) { base &+ Int64(offsets[$0]) }
            case .eight:
                let values = integers.pointer.assumingMemoryBound(to: Int64.self)
                return extremes(isMin: isMin) { values[$0] }
            }
        }
    }

    @inline(__always)
    private func extremes(isMin: Bool, _ key: (Int) -> Int64) -> [Int64] {
        var best = [Int64](repeating: isMin ? .max : .min, count: groups.count)
        let validity = column?.validity
        best.withUnsafeMutableBufferPointer { best in
            let best = best.baseAddress!
            forEachRow { row, group in
                if let validity, !validity[row] { return }
                let key = key(row)
                if isMin ? key < best[group] : key > best[group] { best[group] = key }
            }
        }
        return best
    }

    /// The least or greatest string by local group; nil for a group without values.
    func extremeTexts(isMin: Bool) -> [[UInt8]?] {
        guard case .strings(let strings)? = column?.values else { preconditionFailure("a column of strings") }
        let keys = rankExtremes(strings, isMin: isMin)
        let counts = valueCounts()
        let codes = strings.dictionary.isSorted ? [] : strings.dictionary.sortedCodes()
        return (0..<groups.count).map { group in
            guard counts[group] > 0 else { return nil }
            let rank = Int(keys[group])
            return Array(strings.dictionary[codes.isEmpty ? rank : codes[rank]])
        }
    }

    /// Ranks of strings: the codes themselves where the dictionary is sorted.
    private func rankExtremes(_ strings: StringValues, isMin: Bool) -> [Int64] {
        guard strings.dictionary.isSorted else {
            var ranks = [Int64](repeating: 0, count: strings.dictionary.count)
            for (rank, code) in strings.dictionary.sortedCodes().enumerated() { ranks[code] = Int64(rank) }
            let codes = strings.codes.assumingMemoryBound(to: UInt32.self)
            return ranks.withUnsafeBufferPointer { ranks in
                extremes(isMin: isMin) { ranks[Int(codes[$0])] }
            }
        }
        switch strings.width {
        case .one:
            let codes = strings.codes.assumingMemoryBound(to: UInt8.self)
            return extremes(isMin: isMin) { Int64(codes[$0]) }
        case .two:
            let codes = strings.codes.assumingMemoryBound(to: UInt16.self)
            return extremes(isMin: isMin) { Int64(codes[$0]) }
        case .four, .eight:
            let codes = strings.codes.assumingMemoryBound(to: UInt32.self)
            return extremes(isMin: isMin) { Int64(codes[$0]) }
        }
    }
}

extension DictionaryView {
    /// All codes in the order of their strings.
    fileprivate func sortedCodes() -> [Int] {
        (0..<count).sorted { self[$0].lexicographicallyPrecedes(self[$1]) }
    }
}

extension [Int64] {
    /// Counts by group less the rows without a value. Cost: a step for 64 rows and one for each null.
    fileprivate func subtractingNulls(
        of validity: ValidityView, rowCount: Int, ids: UnsafePointer<UInt32>?
    ) -> [Int64] {
        var counts = self
        for word in 0..<(rowCount + 63) / 64 {
            var nulls = ~validity.words[word]
            if rowCount - word * 64 < 64 { nulls &= 1 << UInt64(rowCount - word * 64) - 1 }
            while nulls != 0 {
                let row = word * 64 + nulls.trailingZeroBitCount
                counts[ids.map { Int($0[row]) } ?? 0] -= 1
                nulls &= nulls - 1
            }
        }
        return counts
    }
}
