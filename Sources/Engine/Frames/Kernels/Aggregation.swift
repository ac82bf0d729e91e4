// The aggregates of a plan as accumulators, each made once however many aggregates need it.

final class Aggregation {
    private let setup: ScanSetup
    private let shapes: [AggregateShape]
    private let inputs: [CompiledPlan.Input]
    private let hasKeys: Bool
    /// Of what is counted while the scan runs.
    private let lease: MemoryLease
    private let pace: WorkPace
    private var all: [any Accumulator] = []
    private var rowCounter: RowCounter?
    /// Sums that count rows as they go.
    private var countingSums: IntegerSums?
    private var nulls: [Int: NullCounter] = [:]
    private var integerSums: [Int: IntegerSums] = [:]
    private var doubleSums: [Int: DoubleSums] = [:]
    private var least: [Int: KeyExtremes] = [:]
    private var greatest: [Int: KeyExtremes] = [:]
    private var leastTexts: [Int: TextExtremes] = [:]
    private var greatestTexts: [Int: TextExtremes] = [:]
    private var moments: [Int: Moments] = [:]
    private var counts: [Int: ValueCounts] = [:]
    private var distincts: [Int: ValueCounts] = [:]
    private var frequencies: [FrequencyKey: ValueCounts] = [:]
    private var histograms: [HistogramKey: HistogramCounts] = [:]
    private var ends: [EndsKey: ColumnEnds] = [:]

    private struct FrequencyKey: Hashable {
        let slot: Int
        /// Of an aggregate that counts candidates only.
        var name: String?
    }

    private struct HistogramKey: Hashable {
        let slot: Int
        let edges: [Int64]
    }

    private struct EndsKey: Hashable {
        let slot: Int
        let by: Int
        let isFirst: Bool
    }

    init(_ setup: ScanSetup, groups: GroupNumbering, _ lease: MemoryLease, _ pace: WorkPace) {
        self.setup = setup
        self.lease = lease
        self.pace = pace
        hasKeys = groups.hasKeys
        guard case .groups(_, let aggregates) = setup.plan.shape, case .groups(_, let inputs) = setup.plan.output else {
            shapes = []
            inputs = []
            return
        }
        shapes = aggregates
        self.inputs = inputs
        for (shape, input) in zip(aggregates, inputs) { prepare(shape, input, groups.knownCount) }
        countingSums = hasKeys ? integerSums.sorted { $0.key < $1.key }.map(\.value).first(where: \.countsRows) : nil
        if countingSums == nil {
            let counter = RowCounter(lease)
            rowCounter = counter
            all.append(counter)
        }
    }

    private func prepare(_ shape: AggregateShape, _ input: CompiledPlan.Input, _ groups: Int?) {
        guard let slot = input.slot, let type = shape.input else { return }
        switch shape.function {
        case .count, .sum, .avg, .min, .max: make(&nulls, slot) { NullCounter(slot: slot, lease) }
        default: break
        }
        switch shape.function {
        case .count: break
        case .sum, .avg:
            if type == .double {
                make(&doubleSums, slot) { DoubleSums(slot: slot, lease) }
            } else {
                make(&integerSums, slot) { IntegerSums(slot: slot, bounds: setup.bounds[slot], lease) }
            }
        case .min where type == .string: make(&leastTexts, slot) { TextExtremes(slot: slot, isMin: true, lease) }
        case .max where type == .string: make(&greatestTexts, slot) { TextExtremes(slot: slot, isMin: false, lease) }
        case .min: make(&least, slot) { KeyExtremes(slot: slot, isMin: true, lease) }
        case .max: make(&greatest, slot) { KeyExtremes(slot: slot, isMin: false, lease) }
        case .variance, .stddev: make(&moments, slot) { Moments(slot: slot, lease) }
        case .quantile:
            make(&counts, slot) {
                ValueCounts(
                    slot: slot, type: type, purpose: .quantiles, dense: setup.dense(slot), groups: groups,
                    lease, pace)
            }
        case .distinct:
            make(&distincts, slot) {
                ValueCounts(
                    slot: slot, type: type, purpose: .distinct, dense: setup.dense(slot), groups: groups,
                    lease, pace)
            }
        case .topk, .topkExact:
            let key = frequencyKey(shape, slot)
            make(&frequencies, key) {
                ValueCounts(
                    slot: slot, type: type, purpose: .frequencies, dense: setup.dense(slot), groups: groups,
                    only: key.name.flatMap { setup.candidates?.values[$0] }, topValuesMax: setup.topValuesMax, lease,
                    pace)
            }
        case .histogram:
            make(&histograms, HistogramKey(slot: slot, edges: shape.edges)) {
                HistogramCounts(slot: slot, edges: shape.edges, lease)
            }
        case .first, .last:
            guard let by = input.by else { return }
            let isFirst = shape.function == .first
            make(&ends, EndsKey(slot: slot, by: by, isFirst: isFirst)) {
                ColumnEnds(slot: slot, by: by, isFirst: isFirst, isText: type == .string, lease)
            }
        }
    }

