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
            let found = await Gatherer<Value>(targets: questions.count, deadline: deadline, in: self.cluster) {
                index, _, deliver in self.fetch(questions[index], deadline, deliver)
            }
            .outcome()
            completion(found.results.map { JobAnswer(question: questions[$0.node], result: $0.result) })
        }
    }

    private func fetch(_ question: JobQuestion, _ deadline: Deadline, _ deliver: @escaping Gatherer<Value>.Deliver) {
        let nodes = cluster.topology.nodes
        let named = nodes.firstIndex { $0.name == question.server || $0.address == question.server }
        let milliseconds = environment.remainingMilliseconds(until: deadline)
        guard let node = named else {
            environment.task {
                deliver(await ForeignServer.get(question.key, from: question.server, milliseconds: milliseconds))
            }
            return
        }
        guard node != cluster.topology.selfIndex else {
            return fetch(question.key, deadline: deadline, completion: deliver)
        }
        let request = PeerRequest.fetch(
            key: question.key, deadlineMilliseconds: UInt32(milliseconds), byJob: false)
        cluster.send(request, to: node, deadline: deadline) { deliver(Self.value(of: $0)) }
    }
}
