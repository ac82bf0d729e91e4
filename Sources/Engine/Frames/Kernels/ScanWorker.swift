// One thread's part of a scan: pieces in, filtered, grouped and aggregated block by block, a partial out.

/// Used by one thread at a time.
final class ScanWorker {
    private let setup: ScanSetup
    private let reader: BlockReader
    private let groups: GroupNumbering
    private let aggregation: Aggregation
    private let pace: WorkPace
    /// Of all that it holds until there is a partial.
    private let lease: MemoryLease
    /// Of the rows, which the partial is made of.
    private let rowLease: MemoryLease
    private var rows: [[Scalar]] = []
    /// Nil where groups are asked for: nothing that threads share is looked at for each block.
    private let rowOutput: CompiledPlan.Output?

    init(_ setup: ScanSetup, _ pace: WorkPace) throws(Failure) {
        self.setup = setup
        self.pace = pace
        lease = try setup.share.lease(setup.plan.sources.count * BlockBuffer.elements * 8, for: "a scan")
        rowLease = setup.share.emptyLease(for: "the rows of a scan")
        if case .rows = setup.plan.output { rowOutput = setup.plan.output } else { rowOutput = nil }
        reader = BlockReader(sources: setup.plan.sources, types: setup.plan.types, cache: setup.cache)
        groups = GroupNumbering(domains: setup.domains, groupsMax: setup.groupsMax, lease)
        aggregation = Aggregation(setup, groups: groups, lease, pace)
    }

    /// False when the zones rule the piece out, and it was not read.
    func scan(_ piece: FramePiece, control: ScanControl) throws(Failure) -> Bool {
        guard let filter = setup.filter(piece) else { return false }
        reader.begin(piece)
        groups.beginPiece()
        try aggregation.beginPiece()
        if filter == nil, !groups.hasKeys, case .groups = setup.plan.output,
            try aggregation.takeWhole(reader, rowCount: piece.rowCount)
        {
            return true
        }
        for start in stride(from: 0, to: piece.rowCount, by: BitPacking.blockRows) {
            try control.check()
            reader.move(to: start, rowCount: min(BitPacking.blockRows, piece.rowCount - start))
            try scanBlock(filter)
        }
        aggregation.endPiece()
        return true
    }

    private func scanBlock(_ filter: BlockFilter?) throws(Failure) {
        if let filter {
            if aggregation.onlyCountsRows { return try aggregation.add(rows: try filter.count(reader)) }
            guard try filter.apply(reader) else { return }
        }
        if case .rows(let slots, let limit) = rowOutput { return try collect(slots, limit) }
        let ids = try groups.number(reader)
        try aggregation.add(reader, ids, groups: groups.count)
    }

    /// One more than are kept: so it is known whether there are more.
    private func collect(_ slots: [Int], _ limit: Int) throws(Failure) {
        let wanted = min(reader.count, limit + 1 - rows.count)
        guard wanted > 0 else { return }
        // Their texts are not known before they are there: some thousand values at a time are, without being leased.
        let size = max(1, Self.valuesAtATime / slots.count)
        for start in stride(from: 0, to: wanted, by: size) {
            let range = start..<min(start + size, wanted)
            var columns: [[Scalar]] = []
            for slot in slots { columns.append(try reader.scalars(slot, range)) }
            let more = (0..<range.count).map { at in columns.map { $0[at] } }
            try rowLease.take(more.reduce(0) { $0 + 16 + Partial.memoryBytes(of: $1) })
            rows += more
            try pace.spend(range.count * slots.count)
        }
    }

    private static let valuesAtATime = 4_096

    var hasAllRows: Bool {
        guard case .rows(_, let limit) = setup.plan.output else { return false }
        return rows.count > limit
    }

    func partial() throws(Failure) -> Partial {
        var partial = Partial(shape: setup.plan.shape, groupsMax: setup.groupsMax)
        if case .rows(_, let limit) = setup.plan.output {
            partial.isTruncated = rows.count > limit
            if partial.isTruncated { rows.removeLast(rows.count - limit) }
            partial.rows = rows
            partial.lease = rowLease
            return partial
        }
        try aggregation.end()
        let found = setup.share.emptyLease(for: "the groups of a scan")
        let living = try livingGroups()
        let states = try aggregation.states(of: living, groupCount: groups.count, found)
        if groups.hasKeys {
            let dictionaries = setup.domains.map { setup.dictionaries[$0.slot] }
            try found.take(groups.keyBytes(count: living.count))
            try partial.take(try groups.keys(of: living, dictionaries, pace), states)
        } else {
            partial.states = states
        }
        try found.settle(at: partial.memoryBytes)
        partial.lease = found
        return partial
    }

    private func livingGroups() throws(Failure) -> [Int] {
        guard groups.hasKeys else { return [0] }
        var living: [Int] = []
        try pace.inPieces(groups.count) { range in
            for group in range where aggregation.rows(group) > 0 { living.append(group) }
        }
        // It was made by doubling.
        try lease.take(living.capacity * 16)
        return living
    }
}
