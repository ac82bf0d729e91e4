// Keys of other servers, as scripts for the low-level interface ask for them: of peers, or of any memcached.

package import Engine

extension Router {
    /// Asks all servers at the same time. A server is a node's name, or `host:port`; one that is no node of this cluster
    /// is asked in memcached's protocol.
    package func ask(
        _ questions: [JobQuestion], deadline: Deadline, completion: @escaping @Sendable ([JobAnswer]) -> Void
    ) {
        guard questions.count <= FreeFormRun.fanOutMax else {
            let failure = Failure(
                .budgetExceeded, "getInParallel asks for \(questions.count) keys, at most \(FreeFormRun.fanOutMax)")
            return completion(questions.map { JobAnswer(question: $0, result: .failure(failure)) })
        }
        environment.task {
            let answers = await withTaskGroup(of: (Int, JobAnswer).self) { group in
                for (index, question) in questions.enumerated() {
                    group.addTask {
                        (index, JobAnswer(question: question, result: await self.fetch(question, deadline)))
                    }
                }
                return await group.reduce(into: []) { $0.append($1) }.sorted { $0.0 < $1.0 }.map(\.1)
            }
            completion(answers)
        }
    }

    private func fetch(_ question: JobQuestion, _ deadline: Deadline) async -> Result<Value, Failure> {
        let nodes = cluster.topology.nodes
        let named = nodes.firstIndex { $0.name == question.server || $0.address == question.server }
        guard let node = named else {
            return await ForeignServer.get(
                question.key, from: question.server,
                milliseconds: environment.remainingMilliseconds(until: deadline))
        }
        guard node != cluster.topology.selfIndex else {
            return await withCheckedContinuation { continuation in
                fetch(question.key, deadline: deadline) { continuation.resume(returning: $0) }
            }
        }
        let request = PeerRequest.fetch(
            key: question.key, deadlineMilliseconds: UInt32(environment.remainingMilliseconds(until: deadline)),
            byJob: false)
        return Self.value(of: await cluster.send(request, to: node, deadline: deadline))
    }
}