    private func frequencyKey(_ shape: AggregateShape, _ slot: Int) -> FrequencyKey {
        let isRestricted = shape.function == .topkExact && setup.candidates?.values[shape.name] != nil
        return FrequencyKey(slot: slot, name: isRestricted ? shape.name : nil)
    }

    private func make<A: Accumulator, K: Hashable>(_ table: inout [K: A], _ slot: K, _ accumulator: () -> A) {
        guard table[slot] == nil else { return }
        let made = accumulator()
        table[slot] = made
        all.append(made)
    }

    // MARK: Scanning

    /// Nothing is asked but how many rows there are, and there are no groups.
    var onlyCountsRows: Bool { !hasKeys && all.count == 1 && rowCounter != nil }

    func add(rows: Int) throws(Failure) { try rowCounter?.add(rows: rows) }

    func beginPiece() throws(Failure) { for accumulator in all { try accumulator.beginPiece() } }

    /// What could not be taken from zones of the current piece, in `remaining`.
    func takeWhole(_ reader: BlockReader, rowCount: Int) throws(Failure) -> Bool {
        var left: [any Accumulator] = []
        for accumulator in all where !(try accumulator.addWhole(reader, rowCount: rowCount)) {
            left.append(accumulator)
        }
        remaining = left
        let isDone = left.isEmpty
        if isDone { remaining = nil }
        return isDone
    }

    private var remaining: [any Accumulator]?

    func add(_ reader: BlockReader, _ ids: GroupIDs, groups: Int) throws(Failure) {
        for accumulator in remaining ?? all {
            reader.prefetch()
            try accumulator.add(reader, ids, groups: groups)
        }
    }

    func endPiece() { remaining = nil }

    func end() throws(Failure) { for accumulator in all { try accumulator.end() } }

    // MARK: Results

    func rows(_ group: Int) -> Int64 { countingSums?.rows(group) ?? rowCounter?.rows(group) ?? 0 }

    private func valueCount(_ slot: Int, _ group: Int) -> Int64 { rows(group) - (nulls[slot]?.nulls(group) ?? 0) }

    /// The states of the groups in `living`, on `lease`.
    func states(
        of living: [Int], groupCount: Int, _ lease: MemoryLease
    ) throws(Failure) -> [any AggregateStates] {
        var all: [any AggregateStates] = []
        for (shape, input) in zip(shapes, inputs) {
            let most = resultBytes(shape, input, living.count, groupCount)
            try lease.take(most)
            let states = try states(shape, input, Living(groups: living, groupCount: groupCount, pace: pace))
            lease.give(most - states.memoryBytes)
            all.append(states)
        }
        return all
    }

    /// Groups that have rows.
    private struct Living {
        let groups: [Int]
        /// Of all, those that have none among them.
        let groupCount: Int
        let pace: WorkPace

        func map<T>(units: Int = 1, _ element: (Int) -> T) throws(Failure) -> [T] {
            var list: [T] = []
            list.reserveCapacity(groups.count)
            try pace.inPieces(groups.count, units: units) { range in
                for index in range { list.append(element(groups[index])) }
            }
            return list
        }
    }

    /// What the states of one aggregate take, at most, while they are made.
    private func resultBytes(
        _ shape: AggregateShape, _ input: CompiledPlan.Input, _ living: Int, _ groupCount: Int
    ) -> Int {
        guard let slot = input.slot else { return living * 8 }
        switch shape.function {
        case .histogram: return living * (shape.edges.count + 1) * 8
        case .quantile: return counts[slot]?.resultBytes(groupCount: groupCount, shared: setup.dictionaries[slot]) ?? 0
        case .distinct:
            return distincts[slot]?.resultBytes(groupCount: groupCount, shared: setup.dictionaries[slot]) ?? 0
        case .topk, .topkExact:
            return frequencies[frequencyKey(shape, slot)]?
                .resultBytes(groupCount: groupCount, shared: setup.dictionaries[slot]) ?? 0
        // Texts are shared with what was found; of the others two lists are made to one.
        default: return living * 64
        }
    }

