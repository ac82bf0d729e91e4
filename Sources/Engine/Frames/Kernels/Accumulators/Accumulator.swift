// What aggregates are made of while a scan runs: numbers by group, taken in block by block.

// Unsafe: `GroupArray` owns raw memory by group; ids are below the count it was grown to.

/// Of one thread's scan.
protocol Accumulator: AnyObject {
    /// Takes in the reader's selected rows. `ids` are below `groups`.
    func add(_ reader: BlockReader, _ ids: GroupIDs, groups: Int) throws(Failure)
    /// Takes in a whole piece by what is known of it, without reading it: only asked without groups and filters. False
    /// when that is not enough.
    func addWhole(_ reader: BlockReader, rowCount: Int) throws(Failure) -> Bool
    /// Called before the first block of each piece.
    func beginPiece() throws(Failure)
    /// Called once, after the last block.
    func end() throws(Failure)
}

extension Accumulator {
    func addWhole(_ reader: BlockReader, rowCount: Int) throws(Failure) -> Bool { false }
    func beginPiece() throws(Failure) {}
    func end() throws(Failure) {}
}

/// Numbers by group in memory that kernels can write without checks.
final class GroupArray<T: BitwiseCopyable> {
    private(set) var start: UnsafeMutablePointer<T>
    private(set) var count = 0
    private var capacity = 0
    private let identity: T
    private let lease: MemoryLease
    /// What loops may read beyond the last number.
    private static var slack: Int { 8 }

    /// `lease`: of its scan's thread. What it takes from there goes back with all of it.
    init(identity: T, _ lease: MemoryLease) {
        self.identity = identity
        self.lease = lease
        start = .allocate(capacity: 1)
    }

    deinit { start.deallocate() }

    /// Adds identities until there are `count`. Throws, and changes nothing, when there is no memory for them.
    @inline(__always)
    func grow(to count: Int) throws(Failure) {
        if count > self.count { try growBeyond(count) }
    }

    @inline(never)
    private func growBeyond(_ count: Int) throws(Failure) {
        if count > capacity {
            let larger = max(count, capacity * 2)
            // Both are there while one is copied to the other.
            try lease.take((larger + Self.slack) * MemoryLayout<T>.stride)
            let moved = UnsafeMutablePointer<T>.allocate(capacity: larger + Self.slack)
            moved.update(from: start, count: self.count)
            start.deallocate()
            start = moved
            if capacity > 0 { lease.give((capacity + Self.slack) * MemoryLayout<T>.stride) }
            capacity = larger
        }
        (start + self.count).initialize(repeating: identity, count: count - self.count)
        self.count = count
    }

    /// Identity beyond the end: for a group that came after the last row this array took in.
    subscript(group: Int) -> T { group < count ? start[group] : identity }
}

/// Rows by group.
final class RowCounter: Accumulator {
    private let counts: GroupArray<UInt64>
    private let lanes: GroupArray<UInt32>
    private var rowsInLanes = 0
    private var laneCount = 1
    private static let laneGroupsMax = 1024

    init(_ lease: MemoryLease) {
        counts = GroupArray(identity: 0, lease)
        lanes = GroupArray(identity: 0, lease)
    }

    func add(_ reader: BlockReader, _ ids: GroupIDs, groups: Int) throws(Failure) {
        try counts.grow(to: groups)
        switch ids {
        case .one: counts.start[0] &+= UInt64(reader.count)
        case .bytes(let ids): try addToLanes(ids, reader.count, groups)
        case .shorts(let ids): try addToLanes(ids, reader.count, groups)
        case .words(let ids):
            let counts = counts.start
            for at in 0..<reader.count { counts[Int(ids[at])] &+= 1 }
        }
    }

    /// Neighbours, often of the same group, count in different arrays, so that neither waits for the other.
    private func addToLanes<ID: GroupID>(
        _ ids: UnsafePointer<ID>, _ rowCount: Int, _ groups: Int
    ) throws(Failure) {
        // Ids of these widths are of groups whose number is known from the beginning.
        laneCount = groups <= Self.laneGroupsMax ? 4 : 1
        try lanes.grow(to: groups * laneCount)
        ID.count(ids, rowCount, in: lanes.start, copy: laneCount > 1 ? groups : 0)
        rowsInLanes += rowCount
        if rowsInLanes > 1 << 30 { end() }
    }

    func end() {
        let groups = lanes.count / laneCount
        for index in 0..<lanes.count {
            counts.start[index % groups] &+= UInt64(lanes.start[index])
            lanes.start[index] = 0
        }
        rowsInLanes = 0
    }

    func addWhole(_ reader: BlockReader, rowCount: Int) throws(Failure) -> Bool {
        try add(rows: rowCount)
        return true
    }

    func add(rows: Int) throws(Failure) {
        try counts.grow(to: 1)
        counts.start[0] &+= UInt64(rows)
    }

    func rows(_ group: Int) -> Int64 { Int64(counts[group]) }
}

/// Rows without a value in one column, by group.
final class NullCounter: Accumulator {
    let slot: Int
    private let counts: GroupArray<UInt64>

    init(slot: Int, _ lease: MemoryLease) {
        self.slot = slot
        counts = GroupArray(identity: 0, lease)
    }

    func add(_ reader: BlockReader, _ ids: GroupIDs, groups: Int) throws(Failure) {
        try counts.grow(to: groups)
        let nulls = try reader.vector(slot).nulls
        switch ids {
        case .one: counts.start[0] &+= UInt64(nulls.count)
        case .bytes(let ids): UInt8.add(1, to: counts.start, ids, of: nulls)
        case .shorts(let ids): UInt16.add(1, to: counts.start, ids, of: nulls)
        case .words(let ids): UInt32.add(1, to: counts.start, ids, of: nulls)
        }
    }

    func addWhole(_ reader: BlockReader, rowCount: Int) throws(Failure) -> Bool {
        guard let zone = reader.zone(slot) else { return false }
        try counts.grow(to: 1)
        counts.start[0] &+= UInt64(zone.nullCount)
        return true
    }

    func nulls(_ group: Int) -> Int64 { Int64(counts[group]) }
}
