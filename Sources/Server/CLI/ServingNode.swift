// A node as a service: listens, keeps in step with its peers, and ends gracefully.

import Dispatch
import Engine
import Gather
import Logging
import NIOPosix
import ServiceLifecycle
import Glibc

struct ServingNode: Service, CustomStringConvertible {
    let node: ClusterNode
    let loops: [ServingLoop]
    let listener: MemcachedListener<Router>
    let logger: Logger
    /// Ends when standard input does: for a node that must not outlive the process that started it.
    let endsWithStandardInput: Bool
    /// Loaded again whenever they change; nil where there are none.
    let scripts: ScriptFiles?
    private let shutdownRequest: AsyncStream<Void>
    private let requestShutdown: AsyncStream<Void>.Continuation

    /// `loops` serve clients, and carry what those ask of other nodes; `group` carries what else nodes say to each other.
    init(
        node: ClusterNode, group: MultiThreadedEventLoopGroup, loops: [ServingLoop],
        configuration: MemcachedListenerConfiguration, logger: Logger, endsWithStandardInput: Bool,
        scripts: ScriptFiles?
    ) {
        self.node = node
        self.logger = logger
        self.endsWithStandardInput = endsWithStandardInput
        self.scripts = scripts
        let (stream, continuation) = AsyncStream<Void>.makeStream()
        shutdownRequest = stream
        requestShutdown = continuation
        self.loops = loops
        listener = MemcachedListener(
            configuration, router: node.router, loops: loops,
            links: { node.cluster.links(forLoop: $0) },
            upgrade: PeerAdmission.upgrade(to: node, group: group),
            shutdown: { continuation.yield() })
    }

    var description: String { "node \(node.cluster.selfName)" }

    /// Listens; throws when a port is taken. Before `run`, so that a failure ends the command in one line.
    func start() async throws(Failure) {
        do throws(ListenFailure) { try listener.start() } catch {
            throw Failure(.unreachable, error.description)
        }
        logger.info("\(node.cluster.selfName) listens on \(listener.placeNames.joined(separator: ", "))")
    }

    /// Ends `run`, also before it has begun.
    func end() { requestShutdown.yield() }

    /// Takes the scripts as they are now, changed or not.
    func readScriptsAgain() {
        guard let scripts else { return }
        let engine = node.cluster.engine
        let watcher = ScriptWatcher(files: scripts, engine: engine, logger: logger)
        engine.compute.submit { watcher.reload() }
    }

    func run() async {
        let synchronizing = Task { await node.synchronizeForever() }
        let watching = scripts.map { ScriptWatcher(files: $0, engine: node.cluster.engine, logger: logger).start() }
        if endsWithStandardInput { requestShutdownAtEndOfInput() }
        await withGracefulShutdownHandler {
            for await _ in shutdownRequest { return }
        } onGracefulShutdown: {
            requestShutdown.yield()
        }
        synchronizing.cancel()
        watching?.cancel()
        listener.stop()
        node.cluster.close()
    }

    private func requestShutdownAtEndOfInput() {
        DispatchQueue.global().async {
            var byte: UInt8 = 0
            while read(STDIN_FILENO, &byte, 1) > 0 {}
            requestShutdown.yield()
        }
    }
}
