// The receiving end of a peer connection: frames in, requests to the node, replies out in any order.

package import Engine
package import NIOCore

/// What a node does with its peers' requests. `reply` may be called on any thread, once.
package protocol PeerService: Sendable {
    func handle(
        _ request: PeerRequest, from connection: PeerConnectionID, reply: @escaping @Sendable (PeerReply) -> Void)
    /// The connection is gone, and with it whatever was begun and not finished on it.
    func closed(_ connection: PeerConnectionID)
}

/// One accepted peer connection, for what lives as long as it does.
package struct PeerConnectionID: Hashable, Sendable {
    package let object: ObjectIdentifier
    /// Why nothing is done for this caller: another version, another ring.
    package let refusal: Failure?
}

/// Takes over a channel after the hello line.
package final class PeerServerHandler: ChannelInboundHandler, @unchecked Sendable {
    package typealias InboundIn = ByteBuffer
    package typealias OutboundOut = ByteBuffer

    private let service: any PeerService
    private let refusal: Failure?
    private var decoder = PeerFrameDecoder()
    private var outgoing = ByteBuffer()
    private var flushIsScheduled = false
    private var context: ChannelHandlerContext?
    private lazy var connection = PeerConnectionID(object: ObjectIdentifier(self), refusal: refusal)

    package init(service: any PeerService, refusal: Failure?) {
        self.service = service
        self.refusal = refusal
    }

    package func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    package func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        decoder.append(unwrapInboundIn(data))
        do {
            while let frame = try decoder.next() { handle(frame, on: context.eventLoop) }
        } catch {
            context.close(promise: nil)
        }
    }

    /// A peer that does not read its replies is not read from either.
    package func channelWritabilityChanged(context: ChannelHandlerContext) {
        _ = context.channel.setOption(.autoRead, value: context.channel.isWritable)
        context.fireChannelWritabilityChanged()
    }

    package func channelInactive(context: ChannelHandlerContext) {
        service.closed(connection)
        context.fireChannelInactive()
    }

    package func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    private func handle(_ frame: PeerFrame, on loop: any EventLoop) {
        var message = frame.message
        let id = frame.id
        if let refusal { return write(.failure(refusal), id: id) }
        guard let request = PeerRequest(decoding: &message) else {
            return write(
                .failure(Failure(.scriptVersion, "the request is in a version that is not understood")), id: id)
        }
        service.handle(request, from: connection) { reply in
            if loop.inEventLoop {
                self.write(reply, id: id)
            } else {
                loop.execute { self.write(reply, id: id) }
            }
        }
    }

    private func write(_ reply: PeerReply, id: UInt64) {
        guard let context else { return }
        PeerFrame.write(id: id, into: &outgoing) { reply.encode(into: &$0) }
        guard !flushIsScheduled else { return }
        flushIsScheduled = true
        context.eventLoop.execute {
            self.flushIsScheduled = false
            guard let context = self.context else { return }
            context.writeAndFlush(self.wrapOutboundOut(self.outgoing), promise: nil)
            self.outgoing = context.channel.allocator.buffer(capacity: 4096)
        }
    }
}
