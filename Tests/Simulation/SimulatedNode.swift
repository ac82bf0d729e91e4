// A simulated node: a name and an address for good, and one run of its process after another, each a whole node of the product.

import Engine
import Gather
import Logging

final class SimulatedNode {
    let name: String
    private let world: World
    private let network: Network
    private let peers: String
    /// Nil while its process is gone.
    private(set) var running: NodeRunning?
    /// True times at which a run ended, and with it all that it had.
    private(set) var ends: [UInt64] = []
    private var chance: SeededRandom

    init(_ name: String, _ index: Int, peers: String, _ network: Network) {
        self.name = name
        self.peers = peers
        self.network = network
        world = network.world
        chance = World.chance(world.seed, 100 + UInt64(index))
        network.add(self)
    }

    func start() {
        precondition(running == nil)
        var next = chance
        chance = SeededRandom(next.next())
        running = NodeRunning(self, peers: peers, network, next)
    }

    func kill() {
        guard let run = running else { return }
        running = nil
        ends.append(world.time)
        run.end()
    }
}

/// One run of a node's process. After its end what it was at goes on without a network, and nobody sees it.
final class NodeRunning {
    let node: SimulatedNode
    let process: Process
    let environment: SimulatedEnvironment
    let loops: [SimulatedLoop]
    /// That serves clients.
    var serving: SimulatedLoop { loops[1] }
    let cluster: Cluster
    let service: ClusterNode
    private(set) var isAlive = true
    private let network: Network
    private var background: Task<Void, Never>?

    init(_ node: SimulatedNode, peers: String, _ network: Network, _ chance: SeededRandom) {
        self.node = node
        self.network = network
        let process = Process()
        let environment = SimulatedEnvironment(network.world, process, chance)
        self.process = process
        self.environment = environment
        let loops = (0..<2).map { _ in SimulatedLoop(network, environment, process) }
        self.loops = loops
        var configuration = EngineConfiguration(
            shards: 2, computeThreads: 2, memoryBytes: 8 << 20, itemBytesMax: 64 << 10, frameMemoryBytes: 64 << 20)
        configuration.environment = environment
        guard let topology = try? Topology(peers: peers, selfName: node.name) else { fatalError("peers: \(peers)") }
        cluster = Cluster(
            configuration, topology: topology, loops: [loops[0]], serving: [loops[1]],
            logger: Logger(label: node.name, factory: { _ in SwiftLogNoOpLogHandler() }))
        service = ClusterNode(cluster: cluster)
        for loop in loops { loop.run = self }
        background = environment.task { [service] in await service.synchronizeForever() }
    }

    func end() {
        isAlive = false
        process.stoppedUntil = 0
        for connection in network.connections(of: self) {
            for channel in [connection.caller, connection.called] where channel.run === self { channel.processEnds() }
        }
        background?.cancel()
        cluster.close()
    }
}
