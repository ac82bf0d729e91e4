// The jobs of a node: those that it coordinates, under way or just over, and the maps that it runs for any coordinator.

import DequeModule
package import Engine
import Synchronization

package final class JobTable: Sendable {
    /// Jobs that are over are remembered, so many of them.
    private static let endedMax = 32
    /// Under way at a time: each keeps a script.
    private static let runningMax = 2_048
    /// Cancelled ones are remembered, so many of them: a job's map may come after its cancel.
    private static let cancelledMax = 1_024

    private struct Coordinated {
        var query: UInt64
        var name: String
        var parameters: [String: Value]
        var listing: JobListing
        var startedUnixMilliseconds: Int64
        var cancellation: Cancellation
        var startedNanoseconds: UInt64
        var endedNanoseconds: UInt64?
        var status = "running"
    }

    private struct State: ~Copyable {
        var jobs: [Coordinated] = []
        var running = 0
        var maps: [UInt64: ScanCoverage] = [:]
        /// The one that was cancelled last comes last.
        var cancelled = Deque<UInt64>()
    }

    private let state = Mutex(State())

    private let environment: any Environment
    private let log: RunLog
    package let figures = JobFigures()

    package init(_ environment: any Environment) {
        self.environment = environment
        log = RunLog(environment)
    }

    // MARK: The coordinator's

    func begin(_ query: UInt64, _ request: JobRequest, _ cancellation: Cancellation) throws(Failure) {
        let job = Coordinated(
            query: query, name: request.name, parameters: request.parameters, listing: request.listing,
            startedUnixMilliseconds: environment.unixMilliseconds, cancellation: cancellation,
            startedNanoseconds: environment.uptimeNanoseconds)
        let isFull = state.withLock { state in
            guard state.running < Self.runningMax else { return true }
            state.running += 1
            state.jobs.append(job)
            return false
        }
        if isFull { throw Failure(.overloaded, "\(Self.runningMax) jobs are under way; wait for one to end") }
    }

    func end(_ cancellation: Cancellation, _ envelope: Envelope) {
        let now = environment.uptimeNanoseconds
        let kept: RunLog.Run? = state.withLock { state in
            guard
                let index = state.jobs.firstIndex(where: {
                    $0.cancellation === cancellation && $0.endedNanoseconds == nil
                })
            else { return nil }
            state.running -= 1
            let job = state.jobs[index]
            guard job.listing == .brief else {
                state.jobs.remove(at: index)
                return job.listing == .kept ? Self.run(job, envelope, now) : nil
            }
            state.jobs[index].endedNanoseconds = now
            state.jobs[index].status = envelope.status.rawValue
            let ended = state.jobs.indices.filter { state.jobs[$0].endedNanoseconds != nil }
            if ended.count > Self.endedMax { state.jobs.remove(at: ended[0]) }
            return nil
        }
        if let kept { log.add(kept) }
    }

    private static func run(_ job: Coordinated, _ envelope: Envelope?, _ now: UInt64) -> RunLog.Run {
        RunLog.Run(
            query: job.query, job: job.name, parameters: job.parameters,
            startedUnixMilliseconds: job.startedUnixMilliseconds,
            milliseconds: Double((job.endedNanoseconds ?? now) - job.startedNanoseconds) / 1e6,
            status: envelope?.status.rawValue ?? (job.endedNanoseconds == nil ? nil : job.status), envelope: envelope)
    }

    /// Those under way, those that are kept, and the last ones of the others.
    package var runs: [RunLog.Run] {
        let now = environment.uptimeNanoseconds
        return state.withLock { state in
            state.jobs.filter { $0.listing != .none }.map { Self.run($0, nil, now) }
        } + log.runs
    }

    /// Nil where this node coordinates none of that number, or it is over for long.
    package func run(_ query: UInt64) -> RunLog.Run? {
        let now = environment.uptimeNanoseconds
        let underWay = state.withLock { state in
            state.jobs.last { $0.query == query && $0.listing != .none }.map { Self.run($0, nil, now) }
        }
        return underWay ?? log.run(query)
    }

    /// Rows done with and rows of its frames, of each map that is at work here.
    package var maps: [UInt64: ScanCoverage] { state.withLock { $0.maps } }

    /// `[{id, job, status, ms}, …]`, in the order they began.
    package var list: Value {
        let now = environment.uptimeNanoseconds
        return state.withLock { state in
            .array(
                state.jobs.filter { $0.listing != .none }.map { job in
                    .object([
                        "id": .string(String(job.query, radix: 16)), "job": .string(job.name),
                        "status": .string(job.status),
                        "ms": .int(Int64(((job.endedNanoseconds ?? now) - job.startedNanoseconds) / 1_000_000)),
                    ])
                })
        }
    }

    // MARK: Maps

    /// What was cancelled before it came is cancelled at once.
    func beginMap(_ query: UInt64, _ coverage: ScanCoverage) {
        let isCancelled = state.withLock { state in
            state.maps[query] = coverage
            return state.cancelled.contains(query)
        }
        if isCancelled { coverage.cancel() }
    }

    func endMap(_ query: UInt64, _ coverage: ScanCoverage) {
        state.withLock { if $0.maps[query] === coverage { $0.maps[query] = nil } }
        if !coverage.explains { figures.scanned(coverage.total) }
    }

    package func coverage(of query: UInt64) -> ScanCoverage? { state.withLock { $0.maps[query] } }

    /// Ends the job's map here at its next block or instruction, and the job, at once, if it is this node's. False when there is neither.
    package func cancel(_ query: UInt64) -> Bool {
        let (coordinated, map) = state.withLock { state in
            state.cancelled.append(query)
            if state.cancelled.count > Self.cancelledMax { state.cancelled.removeFirst() }
            return (
                state.jobs.filter { $0.query == query && $0.endedNanoseconds == nil }.map(\.cancellation),
                state.maps[query]
            )
        }
        // The job first: it answers that it was cancelled, and not what its map failed with.
        for cancellation in coordinated { cancellation.cancel() }
        map?.cancel()
        return map != nil || !coordinated.isEmpty
    }
}
