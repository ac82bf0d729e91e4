// What a scan finds out once, for all its threads: the domains of keys and inputs, what filters mean for codes.

/// Immutable.
struct ScanSetup: Sendable {
    let plan: CompiledPlan
    let pieces: [FramePiece]
    let cache: ColumnCache
    /// What threads lease their memory from.
    let share: ScriptShare
    let groupsMax: Int
    /// Of a second round.
    let candidates: TopCandidates?
    /// Values beyond which the most frequent ones are found approximately.
    let topValuesMax: Int
    let domains: [KeyDomain]
    /// By slot.
    let bounds: [Zone.Bounds]
    /// By slot, of strings.
    let dictionaries: [DictionaryView?]
    private let clauses: [[BlockFilter.Condition]]

    init(_ plan: CompiledPlan, _ pieces: [FramePiece], cache: ColumnCache, control: ScanControl) {
        share = control.share
        groupsMax = control.groupsMax
        candidates = control.candidates
        topValuesMax = control.topValuesMax
        self.plan = plan
        self.pieces = pieces
        self.cache = cache
        let dictionaries = plan.sources.indices.map { Self.dictionary($0, plan, pieces) }
        self.dictionaries = dictionaries
        bounds = plan.sources.map { Self.bounds($0, pieces) }
        var keys: [CompiledPlan.Key] = []
        if case .groups(let resolved, _) = plan.output { keys = resolved }
        domains = keys.map { key in
            KeyDomain(
                slot: key.slot, type: plan.types[key.slot], bucket: key.bucket,
                dense: Self.dense(key.slot, bucket: key.bucket, plan, pieces),
                hasNulls: Self.hasNulls(key.slot, plan, pieces))
        }
        clauses = plan.clauses.map { clause in
            clause.map { filter in
                BlockFilter.Condition(
                    slot: filter.slot, predicate: filter.predicate,
                    shared: Self.shared(filter.predicate, dictionaries[filter.slot]))
            }
        }
    }

    /// The dense domain of a slot's values, or nil.
    func dense(_ slot: Int) -> (base: Int64, scale: Int64, count: Int)? {
        Self.dense(slot, bucket: nil, plan, pieces)
    }

    // MARK: Filters

    /// The clauses that the piece's zones do not decide; nil when they rule the piece out.
    func filter(_ piece: FramePiece) -> BlockFilter?? {
        var left: [[BlockFilter.Condition]] = []
        for clause in clauses {
            var isDecided = false
            var possible: [BlockFilter.Condition] = []
            for condition in clause {
                switch Self.verdict(condition, plan, piece) {
                case true?: isDecided = true
                case false?: break
                case nil: possible.append(condition)
                }
            }
            if isDecided { continue }
            if possible.isEmpty { return nil }
            left.append(possible)
        }
        return .some(left.isEmpty ? nil : BlockFilter(clauses: left))
    }

    /// Whether a condition holds for all rows of a piece, or for none; nil when it depends.
    private static func verdict(_ condition: BlockFilter.Condition, _ plan: CompiledPlan, _ piece: FramePiece) -> Bool?
    {
        if case .never = condition.predicate { return false }
        guard case .stored(let column) = plan.sources[condition.slot] else { return nil }
        let zone = piece.zone(column)
        let presence = piece.presence(column)
        var predicate = condition.predicate
        if case .text = predicate {
            if case .none = zone.bounds { return false }
            guard piece.sharesDictionary(column) else { return nil }
            switch condition.shared {
            case .codes(let codes)?: predicate = codes
            case .verdicts(let verdicts)?:
                guard case .keys(let low, let high) = zone.bounds, high < verdicts.count else { return nil }
                var (passes, fails) = (false, zone.nullCount > 0)
                func look(at code: Int) { if verdicts[code] == 0 { fails = true } else { passes = true } }
                if let presence {
                    presence.bits.forEach { look(at: Int(presence.base) + $0) }
                } else {
                    (Int(low)...Int(high)).forEach(look)
                }
                return passes ? (fails ? nil : true) : false
            case .few(let codes)?: predicate = .members(codes)
            case nil: return nil
            }
        }
        if !predicate.mayHold(in: zone, rowCount: piece.rowCount) { return false }
        if predicate.alwaysHolds(in: zone) { return true }
        guard let presence else { return nil }
        if !presence.mayHold(predicate) { return false }
        return zone.nullCount == 0 && presence.alwaysHolds(predicate) ? true : nil
    }

