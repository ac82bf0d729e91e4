// Exact sums of integers by group, and with them, in the same addition, the rows of each group.

// Unsafe: adds into memory by group at ids that the numbering keeps below its size.

/// Adds distances from the least value of the scan. While they are below 2^24, one 64-bit number holds a group's rows in
/// its upper 24 bits and the sum of their distances in the lower 40: the count costs nothing. Before either could
/// overflow the numbers are moved to totals.
final class IntegerSums: Accumulator {
    private enum Mode { case packed, narrow, wide }

    let slot: Int
    private let base: Int64
    private let mode: Mode
    private let rowsPerFlush: Int
    private var rowsSinceFlush = 0
    private let partial = GroupArray<UInt64>(identity: 0)
    private let rowTotals = GroupArray<UInt64>(identity: 0)
    private let totals = GroupArray<UInt64>(identity: 0)
    private let wide = GroupArray<Int128>(identity: 0)
    /// Exact sums that zones gave.
    private var zoneSum: Int128 = 0
    private var lanes = 1
    private var groupCount = 0

    private static let countShift: UInt64 = 40
    private static let laneGroupsMax = 512

    /// `bounds` are those of the column over all pieces of the scan.
    init(slot: Int, bounds: Zone.Bounds) {
        self.slot = slot
        guard case .keys(let low, let high) = bounds else {
            (base, mode, rowsPerFlush) = (0, .narrow, .max)
            return
        }
        let span = UInt64(bitPattern: high &- low)
        base = low
        mode = span < 1 << 24 ? .packed : span < 1 << 32 ? .narrow : .wide
        rowsPerFlush = mode == .packed ? min(1 << 23, Int((1 << 40) / (span + 1))) : .max
    }

    /// Whether `rows` is known.
    var countsRows: Bool { mode == .packed }

    /// Rows added to a group, those without a value included.
    func rows(_ group: Int) -> Int64 { Int64(rowTotals[group]) }

    /// The sum of a group's values, of which there are `valueCount`.
    func sum(_ group: Int, valueCount: Int64) -> Int128 {
        let zones = group == 0 ? zoneSum : 0
        if mode == .wide { return wide[group] + zones }
        // Zones gave sums of values, everything else distances from `base`.
        let counted = group == 0 ? valueCount - zoneValues : valueCount
        return Int128(totals[group]) + Int128(base) * Int128(counted) + zones
    }

    private var zoneValues: Int64 = 0

    func addWhole(_ reader: BlockReader, rowCount: Int) -> Bool {
        guard let zone = reader.zone(slot) else { return false }
        if zone.bounds == .none { return true }
        guard let sum = zone.sum else { return false }
        zoneSum += sum
        zoneValues += Int64(rowCount - zone.nullCount)
        return true
    }

    func add(_ reader: BlockReader, _ ids: GroupIDs, groups: Int) throws(Failure) {
        let vector = try reader.vector(slot)
        grow(to: groups)
        if rowsSinceFlush > rowsPerFlush - BitPacking.blockRows { flush() }
        rowsSinceFlush += reader.count
        if mode == .wide { return addWide(vector, reader.count, ids) }
        switch ids {
        case .one: addUngrouped(vector, reader.count)
        case .shorts(let ids): addGrouped(vector, reader.count, UnsafePointer(ids))
        case .words(let ids): addGrouped(vector, reader.count, UnsafePointer(ids))
        }
    }

    func end() { flush() }

    private func grow(to groups: Int) {
        if groups > groupCount {
            flush()
            groupCount = groups
            lanes = groups <= Self.laneGroupsMax && groups > 1 ? 4 : 1
        }
        if mode == .wide { wide.grow(to: groups) }
        partial.grow(to: groupCount * lanes)
        totals.grow(to: groups)
        rowTotals.grow(to: groups)
    }

    private func flush() {
        rowsSinceFlush = 0
        guard mode != .wide, groupCount > 0 else { return }
        let mask: UInt64 = mode == .packed ? 1 << Self.countShift - 1 : .max
        for group in 0..<min(groupCount, partial.count / lanes) {
            // What one lane lacks another may have too much of: only together they are right.
            var number: UInt64 = 0
            for lane in 0..<lanes {
                number &+= partial.start[lane &* groupCount &+ group]
                partial.start[lane &* groupCount &+ group] = 0
            }
            totals.start[group] &+= number & mask
            if mode == .packed { rowTotals.start[group] &+= number &>> Self.countShift }
        }
    }

