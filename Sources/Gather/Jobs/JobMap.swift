// A node's part of a job: the script's map, once for all shards where that does, else on each of them at the same time, and
// the shards' partials merged into one.

import Coordination
import Engine
import Synchronization

/// What a node has to say.
struct NodeAnswer: Sendable {
    var answer: MapAnswer
    /// Nil when no shard of the node holds a part of the frame.
    var partial: JobPartial?
    /// Of the partial as it is encoded in the answer, for another node: until it is on the account of that node's connection.
    var lease: MemoryLease?

    /// This node's own: encoded only where there is a lease.
    init(_ answer: MapAnswer, _ partial: JobPartial?, _ lease: MemoryLease? = nil) {
        self.answer = answer
        self.partial = partial
        self.lease = lease
    }

    /// As it came from another node. Throws `overloaded` or `budget_exceeded` when there is no memory for it.
    init(decoding answer: MapAnswer, _ pace: WorkPace) throws(Failure) {
        partial = answer.partial.isEmpty ? nil : try JobPartial(decoding: answer.partial, pace)
        self.answer = answer
        self.answer.partial = []
    }
}

struct JobMap {
    let cluster: Cluster
    /// Takes what its scripts say.
    let log: JobLog

    /// Runs on the compute pool, and there calls `completion`; answers before the request's deadline, or fails with `timeout`. For another node the
    /// partial is encoded.
    func run(
        _ request: MapRequest, encodes: Bool, completion: @escaping @Sendable (Result<NodeAnswer, Failure>) -> Void
    ) {
        guard request.include.isEmpty else {
            var rest = request
            (rest.include, rest.counts) = ([], [])
            return cluster.engine.compute.submitUrgent { [rest] in
                cluster.loads.include(request.include) {
                    cluster.note(request.counts.map { ($0.id, $0.counts) })
                }
                run(rest, encodes: encodes, completion: completion)
            }
        }
        let started = cluster.environment.uptimeNanoseconds
        // Like the coordinator, which takes its reserve off: what a client or another version says is no reason to go on for weeks.
        let milliseconds = min(Int(request.deadlineMilliseconds), JobRequest.timeoutMillisecondsMax)
        let deadline = cluster.environment.deadline(afterMilliseconds: milliseconds)
        let candidates: TopCandidates?
        do throws(Failure) {
            candidates = request.candidates.isEmpty ? nil : try TopCandidates(decoding: request.candidates)
        } catch {
            return completion(.failure(error))
        }
        let coverage = ScanCoverage(explains: request.explains, candidates: candidates)
        cluster.jobs.beginMap(request.query, coverage)
        mapAll(request, deadline, coverage, goesOn: !encodes) { results in
            let answer = answer(results, request, deadline, coverage, since: started, encodes: encodes)
            // Until here: a reduce too can be cancelled.
            cluster.jobs.endMap(request.query, coverage)
            completion(answer)
        }
    }

    /// `done` gets one result for all shards, where one map did for all of them, or one for each. `goesOn`: the calling thread may
    /// do it, once it is done with what it does.
    private func mapAll(
        _ request: MapRequest, _ deadline: Deadline, _ coverage: ScanCoverage, goesOn: Bool,
        done: @escaping @Sendable ([Result<ShardPartial, Failure>]) -> Void
    ) {
        let (shards, scripts) = (cluster.engine.shards, cluster.engine.jobScripts)
        scripts.submit(deadline: deadline, goesOn: goesOn) { refusal in
            if let refusal { return done([.failure(refusal)]) }
            var gathered: GatheredShards?
            let result = map(request, deadline, coverage) { (script) throws(Failure) in
                try script.map(
                    overAll: shards, frames: cluster.engine.frames, parameters: request.parameters, coverage: coverage,
                    pool: cluster.engine.compute
                ) { gathered = mapOthers(request, deadline, coverage, done) }
            }
            guard let gathered else { return done([result]) }
            if let all = gathered.put(result, 0) { done(all) }
        }
    }

