// What the jobs of a node have come to since its start: runs by their outcome, how long they took, what their maps looked at here.

package import Engine
import Synchronization

package final class JobFigures: Sendable {
    package struct Outcome: Hashable, Sendable {
        package let status: Envelope.Status
        /// Of an error.
        package let reason: Reason?
    }

    package struct Snapshot: Sendable {
        package fileprivate(set) var runs: [Outcome: UInt64] = [:]
        package fileprivate(set) var durations = DurationHistogram.ofJobs
        package fileprivate(set) var rowsScanned: UInt64 = 0
        package fileprivate(set) var chunksScanned: UInt64 = 0
        package fileprivate(set) var chunksPruned: UInt64 = 0
        package fileprivate(set) var chunksCached: UInt64 = 0
    }

    private let state = Mutex(Snapshot())

    package var snapshot: Snapshot { state.withLock { $0 } }

    /// A run that this node coordinated.
    func ended(_ envelope: Envelope, nanoseconds: UInt64) {
        let outcome = Outcome(status: envelope.status, reason: envelope.error?.reason)
        state.withLock { state in
            state.runs[outcome, default: 0] += 1
            state.durations.add(nanoseconds: nanoseconds)
        }
    }

    /// A map of this node, whoever coordinates it.
    func scanned(_ total: ScanCoverage.Total) {
        state.withLock { state in
            state.rowsScanned &+= UInt64(clamping: total.rows)
            state.chunksScanned &+= UInt64(clamping: total.chunksScanned)
            state.chunksPruned &+= UInt64(clamping: total.chunksPruned)
            state.chunksCached &+= UInt64(clamping: total.chunksCached)
        }
    }
}
