// A node as a service: listens, keeps in step with its peers, and ends gracefully.

import Dispatch
import Engine
import Gather
import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle
import Glibc

struct ServingNode: Service, CustomStringConvertible {
    let node: ClusterNode
    let group: MultiThreadedEventLoopGroup
    let loops: [ServingLoop]
    let listener: MemcachedListener<Router>
    let logger: Logger
    /// Ends when standard input does: for a node that must not outlive the process that started it.
    let endsWithStandardInput: Bool
    /// Loaded again whenever they change; nil where there are none.
    let scripts: ScriptFiles?
    private let shutdownRequest: AsyncStream<Void>
    private let requestShutdown: AsyncStream<Void>.Continuation

    /// `group` carries what nodes say to each other; clients are served by as many threads of their own.
    init(
        node: ClusterNode, group: MultiThreadedEventLoopGroup, threads: Int,
        configuration: MemcachedListenerConfiguration, logger: Logger, endsWithStandardInput: Bool,
        scripts: ScriptFiles?
    ) {
        self.node = node
        self.group = group
        self.logger = logger
        self.endsWithStandardInput = endsWithStandardInput
        self.scripts = scripts
        let (stream, continuation) = AsyncStream<Void>.makeStream()
        shutdownRequest = stream
        requestShutdown = continuation
        loops = (0..<threads).map { ServingLoop(index: $0) }
        listener = MemcachedListener(
            configuration, router: node.router, loops: loops,
            links: { node.cluster.links(forLoop: $0) },
            upgrade: { descriptor, line, remaining, closed in
                Self.upgrade(descriptor, line, remaining, node, group, closed)
            },
            shutdown: { continuation.yield() })
    }

    var description: String { "node \(node.cluster.selfName)" }

    /// A peer's connection goes on over NIO, with what it has sent after its hello.
    private static func upgrade(
        _ descriptor: Int32, _ line: [UInt8], _ remaining: [UInt8], _ node: ClusterNode,
        _ group: MultiThreadedEventLoopGroup, _ closed: @escaping @Sendable () -> Void
    ) {
        ClientBootstrap(group: group)
            .channelInitializer { channel in
                channel.closeFuture.whenComplete { _ in closed() }
                return channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandlers([
                        FirstInput(ByteBuffer(bytes: remaining)),
                        node.peerHandler(hello: String(decoding: line, as: UTF8.self)),
                    ])
                }
            }
            .withConnectedSocket(descriptor)
            .whenFailure { _ in closed() }
    }

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
        // The loops end with the process: methods and jobs that are still at work may yet answer to them.
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

/// Bytes that came before the channel was made, as its first input.
private final class FirstInput: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    private let bytes: ByteBuffer

    init(_ bytes: ByteBuffer) { self.bytes = bytes }

    func channelActive(context: ChannelHandlerContext) {
        context.fireChannelActive()
        if bytes.readableBytes > 0 { context.fireChannelRead(NIOAny(bytes)) }
    }
}
