// The coordinator of a job: scatters the map, checks what the answers cover, reduces, finishes, and says all of it.

import Coordination
import Engine

package struct JobRunner: Sendable {
    let cluster: Cluster

    package init(cluster: Cluster) { self.cluster = cluster }

    /// Runs a job to its envelope; every failure is in the envelope, nothing is thrown.
    package func run(_ request: JobRequest, router: Router) async -> Envelope {
        let started = cluster.environment.uptimeNanoseconds
        let query = request.query ?? cluster.newQuery()
        let cancellation = Cancellation()
        let log = JobLog(memory: cluster.engine.jobStates.memory)
        var envelope = Envelope(query: query, job: request.name)
        do throws(Failure) {
            try cluster.jobs.begin(query, request, cancellation)
            let deadline = cluster.environment.deadline(afterMilliseconds: request.timeoutMilliseconds)
            envelope = try await JobRace.run(
                job: request.name, by: deadline, cancellation, in: cluster
            ) {
                await perform(request, query, deadline, cancellation, log, router)
            }
        } catch {
            envelope.status = .error
            envelope.error = error
        }
        envelope.take(log)
        let nanoseconds = cluster.environment.uptimeNanoseconds - started
        envelope.milliseconds = Double(nanoseconds) / 1e6
        cluster.jobs.end(cancellation, envelope)
        cluster.jobs.figures.ended(envelope, nanoseconds: nanoseconds)
        cluster.engine.configuration.events.tell(
            .jobEnded(
                name: request.name, status: envelope.status.rawValue, reason: envelope.error?.reason.rawValue ?? "",
                nanoseconds: nanoseconds))
        if let failure = envelope.error, failure.reason == .scriptError || failure.reason == .budgetExceeded {
            cluster.engine.configuration.errors.note("job \(request.name)", object: nil, failure)
        }
        let slow = cluster.engine.configuration.slow
        if slow.isSlow(nanoseconds) {
            slow.note(
                "job \(request.name)", nanoseconds: nanoseconds,
                unixMilliseconds: cluster.environment.unixMilliseconds)
        }
        return envelope
    }

    private func perform(
        _ request: JobRequest, _ query: UInt64, _ deadline: Deadline, _ cancellation: Cancellation, _ log: JobLog,
        _ router: Router
    ) async -> Envelope {
        var envelope = Envelope(query: query, job: request.name)
        do throws(Failure) {
            let count = cluster.topology.nodes.count
            guard request.requirement.canBeMet(by: count) else {
                let nodes = count == 1 ? "1 node" : "\(count) nodes"
                throw Failure(
                    .scriptError,
                    "require=\(request.requirement) is more than there are: the cluster has \(nodes); require=all is all of them"
                )
            }
            let now = cluster.environment.unixMilliseconds
            let script = try await load(request, now: now, deadline, cancellation, log)
            let parameters = try JobParameters.resolve(
                given: request.parameters, defaults: script.definition.parameters, job: request.name)
            if script.definition.hasRun {
                if let refusal = request.roles.refusal(of: .runFreeForm, "job \(request.name), which has run(p),") {
                    throw refusal
                }
                try await FreeFormRun(cluster: cluster, router: router, roles: request.roles)
                    .run(request, script, parameters: parameters, deadline: deadline, envelope: &envelope)
            } else {
                let map = MapRequest(
                    query: envelope.query, name: request.name, source: request.source, parameters: parameters,
                    deadlineMilliseconds: UInt32(mapMilliseconds(of: deadline)), now: now)
                try await mapAndReduce(
                    map, script, require: request.requirement, deadline: deadline, log, envelope: &envelope)
            }
        } catch {
            envelope.status = .error
            envelope.error = error
        }
        return envelope
    }

    func load(
        _ request: JobRequest, now: Int64, _ deadline: Deadline, _ cancellation: Cancellation, _ log: JobLog? = nil
    ) async throws(Failure) -> JobScript {
        // Of the coordinator's own script too, a reason why it ended should come before the deadline does.
        let limit = scriptDeadline(deadline)
        return try await cluster.engine.jobScripts.attempt(by: limit) { () throws(Failure) in
            try JobScript(
                request.source, name: request.name, now: now, deadline: limit, states: cluster.engine.jobStates,
                cancellation: cancellation, log: log)
        }
    }

    /// A little before the job's: a twentieth of what is left, 20 ms at most.
    private func scriptDeadline(_ deadline: Deadline) -> Deadline {
        let reserve = min(20, cluster.environment.remainingMilliseconds(until: deadline) / 20)
        return Deadline(uptimeNanoseconds: deadline.uptimeNanoseconds - UInt64(reserve) * 1_000_000)
    }

    private func mapAndReduce(
        _ map: MapRequest, _ script: JobScript, require requirement: Requirement, deadline: Deadline, _ log: JobLog,
        envelope: inout Envelope
    ) async throws(Failure) {
        let found = try await settled(
            map, script, require: requirement, deadline: deadline, log, envelope: &envelope)
        let before = envelope
        envelope = try await cluster.engine.jobScripts.attempt(by: deadline) { () throws(Failure) in
            var envelope = before
            try envelope.take(try script.finish(found.partial, parameters: map.parameters), script.pace)
            return envelope
        }
        envelope.inexactness.formUnion(found.partial.inexactness.union(script.inexactness))
    }

    /// One round: scattered, checked, reduced, and reported in the envelope.
    func round(
        _ map: MapRequest, _ script: JobScript, require requirement: Requirement, _ log: JobLog,
        envelope: inout Envelope
    ) async throws(Failure) -> ReducedRound {
        let started = cluster.environment.uptimeNanoseconds
        let limit = cluster.environment.deadline(afterMilliseconds: Int(map.deadlineMilliseconds))
        let inclusions = LoadInclusions(count: cluster.topology.nodes.count)
        let gatherer = scatter(map, require: requirement, by: limit, log, inclusions)
        let (aligned, torn) = await inOneView(await gatherer.outcome(), gatherer, inclusions, since: started)
        try await checkFrames(of: aligned)
        let lost = try torn + checkCoverage(of: aligned, in: &envelope)
        report(aligned, besides: lost, in: &envelope)
        try decide(aligned, lost: lost, require: requirement, envelope: &envelope)
        let answers = aligned.answers.sorted { $0.node < $1.node }.filter { answer in
            !lost.contains { $0.node == answer.node }
        }
        .map(\.answer)
        return try await cluster.engine.jobScripts.attempt(by: script.deadline) { () throws(Failure) in
            try ReducedRound(answers, script, job: map.name)
        }
    }

    /// The map gets what is left less a reserve for the reduce: a tenth, at least 20 ms.
    func mapMilliseconds(of deadline: Deadline) -> Int {
        let remaining = cluster.environment.remainingMilliseconds(until: deadline)
        return max(1, remaining - max(20, remaining / 10))
    }

    // MARK: Scatter

    /// Not begun yet. `inclusions`: what nodes that are asked again are to have.
    func scatter(
        _ map: MapRequest, require requirement: Requirement, by deadline: Deadline, _ log: JobLog,
        _ inclusions: LoadInclusions? = nil
    ) -> Gatherer<NodeAnswer> {
        // One thread sends to all nodes, and hears from them.
        let links = cluster.anyLinks
        return Gatherer(
            targets: cluster.topology.nodes.count, require: requirement, deadline: deadline, in: cluster
        ) { node, attempt, deliver in
            var request = map
            if attempt > 0, let inclusions {
                let left = cluster.environment.remainingMilliseconds(until: deadline)
                request.deadlineMilliseconds = UInt32(max(1, left))
                let inclusion = inclusions.of(node)
                (request.include, request.counts) = (inclusion.loads, inclusion.counts)
            }
            ask(node, request, links, deadline, log, deliver)
        }
    }

    func ask(
        _ node: Int, _ map: MapRequest, _ links: PeerLinks?, _ deadline: Deadline, _ log: JobLog,
        _ deliver: @escaping Gatherer<NodeAnswer>.Deliver
    ) {
        let log = cluster.topology.nodes.count > 1 ? JobLog(partOf: log, node: cluster.topology.nodes[node].name) : log
        guard node != cluster.topology.selfIndex, let links else {
            JobMap(cluster: cluster, log: log).run(map, encodes: false, completion: deliver)
            return
        }
        links.send(.map(map), to: node, deadline: deadline) { reply in
            switch reply {
            case .success(.mapped(let answer)):
                log.add(answer.log)
                decode(answer, deadline, deliver)
            case .success(.mapFailed(let failure, let said)):
                log.add(said)
                deliver(.failure(failure))
            case .success: deliver(.failure(PeerReply.notUnderstood))
            case .failure(let failure): deliver(.failure(failure))
            }
        }
    }

    /// A large partial takes long to decode: that is done on the compute pool, while others are still scanning.
    private func decode(
        _ answer: MapAnswer, _ deadline: Deadline, _ deliver: @escaping Gatherer<NodeAnswer>.Deliver
    ) {
        let memory = cluster.engine.jobStates.memory
        let work: @Sendable () -> Void = {
            let pace = WorkPace(deadline: deadline, share: ScriptShare(of: memory), isCancelled: { false })
            deliver(Result { () throws(Failure) in try NodeAnswer(decoding: answer, pace) })
        }
        if answer.partial.count < Self.largePartialBytes { work() } else { cluster.engine.compute.submit(work) }
    }

    private static let largePartialBytes = 8 << 10

    /// What each node did, and the sums over those whose answers are used.
    private func report(_ outcome: Gathered<NodeAnswer>, besides lost: [Loss], in envelope: inout Envelope) {
        for (node, found) in outcome.answers {
            let answer = found.answer
            let name = cluster.topology.nodes[node].name
            let failure = lost.first { $0.node == node }?.failure
            cluster.note(shards: answer.shards, ofNode: name)
            envelope.nodes.append(
                Envelope.NodeReport(
                    node: name, shards: answer.shards, milliseconds: answer.milliseconds, failure: failure))
            guard failure == nil else { continue }
            envelope.frames.formUnion(answer.frames.map(\.frame))
            envelope.rowsScanned = envelope.rowsScanned.clampedAdding(answer.rowsScanned)
            envelope.chunksScanned = envelope.chunksScanned.clampedAdding(answer.chunksScanned)
            envelope.chunksPruned = envelope.chunksPruned.clampedAdding(answer.chunksPruned)
            envelope.chunksCached = envelope.chunksCached.clampedAdding(answer.chunksCached)
            envelope.inexactness.formUnion(answer.inexactness)
        }
        for (node, failure) in outcome.failures {
            let name = cluster.topology.nodes[node].name
            envelope.nodes.append(
                Envelope.NodeReport(node: name, shards: cluster.shards(ofNode: name), failure: failure))
        }
        envelope.nodes.sort { $0.node < $1.node }
    }

    private func decide(
        _ outcome: Gathered<NodeAnswer>, lost: [Loss], require requirement: Requirement, envelope: inout Envelope
    ) throws(Failure) {
        let total = outcome.answers.count + outcome.failures.count
        let lostNodes = Set(lost.map(\.node))
        let complete = outcome.answers.count - lostNodes.count
        if complete >= requirement.needed(of: total) {
            envelope.status = complete == total ? .complete : .partial
            return
        }
        let failures = outcome.failures + lost.map { ($0.node, $0.failure) }
        guard let first = Gathered<NodeAnswer>.toTell(failures, { $0.failure }) else { return }
        let name = cluster.topology.nodes[first.node].name
        let more = failures.count { $0.failure.reason != .cancelled } - 1
        let others = more > 0 ? " (and \(more) more)" : ""
        let named = first.failure.naming(name)
        throw named.saying(named.message + others)
    }
}