    /// Runs the map on each shard but the first.
    private func mapOthers(
        _ request: MapRequest, _ deadline: Deadline, _ coverage: ScanCoverage,
        _ done: @escaping @Sendable ([Result<ShardPartial, Failure>]) -> Void
    ) -> GatheredShards {
        let gathered = GatheredShards(count: cluster.engine.shards.count)
        for shard in cluster.engine.shards.dropFirst() {
            cluster.engine.jobScripts.submit(deadline: deadline) { refusal in
                let result: Result<ShardPartial, Failure> =
                    refusal.map { .failure($0) }
                    ?? map(request, deadline, coverage) { (script) throws(Failure) in
                        try script.map(
                            over: shard, frames: cluster.engine.frames, parameters: request.parameters,
                            coverage: coverage, pool: cluster.engine.compute)
                    }
                // The shard that is done last goes on with what all of them found.
                if let all = gathered.put(result, shard.index) { done(all) }
            }
        }
        return gathered
    }

    private func answer(
        _ results: [Result<ShardPartial, Failure>], _ request: MapRequest, _ deadline: Deadline,
        _ coverage: ScanCoverage, since started: UInt64, encodes: Bool
    ) -> Result<NodeAnswer, Failure> {
        merged(results, request, deadline, coverage).flatMap { partial, inexactness in
            let pace = pace(deadline, coverage)
            let lease = pace.share.emptyLease(for: "a node's answer")
            var encoded: [UInt8] = []
            if encodes, let partial {
                do throws(Failure) { encoded = try partial.encoded(pace, lease) } catch { return .failure(error) }
            }
            let scanned = coverage.total
            let frames: [FrameAcknowledgements]
            do throws(Failure) { frames = try acknowledgements(of: scanned.frameIDs) } catch { return .failure(error) }
            var answer = MapAnswer(
                incarnation: cluster.incarnation, shards: cluster.engine.shards.count, partial: encoded,
                rowsScanned: scanned.rows, chunksScanned: scanned.chunksScanned,
                chunksPruned: scanned.chunksPruned, chunksCached: scanned.chunksCached,
                milliseconds: Double(cluster.environment.uptimeNanoseconds - started) / 1e6,
                frames: frames)
            answer.rowsEver = scanned.rowsEver
            answer.loads = scanned.frames
            answer.inexactness = partial.map { inexactness.union($0.inexactness) } ?? inexactness
            return .success(NodeAnswer(answer, encodes ? nil : partial, lease))
        }
        .mapError(asFarAsKnown)
    }

    /// What is missing may only be unknown yet, in a node that has just started.
    private func asFarAsKnown(_ failure: Failure) -> Failure {
        guard failure.reason == .miss else { return failure }
        do throws(Failure) { try cluster.requireSettled(toFind: "what is missing") } catch { return error }
        return failure
    }

    private func pace(_ deadline: Deadline, _ coverage: ScanCoverage) -> WorkPace {
        WorkPace(
            deadline: deadline, share: ScriptShare(of: cluster.engine.jobStates.memory),
            isCancelled: { coverage.cancellation.isCancelled })
    }

    /// A shard's partial, or that of all; nil where its map returned nothing. With the script's own reduce they are merged by it.
    struct ShardPartial: Sendable {
        var partial: JobPartial?
        var hasReduce: Bool
        /// Even if the partial does not show it.
        var inexactness: Inexactness
    }

    /// The node's partial, and what the scripts that made it have seen.
    private typealias Merged = (partial: JobPartial?, inexactness: Inexactness)

    private func map(
        _ request: MapRequest, _ deadline: Deadline, _ coverage: ScanCoverage,
        _ run: (JobScript) throws(Failure) -> JobPartial?
    ) -> Result<ShardPartial, Failure> {
        do throws(Failure) {
            let script = try script(request, deadline, coverage)
            return .success(
                ShardPartial(
                    partial: try run(script), hasReduce: script.definition.hasReduce,
                    inexactness: script.inexactness))
        } catch {
            return .failure(error)
        }
    }

