// Exact sums of integers by group, and with them, in the same addition, the rows of each group.

// Unsafe: adds into memory by group at ids that the numbering keeps below its size.

import CKernels

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
    private let partial: GroupArray<UInt64>
    private let rowTotals: GroupArray<UInt64>
    private let totals: GroupArray<UInt64>
    private let wide: GroupArray<Int128>
    private let lease: MemoryLease
    /// Exact sums that zones gave.
    private var zoneSum: Int128 = 0
    private var lanes = 1
    private var groupCount = 0
    private var pairs: PairSums?
    /// What a pair's codes mean in the current piece: a row's distance is `distance` + `scale` * code.
    private var pairUnit: (distance: UInt64, scale: UInt64) = (0, 1)

    private static let countShift: UInt64 = 40
    private static let laneGroupsMax = 512

    /// `bounds` are those of the column over all pieces of the scan.
    init(slot: Int, bounds: Zone.Bounds, _ lease: MemoryLease) {
        self.slot = slot
        self.lease = lease
        partial = GroupArray(identity: 0, lease)
        rowTotals = GroupArray(identity: 0, lease)
        totals = GroupArray(identity: 0, lease)
        wide = GroupArray(identity: 0, lease)
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

    func addWhole(_ reader: BlockReader, rowCount: Int) throws(Failure) -> Bool {
        guard let zone = reader.zone(slot) else { return false }
        if zone.bounds == .none { return true }
        guard let sum = zone.sum else { return false }
        zoneSum += sum
        zoneValues += Int64(rowCount - zone.nullCount)
        return true
    }

    func add(_ reader: BlockReader, _ ids: GroupIDs, groups: Int) throws(Failure) {
        let vector = try reader.vector(slot)
        try grow(to: groups)
        if rowsSinceFlush > rowsPerFlush - BitPacking.blockRows { flush() }
        rowsSinceFlush += reader.count
        if mode == .wide { return addWide(vector, reader.count, ids) }
        switch ids {
        case .one: addUngrouped(vector, reader.count)
        case .bytes(let ids):
            if !(try addInPairs(vector, reader, ids)) { addGrouped(vector, reader, ids) }
        case .shorts(let ids): addGrouped(vector, reader, ids)
        case .words(let ids): addGrouped(vector, reader, ids)
        }
    }

    func beginPiece() { flushPairs() }

    func end() {
        flushPairs()
        flush()
    }

    private func grow(to groups: Int) throws(Failure) {
        if groups > groupCount {
            flush()
            groupCount = groups
            lanes = groups <= Self.laneGroupsMax && groups > 1 ? 4 : 1
        }
        if mode == .wide { try wide.grow(to: groups) }
        try partial.grow(to: groupCount * lanes)
        try totals.grow(to: groups)
        try rowTotals.grow(to: groups)
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
        case .bytes(let codes): sum = ck_sum8(codes, count) &* UInt64(bitPattern: vector.scale)
        case .shorts(let codes): sum = ck_sum16(codes, count) &* UInt64(bitPattern: vector.scale)
        case .words(let codes): sum = ck_sum32(codes, count) &* UInt64(bitPattern: vector.scale)
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

    private func addGrouped<ID: GroupID>(_ vector: BlockVector, _ reader: BlockReader, _ ids: UnsafePointer<ID>) {
        let count = reader.count
        let one: UInt64 = mode == .packed ? 1 << Self.countShift : 0
        let offset = UInt64(bitPattern: vector.base &- base) &+ one
        let (sums, copy) = (partial.start, lanes > 1 ? groupCount : 0)
        var isDone = true
        BlockVector.inParts(count, reader) { start, rows in
            isDone =
                isDone
                && ID.add(
                    ids + start, vector.elements.from(start), rows, scale: UInt64(bitPattern: vector.scale),
                    offset: offset, to: sums, copy: copy)
        }
        if !isDone {
            switch vector.elements {
            case .constant: for at in 0..<count { sums[Int(ids[at])] &+= offset }
            case .integers(let integers):
                for at in 0..<count { sums[Int(ids[at])] &+= UInt64(bitPattern: integers[at]) &+ offset }
            default: preconditionFailure("a column of integers")
            }
        }
        // Rows without a value count, but add nothing: what they added is taken back.
        let wrong = offset &- one
        if wrong != 0 { ID.add(0 &- wrong, to: sums, ids, of: vector.nulls) }
    }

    /// False where that is not possible or does not pay.
    private func addInPairs(
        _ vector: BlockVector, _ reader: BlockReader, _ ids: UnsafePointer<UInt8>
    ) throws(Failure) -> Bool {
        guard mode == .packed, vector.codeLimit <= 1 << 16, case .keys(_, let high) = vector.bounds else {
            return false
        }
        if case .constant = vector.elements { return false }
        let limit = UInt64(bitPattern: high &- vector.base) / UInt64(vector.scale)
        guard PairSums.pays(groups: groupCount, codesUpTo: limit) else { return false }
        let distance = UInt64(bitPattern: vector.base &- base)
        pairUnit = (distance, UInt64(bitPattern: vector.scale))
        if pairs == nil { pairs = try PairSums(groups: groupCount, lease) }
        guard let pairs else { return false }
        let done = pairs.add(
            ids, vector.elements, reader.count, codesUpTo: limit, prefetch: { reader.prefetch() },
            flush: { takePairs($0, $1) })
        for at in done..<reader.count {
            rowTotals.start[Int(ids[at])] &+= 1
            totals.start[Int(ids[at])] &+= UInt64(bitPattern: vector.key(at: at) &- base)
        }
        if distance != 0 { UInt8.add(0 &- distance, to: totals.start, ids, of: vector.nulls) }
        return true
    }

    private func flushPairs() { pairs?.flush { takePairs($0, $1) } }

    private func takePairs(_ sums: UnsafeMutablePointer<UInt64>, _ counts: UnsafeMutablePointer<UInt64>) {
        for group in 0..<groupCount {
            totals.start[group] &+= sums[group] &* pairUnit.scale &+ counts[group] &* pairUnit.distance
            rowTotals.start[group] &+= counts[group]
        }
    }

    private func addWide(_ vector: BlockVector, _ count: Int, _ ids: GroupIDs) {
        vector.nulls.forEachGap(below: count) { range in
            for at in range { wide.start[ids[at]] &+= Int128(vector.key(at: at)) }
        }
    }
}
