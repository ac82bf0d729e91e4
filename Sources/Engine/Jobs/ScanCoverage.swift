// What a job's map sees of the frames on this node, while it runs and in the end: rows, chunks, and which frames.

import Synchronization

/// Thread-safe. A frame that the map looks at twice on a shard counts once in rows: coverage is about data, not work.
package final class ScanCoverage: Sendable {
    package struct Total: Sendable {
        package var rows = 0
        package var chunksScanned = 0
        package var chunksPruned = 0
        package var chunksCached = 0
        package var frames: Swift.Set<String> = []
        /// Rows that the frames' parts ever had when they were first and when they were last looked at.
        package var rowsEver = 0...0
    }

    private struct State {
        var rows: [String: [Int: Int]] = [:]
        var rowsEver: [String: [Int: ClosedRange<Int>]] = [:]
        var chunksScanned = 0
        var chunksPruned = 0
        var chunksCached = 0
    }

    private let state = Mutex(State())
    private let rowsDone = Atomic<Int>(0)
    /// Scans and walks end with `cancelled` at their next block, scripts at their next instructions.
    package let cancellation = Cancellation()
    /// Plans are described instead of executed, and answer as if there were no rows.
    package let explains: Bool
    private let described = Mutex([Value]())

    /// Of a second round: what `topk_exact` is to count.
    let candidates: TopCandidates?

    package init(explains: Bool = false, candidates: TopCandidates? = nil) {
        self.explains = explains
        self.candidates = candidates
    }

    /// Rows done with so far, those of chunks that were ruled out or known among them.
    package var rowsSoFar: Int { rowsDone.load(ordering: .relaxed) }

    func noteDone(rows: Int) { rowsDone.add(rows, ordering: .relaxed) }

    package func cancel() { cancellation.cancel() }

    var isCancelled: Bool { cancellation.isCancelled }

    func note(explanation: Value) { described.withLock { $0.append(explanation) } }

    package var explanations: [Value] { described.withLock { $0 } }

    /// The map asked for this frame, whether or not the node holds any of it.
    func note(frame: String) { state.withLock { _ = $0.rows[frame, default: [:]] } }

    func add(frame: String, shard: Int, _ scanned: ScanStatistics, rowsEver: Int) {
        state.withLock { state in
            let seen = state.rowsEver[frame]?[shard] ?? rowsEver...rowsEver
            state.rowsEver[frame, default: [:]][shard] = min(seen.lowerBound, rowsEver)...max(seen.upperBound, rowsEver)
            state.rows[frame, default: [:]][shard] = max(scanned.rowsCovered, state.rows[frame]?[shard] ?? 0)
            state.chunksScanned += scanned.chunksScanned
            state.chunksPruned += scanned.chunksPruned
            state.chunksCached += scanned.chunksCached
        }
    }

    package var total: Total {
        state.withLock { state in
            let ever = state.rowsEver.values.flatMap(\.values)
            return Total(
                rows: state.rows.values.reduce(0) { $0 + $1.values.reduce(0, +) },
                chunksScanned: state.chunksScanned, chunksPruned: state.chunksPruned,
                chunksCached: state.chunksCached, frames: Set(state.rows.keys),
                rowsEver: ever.reduce(0) { $0 + $1.lowerBound }...ever.reduce(0) { $0 + $1.upperBound })
        }
    }
}
