// The receiving end of a peer connection: frames in, requests to the node, replies out in any order.

package import Engine
package import NIOCore
import Synchronization

/// What a node does with its peers' requests. `reply` may be called on any thread, once.
package protocol PeerService: Sendable {
    func handle(
        _ request: PeerRequest, from connection: PeerConnection, reply: @escaping @Sendable (PeerReply) -> Void)
    /// The connection is gone, and with it whatever was begun and not finished on it.
    func closed(_ connection: PeerConnection)
}

/// One accepted peer connection, for what lives as long as it does.
package final class PeerConnection: Sendable {
    private let closed = Atomic<Bool>(false)

    package init() {}

    /// Whether it is gone: what comes of its requests now is for nobody.
    package var isClosed: Bool { closed.load(ordering: .acquiring) }

    package func markClosed() { closed.store(true, ordering: .releasing) }
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
    private let connection = PeerConnection()

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
        connection.markClosed()
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
            if loop.inEventLoop { return self.write(reply, id: id) }
            // A large answer takes long to encode: that is done here, not on the event loop.
            var encoded = ByteBuffer()
            reply.write(id: id, into: &encoded)
            let frame = encoded
            loop.execute { self.write(frame) }
        }
    }

    private func write(_ reply: PeerReply, id: UInt64) {
        guard context != nil else { return }
        reply.write(id: id, into: &outgoing)
        scheduleFlush()
    }

    private func write(_ frame: ByteBuffer) {
        guard context != nil else { return }
        if outgoing.readableBytes == 0 { outgoing = frame } else { outgoing.writeImmutableBuffer(frame) }
        scheduleFlush()
    }

    private func scheduleFlush() {
        guard let context else { return }
        guard !flushIsScheduled else { return }
        flushIsScheduled = true
        context.eventLoop.execute {
            self.flushIsScheduled = false
            guard let context = self.context else { return }
            let outgoing = self.outgoing
            self.outgoing = context.channel.allocator.buffer(capacity: 4096)
            context.writeAndFlush(self.wrapOutboundOut(outgoing), promise: nil)
        }
    }
}

extension PeerReply {
    /// Appends the reply as a frame; one that is larger than a frame may be, as the failure that says so.
    package func write(id: UInt64, into buffer: inout ByteBuffer, bytesMax: Int = PeerFrame.bytesMax) {
        guard !PeerFrame.write(id: id, into: &buffer, bytesMax: bytesMax, { encode(into: &$0) }) else { return }
        let failure = Failure(
            .budgetExceeded, "the answer has more than \(bytesMax >> 20) MiB: ask for fewer groups, columns or rows")
        _ = PeerFrame.write(id: id, into: &buffer, bytesMax: .max) { PeerReply.failure(failure).encode(into: &$0) }
    }
}