    private func script(
        _ request: MapRequest, _ deadline: Deadline, _ coverage: ScanCoverage
    ) throws(Failure) -> JobScript {
        try JobScript(
            request.source, name: request.name, now: request.now, deadline: deadline,
            states: cluster.engine.jobStates, cancellation: coverage.cancellation, log: log)
    }

    private func merged(
        _ results: [Result<ShardPartial, Failure>], _ request: MapRequest, _ deadline: Deadline,
        _ coverage: ScanCoverage
    ) -> Result<Merged, Failure> {
        guard request.explains else { return merge(results, request, deadline, coverage) }
        let explanations = coverage.explanations
        // A map that reckons with rows may stumble where there seem to be none; what it asked before is known all the same.
        if explanations.isEmpty, case .failure(let failure)? = results.first(where: \.isFailure) {
            return .failure(failure)
        }
        return .success((.value(LeasedValue(.array(explanations))), Inexactness()))
    }

    private func merge(
        _ results: [Result<ShardPartial, Failure>], _ request: MapRequest, _ deadline: Deadline,
        _ coverage: ScanCoverage
    ) -> Result<Merged, Failure> {
        do throws(Failure) {
            var partials: [JobPartial] = []
            var hasReduce = false
            var inexactness = Inexactness()
            for result in results {
                let shard = try result.get()
                if let partial = shard.partial { partials.append(partial) }
                hasReduce = hasReduce || shard.hasReduce
                inexactness.formUnion(shard.inexactness)
            }
            guard !partials.isEmpty else { return .success((nil, inexactness)) }
            guard hasReduce, partials.count > 1 else {
                let pace = pace(deadline, coverage)
                return .success((try JobScript.merge(partials, job: request.name, pace), inexactness))
            }
            // A state of its own: what a map leaves in its globals is no business of the reduce.
            let script = try script(request, deadline, coverage)
            let partial = try script.reduce(partials)
            return .success((partial, inexactness.union(script.inexactness)))
        } catch {
            return .failure(error)
        }
    }

    /// Of the very frames that were looked at, whatever has the name by now. Throws where one was dropped meanwhile.
    private func acknowledgements(of frames: [String: String]) throws(Failure) -> [FrameAcknowledgements] {
        let registry = cluster.currentRegistry()
        var found: [FrameAcknowledgements] = []
        for (name, text) in frames.sorted(by: { $0.key < $1.key }) {
            guard let id = DefinitionID(text) else { continue }
            guard let entry = registry.frame(id) else { throw FrameService.dropped(name) }
            found.append(entry.acknowledged)
        }
        return found
    }
}

/// What the shards of a node have found so far.
private final class GatheredShards: Sendable {
    private let results: Mutex<[Result<JobMap.ShardPartial, Failure>?]>

    init(count: Int) { results = Mutex(Array(repeating: nil, count: count)) }

    /// All results, in the shards' order, when this was the last one.
    func put(_ result: Result<JobMap.ShardPartial, Failure>, _ index: Int) -> [Result<JobMap.ShardPartial, Failure>]? {
        results.withLock { results in
            results[index] = result
            let found = results.compactMap(\.self)
            return found.count == results.count ? found : nil
        }
    }
}

extension Result {
    fileprivate var isFailure: Bool { if case .failure = self { true } else { false } }
}

extension ComputePool {
    /// Runs `work`, which takes some milliseconds at most, before what takes longer, and waits for it without holding a thread.
    func attemptUrgent<R: Sendable>(
        _ work: @escaping @Sendable () throws(Failure) -> R
    ) async throws(Failure) -> R {
        let result: Result<R, Failure> = await withCheckedContinuation { continuation in
            submitUrgent { continuation.resume(returning: Result(catching: work)) }
        }
        return try result.get()
    }
}
