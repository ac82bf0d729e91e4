// The coordinator of a job: scatters the map, checks what the answers cover, reduces, finishes, and says all of it.

import Engine

package struct JobRunner: Sendable {
    let cluster: Cluster

    package init(cluster: Cluster) { self.cluster = cluster }

    /// Runs a job to its envelope; every failure is in the envelope, nothing is thrown.
    package func run(_ request: JobRequest, router: Router) async -> Envelope {
        let started = monotonicNanoseconds()
        var envelope = Envelope(query: request.query ?? cluster.newQuery(), job: request.name)
        cluster.jobs.begin(envelope.query, name: request.name)
        defer { cluster.jobs.end(envelope.query, status: envelope.status.rawValue) }
        let deadline = Deadline.after(milliseconds: request.timeoutMilliseconds)
        do throws(Failure) {
            let definition = try await inspect(request, deadline)
            let parameters = try JobParameters.resolve(
                given: request.parameters, defaults: definition.parameters, job: request.name)
            if definition.hasRun {
                try await FreeFormRun(cluster: cluster, router: router)
                    .run(request, parameters: parameters, deadline: deadline, envelope: &envelope)
            } else {
                try await mapAndReduce(request, parameters: parameters, deadline: deadline, envelope: &envelope)
            }
        } catch {
            envelope.status = .error
            envelope.error = error
        }
        envelope.milliseconds = Double(monotonicNanoseconds() - started) / 1e6
        return envelope
    }

    func inspect(_ request: JobRequest, _ deadline: Deadline) async throws(Failure) -> JobDefinition {
        try await cluster.engine.compute.attempt { () throws(Failure) in
            try JobScript(request.source, name: request.name, now: unixMilliseconds(), deadline: deadline).definition
        }
    }

    private func mapAndReduce(
        _ request: JobRequest, parameters: Value, deadline: Deadline, envelope: inout Envelope
    ) async throws(Failure) {
        let map = MapRequest(
            query: envelope.query, name: request.name, source: request.source, parameters: parameters,
            deadlineMilliseconds: UInt32(Self.mapMilliseconds(of: deadline)), now: unixMilliseconds())
        let outcome = await scatter(map, require: request.requirement)
        report(outcome, in: &envelope)
        let lost = checkCoverage(of: outcome, in: &envelope)
        try decide(outcome, lost: lost, request: request, envelope: &envelope)
        let partials = outcome.answers.sorted { $0.node < $1.node }.filter { answer in
            !lost.contains { $0.node == answer.node }
        }
        .map(\.answer.partial).filter { !$0.isEmpty }
        guard !partials.isEmpty else {
            throw Failure(.miss, "job \(request.name) found no data: its map returned nothing on any shard")
        }
        (envelope.result, envelope.relativeErrors) = try await reduce(partials, map, deadline)
    }

    /// The map gets what is left less a reserve for the reduce: a tenth, at least 20 ms.
    static func mapMilliseconds(of deadline: Deadline) -> Int {
        let remaining = deadline.remainingMilliseconds
        return max(1, remaining - max(20, remaining / 10))
    }

    // MARK: Scatter

    func scatter(_ map: MapRequest, require requirement: Requirement) async -> Scatter<MapAnswer>.Outcome {
        let deadline = Deadline.after(milliseconds: Int(map.deadlineMilliseconds))
        let cluster = cluster
        return await ScatterDriver.run(
            nodes: cluster.topology.nodes.count, require: requirement, deadline: deadline
        ) { node, deliver in
            guard node != cluster.topology.selfIndex, let links = cluster.anyLinks else {
                Task { deliver(await JobMap(cluster: cluster).run(map)) }
                return
            }
            links.send(.map(map), to: node, deadline: deadline) { reply in
                switch reply {
                case .success(.mapped(let answer)): deliver(.success(answer))
                case .success: deliver(.failure(PeerReply.notUnderstood))
                case .failure(let failure): deliver(.failure(failure))
                }
            }
        }
    }

    private func report(_ outcome: Scatter<MapAnswer>.Outcome, in envelope: inout Envelope) {
        for (node, answer) in outcome.answers {
            let name = cluster.topology.nodes[node].name
            cluster.note(shards: answer.shards, ofNode: name)
            envelope.nodes.append(
                Envelope.NodeReport(node: name, shards: answer.shards, milliseconds: answer.milliseconds))
            envelope.rowsScanned += answer.rowsScanned
            envelope.chunksScanned += answer.chunksScanned
            envelope.chunksPruned += answer.chunksPruned
            envelope.chunksCached += answer.chunksCached
        }
        for (node, failure) in outcome.failures {
            let name = cluster.topology.nodes[node].name
            envelope.nodes.append(
                Envelope.NodeReport(node: name, shards: cluster.shards(ofNode: name), failure: failure))
        }
        envelope.nodes.sort { $0.node < $1.node }
    }

    // MARK: Coverage

    /// A node that answered, but not for all the rows that were acknowledged to its name.
    struct Loss {
        var node: Int
        var failure: Failure
    }

    /// Holds the answers against every node's knowledge of the rows that were acknowledged. Sets the expected rows; returns
    /// the nodes whose answers are incomplete, which also count as failed in the envelope.
    private func checkCoverage(of outcome: Scatter<MapAnswer>.Outcome, in envelope: inout Envelope) -> [Loss] {
        let known = cluster.changeRegistry { registry in
            registry.acknowledgements(with: outcome.answers.flatMap(\.answer.frames))
        }
        envelope.rowsExpected = known.reduce(0) { $0 + $1.expectedRows }
        var losses: [Loss] = []
        for (node, answer) in outcome.answers {
            let name = cluster.topology.nodes[node].name
            for frame in known {
                let lost = frame.lostRows(node: name, incarnation: answer.incarnation)
                guard lost > 0 else { continue }
                let failure = Failure(
                    .incompleteData,
                    "\(name) was restarted and lost \(lost) rows of frame \(frame.frame): "
                        + "drop it (get frame:drop:\(frame.frame)) and load it again")
                losses.append(Loss(node: node, failure: failure))
                if let index = envelope.nodes.firstIndex(where: { $0.node == name }) {
                    envelope.nodes[index].failure = failure
                }
            }
        }
        return losses
    }

    private func decide(
        _ outcome: Scatter<MapAnswer>.Outcome, lost: [Loss], request: JobRequest, envelope: inout Envelope
    ) throws(Failure) {
        let total = outcome.answers.count + outcome.failures.count
        let lostNodes = Set(lost.map(\.node))
        let complete = outcome.answers.count - lostNodes.count
        if complete >= request.requirement.needed(of: total) {
            envelope.status = complete == total ? .complete : .partial
            return
        }
        var failures = outcome.failures + lost.map { ($0.node, $0.failure) }
        failures.sort { Self.rank($0.failure) < Self.rank($1.failure) }
        guard let first = failures.first else { return }
        let name = cluster.topology.nodes[first.node].name
        let more = failures.dropFirst().count { $0.failure.reason != .cancelled }
        let others = more > 0 ? " (and \(more) more)" : ""
        let named = first.failure.naming(name)
        throw Failure(named.reason, named.message + others)
    }

    /// A node that was not awaited only says that another one failed: that other one's failure is the one to tell.
    private static func rank(_ failure: Failure) -> Int { failure.reason == .cancelled ? 1 : 0 }

    // MARK: Reduce

    private func reduce(
        _ partials: [[UInt8]], _ map: MapRequest, _ deadline: Deadline
    ) async throws(Failure) -> (result: Value, relativeErrors: [(column: String, error: Double)]) {
        try await cluster.engine.compute.attempt { () throws(Failure) in
            let script = try JobScript(map.source, name: map.name, now: map.now, deadline: deadline)
            var decoded: [JobPartial] = []
            for partial in partials { decoded.append(try JobPartial(decoding: partial)) }
            let reduced = try script.reduce(decoded)
            return (try script.finish(reduced, parameters: map.parameters), reduced.relativeErrors)
        }
    }
}
