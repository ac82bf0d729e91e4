// What nodes tell each other of the cluster's data: this node's registry, and how the others learn what is new in it.

package import Coordination
package import Engine
import Logging

extension Cluster {
    package func readRegistry<R>(_ body: (Registry) -> R) -> R { replica.read(body) }

    /// Changes the registry, then makes this node's frames agree with it.
    package func changeRegistry<R>(_ change: (inout Registry) -> R) -> R { replica.change(change) }

    /// The registry with this node's own row counts as they are now.
    package func currentRegistry() -> Registry { replica.current() }

    /// Makes a frame, of which the others learn when this node next publishes; see `RegistryReplica.createFrame`.
    package func createFrame(_ name: String, _ schema: FrameSchema) throws(Failure) -> DefinitionID? {
        try replica.createFrame(name, schema)
    }

    /// See `RegistryReplica.hold`.
    func hold(_ entry: Registry.FrameEntry) throws(Failure) -> Frame { try replica.hold(entry) }

    /// Of those that this node holds.
    package func frame(_ id: DefinitionID) -> Frame? { replica.frame(id) }

    /// Before something is made that others may have: returns once this node has heard from all of them that can be reached, or a
    /// second after its start.
    package func settle() async {
        while !replica.awaited(now: environment.now).isEmpty { await environment.sleep(milliseconds: 5) }
    }

    /// Throws `unreachable` while this node has just started and has not heard from all others: they may know of what it can't
    /// find.
    package func requireSettled(toFind thing: String) throws(Failure) {
        let awaited = replica.awaited(now: environment.now)
        guard !awaited.isEmpty else { return }
        throw Failure(
            .unreachable,
            "\(selfName) has just started, and has not heard from \(awaited.joined(separator: ", ")) yet, "
                + "which may know of \(thing); ask again",
            about: ([selfName] + awaited).map { .named($0) })
    }

    /// Tells every other node what it does not know of what this one knows, and takes in what they know. Returns the nodes that
    /// did not answer.
    @discardableResult
    package func publish(by deadline: Deadline? = nil) async -> [(node: Int, failure: Failure)] {
        let deadline = deadline ?? environment.deadline(afterMilliseconds: 1_000)
        let living = living
        let nodes = otherNodes
        let outcome = await Gatherer<Value>(targets: nodes.count, deadline: deadline, in: self) { index, _, deliver in
            let name = self.topology.nodes[nodes[index]].name
            let message = self.replica.message(to: name, living: living)
            let request = PeerRequest.control(verb: .synchronize, argument: message)
            self.send(request, to: nodes[index], deadline: deadline) { reply in
                switch reply {
                case .success(.value(let answer)):
                    self.mergeSynchronization(answer, from: nodes[index])
                    deliver(.success(.null))
                case .success: deliver(.failure(PeerReply.notUnderstood))
                case .failure(let failure):
                    self.replica.settled(with: name)
                    deliver(.failure(failure))
                }
            }
        }
        .outcome()
        return outcome.failures.map { (nodes[$0.node], $0.failure) }
    }

    /// The runs of the others that are there, as far as they have greeted this node.
    private var living: [String: UInt64] {
        var living: [String: UInt64] = [:]
        for status in statuses { living[status.name] = status.incarnation }
        return living
    }

    /// The answer to `synchronize`: what the speaker does not know, and this node's number of shards. Throws when what it says
    /// can't be; then nothing of it is taken in.
    package func synchronized(with message: Value, from speaker: Counterpart) throws(Failure) -> Value {
        guard case .node(let name, _) = speaker, takeIn(message, from: speaker) else {
            throw Failure(
                .scriptVersion, "\(selfName) was told of frames, rows or nodes that can't be, and believes none of it",
                about: .named(selfName))
        }
        return .object([
            "shards": .int(Int64(engine.shards.count)), "message": replica.message(to: name, living: living),
        ])
    }

    private func mergeSynchronization(_ answer: Value, from node: Int) {
        let name = topology.nodes[node].name
        if case .int(let shards)? = answer["shards"], (1...256).contains(shards) {
            note(shards: Int(shards), ofNode: name)
        }
        guard let message = answer["message"], case .int(let run)? = message["run"],
            // An answer of a run that has been followed by another one is old, and no reason to complain.
            statuses[node].incarnation == UInt64(bitPattern: run)
        else { return }
        if !takeIn(message, from: .node(name: name, incarnation: UInt64(bitPattern: run))) {
            logger.warning("what \(name) says of frames, rows or nodes can't be, and is not believed")
        }
    }

    private func takeIn(_ message: Value, from speaker: Counterpart) -> Bool {
        guard case .node(let name, let incarnation) = speaker else { return false }
        let belief = Belief(speaker: speaker, identity: identity, statuses: statuses)
        return replica.takeIn(message, from: name, incarnation: incarnation, belief)
    }
}

extension Cluster {
    /// Drops this node's rows, by the chunk, that are older than their frames' retention at `now`, in unix milliseconds. Answers how many
    /// rows that were.
    @discardableResult
    package func retire(now: Int64) -> Int {
        replica.retained.reduce(0) { rows, retained in
            let (frame, retention) = retained
            let seconds = min(retention.seconds, 1 << 36)  // two thousand years, far from the end of 64 bits
            let limit = (now - seconds * 1000) * 1000
            // No row outlives its time by more than an eighth because younger ones share its chunk.
            let span = seconds * 1_000_000 / 8
            return rows + frame.retire(column: retention.column, before: limit, spanMax: span)
        }
    }

    /// Tells the other nodes within a few milliseconds, in the background; many calls in that time are one message.
    /// An append does not wait for this: a node that dies in between takes rows with it that nobody expects.
    package func publishSoon() {
        guard !topology.isAlone, replica.beginWaiting() else { return }
        environment.task {
            await self.environment.sleep(milliseconds: 20)
            self.replica.endWaiting()
            await self.publish()
        }
    }
}
