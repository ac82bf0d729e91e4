// Where a connection goes on whose first line was a peer's: on its serving loop for what clients ask, else over SwiftNIO.

import Coordination
package import Gather
package import NIOCore
import NIOPosix

package enum PeerAdmission {
    /// `group` serves what is large or takes long.
    package static func upgrade(to node: ClusterNode, group: any EventLoopGroup) -> PeerUpgrade {
        { loop, descriptor, line, remaining, closed in
            let line = String(decoding: line, as: UTF8.self)
            if PeerHello(line: line)?.purpose == .forwards {
                PeerSocket.accepted(descriptor, remaining: remaining, loop: loop, whenGone: closed) {
                    node.peerServer(hello: line, on: $0)
                }
            } else {
                goOn(descriptor, line, remaining, node, group, closed)
            }
        }
    }

    /// Over NIO, with what has come after the hello.
    private static func goOn(
        _ descriptor: Int32, _ line: String, _ remaining: [UInt8], _ node: ClusterNode, _ group: any EventLoopGroup,
        _ closed: @escaping @Sendable () -> Void
    ) {
        ClientBootstrap(group: group)
            .channelInitializer { channel in
                channel.closeFuture.whenComplete { _ in closed() }
                return channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandlers([
                        FirstInput(ByteBuffer(bytes: remaining)),
                        NIOPeerChannel(loop: channel.eventLoop) { node.peerServer(hello: line, on: $0) },
                    ])
                }
            }
            .withConnectedSocket(descriptor)
            .whenFailure { _ in closed() }
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
