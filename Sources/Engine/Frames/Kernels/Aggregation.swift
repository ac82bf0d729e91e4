// The aggregates of a plan as accumulators, each made once however many aggregates need it.

final class Aggregation {
    private let setup: ScanSetup
    private let shapes: [AggregateShape]
    private let inputs: [CompiledPlan.Input]
    private let hasKeys: Bool
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

    init(_ setup: ScanSetup, groups: GroupNumbering) {
        self.setup = setup
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
            let counter = RowCounter()
            rowCounter = counter
            all.append(counter)
        }
    }

    private func prepare(_ shape: AggregateShape, _ input: CompiledPlan.Input, _ groups: Int?) {
        guard let slot = input.slot, let type = shape.input else { return }
        switch shape.function {
        case .count, .sum, .avg, .min, .max: make(&nulls, slot) { NullCounter(slot: slot) }
        default: break
        }
        switch shape.function {
        case .count: break
        case .sum, .avg:
            if type == .double {
                make(&doubleSums, slot) { DoubleSums(slot: slot) }
            } else {
                make(&integerSums, slot) { IntegerSums(slot: slot, bounds: setup.bounds[slot]) }
            }
        case .min where type == .string: make(&leastTexts, slot) { TextExtremes(slot: slot, isMin: true) }
        case .max where type == .string: make(&greatestTexts, slot) { TextExtremes(slot: slot, isMin: false) }
        case .min: make(&least, slot) { KeyExtremes(slot: slot, isMin: true) }
        case .max: make(&greatest, slot) { KeyExtremes(slot: slot, isMin: false) }
        case .variance, .stddev: make(&moments, slot) { Moments(slot: slot) }
        case .quantile:
            make(&counts, slot) {
                ValueCounts(slot: slot, type: type, purpose: .quantiles, dense: setup.dense(slot), groups: groups)
            }
        case .distinct:
            make(&distincts, slot) {
                ValueCounts(slot: slot, type: type, purpose: .distinct, dense: setup.dense(slot), groups: groups)
            }
        case .topk, .topkExact:
            let key = frequencyKey(shape, slot)
            make(&frequencies, key) {
                ValueCounts(
                    slot: slot, type: type, purpose: .frequencies, dense: setup.dense(slot), groups: groups,
                    only: key.name.flatMap { setup.candidates?.values[$0] }, topValuesMax: setup.topValuesMax)
            }
        case .histogram:
            make(&histograms, HistogramKey(slot: slot, edges: shape.edges)) {
                HistogramCounts(slot: slot, edges: shape.edges)
            }
        case .first, .last:
            guard let by = input.by else { return }
            let isFirst = shape.function == .first
            make(&ends, EndsKey(slot: slot, by: by, isFirst: isFirst)) {
                ColumnEnds(slot: slot, by: by, isFirst: isFirst, isText: type == .string)
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

    func add(rows: Int) { rowCounter?.add(rows: rows) }

    func beginPiece() { for accumulator in all { accumulator.beginPiece() } }

    /// What could not be taken from zones of the current piece, in `remaining`.
    func takeWhole(_ reader: BlockReader, rowCount: Int) -> Bool {
        remaining = all.filter { !$0.addWhole(reader, rowCount: rowCount) }
        let isDone = remaining?.isEmpty == true
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

    func end() { for accumulator in all { accumulator.end() } }

    // MARK: Results

    func rows(_ group: Int) -> Int64 { countingSums?.rows(group) ?? rowCounter?.rows(group) ?? 0 }

    private func valueCount(_ slot: Int, _ group: Int) -> Int64 { rows(group) - (nulls[slot]?.nulls(group) ?? 0) }

    func states(of living: [Int], groupCount: Int) throws(Failure) -> [any AggregateStates] {
        var all: [any AggregateStates] = []
        for (shape, input) in zip(shapes, inputs) { all.append(try states(shape, input, living, groupCount)) }
        return all
    }

    private func states(
        _ shape: AggregateShape, _ input: CompiledPlan.Input, _ living: [Int], _ groupCount: Int
    ) throws(Failure) -> any AggregateStates {
        guard let slot = input.slot, let type = shape.input else { return CountStates(counts: living.map(rows)) }
        switch shape.function {
        case .count: return CountStates(counts: living.map { valueCount(slot, $0) })
        case .sum, .avg: return sums(shape, slot, type, living)
        case .min, .max:
            if type == .string {
                let texts = shape.function == .min ? leastTexts[slot] : greatestTexts[slot]
                return TextExtremumStates(isMin: shape.function == .min, texts: living.map { texts?.text($0) })
            }
            let keys = shape.function == .min ? least[slot] : greatest[slot]
            return ExtremumStates(
                isMin: shape.function == .min, type: type,
                keys: living.map { valueCount(slot, $0) > 0 ? keys?.key($0) : nil })
        case .variance, .stddev:
            return MomentStates(
                isRoot: shape.function == .stddev, moments: living.map { moments[slot]?.moment($0) ?? Moment() })
        case .quantile:
            let sketches = try counts[slot]?.allSketches(groupCount: groupCount) ?? []
            return QuantileStates(share: shape.number ?? 0.5, type: type, sketches: living.map { sketches[$0] })
        case .distinct:
            let sets = distincts[slot]?.allSets(groupCount: groupCount, shared: setup.dictionaries[slot]) ?? []
            return DistinctStates(sets: living.map { sets[$0] })
        case .topk, .topkExact:
            let tables =
                frequencies[frequencyKey(shape, slot)]?.allTables(
                    groupCount: groupCount, shared: setup.dictionaries[slot]) ?? []
            return FrequencyStates(
                top: Int(shape.number ?? 1), isExact: shape.function == .topkExact, type: type, name: shape.name,
                tables: living.map { tables[$0] })
        case .histogram:
            let counts = histograms[HistogramKey(slot: slot, edges: shape.edges)]
            return HistogramStates(
                binCount: shape.edges.count + 1, counts: living.flatMap { counts?.counts(of: $0) ?? [] })
        case .first, .last:
            let isFirst = shape.function == .first
            let found = input.by.flatMap { ends[EndsKey(slot: slot, by: $0, isFirst: isFirst)] }
            return EndStates(isFirst: isFirst, type: type, ends: living.map { found?.end(of: $0) })
        }
    }

    private func sums(
        _ shape: AggregateShape, _ slot: Int, _ type: ColumnType, _ living: [Int]
    ) -> any AggregateStates {
        let counts = living.map { valueCount(slot, $0) }
        if type == .double {
            let sums = living.map { doubleSums[slot]?.sum($0) ?? (high: 0, low: 0) }
            return DoubleSumStates(
                isAverage: shape.function == .avg, highs: sums.map(\.high), lows: sums.map(\.low), counts: counts)
        }
        let sums = zip(living, counts).map { integerSums[slot]?.sum($0, valueCount: $1) ?? 0 }
        return IntegerSumStates(isAverage: shape.function == .avg, name: shape.name, sums: sums, counts: counts)
    }
}
