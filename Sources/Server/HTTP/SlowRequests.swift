// Ends connections whose requests come too slowly, those that are half there with an answer.

import HTTPTypes
import NIOCore
import NIOHTTP1

/// Shared by the two handlers of a connection, and used on its loop only.
final class ConnectionClock {
    fileprivate var clock: RequestClock
    fileprivate var timer: Scheduled<Void>?
    /// What was made of the bytes that are being read, as far as it says whether a part of the next request is behind it.
    fileprivate var hasEnded = false
    fileprivate var bodyEnd = LastBytes()

    init(limitSeconds: Int) { clock = RequestClock(limitSeconds: limitSeconds, now: Self.now) }

    fileprivate static var now: UInt64 { NIODeadline.now().uptimeNanoseconds }

    // Told by whoever answers the request.

    func headCame() {
        clock.headCame(now: Self.now)
        (hasEnded, bodyEnd) = (false, LastBytes())
    }

    func bodyCame(_ bytes: ByteBuffer) { bodyEnd = LastBytes(bytes) }

    func endCame() {
        clock.endCame()
        hasEnded = true
    }

    func answerEnded() { clock.answerEnded(now: Self.now) }
}

/// In front of what reads the bytes as HTTP.
final class SlowRequestBytes: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    private let shared: ConnectionClock

    init(_ shared: ConnectionClock) { self.shared = shared }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let end = LastBytes(unwrapInboundIn(data))
        let now = ConnectionClock.now
        shared.clock.bytesCame(now: now)
        (shared.hasEnded, shared.bodyEnd) = (false, LastBytes())
        context.fireChannelRead(data)
        // Nobody tells how far what was read has got: a request ends with its body or an empty line, and where they don't, there is
        // more behind it.
        if shared.hasEnded, !end.isEmptyLine, !end.ends(with: shared.bodyEnd) { shared.clock.restCame(now: now) }
    }
}

/// The last bytes of some, up to eight: the very last one is the lowest.
private struct LastBytes {
    private var bits: UInt64 = 0
    private var count = 0

    init() {}

    init(_ buffer: ByteBuffer) {
        for byte in buffer.readableBytesView.suffix(8) {
            bits = bits << 8 | UInt64(byte)
            count += 1
        }
    }

    var isEmptyLine: Bool { bits & 0xFFFF == 0x0A0A || bits & 0xFF_FFFF == 0x0A0D0A }

    /// False for none.
    func ends(with other: LastBytes) -> Bool {
        guard other.count > 0, count >= other.count else { return false }
        return bits << (64 - 8 * other.count) == other.bits << (64 - 8 * other.count)
    }
}

/// Behind it.
final class SlowRequests: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias InboundOut = HTTPServerRequestPart
    typealias OutboundIn = HTTPServerResponsePart
    typealias OutboundOut = HTTPServerResponsePart
    private let shared: ConnectionClock

    init(_ shared: ConnectionClock) { self.shared = shared }

    func handlerAdded(context: ChannelHandlerContext) { if context.channel.isActive { look(context) } }

    func channelActive(context: ChannelHandlerContext) {
        look(context)
        context.fireChannelActive()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        shared.timer?.cancel()
        shared.timer = nil
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head: shared.headCame()
        case .body(let part): shared.bodyCame(part)
        case .end: shared.endCame()
        }
        context.fireChannelRead(data)
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        switch unwrapOutboundIn(data) {
        // One that asks for the body is none.
        case .head(let head): if head.status.code >= 200 { shared.clock.answerBegan() }
        case .body: break
        case .end: shared.answerEnded()
        }
        context.write(data, promise: promise)
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        shared.clock.outputChanged(isStalled: !context.channel.isWritable, now: ConnectionClock.now)
        context.fireChannelWritabilityChanged()
    }

    /// Now, and whenever it may have become late: one timer a connection, and none a request.
    private func look(_ context: ChannelHandlerContext) {
        switch shared.clock.verdict(now: ConnectionClock.now) {
        case .wait(let nanoseconds):
            let isolated = context.eventLoop.assumeIsolated()
            shared.timer = isolated.scheduleTask(deadline: .uptimeNanoseconds(nanoseconds)) { self.look(context) }
        case .refuse:
            context.refuse(
                HTTPFailure(
                    .requestTimeout, "too_slow",
                    "the request did not come within the time that it has: send it at once, or in smaller parts"))
        case .close: context.close(promise: nil)
        }
    }
}

extension ChannelHandlerContext {
    /// Answers in place of everybody behind, and closes the connection.
    func refuse(_ failure: HTTPFailure) {
        let answer = failure.answer
        guard case .bytes(let body) = answer.body else { return close(promise: nil) }
        let head = HTTPResponseHead(
            version: .http1_1, status: .init(statusCode: answer.status.code),
            headers: [
                "Content-Type": HTTPAnswer.json, "Content-Length": "\(body.count)", "Connection": "close",
            ])
        write(NIOAny(HTTPServerResponsePart.head(head)), promise: nil)
        write(NIOAny(HTTPServerResponsePart.body(.byteBuffer(ByteBuffer(bytes: body)))), promise: nil)
        writeAndFlush(NIOAny(HTTPServerResponsePart.end(nil)), promise: nil)
        close(promise: nil)
    }
}
