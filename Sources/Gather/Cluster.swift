// What one node knows of the others: the topology, the links to them, the registry, and its own identity.

package import Coordination
package import Engine
package import Logging
import Synchronization

/// Shared by everything in Gather. The registry changes under a lock; nothing else changes after the start.
package final class Cluster: Sendable {
    package let engine: Engine
    /// The engine's.
    package let environment: any Environment
    /// Of what is under way here.
    let alarms: DeadlineAlarms
    package let topology: Topology
    /// Names this run of the process.
    package let incarnation: UInt64
    package let logger: Logger
    /// Who this node is to its peers.
    package let identity: PeerIdentity
    /// What is known of each node of the topology, this one among them, which nothing is known of.
    package let statuses: [PeerStatus]
    package let jobs: JobTable
    /// Those that this node holds rows of.
    let loads: LoadParticipants
    /// How long a forwarded plain command may take.
    package let requestTimeoutMilliseconds: Int
    /// Of NIO's loops: for what is slow, large, or belongs to no client's connection.
    private let links: [PeerLinks]
    /// Of the loops that serve clients: for what those ask.
    private let forwardLinks: [PeerLinks]
    private let state = Mutex(State())
    private let shardsByNode = Mutex([String: Int]())
    private let publishIsScheduled = Atomic<Bool>(false)
    private let nextQuery: Atomic<UInt64>

    private struct State: Sendable {
        var registry = Registry()
        /// The ids of the frames that this node holds, so that a name that was dropped and made anew is not the old frame.
        var frameIDs: [String: UInt64] = [:]
        /// Those that it could not make, which is said once.
        var refusedFrames: Set<UInt64> = []
    }

    /// `serving`: the loops that serve clients, if they carry what those ask of other nodes; else `loops` do.
    package init(
        engine: Engine, topology: Topology, loops: [any PeerLoop], serving: [any PeerLoop] = [],
        requestTimeoutMilliseconds: Int = 1_000,
        security: PeerSecurity = PeerSecurity(), logger: Logger
    ) {
        self.engine = engine
        let environment = engine.configuration.environment
        self.environment = environment
        alarms = DeadlineAlarms(environment)
        jobs = JobTable(environment)
        nextQuery = Atomic(environment.randomNumber() >> 16)
        self.topology = topology
        self.requestTimeoutMilliseconds = requestTimeoutMilliseconds
        self.logger = logger
        loads = LoadParticipants(frames: engine.frames, environment)
        let incarnation = environment.randomNumber()
        let identity = security.identity(topology: topology, incarnation: incarnation)
        let statuses = topology.nodes.map { PeerStatus(name: $0.name, address: $0.address, logger: logger) }
        self.incarnation = incarnation
        self.identity = identity
        self.statuses = statuses
        let believe: @Sendable (inout MapAnswer, Counterpart) -> Bool = { answer, speaker in
            let belief = Belief(speaker: speaker, identity: identity, statuses: statuses)
            let believed = answer.frames.compactMap { belief.restricted($0) }
            defer { answer.frames = believed }
            return believed.count == answer.frames.count
        }
        func links(_ loops: [any PeerLoop], _ purpose: PeerHello.Purpose) -> [PeerLinks] {
            guard !topology.isAlone else { return [] }
            return loops.map {
                PeerLinks(
                    loop: $0, purpose: purpose, topology: topology, identity: identity, statuses: statuses,
                    believe: believe)
            }
        }
        self.links = links(loops, .anything)
        forwardLinks = links(serving, .forwards)
    }

    package var selfName: String { topology.selfName }
    package var otherNodes: [Int] { topology.nodes.indices.filter { $0 != topology.selfIndex } }

    /// The links for what clients of the serving loop with this index ask; nil for a node that is alone.
    package func links(forLoop index: Int) -> PeerLinks? {
        let links = forwardLinks.isEmpty ? links : forwardLinks
        return links.isEmpty ? nil : links[index % links.count]
    }

    /// Any loop's links, for work that belongs to none.
    package var anyLinks: PeerLinks? {
        links.isEmpty ? nil : links[Int(environment.randomNumber() % UInt64(links.count))]
    }

    package func newQuery() -> UInt64 { nextQuery.wrappingAdd(1, ordering: .relaxed).newValue }

    package func send(_ request: PeerRequest, to node: Int, deadline: Deadline) async -> Result<PeerReply, Failure> {
        guard let links = anyLinks else { return .failure(Failure(.unreachable, "this node has no peers")) }
        return await withCheckedContinuation { continuation in
            links.send(request, to: node, deadline: deadline) { continuation.resume(returning: $0) }
        }
    }

    package func close() {
        for links in links + forwardLinks { links.close() }
    }

    /// How many shards a node has, as it last said; before that, as many as this one.
    package func shards(ofNode name: String) -> Int {
        shardsByNode.withLock { $0[name] } ?? engine.shards.count
    }

    /// A number that no node has is one that was garbled on its way, and no reason to count by it.
    package func note(shards: Int, ofNode name: String) {
        guard (1...Self.shardsMax).contains(shards) else { return }
        shardsByNode.withLock { $0[name] = shards }
    }

    private static let shardsMax = 1 << 16

}

// MARK: - The registry

extension Cluster {
    package func readRegistry<R>(_ body: (Registry) -> R) -> R { state.withLock { body($0.registry) } }