    private static func shared(_ predicate: Predicate, _ dictionary: DictionaryView?) -> BlockFilter.SharedText? {
        guard case .text(let text) = predicate, let dictionary, dictionary.isShared else { return nil }
        func code(_ text: [UInt8]) -> Int64? {
            (0..<dictionary.count).first { dictionary[$0].elementsEqual(text) }.map { Int64($0) }
        }
        switch text {
        case .equal(let text): return .codes(code(text).map { .interval($0, $0) } ?? .never)
        case .notEqual(let text): return .codes(code(text).map { .outside($0, $0) } ?? .notNull)
        default:
            let verdicts = text.verdicts(dictionary)
            let codes = verdicts.indices.filter { verdicts[$0] != 0 }
            return codes.count <= 6 ? .few(codes.map { Int64($0) }) : .verdicts(verdicts)
        }
    }

    // MARK: Domains

    private static func bounds(_ source: ScanColumn, _ pieces: [FramePiece]) -> Zone.Bounds {
        guard case .stored(let column) = source else { return .keys(.min, .max) }
        var bounds = Zone.Bounds.none
        for piece in pieces {
            guard case .keys(let low, let high) = piece.zone(column).bounds else { continue }
            if case .keys(let lowest, let highest) = bounds {
                bounds = .keys(min(low, lowest), max(high, highest))
            } else {
                bounds = .keys(low, high)
            }
        }
        return bounds
    }

    private static func hasNulls(_ slot: Int, _ plan: CompiledPlan, _ pieces: [FramePiece]) -> Bool {
        guard case .stored(let column) = plan.sources[slot] else { return true }
        return pieces.contains { $0.zone(column).nullCount > 0 }
    }

    /// The shared dictionary that has all codes of the pieces.
    private static func dictionary(_ slot: Int, _ plan: CompiledPlan, _ pieces: [FramePiece]) -> DictionaryView? {
        guard plan.types[slot] == .string, case .stored(let column) = plan.sources[slot] else { return nil }
        var largest: DictionaryView?
        for piece in pieces {
            guard let view = piece.sharedDictionary(column), view.count >= largest?.count ?? 0 else { continue }
            largest = view
        }
        return largest
    }

    /// Nil where codes of different pieces have nothing in common, or there are too many.
    private static func dense(
        _ slot: Int, bucket: TimeBucket?, _ plan: CompiledPlan, _ pieces: [FramePiece]
    ) -> (base: Int64, scale: Int64, count: Int)? {
        guard case .stored(let column) = plan.sources[slot], plan.types[slot] != .double else { return nil }
        guard case .keys(let least, let high) = bounds(plan.sources[slot], pieces) else { return (0, 1, 1) }
        // Rows without a string have code 0 in a tail, which is of the domain even where no string has it.
        let low = plan.types[slot] == .string ? 0 : least
        guard UInt64(bitPattern: high &- low) < 1 << 62, high < CodedKeys.null else { return nil }
        if let bucket {
            guard pieces.allSatisfy({ $0.hasCodes(column) }) else { return nil }
            let (first, last) = (bucket.index(of: low), bucket.index(of: high))
            let (count, isTooLarge) = last.subtractingReportingOverflow(first)
            return !isTooLarge && count < GroupNumbering.denseMax ? (first, 1, Int(count) + 1) : nil
        }
        var scale: UInt64 = 0
        for piece in pieces {
            guard let step = piece.codeScale(column) else { return nil }
            guard case .keys(let start, _) = piece.zone(column).bounds else { continue }
            for number in [UInt64(step), UInt64(bitPattern: start &- low)] {
                var (a, b) = (scale, number)
                while b != 0 { (a, b) = (b, a % b) }
                scale = a
            }
        }
        scale = max(scale, 1)
        let count = UInt64(bitPattern: high &- low) / scale
        guard count < 1 << 22 else { return nil }
        return (low, Int64(scale), Int(count) + 1)
    }
}
