// The jobs of a node: those that it coordinates, under way or just over, and the maps that it runs for any coordinator.

package import Engine
import Synchronization

package final class JobTable: Sendable {
    /// Jobs that are over are remembered, so many of them.
    private static let endedMax = 32

    private struct Coordinated {
        var query: UInt64
        var name: String
        var startedNanoseconds: UInt64
        var endedNanoseconds: UInt64?
        var status = "running"
    }

    private struct State: ~Copyable {
        var jobs: [Coordinated] = []
        var maps: [UInt64: ScanCoverage] = [:]
        var cancelled: Set<UInt64> = []
    }

    private let state = Mutex(State())

    package init() {}

    // MARK: The coordinator's

    func begin(_ query: UInt64, name: String) {
        let job = Coordinated(query: query, name: name, startedNanoseconds: monotonicNanoseconds())
        state.withLock { $0.jobs.append(job) }
    }

    func end(_ query: UInt64, status: String) {
        state.withLock { state in
            state.cancelled.remove(query)
            guard let index = state.jobs.firstIndex(where: { $0.query == query && $0.endedNanoseconds == nil }) else {
                return
            }
            state.jobs[index].endedNanoseconds = monotonicNanoseconds()
            state.jobs[index].status = status
            let ended = state.jobs.indices.filter { state.jobs[$0].endedNanoseconds != nil }
            if ended.count > Self.endedMax { state.jobs.remove(at: ended[0]) }
        }
    }

    func isCancelled(_ query: UInt64) -> Bool { state.withLock { $0.cancelled.contains(query) } }

    /// `[{id, job, status, ms}, …]`, in the order they began.
    package var list: Value {
        let now = monotonicNanoseconds()
        return state.withLock { state in
            .array(
                state.jobs.map { job in
                    .object([
                        "id": .string(String(job.query, radix: 16)), "job": .string(job.name),
                        "status": .string(job.status),
                        "ms": .int(Int64(((job.endedNanoseconds ?? now) - job.startedNanoseconds) / 1_000_000)),
                    ])
                })
        }
    }

    // MARK: Maps

    func beginMap(_ query: UInt64, _ coverage: ScanCoverage) { state.withLock { $0.maps[query] = coverage } }

    func endMap(_ query: UInt64) { state.withLock { _ = $0.maps.removeValue(forKey: query) } }

    package func coverage(of query: UInt64) -> ScanCoverage? { state.withLock { $0.maps[query] } }

    /// Ends the job's map here at its next block, and the job if it is this node's. False when there is neither.
    package func cancel(_ query: UInt64) -> Bool {
        state.withLock { state in
            let isCoordinated = state.jobs.contains { $0.query == query && $0.endedNanoseconds == nil }
            if isCoordinated { state.cancelled.insert(query) }
            state.maps[query]?.cancel()
            return isCoordinated || state.maps[query] != nil
        }
    }
}
