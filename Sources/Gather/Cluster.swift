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
    /// Where keys live, and on which nodes.
    package let view: TopologyView
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
    let replica: RegistryReplica
    private let shardsByNode = Mutex([String: Int]())
    private let nextQuery: Atomic<UInt64>

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
        precondition(
            topology.isAlone || engine.configuration.placement.isShared,
            "the stores of a cluster's node have to place keys as the other nodes do")
        view = TopologyView(topology)
        self.requestTimeoutMilliseconds = requestTimeoutMilliseconds
        self.logger = logger
        loads = LoadParticipants(frames: engine.frames, environment)
        let incarnation = environment.randomNumber()
        let identity = security.identity(topology: topology, incarnation: incarnation)
        let statuses = topology.nodes.map { PeerStatus(name: $0.name, address: $0.address, logger: logger) }
        self.incarnation = incarnation
        self.identity = identity
        self.statuses = statuses
        replica = RegistryReplica(
            frames: engine.frames, selfName: topology.selfName, run: incarnation, peers: identity.others.sorted(),
            now: environment.now, logger: logger)
        let believe: @Sendable (MapAnswer, Counterpart) -> Bool = { answer, speaker in
            let belief = Belief(speaker: speaker, identity: identity, statuses: statuses)
            return answer.frames.allSatisfy { belief.restricted($0) != nil }
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

    /// Makes the engine too, which so places keys as the other nodes do.
    package convenience init(
        _ configuration: EngineConfiguration, topology: Topology, loops: [any PeerLoop],
        serving: [any PeerLoop] = [], security: PeerSecurity = PeerSecurity(), logger: Logger
    ) {
        var configuration = configuration
        configuration.placement = topology.placement
        self.init(
            engine: Engine(configuration), topology: topology, loops: loops, serving: serving, security: security,
            logger: logger)
    }

    package var topology: Topology { view.topology }
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
        await withCheckedContinuation { continuation in
            send(request, to: node, deadline: deadline) { continuation.resume(returning: $0) }
        }
    }

    func send(
        _ request: PeerRequest, to node: Int, deadline: Deadline,
        completion: @escaping @Sendable (Result<PeerReply, Failure>) -> Void
    ) {
        guard let links = anyLinks else {
            return completion(.failure(Failure(.unreachable, "this node has no peers")))
        }
        links.send(request, to: node, deadline: deadline, completion: completion)
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
