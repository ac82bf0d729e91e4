// Peer connections over SwiftNIO: what jobs, loads and commands use, which are slow and large beside a key's value.

package import Coordination
import Engine
import Glibc
package import NIOCore
import NIOPosix

/// An event loop of NIO's.
package final class NIOPeerLoop: PeerLoop {
    private let loop: any EventLoop

    package init(_ loop: any EventLoop) { self.loop = loop }

    package var now: Instant { Instant(nanoseconds: monotonicNanoseconds()) }
    package var isCurrent: Bool { loop.inEventLoop }

    package func execute(_ errand: @escaping @Sendable () -> Void) { loop.execute(errand) }

    package func afterTurn(_ errand: @escaping @Sendable () -> Void) { loop.execute(errand) }

    package func schedule(afterMilliseconds: Int, _ errand: @escaping @Sendable () -> Void) -> PeerTimer {
        let task = loop.scheduleTask(in: .milliseconds(Int64(afterMilliseconds))) { errand() }
        return PeerTimer { task.cancel() }
    }

    package func connect(
        host: String, port: Int, milliseconds: Int, user: any PeerChannelUser,
        made: @escaping @Sendable (Result<any PeerChannel, PeerConnectFailure>) -> Void
    ) {
        let handler = NIOPeerChannel(loop: self, user: user)
        ClientBootstrap(group: loop)
            .channelOption(.socketOption(.tcp_nodelay), value: 1)
            .connectTimeout(.milliseconds(Int64(milliseconds)))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(handler)
                }
            }
            .connect(host: host, port: port)
            .whenComplete { result in
                switch result {
                case .success: made(.success(handler))
                case .failure(let error):
                    made(.failure(PeerConnectFailure(plainText(of: error), isSilence: error is ChannelError)))
                }
            }
    }
}

/// A channel of NIO's, as the last handler of its pipeline.
package final class NIOPeerChannel: ChannelInboundHandler, PeerChannel, @unchecked Sendable {
    package typealias InboundIn = ByteBuffer

    package let loop: any PeerLoop
    private var user: (any PeerChannelUser)?
    private let makeUser: ((any PeerChannel) -> any PeerChannelUser)?
    private var channel: (any Channel)?
    private var reason: String?

    init(loop: any PeerLoop, user: any PeerChannelUser) {
        self.loop = loop
        self.user = user
        makeUser = nil
    }

    /// The user of an accepted connection is made once it is known who is at the other end.
    package init(loop: any EventLoop, user: @escaping (any PeerChannel) -> any PeerChannelUser) {
        self.loop = NIOPeerLoop(loop)
        makeUser = user
    }

    // MARK: The user's

    package var isLoopback: Bool { channel?.remoteAddress?.isLoopback ?? false }
    package var host: String { channel?.remoteAddress?.ipAddress ?? "" }
    package var place: String { channel?.remoteAddress?.description ?? "a unix socket" }
    package var isWritable: Bool { channel?.isWritable ?? false }

    package var unsentBytes: Int {
        guard let channel, channel.isActive else { return 0 }
        return (try? channel.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0
    }

    package func send(_ bytes: inout ByteBuffer) {
        guard let channel else { return bytes.clear() }
        let all = bytes
        bytes = channel.allocator.buffer(capacity: 4_096)
        channel.writeAndFlush(all, promise: nil)
    }

    package func setReading(_ reads: Bool) { _ = channel?.setOption(.autoRead, value: reads) }
    package func close() { channel?.close(promise: nil) }

    // MARK: The pipeline's

    package func handlerAdded(context: ChannelHandlerContext) {
        channel = context.channel
        if context.channel.isActive { start(context.channel) }
    }

    package func channelActive(context: ChannelHandlerContext) {
        start(context.channel)
        context.fireChannelActive()
    }

    private func start(_ channel: any Channel) {
        _ = channel.setOption(
            .writeBufferWaterMark,
            value: .init(low: PeerTransport.unsentBytesLow, high: PeerTransport.unsentBytesHigh))
        if case .v4? = channel.remoteAddress { notice(lossOf: channel) }
        if case .v6? = channel.remoteAddress { notice(lossOf: channel) }
        if user == nil { user = makeUser?(self) }
    }

    private func notice(lossOf channel: any Channel) {
        for (level, option, value) in PeerTransport.lossOptions {
            _ = channel.setOption(
                ChannelOptions.Types.SocketOption(
                    level: NIOBSDSocket.OptionLevel(rawValue: level), name: NIOBSDSocket.Option(rawValue: option)),
                value: SocketOptionValue(value))
        }
    }

    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        unwrapInboundIn(data).withUnsafeReadableBytes { user?.received($0) }
    }

    package func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { user?.becameWritable() }
        context.fireChannelWritabilityChanged()
    }

    package func channelInactive(context: ChannelHandlerContext) {
        user?.ended(reason)
        user = nil
        context.fireChannelInactive()
    }

    package func errorCaught(context: ChannelHandlerContext, error: any Error) {
        reason = "failed: \(plainText(of: error))"
        context.close(promise: nil)
    }
}

/// An error in a few words, without type names or nested descriptions.
package func plainText(of error: any Error) -> String {
    switch error {
    case let error as IOError: String(cString: strerror(error.errnoCode)).lowercased()
    case let error as NIOConnectionError:
        error.connectionErrors.first.map { plainText(of: $0.error) } ?? "no address found for \(error.host)"
    case is ChannelError: "no answer to the connection attempt"
    case let error as Failure: error.message
    default: "\(error)"
    }
}
