// A node's part of a job: the script's map on every shard, at the same time, and the shards' partials merged into one.

import Engine
import Synchronization

struct JobMap {
    let cluster: Cluster

    /// Runs on the compute pool; answers before the request's deadline, or fails with `timeout`.
    func run(_ request: MapRequest) async -> Result<MapAnswer, Failure> {
        let started = monotonicNanoseconds()
        let deadline = Deadline.after(milliseconds: Int(request.deadlineMilliseconds))
        let coverage = ScanCoverage(explains: request.explains)
        cluster.jobs.beginMap(request.query, coverage)
        defer { cluster.jobs.endMap(request.query) }
        let shards = cluster.engine.shards
        let results = await withTaskGroup(of: (Int, Result<JobPartial?, Failure>).self) { group in
            for shard in shards {
                group.addTask {
                    await cluster.engine.compute.run {
                        (shard.index, map(request, over: shard, deadline: deadline, coverage: coverage))
                    }
                }
            }
            return await group.reduce(into: []) { $0.append($1) }.sorted { $0.0 < $1.0 }.map(\.1)
        }
        return await cluster.engine.compute.run {
            merged(results, request, deadline, coverage).map { partial in
                let scanned = coverage.total
                return MapAnswer(
                    incarnation: cluster.incarnation, shards: shards.count, partial: partial,
                    rowsScanned: scanned.rows, chunksScanned: scanned.chunksScanned,
                    chunksPruned: scanned.chunksPruned, chunksCached: scanned.chunksCached,
                    milliseconds: Double(monotonicNanoseconds() - started) / 1e6,
                    frames: acknowledgements(of: scanned.frames))
            }
        }
    }

    private func map(
        _ request: MapRequest, over shard: Shard, deadline: Deadline, coverage: ScanCoverage
    ) -> Result<JobPartial?, Failure> {
        do throws(Failure) {
            let script = try JobScript(request.source, name: request.name, now: request.now, deadline: deadline)
            return .success(
                try script.map(
                    over: shard, frames: cluster.engine.frames, parameters: request.parameters, coverage: coverage,
                    pool: cluster.engine.compute))
        } catch {
            return .failure(error)
        }
    }

    private func merged(
        _ results: [Result<JobPartial?, Failure>], _ request: MapRequest, _ deadline: Deadline, _ coverage: ScanCoverage
    ) -> Result<[UInt8], Failure> {
        guard request.explains else { return merge(results, request, deadline) }
        let explanations = coverage.explanations
        // A map that reckons with rows may stumble where there seem to be none; what it asked before is known all the same.
        if explanations.isEmpty, case .failure(let failure)? = results.first(where: \.isFailure) {
            return .failure(failure)
        }
        return .success(JobPartial.value(.array(explanations)).encoded)
    }

    private func merge(
        _ results: [Result<JobPartial?, Failure>], _ request: MapRequest, _ deadline: Deadline
    ) -> Result<[UInt8], Failure> {
        do throws(Failure) {
            var partials: [JobPartial] = []
            for result in results { if let partial = try result.get() { partials.append(partial) } }
            guard !partials.isEmpty else { return .success([]) }
            let script = try JobScript(request.source, name: request.name, now: request.now, deadline: deadline)
            return .success(try script.reduce(partials).encoded)
        } catch {
            return .failure(error)
        }
    }

    private func acknowledgements(of frames: Set<String>) -> [FrameAcknowledgements] {
        let registry = cluster.currentRegistry()
        return frames.sorted().compactMap { registry.frames[$0]?.acknowledged }
    }
}

extension Result {
    fileprivate var isFailure: Bool { if case .failure = self { true } else { false } }
}

extension ComputePool {
    /// Runs `work` on one of the pool's threads and waits for it without holding a thread.
    func run<R: Sendable>(_ work: @escaping @Sendable () -> R) async -> R {
        await withCheckedContinuation { continuation in submit { continuation.resume(returning: work()) } }
    }

    /// As `run`, for work that can fail.
    func attempt<R: Sendable>(_ work: @escaping @Sendable () throws(Failure) -> R) async throws(Failure) -> R {
        try await run { Result(catching: work) }.get()
    }
}
