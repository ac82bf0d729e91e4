// Runs a plan over a frame, or a part of one: sealed chunks from the cache of partials where they are known, the rest scanned.

/// What a scan may cost and when it must stop.
package struct ScanControl: Sendable {
    package let deadline: Deadline
    package let isCancelled: @Sendable () -> Bool
    package let groupsMax: Int
    /// Of a second round: what `topk_exact` is to count.
    package let candidates: TopCandidates?
    /// Values of a group beyond which the rarer ones are dropped by `topk`. Smaller only in tests.
    package let topValuesMax: Int
    /// Idle threads of this pool take chunks of a scan too.
    let helpers: ComputePool?
    /// What the scan's memory is leased from.
    let share: ScriptShare
    /// Told the rows of each piece that is done with.
    let progress: @Sendable (Int) -> Void

    package init(
        deadline: Deadline = .never, groupsMax: Int = Partial.groupsMaxDefault, candidates: TopCandidates? = nil,
        topValuesMax: Int = FrequencyTable.valuesMax, helpers: ComputePool? = nil, share: ScriptShare = ScriptShare(),
        isCancelled: @escaping @Sendable () -> Bool = { false }, progress: @escaping @Sendable (Int) -> Void = { _ in }
    ) {
        self.progress = progress
        self.deadline = deadline
        self.groupsMax = groupsMax
        self.candidates = candidates
        self.topValuesMax = topValuesMax
        self.helpers = helpers
        self.share = share
        self.isCancelled = isCancelled
    }

    /// To be called before each piece of some 10 µs; also lets others have the processor.
    func check() throws(Failure) {
        if isCancelled() { throw Failure(.cancelled, "the scan was cancelled") }
        let now = monotonicNanoseconds()
        ComputePool.yieldProcessor(at: now)
        if deadline.uptimeNanoseconds <= now {
            throw Failure(.timeout, "the deadline passed during a scan of the frame")
        }
    }

    /// For one thread, where it is not at rows: the same checks.
    func pace() -> WorkPace { WorkPace(share: share) { (_) throws(Failure) in try check() } }
}

/// What a scan looked at. A tail counts as a chunk.
package struct ScanStatistics: Sendable, Equatable {
    /// All rows of it: those that the answer covers.
    package var rowsCovered = 0
    /// Rows of chunks that could not be ruled out by their zones.
    package var rowsScanned = 0
    package var chunksScanned = 0
    package var chunksPruned = 0
    /// Chunks whose part of the answer was known from an earlier run of the same plan.
    package var chunksCached = 0

    package init() {}

    package static func + (a: Self, b: Self) -> Self {
        var sum = a
        sum.rowsCovered += b.rowsCovered
        sum.rowsScanned += b.rowsScanned
        sum.chunksScanned += b.chunksScanned
        sum.chunksPruned += b.chunksPruned
        sum.chunksCached += b.chunksCached
        return sum
    }
}

package enum PlanExecutor {
    /// The partial of a snapshot's rows. The deadline and cancellation are looked at before each block (about 10 µs).
    package static func execute(
        _ plan: Plan, on snapshot: FrameSnapshot, control: ScanControl = ScanControl()
    ) throws(Failure) -> (partial: Partial, statistics: ScanStatistics) {
        try execute(try CompiledPlan(plan, schema: snapshot.schema), on: snapshot, control: control)
    }

    package static func execute(
        _ plan: CompiledPlan, on snapshot: FrameSnapshot, control: ScanControl = ScanControl()
    ) throws(Failure) -> (partial: Partial, statistics: ScanStatistics) {
        try control.check()
        let whole = wholeKey(plan, snapshot, control)
        let ids = whole == nil ? [] : snapshot.pieces.map(\.id).sorted()
        if let whole, let found = try snapshot.known?.partials.find(whole, chunks: ids, share: control.share),
            found.chunks.count == ids.count
        {
            return (found.partial, cachedStatistics(snapshot.pieces, control))
        }
        var (partial, statistics) = try sealedPartial(plan, snapshot.pieces.filter { !$0.isTail }, snapshot, control)
        // Tails have plain columns, whose domains would widen those of the chunks: they are a scan of their own.
        let tails = snapshot.pieces.filter(\.isTail)
        if !tails.isEmpty {
            let (more, seen) = try ParallelScan(plan, tails, snapshot.cache, control).run()
            try partial.merge(more, control.pace())
            statistics = statistics + seen
        }
        if let whole { snapshot.known?.partials.insert(partial, for: whole, chunks: ids) }
        return (partial, statistics)
    }

    /// What all rows' partial is known by, where there are some besides the chunks.
    private static func wholeKey(
        _ plan: CompiledPlan, _ snapshot: FrameSnapshot, _ control: ScanControl
    ) -> PartialCache.Key? {
        guard let known = snapshot.known, case .groups = plan.output, snapshot.pieces.contains(where: \.isTail),
            !(control.candidates?.concern(plan.shape) ?? false)
        else { return nil }
        return PartialCache.Key(plan: plan.plan, part: known.part, isWhole: true)
    }

    private static func cachedStatistics(_ pieces: [FramePiece], _ control: ScanControl) -> ScanStatistics {
        var statistics = ScanStatistics()
        statistics.chunksCached = pieces.count
        statistics.rowsCovered = pieces.reduce(0) { $0 + $1.rowCount }
        control.progress(statistics.rowsCovered)
        return statistics
    }

    /// Of the chunks: what is known of them, and a scan of the others.
    private static func sealedPartial(
        _ plan: CompiledPlan, _ pieces: [FramePiece], _ snapshot: FrameSnapshot, _ control: ScanControl
    ) throws(Failure) -> (partial: Partial, statistics: ScanStatistics) {
        let isSecondRound = control.candidates?.concern(plan.shape) ?? false
        guard let known = snapshot.known, case .groups = plan.output, !pieces.isEmpty, !isSecondRound else {
            return try ParallelScan(plan, pieces, snapshot.cache, control).run()
        }
        let key = PartialCache.Key(plan: plan.plan, part: known.part)
        let chunks = pieces.map(\.id).sorted()
        let found = try known.partials.find(key, chunks: chunks, share: control.share)
        var rest = pieces
        var statistics = ScanStatistics()
        if let found {
            let known = Set(found.chunks)
            rest = pieces.filter { !known.contains($0.id) }
            statistics = cachedStatistics(pieces.filter { known.contains($0.id) }, control)
            if rest.isEmpty, found.partial.groupCount <= control.groupsMax { return (found.partial, statistics) }
        }
        var (partial, seen) = try ParallelScan(plan, rest, snapshot.cache, control).run()
        statistics = statistics + seen
        if var sum = found?.partial {
            try sum.merge(partial, control.pace())
            partial = sum
        }
        known.partials.insert(partial, for: key, chunks: chunks)
        return (partial, statistics)
    }
}