    // MARK: Without groups

    private func addUngrouped(_ vector: BlockVector, _ count: Int) {
        var sum: UInt64 = 0
        switch vector.elements {
        case .constant: break
        case .bytes(let codes):
            var block: UInt32 = 0
            for at in 0..<count { block &+= UInt32(codes[at]) }
            sum = UInt64(block) &* UInt64(bitPattern: vector.scale)
        case .shorts(let codes):
            var block: UInt32 = 0  // 8,192 rows of 16 bits
            for at in 0..<count { block &+= UInt32(codes[at]) }
            sum = UInt64(block) &* UInt64(bitPattern: vector.scale)
        case .words(let codes):
            for at in 0..<count { sum &+= UInt64(codes[at]) }
            sum = sum &* UInt64(bitPattern: vector.scale)
        case .integers(let integers): for at in 0..<count { sum &+= UInt64(bitPattern: integers[at]) }
        case .doubles: preconditionFailure("a column of integers")
        }
        let values = UInt64(count &- vector.nulls.count)
        // A row without a value has added nothing.
        let distance = UInt64(bitPattern: vector.base &- base)
        totals.start[0] &+= sum &+ distance &* values
        if mode == .packed { rowTotals.start[0] &+= UInt64(count) }
    }

    // MARK: By group

    private func addGrouped<ID: FixedWidthInteger & UnsignedInteger>(
        _ vector: BlockVector, _ count: Int, _ ids: UnsafePointer<ID>
    ) {
        let one: UInt64 = mode == .packed ? 1 << Self.countShift : 0
        let offset = UInt64(bitPattern: vector.base &- base) &+ one
        let scale = UInt64(bitPattern: vector.scale)
        switch vector.elements {
        case .constant: addEach(count, ids) { _ in offset }
        case .bytes(let codes) where scale == 1: addEach(count, ids) { UInt64(codes[$0]) &+ offset }
        case .bytes(let codes): addEach(count, ids) { UInt64(codes[$0]) &* scale &+ offset }
        case .shorts(let codes) where scale == 1: addEach(count, ids) { UInt64(codes[$0]) &+ offset }
        case .shorts(let codes): addEach(count, ids) { UInt64(codes[$0]) &* scale &+ offset }
        case .words(let codes): addEach(count, ids) { UInt64(codes[$0]) &* scale &+ offset }
        case .integers(let integers): addEach(count, ids) { UInt64(bitPattern: integers[$0]) &+ offset }
        case .doubles: preconditionFailure("a column of integers")
        }
        // Rows without a value count, but add nothing: what they added is taken back.
        let wrong = offset &- one
        for index in 0..<vector.nulls.count { partial.start[Int(ids[vector.nulls[index]])] &-= wrong }
    }

    @inline(__always)
    private func addEach<ID: FixedWidthInteger & UnsignedInteger>(
        _ count: Int, _ ids: UnsafePointer<ID>, _ number: (Int) -> UInt64
    ) {
        let a = partial.start
        var at = 0
        if lanes == 4 {
            let (b, c, d) = (a + groupCount, a + 2 * groupCount, a + 3 * groupCount)
            while at &+ 3 < count {
                a[Int(ids[at])] &+= number(at)
                b[Int(ids[at &+ 1])] &+= number(at &+ 1)
                c[Int(ids[at &+ 2])] &+= number(at &+ 2)
                d[Int(ids[at &+ 3])] &+= number(at &+ 3)
                at &+= 4
            }
        }
        while at < count {
            a[Int(ids[at])] &+= number(at)
            at &+= 1
        }
    }

    private func addWide(_ vector: BlockVector, _ count: Int, _ ids: GroupIDs) {
        vector.nulls.forEachGap(below: count) { range in
            for at in range { wide.start[ids[at]] &+= Int128(vector.key(at: at)) }
        }
    }
}
