// One thread's part of a scan: pieces in, filtered, grouped and aggregated block by block, a partial out.

/// Used by one thread at a time.
final class ScanWorker {
    private let setup: ScanSetup
    private let reader: BlockReader
    private let groups: GroupNumbering
    private let aggregation: Aggregation
    private var rows: [[Scalar]] = []
    /// Nil where groups are asked for: nothing that threads share is looked at for each block.
    private let rowOutput: CompiledPlan.Output?

    init(_ setup: ScanSetup) {
        self.setup = setup
        if case .rows = setup.plan.output { rowOutput = setup.plan.output } else { rowOutput = nil }
        reader = BlockReader(sources: setup.plan.sources, types: setup.plan.types, cache: setup.cache)
        groups = GroupNumbering(domains: setup.domains, groupsMax: setup.groupsMax)
        aggregation = Aggregation(setup, groups: groups)
    }

    /// False when the zones rule the piece out, and it was not read.
    func scan(_ piece: FramePiece, control: ScanControl) throws(Failure) -> Bool {
        guard let filter = setup.filter(piece) else { return false }
        reader.begin(piece)
        groups.beginPiece()
        aggregation.beginPiece()
        if filter == nil, !groups.hasKeys, case .groups = setup.plan.output,
            aggregation.takeWhole(reader, rowCount: piece.rowCount)
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
            if aggregation.onlyCountsRows { return aggregation.add(rows: try filter.count(reader)) }
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
        var columns: [[Scalar]] = []
        for slot in slots { columns.append(try reader.scalars(slot, limit: wanted)) }
        for at in 0..<wanted { rows.append(columns.map { $0[at] }) }
    }

    var hasAllRows: Bool {
        guard case .rows(_, let limit) = setup.plan.output else { return false }
        return rows.count > limit
    }

    func partial() throws(Failure) -> Partial {
        var partial = Partial(shape: setup.plan.shape, groupsMax: setup.groupsMax)
        if case .rows(_, let limit) = setup.plan.output {
            partial.rows = Array(rows.prefix(limit))
            partial.isTruncated = rows.count > limit
            return partial
        }
        aggregation.end()
        let living = (0..<groups.count).filter { !groups.hasKeys || aggregation.rows($0) > 0 }
        let states = try aggregation.states(of: living, groupCount: groups.count)
        if groups.hasKeys {
            let dictionaries = setup.domains.map { setup.dictionaries[$0.slot] }
            try partial.take(groups.keys(of: living, dictionaries), states)
        } else {
            partial.states = states
        }
        return partial
    }
}