    private func states(
        _ shape: AggregateShape, _ input: CompiledPlan.Input, _ living: Living
    ) throws(Failure) -> any AggregateStates {
        guard let slot = input.slot, let type = shape.input else {
            return CountStates(counts: try living.map { rows($0) })
        }
        let (groupCount, shared) = (living.groupCount, setup.dictionaries[slot])
        switch shape.function {
        case .count: return CountStates(counts: try living.map { valueCount(slot, $0) })
        case .sum, .avg: return try sums(shape, slot, type, living)
        case .min, .max:
            let isMin = shape.function == .min
            if type == .string {
                let texts = isMin ? leastTexts[slot] : greatestTexts[slot]
                return TextExtremumStates(isMin: isMin, texts: try living.map(units: 4) { texts?.text($0) })
            }
            let keys = isMin ? least[slot] : greatest[slot]
            return ExtremumStates(
                isMin: isMin, type: type, keys: try living.map { valueCount(slot, $0) > 0 ? keys?.key($0) : nil })
        case .variance, .stddev:
            let moments = moments[slot]
            return MomentStates(
                isRoot: shape.function == .stddev, moments: try living.map(units: 4) { moments?.moment($0) ?? Moment() }
            )
        case .quantile:
            let sketches = try counts[slot]?.allSketches(groupCount: groupCount, living.pace) ?? []
            return QuantileStates(
                share: shape.number ?? 0.5, type: type, sketches: try living.map(units: 4) { sketches[$0] })
        case .distinct:
            let sets = try distincts[slot]?.allSets(groupCount: groupCount, shared: shared, living.pace) ?? []
            return DistinctStates(sets: try living.map(units: 8) { sets[$0] })
        case .topk, .topkExact:
            let tables =
                try frequencies[frequencyKey(shape, slot)]?
                .allTables(groupCount: groupCount, shared: shared, living.pace) ?? []
            return FrequencyStates(
                top: Int(shape.number ?? 1), isExact: shape.function == .topkExact, type: type, name: shape.name,
                tables: try living.map(units: 8) { tables[$0] })
        case .histogram: return try histogram(shape, slot, living)
        case .first, .last:
            let isFirst = shape.function == .first
            let found = input.by.flatMap { ends[EndsKey(slot: slot, by: $0, isFirst: isFirst)] }
            return EndStates(isFirst: isFirst, type: type, ends: try living.map(units: 4) { found?.end(of: $0) })
        }
    }

    private func histogram(
        _ shape: AggregateShape, _ slot: Int, _ living: Living
    ) throws(Failure) -> HistogramStates {
        let binCount = shape.edges.count + 1
        var list: [Int64] = []
        list.reserveCapacity(living.groups.count * binCount)
        guard let counts = histograms[HistogramKey(slot: slot, edges: shape.edges)] else {
            preconditionFailure("made with the aggregation")
        }
        try living.pace.inPieces(living.groups.count, units: binCount) { range in
            for index in range { counts.append(countsOf: living.groups[index], to: &list) }
        }
        return HistogramStates(binCount: binCount, counts: list)
    }

    private func sums(
        _ shape: AggregateShape, _ slot: Int, _ type: ColumnType, _ living: Living
    ) throws(Failure) -> any AggregateStates {
        let counts = try living.map { valueCount(slot, $0) }
        let isAverage = shape.function == .avg
        if type == .double {
            let sums = doubleSums[slot]
            return DoubleSumStates(
                isAverage: isAverage, highs: try living.map { sums?.sum($0).high ?? 0 },
                lows: try living.map { sums?.sum($0).low ?? 0 }, counts: counts)
        }
        let sums = integerSums[slot]
        var at = 0
        let exact: [Int128] = try living.map { group in
            defer { at += 1 }
            return sums?.sum(group, valueCount: counts[at]) ?? 0
        }
        return IntegerSumStates(isAverage: isAverage, name: shape.name, sums: exact, counts: counts)
    }
}
