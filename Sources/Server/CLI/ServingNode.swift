// A node as a service: listens, keeps in step with its peers, and ends gracefully.

import Dispatch
import Engine
import Gather
import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle

#if canImport(Glibc)
    import Glibc
#endif

struct ServingNode: Service, CustomStringConvertible {
    let node: ClusterNode
    let group: MultiThreadedEventLoopGroup
    let listener: MemcachedListener<Router>
    let logger: Logger
    /// Ends when standard input does: for a node that must not outlive the process that started it.
    let endsWithStandardInput: Bool
    /// Loaded again whenever they change; nil where there are none.
    let scripts: ScriptFiles?
    private let shutdownRequest: AsyncStream<Void>
    private let requestShutdown: AsyncStream<Void>.Continuation

    init(
        node: ClusterNode, group: MultiThreadedEventLoopGroup, configuration: MemcachedListenerConfiguration,
        logger: Logger, endsWithStandardInput: Bool, scripts: ScriptFiles?
    ) {
        self.node = node
        self.group = group
        self.logger = logger
        self.endsWithStandardInput = endsWithStandardInput
        self.scripts = scripts
        let (stream, continuation) = AsyncStream<Void>.makeStream()
        shutdownRequest = stream
        requestShutdown = continuation
        let indices = Dictionary(
            uniqueKeysWithValues: group.makeIterator().enumerated().map { (ObjectIdentifier($0.element), $0.offset) })
        listener = MemcachedListener(
            configuration, router: node.router, group: group,
            links: { loop in node.cluster.links(forLoop: indices[ObjectIdentifier(loop)] ?? 0) },
            upgrade: { channel, line, remaining in Self.upgrade(channel, line, remaining, node) },
            shutdown: { continuation.yield() })
    }

    var description: String { "node \(node.cluster.selfName)" }

    /// The peer handler takes the memcached handler's place, and what the client has sent after its hello.
    private static func upgrade(
        _ channel: any Channel, _ line: [UInt8], _ remaining: ByteBuffer, _ node: ClusterNode
    ) {
        do {
            try channel.pipeline.syncOperations.addHandler(
                node.peerHandler(hello: String(decoding: line, as: UTF8.self)))
            if remaining.readableBytes > 0 { channel.pipeline.fireChannelRead(remaining) }
        } catch {
            channel.close(promise: nil)
        }
    }

    /// Listens; throws when a port is taken. Before `run`, so that a failure ends the command in one line.
    func start() async throws(Failure) {
        do throws(ListenFailure) { try await listener.start() } catch {
            throw Failure(.unreachable, error.description)
        }
        logger.info("\(node.cluster.selfName) listens on \(listener.places.joined(separator: ", "))")
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
        await listener.stop()
        node.cluster.close()
        // The event loops end with the process: methods and jobs that are still at work may yet answer to them.
        _ = Unmanaged.passRetained(group)
    }

    private func requestShutdownAtEndOfInput() {
        DispatchQueue.global().async {
            var byte: UInt8 = 0
            while read(STDIN_FILENO, &byte, 1) > 0 {}
            requestShutdown.yield()
        }
    }
}
