// What a job's map sees of the frames on this node, while it runs and in the end: rows, chunks, and which frames.

import Synchronization

/// Thread-safe. Of each frame there is one view for all of the map, taken when a shard first asks for it: whatever the map
/// looks at, however often, is of that moment. Rows are those of the parts that it looks at: coverage is about data, not work.
package final class ScanCoverage: Sendable {
    package struct Total: Sendable {
        package var rows = 0
        package var chunksScanned = 0
        package var chunksPruned = 0
        package var chunksCached = 0
        /// By frame, what the view has of loads.
        package var frames: [String: FrameLoads.Seen] = [:]
        /// By frame, which one of that name it is.
        package var frameIDs: [String: String] = [:]
        /// Rows that the frames' parts ever had, those that are gone for their age too.
        package var rowsEver = 0
    }

    private struct Look: Sendable {
        let id: String
        var view: FrameView
        var shards: Set<Int> = []
    }

    private struct State: Sendable {
        var looks: [String: Look] = [:]
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

    /// A shard's part in the map's view of the frame, which counts as looked at from now on.
    package func look(at frame: Frame, shard: Int) -> FrameSnapshot {
        state.withLock { state in
            var look = state.looks[frame.name] ?? Look(id: frame.id, view: frame.view())
            look.shards.insert(shard)
            state.looks[frame.name] = look
            return look.view.parts[shard]
        }
    }

    /// A shard's part of what was looked at.
    func part(ofFrame name: String, shard: Int) -> FrameSnapshot {
        state.withLock { state in
            guard let look = state.looks[name] else { preconditionFailure("a plan begins with a look at its frame") }
            return look.view.parts[shard]
        }
    }

    /// Of every frame that was looked at so far, all parts count as looked at; those of this one, and how many there are.
    func lookAtAllParts(ofFrame name: String) -> (snapshot: FrameSnapshot, count: Int) {
        state.withLock { state in
            for (name, look) in state.looks { state.looks[name]?.shards = Set(look.view.parts.indices) }
            guard let look = state.looks[name] else { preconditionFailure("a plan begins with a look at its frame") }
            return (look.view.whole, look.view.parts.count)
        }
    }

    func add(_ scanned: ScanStatistics) {
        state.withLock { state in
            state.chunksScanned += scanned.chunksScanned
            state.chunksPruned += scanned.chunksPruned
            state.chunksCached += scanned.chunksCached
        }
    }

    package var total: Total {
        state.withLock { state in
            var total = Total(
                chunksScanned: state.chunksScanned, chunksPruned: state.chunksPruned, chunksCached: state.chunksCached,
                frames: state.looks.mapValues(\.view.loads), frameIDs: state.looks.mapValues(\.id))
            for look in state.looks.values {
                for shard in look.shards {
                    total.rows += look.view.parts[shard].rowCount
                    total.rowsEver += look.view.parts[shard].rowsEver
                }
            }
            return total
        }
    }
}
