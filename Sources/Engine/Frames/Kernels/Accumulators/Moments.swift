// Means and sums of squared distances by group: what variance and standard deviation are made of.

// Unsafe: adds into memory by group at ids that the numbering keeps below its size.

/// Of numbers as doubles. A group's values are taken in segments: distances are from the mean of the segments before, and what
/// they come to is merged when the segment is full. Its first values are measured from the first one alone, which may be far
/// from all others; so a segment has at most seven times as many values as there were before. Then their distances from each
/// other are not lost in those from where they are measured from, whatever the order: what has rounded off is within a few
/// times 4,096 roundings of the whole.
final class Moments: Accumulator {
    let slot: Int
    /// Without the segment under way.
    private let totals: GroupArray<Moment>
    private let origins: GroupArray<Double>
    private let sums: GroupArray<Double>
    private let squares: GroupArray<Double>
    /// How many values a segment has in the end, and how many of them are yet to come.
    private let sizes: GroupArray<Int32>
    private let left: GroupArray<Int32>

    private static let firstSize: Int32 = 8
    private static let sizeMax: Int64 = 4_096
    /// Squares of distances up to this, 4,096 of them, are within doubles; values further away are merged one by one.
    private static let distanceMax = 0x1p500

    init(slot: Int, _ lease: MemoryLease) {
        self.slot = slot
        totals = GroupArray(identity: Moment(), lease)
        origins = GroupArray(identity: 0, lease)
        sums = GroupArray(identity: 0, lease)
        squares = GroupArray(identity: 0, lease)
        sizes = GroupArray(identity: 0, lease)
        left = GroupArray(identity: 0, lease)
    }

    func moment(_ group: Int) -> Moment {
        var total = totals[group]
        total.merge(segment(group))
        return total
    }

    private func segment(_ group: Int) -> Moment {
        Moment(
            count: Int64(sizes[group] - left[group]), origin: origins[group], sum: sums[group], squares: squares[group])
    }

    func add(_ reader: BlockReader, _ ids: GroupIDs, groups: Int) throws(Failure) {
        try totals.grow(to: groups)
        for array in [origins, sums, squares] { try array.grow(to: groups) }
        for array in [sizes, left] { try array.grow(to: groups) }
        let vector = try reader.vector(slot)
        let (base, scale) = (vector.base, vector.scale)
        switch vector.elements {
        case .doubles(let doubles): add(vector, reader.count, ids) { doubles[$0] }
        case .bytes(let codes): add(vector, reader.count, ids) { Double(base &+ scale &* Int64(codes[$0])) }
        case .shorts(let codes): add(vector, reader.count, ids) { Double(base &+ scale &* Int64(codes[$0])) }
        default: add(vector, reader.count, ids) { Double(vector.key(at: $0)) }
        }
    }

    @inline(__always)
    private func add(_ vector: BlockVector, _ count: Int, _ ids: GroupIDs, _ number: (Int) -> Double) {
        let segments = Segments(left: left.start, origins: origins.start, sums: sums.start, squares: squares.start)
        vector.nulls.forEachGap(below: count) { range in
            switch ids {
            case .one: addUngrouped(range, segments, number)
            case .bytes(let ids): for at in range { take(number(at), Int(ids[at]), segments) }
            case .shorts(let ids): for at in range { take(number(at), Int(ids[at]), segments) }
            case .words(let ids): for at in range { take(number(at), Int(ids[at]), segments) }
            }
        }
    }

    /// Where each group's segment is, read once a block.
    private struct Segments {
        let left: UnsafeMutablePointer<Int32>
        let origins: UnsafeMutablePointer<Double>
        let sums: UnsafeMutablePointer<Double>
        let squares: UnsafeMutablePointer<Double>
    }

    @inline(__always)
    private func take(_ number: Double, _ group: Int, _ segments: Segments) {
        if segments.left[group] == 0 { beginSegment(number, group) }
        let distance = number - segments.origins[group]
        guard distance.magnitude <= Self.distanceMax else { return takeApart(number, group) }
        segments.left[group] &-= 1
        segments.sums[group] += distance
        segments.squares[group] += distance * distance
    }

    /// What is left of a segment at a time, in sums side by side, so that no addition waits for the one before.
    @inline(__always)
    private func addUngrouped(_ range: Range<Int>, _ segments: Segments, _ number: (Int) -> Double) {
        var at = range.lowerBound
        while at < range.upperBound {
            if segments.left[0] == 0 { beginSegment(number(at), 0) }
            let end = min(range.upperBound, at + Int(segments.left[0]))
            let origin = SIMD4(repeating: segments.origins[0])
            var (sum, square) = (SIMD4<Double>.zero, SIMD4<Double>.zero)
            var next = at
            while next &+ 4 <= end {
                let distance = SIMD4(number(next), number(next &+ 1), number(next &+ 2), number(next &+ 3)) - origin
                sum += distance
                square += distance * distance
                next &+= 4
            }
            // One that is too far away shows in its square.
            if next > at, square.sum() <= Self.distanceMax * Self.distanceMax {
                segments.sums[0] += sum.sum()
                segments.squares[0] += square.sum()
                segments.left[0] &-= Int32(next - at)
                at = next
            } else {
                let few = at..<(next > at ? next : end)
                for at in few { take(number(at), 0, segments) }
                at = few.upperBound
            }
        }
    }

    /// Merges the one that is full, if there is one; `number` comes next.
    @inline(never)
    private func beginSegment(_ number: Double, _ group: Int) {
        if sizes.start[group] == 0 {
            begin(at: number, group)
        } else {
            fold(group)
            begin(at: totals.start[group].mean, group)
        }
    }

    /// A value too far from the origin to be squared beside others, or none that is finite.
    @inline(never)
    private func takeApart(_ number: Double, _ group: Int) {
        fold(group)
        totals.start[group].merge(Moment(number))
        begin(at: number, group)
    }

    private func fold(_ group: Int) {
        totals.start[group].merge(segment(group))
        sums.start[group] = 0
        squares.start[group] = 0
    }

    private func begin(at origin: Double, _ group: Int) {
        origins.start[group] = origin.isFinite ? origin : 0
        let size = Int32(min(totals.start[group].count * 7, Self.sizeMax))
        sizes.start[group] = max(size, Self.firstSize)
        left.start[group] = sizes.start[group]
    }
}
