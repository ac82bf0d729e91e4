// What can't be read as a request is answered with the reason, behind the answers to those before it, and the connection ends.

import HTTPTypes
import NIOCore
import NIOHTTP1

final class BrokenRequests: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias InboundOut = HTTPServerRequestPart
    typealias OutboundIn = HTTPServerResponsePart
    typealias OutboundOut = HTTPServerResponsePart
    /// Requests whose head has come and whose answer has not gone.
    private var unanswered = 0
    /// The last of them has a body that is still coming.
    private var isReading = false
    private var isAnswerBegun = false
    private var failure: HTTPFailure?

    /// Of the requests that are there as a whole.
    private var answersToCome: Int { unanswered - (isReading && unanswered > 0 ? 1 : 0) }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head:
            unanswered += 1
            isReading = true
        case .body: break
        case .end: isReading = false
        }
        context.fireChannelRead(data)
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        let part = unwrapOutboundIn(data)
        context.write(data, promise: promise)
        switch part {
        case .head(let head): if head.status.code >= 200 { isAnswerBegun = true }
        case .body: break
        case .end:
            unanswered = max(0, unanswered - 1)
            isAnswerBegun = false
            if failure != nil { refuseInTurn(context) }
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // Whatever comes behind what was no request is none either.
        guard failure == nil else { return }
        guard let error = error as? HTTPParserError else { return context.fireErrorCaught(error) }
        failure =
            error == .headerOverflow
            ? HTTPFailure(
                .requestHeaderFieldsTooLarge, "headers_too_large", "the headers have more than 16 KiB: send fewer")
            : HTTPFailure.badRequest("this is no request of HTTP/1.1: \(error)")
        refuseInTurn(context)
    }

    private func refuseInTurn(_ context: ChannelHandlerContext) {
        guard let failure, answersToCome == 0 else { return }
        // Its body went wrong when it had been answered, or was about to be: it has no second answer.
        let isAnswered = isReading && (unanswered == 0 || isAnswerBegun)
        if isAnswered { context.close(promise: nil) } else { context.refuse(failure) }
    }
}
