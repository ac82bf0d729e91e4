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
    }

    private struct State {
        var rows: [String: [Int: Int]] = [:]
        var chunksScanned = 0
        var chunksPruned = 0
        var chunksCached = 0
    }

    private let state = Mutex(State())
    private let rowsDone = Atomic<Int>(0)
    private let cancelled = Atomic<Bool>(false)
    /// Plans are described instead of executed, and answer as if there were no rows.
    package let explains: Bool
    private let described = Mutex([Value]())

    package init(explains: Bool = false) { self.explains = explains }

    /// Rows done with so far, those of chunks that were ruled out or known among them.
    package var rowsSoFar: Int { rowsDone.load(ordering: .relaxed) }

    func noteDone(rows: Int) { rowsDone.add(rows, ordering: .relaxed) }

    /// Scans and walks end with `cancelled` at their next block.
    package func cancel() { cancelled.store(true, ordering: .relaxed) }

    var isCancelled: Bool { cancelled.load(ordering: .relaxed) }

    func note(explanation: Value) { described.withLock { $0.append(explanation) } }

    package var explanations: [Value] { described.withLock { $0 } }

    /// The map asked for this frame, whether or not the node holds any of it.
    func note(frame: String) { state.withLock { _ = $0.rows[frame, default: [:]] } }

    func add(frame: String, shard: Int, _ scanned: ScanStatistics) {
        state.withLock { state in
            state.rows[frame, default: [:]][shard] = max(scanned.rowsCovered, state.rows[frame]?[shard] ?? 0)
            state.chunksScanned += scanned.chunksScanned
            state.chunksPruned += scanned.chunksPruned
            state.chunksCached += scanned.chunksCached
        }
    }

    package var total: Total {
        state.withLock { state in
            Total(
                rows: state.rows.values.reduce(0) { $0 + $1.values.reduce(0, +) },
                chunksScanned: state.chunksScanned, chunksPruned: state.chunksPruned,
                chunksCached: state.chunksCached, frames: Set(state.rows.keys))
        }
    }
}
