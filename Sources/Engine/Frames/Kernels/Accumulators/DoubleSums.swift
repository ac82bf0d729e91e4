// Compensated sums of doubles by group.

// Unsafe: adds into memory by group at ids that the numbering keeps below its size.

import CKernels

final class DoubleSums: Accumulator {
    let slot: Int
    private let highs: GroupArray<Double>
    private let lows: GroupArray<Double>

    init(slot: Int, _ lease: MemoryLease) {
        self.slot = slot
        highs = GroupArray(identity: 0, lease)
        lows = GroupArray(identity: 0, lease)
    }

    func sum(_ group: Int) -> (high: Double, low: Double) { (highs[group], lows[group]) }

    /// Rows without a value hold 0.0: adding it to a sum changes nothing but a -0.0.
    func add(_ reader: BlockReader, _ ids: GroupIDs, groups: Int) throws(Failure) {
        try highs.grow(to: groups)
        try lows.grow(to: groups)
        let vector = try reader.vector(slot)
        guard case .doubles(let values) = vector.elements else { preconditionFailure("a column of doubles") }
        switch ids {
        case .one: addUngrouped(values, reader.count)
        case .bytes(let ids): addGrouped(values, reader.count, ids)
        case .shorts(let ids): addGrouped(values, reader.count, ids)
        case .words(let ids): addGrouped(values, reader.count, ids)
        }
    }

    /// Eight sums side by side, so that no addition waits for the one before.
    private func addUngrouped(_ values: UnsafePointer<Double>, _ count: Int) {
        var at = count & ~7
        withUnsafeTemporaryAllocation(of: Double.self, capacity: 16) { lanes in
            lanes.initialize(repeating: 0)
            let (high, low) = (lanes.baseAddress!, lanes.baseAddress! + 8)
            ck_sum_doubles(values, at, high, low)
            for lane in 0..<8 { add(high[lane], low[lane], to: 0) }
        }
        while at < count {
            add(values[at], 0, to: 0)
            at &+= 1
        }
    }

    @inline(__always)
    private func add(_ high: Double, _ low: Double, to group: Int) {
        let (sum, lost) = Double.twoSum(highs.start[group], high)
        highs.start[group] = sum
        lows.start[group] += lost + low
    }

    private func addGrouped<ID: FixedWidthInteger & UnsignedInteger>(
        _ values: UnsafePointer<Double>, _ count: Int, _ ids: UnsafePointer<ID>
    ) {
        for at in 0..<count { add(values[at], 0, to: Int(ids[at])) }
    }
}
