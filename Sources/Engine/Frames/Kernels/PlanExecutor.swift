// Runs a plan over one part of a frame: piece by piece, pruned by zones, filtered, grouped and aggregated.

/// What a scan may cost and when it must stop.
package struct ScanControl: Sendable {
    package let deadline: Deadline
    package let isCancelled: @Sendable () -> Bool
    package let groupsMax: Int

    package init(
        deadline: Deadline = .never, groupsMax: Int = Partial.groupsMaxDefault,
        isCancelled: @escaping @Sendable () -> Bool = { false }
    ) {
        self.deadline = deadline
        self.groupsMax = groupsMax
        self.isCancelled = isCancelled
    }

    func check() throws(Failure) {
        if isCancelled() { throw Failure(.cancelled, "the scan was cancelled") }
        if deadline.hasPassed { throw Failure(.timeout, "the deadline passed during a scan of the frame") }
    }
}

/// What a scan looked at. A tail counts as a chunk.
package struct ScanStatistics: Sendable, Equatable {
    /// All rows of the part: those that the answer covers.
    package var rowsCovered = 0
    /// Rows of chunks that could not be ruled out by their zones.
    package var rowsScanned = 0
    package var chunksScanned = 0
    package var chunksPruned = 0

    package init() {}

    package static func + (a: Self, b: Self) -> Self {
        var sum = a
        sum.rowsCovered += b.rowsCovered
        sum.rowsScanned += b.rowsScanned
        sum.chunksScanned += b.chunksScanned
        sum.chunksPruned += b.chunksPruned
        return sum
    }
}

package enum PlanExecutor {
    /// The partial of one part's rows. The deadline and cancellation are looked at before each piece (about 100 µs).
    package static func execute(
        _ plan: Plan, on snapshot: FrameSnapshot, control: ScanControl = ScanControl()
    ) throws(Failure) -> (partial: Partial, statistics: ScanStatistics) {
        try execute(try CompiledPlan(plan, schema: snapshot.schema), on: snapshot, control: control)
    }

    package static func execute(
        _ plan: CompiledPlan, on snapshot: FrameSnapshot, control: ScanControl = ScanControl()
    ) throws(Failure) -> (partial: Partial, statistics: ScanStatistics) {
        var partial = Partial(shape: plan.shape, groupsMax: control.groupsMax)
        var statistics = ScanStatistics()
        let scratch = ScanScratch()
        for piece in snapshot.pieces {
            try control.check()
            let scan = PieceScan(plan: plan, piece: piece, cache: snapshot.cache, scratch: scratch)
            let isScanned = try scan.run(into: &partial)
            statistics.rowsCovered += piece.rowCount
            statistics.rowsScanned += isScanned ? piece.rowCount : 0
            statistics.chunksScanned += isScanned ? 1 : 0
            statistics.chunksPruned += isScanned ? 0 : 1
        }
        return (partial, statistics)
    }
}

/// One piece under one plan.
private struct PieceScan {
    let plan: CompiledPlan
    let piece: FramePiece
    let cache: ColumnCache
    let scratch: ScanScratch

    /// False when the zones rule the piece out.
    func run(into partial: inout Partial) throws(Failure) -> Bool {
        for filter in plan.filters {
            guard filter.predicate.mayHold(in: piece.zone(filter.column), rowCount: piece.rowCount) else {
                return false
            }
        }
        let selection = try select()
        guard selection.count > 0 else { return true }
        switch plan.output {
        case .rows(let columns, let limit): try collect(columns, limit, selection, into: &partial)
        case .groups(let keys, let inputs): try aggregate(keys, inputs, selection, into: &partial)
        }
        return true
    }

    private func select() throws(Failure) -> Selection {
        let filters = plan.filters.filter { !$0.predicate.alwaysHolds(in: piece.zone($0.column)) }
        guard !filters.isEmpty else { return Selection(count: piece.rowCount, rows: nil) }
        scratch.beginMask(rowCount: piece.rowCount)
        for filter in filters {
            let view = try piece.view(filter.column, cache: cache)
            FilterKernel(view: view, mask: scratch.mask).apply(filter.predicate)
        }
        return scratch.select(rowCount: piece.rowCount)
    }

