// A job that is one function, `run(p)`: it asks servers for keys as it goes, and is suspended while they answer.

import Coordination
import Engine

struct FreeFormRun {
    let cluster: Cluster
    let router: Router
    /// Of whoever had it run: its script may ask for what they may.
    let roles: Roles

    /// Sub-requests of one getInParallel.
    static let fanOutMax = 10_000

    func run(
        _ request: JobRequest, _ script: JobScript, parameters: Value, deadline: Deadline, envelope: inout Envelope
    ) async throws(Failure) {
        let cluster = cluster
        let scripts = cluster.engine.jobScripts
        let session = try await scripts.attempt(by: deadline) { () throws(Failure) in
            try script.start(parameters: parameters, servers: cluster.topology.nodes.map(\.name))
        }
        var reports: [String: Envelope.NodeReport] = [:]
        var step = try await scripts.attempt(by: deadline) { () throws(Failure) in try session.begin() }
        while case .asks(let questions) = step {
            // On the script's account until they are Lua's.
            let lease = session.share.emptyLease(for: "what was asked for")
            defer { withExtendedLifetime(lease) {} }
            let answers = try await ask(questions, deadline: deadline, lease, reports: &reports)
            step = try await scripts.attempt(by: deadline) { () throws(Failure) in try session.resume(with: answers) }
        }
        guard case .returned(let value) = step else { return }
        envelope.nodes = reports.values.sorted { $0.node < $1.node }
        try decide(request, &envelope)
        let before = envelope
        envelope = try await scripts.attempt(by: deadline) { () throws(Failure) in
            var envelope = before
            try envelope.take(value, script.pace)
            return envelope
        }
    }

    private func decide(_ request: JobRequest, _ envelope: inout Envelope) throws(Failure) {
        let failures = envelope.nodes.compactMap { report in report.failure.map { (report.node, $0) } }
        guard let first = failures.first else { return }
        let answered = envelope.nodes.count - failures.count
        envelope.status = .partial
        guard answered < request.requirement.needed(of: envelope.nodes.count) else { return }
        throw first.1.naming(first.0)
    }

    /// Asks every server for every key at the same time. A miss is an answer; anything else that goes wrong is noted
    /// against the node, and the script gets its reason.
    private func ask(
        _ questions: [JobQuestion], deadline: Deadline, _ lease: MemoryLease,
        reports: inout [String: Envelope.NodeReport]
    ) async throws(Failure) -> [JobAnswer] {
        guard questions.count <= Self.fanOutMax else {
            throw Failure(
                .budgetExceeded, "getInParallel asks for \(questions.count) keys at once, at most \(Self.fanOutMax)")
        }
        for question in questions where cluster.topology.index(of: question.server) == nil {
            let known = cluster.topology.nodes.map(\.name).joined(separator: ", ")
            throw Failure(.scriptError, "there is no server '\(question.server)'; there are \(known)")
        }
        let started = cluster.environment.uptimeNanoseconds
        let limit = cluster.environment.deadline(
            afterMilliseconds: JobRunner(cluster: cluster).mapMilliseconds(of: deadline))
        let found = await Gatherer<Value>(targets: questions.count, deadline: limit, in: cluster) {
            index, _, deliver in
            // Keys of this node are looked up here, one after the other.
            ComputePool.yieldProcessor(at: cluster.environment.uptimeNanoseconds)
            fetch(questions[index], limit) { deliver(Self.keep($0, lease)) }
        }
        .outcome()
        let answers = found.results.map { JobAnswer(question: questions[$0.node], result: $0.result) }
        let milliseconds = Double(cluster.environment.uptimeNanoseconds - started) / 1e6
        for answer in answers {
            let node = answer.question.server
            var report =
                reports[node]
                ?? Envelope.NodeReport(node: node, shards: cluster.shards(ofNode: node), milliseconds: 0)
            report.milliseconds = milliseconds
            if case .failure(let failure) = answer.result, failure.reason != .miss { report.failure = failure }
            reports[node] = report
        }
        return answers
    }

    /// An answer that there is no memory for is none: the script gets that for a reason.
    private static func keep(_ result: Result<Value, Failure>, _ lease: MemoryLease) -> Result<Value, Failure> {
        result.flatMap { value in
            Result { () throws(Failure) in
                try lease.take(MemoryLayout<Value>.stride + value.heldBytes)
                return value
            }
        }
    }

    private func fetch(_ question: JobQuestion, _ deadline: Deadline, _ deliver: @escaping Gatherer<Value>.Deliver) {
        guard let node = cluster.topology.index(of: question.server) else {
            preconditionFailure("asked only of servers that there are")
        }
        // Here, as nodes do what other nodes ask.
        if let refusal = router.refusal(of: question.key, plain: .readItem, roles) { return deliver(.failure(refusal)) }
        guard node != cluster.topology.selfIndex else {
            return router.fetch(question.key, deadline: deadline, byJob: true, completion: deliver)
        }
        let request = PeerRequest.fetch(
            key: question.key, deadlineMilliseconds: UInt32(cluster.environment.remainingMilliseconds(until: deadline)),
            byJob: true)
        cluster.send(request, to: node, deadline: deadline) { deliver(Router.value(of: $0)) }
    }
}
