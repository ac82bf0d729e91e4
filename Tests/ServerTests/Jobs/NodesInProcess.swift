// Several nodes in this process, over real connections between them, which tests ask as commands do; each may end by itself.

import Coordination
import Engine
import Gather
import Glibc
import Logging
import NIOCore
import NIOPosix
import Server
import Synchronization

final class NodesInProcess: Sendable {
    private struct Running: Sendable {
        let node: ClusterNode
        let loop: ServingLoop
        let listener: MemcachedListener<Router>
        /// The node's own: what has come to it ends with it.
        let group: MultiThreadedEventLoopGroup
    }

    /// Nil once it has ended.
    private let running: Mutex<[Running?]>
    let count: Int

    init(_ count: Int, shards: Int = 2) throws {
        self.count = count
        let ports = Self.freePorts(count)
        let peers = ports.enumerated().map { "n\($0 + 1)=127.0.0.1:\($1)" }.joined(separator: ",")
        var running: [Running?] = []
        for (at, port) in ports.enumerated() {
            let loop = ServingLoop(index: at)
            let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
            let cluster = Cluster(
                EngineConfiguration(shards: shards, memoryBytes: 64 << 20),
                topology: try Topology(peers: peers, selfName: "n\(at + 1)"), loops: [NIOPeerLoop(group.next())],
                serving: [loop], logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
            let node = ClusterNode(cluster: cluster)
            var configuration = MemcachedListenerConfiguration()
            configuration.port = port
            let listener = MemcachedListener(
                configuration, router: node.router, loops: [loop], links: { node.cluster.links(forLoop: $0) },
                upgrade: PeerAdmission.upgrade(to: node, group: group))
            try listener.start()
            running.append(Running(node: node, loop: loop, listener: listener, group: group))
        }
        self.running = Mutex(running)
    }

    func node(_ at: Int) -> ClusterNode? { running.withLock { $0[at]?.node } }

    /// What it was asked is never answered, and nobody reaches it any more.
    func end(_ at: Int) async {
        let ended = running.withLock { running in
            defer { running[at] = nil }
            return running[at]
        }
        guard let ended else { return }
        ended.listener.stop()
        ended.node.cluster.close()
        ended.loop.shutdown()
        try? await ended.group.shutdownGracefully()
    }

    func endAll() async { for at in 0..<count { await end(at) } }

    /// Nodes for a test, all of which have ended behind it.
    static func with(
        _ count: Int, shards: Int = 2, _ body: (NodesInProcess) async throws -> Void
    ) async throws {
        let nodes = try NodesInProcess(count, shards: shards)
        do { try await body(nodes) } catch {
            await nodes.endAll()
            throw error
        }
        await nodes.endAll()
    }

    /// Ports that nobody listens on.
    static func freePorts(_ count: Int) -> [Int] {
        // All of them held until the last is known, so that no two are the same.
        let sockets = (0..<count).map { _ in socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0) }
        defer { for descriptor in sockets { close(descriptor) } }
        return sockets.map { descriptor in
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
            var count = socklen_t(MemoryLayout<sockaddr_in>.size)
            withUnsafeMutablePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    _ = bind(descriptor, $0, count)
                    _ = getsockname(descriptor, $0, &count)
                }
            }
            return Int(UInt16(bigEndian: address.sin_port))
        }
    }

    // MARK: Questions

    /// What `get key` answers at a node.
    func get(_ key: String, at: Int = 0) async -> Value? {
        guard let node = node(at) else { return nil }
        let result = await withCheckedContinuation { continuation in
            node.router.fetch(Array(key.utf8), deadline: .never) { continuation.resume(returning: $0) }
        }
        return try? result.get()
    }

    /// True where it was stored; why not is printed, as who expects it to be wants to know.
    func set(_ key: String, _ value: String, at: Int = 0) async -> Bool {
        guard let node = node(at) else { return false }
        let result = await withCheckedContinuation { continuation in
            node.router.store(Array(key.utf8), value: Array(value.utf8)) { continuation.resume(returning: $0) }
        }
        if case .failure(let failure) = result { print("set \(key): \(failure)") }
        return (try? result.get()) != nil
    }

    /// The envelope of a job. Its time is far more than a machine that is busy with other tests takes.
    func run(
        _ source: String, _ parameters: [String: Value] = [:], require: Requirement = .all, query: UInt64? = nil,
        at: Int = 0
    ) async -> Value {
        guard let node = node(at) else { return .null }
        var request = JobRequest(
            name: "t", source: Array(source.utf8), parameters: parameters, requirement: require,
            timeoutMilliseconds: 600_000)
        request.query = query
        return await JobRunner(cluster: node.cluster).run(request, router: node.router).value
    }
}

extension Value {
    var reason: String? { self["error"]?["reason"]?.text }
    var message: String { self["error"]?["message"]?.text ?? "" }
}