    private func collect(
        _ columns: [Int], _ limit: Int, _ selection: Selection, into partial: inout Partial
    ) throws(Failure) {
        let wanted = min(selection.count, limit - partial.rows.count)
        guard wanted > 0 else { return }
        var views: [ColumnView] = []
        for column in columns { views.append(try piece.view(column, cache: cache)) }
        for at in 0..<wanted {
            let row = selection.row(at)
            partial.rows.append(views.map { $0.scalar(at: row) })
        }
    }

    private func aggregate(
        _ keys: [Int], _ inputs: [Int?], _ selection: Selection, into partial: inout Partial
    ) throws(Failure) {
        let groups = try localGroups(keys, selection, &partial)
        for (index, column) in inputs.enumerated() {
            var view: ColumnView?
            if let column { view = try piece.view(column, cache: cache) }
            partial.states[index].update(AggregateInput(column: view, selection: selection, groups: groups))
        }
    }

    private func localGroups(
        _ keys: [Int], _ selection: Selection, _ partial: inout Partial
    ) throws(Failure) -> LocalGroups {
        guard !keys.isEmpty else {
            return LocalGroups(ids: nil, count: 1, globals: [0], rowCounts: [Int64(selection.count)])
        }
        var views: [ColumnView] = []
        for key in keys { views.append(try piece.view(key, cache: cache)) }
        let count = GroupKernel(selection: selection, scratch: scratch).number(views)
        let (rowCounts, examples) = countRows(selection.count, groups: count)
        var globals = [Int](repeating: -1, count: count)
        var key = WireWriter()
        for group in 0..<count where rowCounts[group] > 0 {
            key.removeAll()
            let row = selection.row(examples[group])
            for view in views { view.appendGroupKey(row, to: &key) }
            globals[group] = try partial.group(key.bytes)
        }
        partial.growStates()
        return LocalGroups(ids: UnsafePointer(scratch.ids), count: count, globals: globals, rowCounts: rowCounts)
    }

    /// The selected rows of each local group, and where in the selection one of them is.
    private func countRows(_ selected: Int, groups: Int) -> (counts: [Int64], examples: [Int]) {
        var counts = [Int64](repeating: 0, count: groups * 2)
        var examples = [Int](repeating: 0, count: groups)
        let ids = scratch.ids
        counts.withUnsafeMutableBufferPointer { counts in
            examples.withUnsafeMutableBufferPointer { examples in
                let (counts, examples) = (counts.baseAddress!, examples.baseAddress!)
                // Neighbours, often of the same group, count in two arrays, so that neither waits for the other.
                var at = 0
                while at &+ 1 < selected {
                    let (first, second) = (Int(ids[at]), Int(ids[at &+ 1]))
                    counts[first] &+= 1
                    counts[second &+ groups] &+= 1
                    examples[first] = at
                    examples[second] = at &+ 1
                    at &+= 2
                }
                if at < selected {
                    counts[Int(ids[at])] &+= 1
                    examples[Int(ids[at])] = at
                }
            }
        }
        return ((0..<groups).map { counts[$0] &+ counts[$0 + groups] }, examples)
    }
}

extension Selection {
    func row(_ at: Int) -> Int { rows.map { Int($0[at]) } ?? at }
}

extension ColumnView {
    /// The row's value as part of a group key, as `WireWriter` writes scalars. Doubles that are equal as keys get one
    /// form: 0.0 for -0.0, and one NaN.
    fileprivate func appendGroupKey(_ row: Int, to key: inout WireWriter) {
        guard isValid(row) else { return key.append(.null) }
        switch values {
        case .strings(let strings):
            key.append(ColumnType.string.rawValue)
            key.append(counted: strings.dictionary[strings.code(at: row)])
        case .doubles(let doubles): key.append(.double(Double(totalKey: doubles.pointer[row].orderedKey)))
        case .integers: key.append(scalar(at: row))
        }
    }
}
