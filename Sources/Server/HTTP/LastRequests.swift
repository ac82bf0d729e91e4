// The last request of a connection: its answer says that it is, and the connection ends behind it.

import NIOCore
import NIOHTTP1

/// Next to what reads the bytes as HTTP. A request may be the last one because its client says so, as clients of HTTP/1.0 do that
/// don't say otherwise; or because it asks for another protocol: the bytes behind that are not read as HTTP any more.
final class LastRequests: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias InboundOut = HTTPServerRequestPart
    typealias OutboundIn = HTTPServerResponsePart
    typealias OutboundOut = HTTPServerResponsePart
    private var unanswered = 0
    private var hasLast = false

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if case .head(let head) = unwrapInboundIn(data) {
            unanswered += 1
            if !head.isKeepAlive || head.headers.contains(name: "Upgrade") { hasLast = true }
        }
        context.fireChannelRead(data)
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        switch unwrapOutboundIn(data) {
        case .head(var head) where hasLast && unanswered == 1 && head.status.code >= 200:
            head.headers.replaceOrAdd(name: "Connection", value: "close")
            context.write(wrapOutboundOut(.head(head)), promise: promise)
        case .end:
            unanswered = max(0, unanswered - 1)
            guard hasLast, unanswered == 0 else { return context.write(data, promise: promise) }
            context.writeAndFlush(data, promise: promise)
            context.close(promise: nil)
        default: context.write(data, promise: promise)
        }
    }
}
