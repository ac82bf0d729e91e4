// Runs a plan over one part of a frame: sealed chunks from the cache of partials where they are known, the rest scanned.

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
    /// The partial of one part's rows. The deadline and cancellation are looked at before each block (about 10 µs).
    package static func execute(
        _ plan: Plan, on snapshot: FrameSnapshot, control: ScanControl = ScanControl()
    ) throws(Failure) -> (partial: Partial, statistics: ScanStatistics) {
        try execute(try CompiledPlan(plan, schema: snapshot.schema), on: snapshot, control: control)
    }

    package static func execute(
        _ plan: CompiledPlan, on snapshot: FrameSnapshot, control: ScanControl = ScanControl()
    ) throws(Failure) -> (partial: Partial, statistics: ScanStatistics) {
        try control.check()
        let sealed = snapshot.pieces.prefix { !$0.isTail }
        var (partial, statistics) = try scan(plan, Array(sealed), snapshot, control)
        // Tails have plain columns, whose domains would widen those of the chunks: each is a scan of its own.
        for piece in snapshot.pieces.dropFirst(sealed.count) {
            let (more, seen) = try scan(plan, [piece], snapshot, control)
            try partial.merge(more)
            statistics = statistics + seen
        }
        return (partial, statistics)
    }

    private static func scan(
        _ plan: CompiledPlan, _ pieces: [FramePiece], _ snapshot: FrameSnapshot, _ control: ScanControl
    ) throws(Failure) -> (partial: Partial, statistics: ScanStatistics) {
        let setup = ScanSetup(plan, pieces, cache: snapshot.cache, groupsMax: control.groupsMax)
        let worker = ScanWorker(setup)
        var statistics = ScanStatistics()
        for piece in pieces {
            try control.check()
            let isScanned = worker.hasAllRows ? true : try worker.scan(piece, control: control)
            statistics.rowsCovered += piece.rowCount
            statistics.rowsScanned += isScanned ? piece.rowCount : 0
            statistics.chunksScanned += isScanned ? 1 : 0
            statistics.chunksPruned += isScanned ? 0 : 1
        }
        return (try worker.partial(), statistics)
    }
}