    /// Changes the registry, then makes this node's frames agree with it.
    package func changeRegistry<R>(_ change: (inout Registry) -> R) -> R {
        state.withLock { state in
            defer { applyFrames(&state) }
            return change(&state.registry)
        }
    }

    /// Frames that were dropped elsewhere are dropped here, frames that others created are created here.
    private func applyFrames(_ state: inout State) {
        for (name, id) in state.frameIDs where state.registry.isGone(name, id: id) {
            _ = engine.frames.drop(name)
            state.frameIDs[name] = nil
            state.refusedFrames = []
        }
        for (name, entry) in state.registry.frames where state.frameIDs[name] != entry.id {
            do {
                _ = try engine.frames.create(name, schema: FrameSchema(value: entry.schema))
                state.frameIDs[name] = entry.id
            } catch {
                guard state.refusedFrames.insert(entry.id).inserted else { continue }
                logger.warning("frame \(name) can't be made as another node made it: \(error.message)")
            }
        }
    }

    /// The registry with this node's own row counts as they are now.
    package func currentRegistry() -> Registry {
        state.withLock { state in
            for name in state.registry.frames.keys {
                // A node that never held a row of it has nothing to answer for, however often it was restarted.
                guard let statistics = engine.frames.find(name)?.statistics else { continue }
                let rows = statistics.rows + statistics.retiredRows
                guard rows > 0 else { continue }
                state.registry.acknowledge(
                    rows, retired: statistics.retiredRows, frame: name, node: selfName, incarnation: incarnation)
            }
            return state.registry
        }
    }

    /// Tells every other node what this one knows, and takes in what they know. Returns the nodes that did not answer.
    @discardableResult
    package func publish(by deadline: Deadline? = nil) async -> [(node: Int, failure: Failure)] {
        let deadline = deadline ?? environment.deadline(afterMilliseconds: 1_000)
        guard !otherNodes.isEmpty else { return [] }
        let state = currentRegistry().value
        return await withTaskGroup(of: (Int, Failure)?.self) { group in
            for node in otherNodes {
                group.addTask {
                    let request = PeerRequest.control(verb: .synchronize, argument: state)
                    switch await self.send(request, to: node, deadline: deadline) {
                    case .success(.value(let answer)):
                        self.mergeSynchronization(answer, from: node)
                        return nil
                    case .success: return (node, PeerReply.notUnderstood)
                    case .failure(let failure): return (node, failure)
                    }
                }
            }
            var failures: [(node: Int, failure: Failure)] = []
            for await failure in group { if let failure { failures.append(failure) } }
            return failures.sorted { $0.node < $1.node }
        }
    }

    /// The answer to `synchronize`: this node's registry and its number of shards. Throws when what the speaker says can't
    /// be; then nothing of it is taken in.
    package func synchronized(with state: Value, from speaker: Counterpart) throws(Failure) -> Value {
        guard takeIn(state, from: speaker) else {
            throw Failure(
                .scriptVersion, "\(selfName) was told of frames, rows or nodes that can't be, and believes none of it")
        }
        return .object(["shards": .int(Int64(engine.shards.count)), "registry": currentRegistry().value])
    }

    private func mergeSynchronization(_ answer: Value, from node: Int) {
        let name = topology.nodes[node].name
        if case .int(let shards)? = answer["shards"], (1...256).contains(shards) {
            note(shards: Int(shards), ofNode: name)
        }
        guard let state = answer["registry"], let incarnation = statuses[node].incarnation else { return }
        if !takeIn(state, from: .node(name: name, incarnation: incarnation)) {
            logger.warning("what \(name) says of frames, rows or nodes can't be, and is not believed")
        }
    }

    private func takeIn(_ state: Value, from speaker: Counterpart) -> Bool {
        let belief = Belief(speaker: speaker, identity: identity, statuses: statuses)
        guard let other = belief.restricted(registry: state).flatMap(Registry.init(value:)) else { return false }
        changeRegistry { $0.merge(other) }
        return true
    }
}

extension Cluster {
    /// Drops this node's rows, by the chunk, that are older than their frames' retention at `now`, in unix milliseconds. Answers how many
    /// rows that were.
    @discardableResult
    package func retire(now: Int64) -> Int {
        let retained = readRegistry { $0.frames.compactMapValues(\.retention).filter { $0.value.seconds > 0 } }
        return retained.reduce(0) { rows, entry in
            let seconds = min(entry.value.seconds, 1 << 36)  // two thousand years, far from the end of 64 bits
            let limit = (now - seconds * 1000) * 1000
            // No row outlives its time by more than an eighth because younger ones share its chunk.
            let span = seconds * 1_000_000 / 8
            let frame = engine.frames.find(entry.key)
            return rows + (frame?.retire(column: entry.value.column, before: limit, spanMax: span) ?? 0)
        }
    }

    /// Tells the other nodes within a few milliseconds, in the background; many calls in that time are one message.
    /// An append does not wait for this: a node that dies in between takes rows with it that nobody expects.
    package func publishSoon() {
        guard !topology.isAlone, !publishIsScheduled.exchange(true, ordering: .acquiringAndReleasing) else { return }
        environment.task {
            await self.environment.sleep(milliseconds: 20)
            self.publishIsScheduled.store(false, ordering: .releasing)
            await self.publish()
        }
    }
}
