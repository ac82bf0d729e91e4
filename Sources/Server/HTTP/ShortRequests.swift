// Requests whose answers take no task: answered where they are read, in order with all others of their connection.

import DequeModule
import HTTPTypes
import NIOCore
import NIOHTTP1
import NIOHTTPTypesHTTP1

/// Next to what reads the bytes as HTTP, in front of all that others need. What is answered here never gets there; nothing is
/// answered here while the connection's task has a request, and the task gets none while one is answered here. The answer goes
/// out as bytes, past what writes responses: each handler that a request passes, there and back, costs a thirtieth of it.
final class ShortRequests: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias InboundOut = HTTPServerRequestPart
    typealias OutboundIn = HTTPServerResponsePart
    typealias OutboundOut = HTTPServerResponsePart

    private let service: HTTPService
    private let client: ClientWatch
    private let clock: ConnectionClock
    /// Behind the handler that makes bytes of responses.
    private var bytesOut: ChannelHandlerContext?
    /// Requests that the connection's task has not answered yet.
    private var othersUnderWay = 0
    /// Whose head has come, and whose end has not.
    private var read: Request?
    /// One waits for its answer; what comes meanwhile is kept, and nothing more is read. So it is while the client takes nothing.
    private var isAnswering = false
    /// Its answer may still come at once.
    private var isBeginning = false
    private var kept = Deque<Arrival>()
    private var readIsWanted = false
    private var mustFlush = false
    /// How the connection is to be closed once the answer is out.
    private var closing: [(CloseMode, EventLoopPromise<Void>?)] = []

    private struct Request {
        let answer: HTTPEndpoint.ShortHandler
        let call: HTTPCall
    }

    private enum Arrival {
        case part(HTTPServerRequestPart)
        /// What came behind the parts before it is no request.
        case error(any Error)
        /// Nothing more comes.
        case end(ChannelEvent)
    }

    init(service: HTTPService, client: ClientWatch, _ clock: ConnectionClock) {
        self.service = service
        self.client = client
        self.clock = clock
    }

    func handlerAdded(context: ChannelHandlerContext) {
        bytesOut = try? context.pipeline.syncOperations.context(handlerType: HTTPResponseEncoder.self)
    }

    func handlerRemoved(context: ChannelHandlerContext) { bytesOut = nil }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) { arrived(.part(unwrapInboundIn(data)), context) }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { arrived(.error(error), context) }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard let event = event as? ChannelEvent, event == .inputClosed else {
            return context.fireUserInboundEventTriggered(event)
        }
        arrived(.end(event), context)
    }

    private func arrived(_ arrival: Arrival, _ context: ChannelHandlerContext) {
        if mayTake(context), kept.isEmpty { take(arrival, context) } else { kept.append(arrival) }
    }

    /// No more is answered than the client takes.
    private func mayTake(_ context: ChannelHandlerContext) -> Bool { !isAnswering && context.channel.isWritable }

    private func take(_ arrival: Arrival, _ context: ChannelHandlerContext) {
        switch arrival {
        case .part(.head(let head)):
            if othersUnderWay == 0, let request = short(head) {
                clock.headCame()
                read = request
                return
            }
            othersUnderWay += 1
        case .part(.body(let bytes)):
            // These take no body, as their answers do not depend on any.
            if read != nil { return clock.bodyCame(bytes) }
        case .part(.end):
            if let request = read {
                read = nil
                clock.endCame()
                return begin(request, context)
            }
        case .error(let error): return context.fireErrorCaught(error)
        case .end(let event): return context.fireUserInboundEventTriggered(event)
        }
        if case .part(let part) = arrival { context.fireChannelRead(wrapInboundOut(part)) }
    }

    /// Of a connection that goes on as one of HTTP/1.1; all others are answered behind, where their last answers are seen to.
    private func short(_ head: HTTPRequestHead) -> Request? {
        guard bytesOut != nil, head.method == .GET, head.version == .http1_1, service.isShort(head.uri),
            head.isKeepAlive, !head.headers.contains(name: "Upgrade")
        else { return nil }
        let call = try? HTTPCall(
            .get, head.uri, host: head.headers.first(name: "Host"),
            fields: HTTPFields(head.headers, splitCookie: false), client: client)
        return call.flatMap(service.admitShort).map { Request(answer: $0, call: $1) }
    }

    // MARK: Answering

    private func begin(_ request: Request, _ context: ChannelHandlerContext) {
        (isAnswering, isBeginning) = (true, true)
        let loop = context.eventLoop
        let bound = NIOLoopBound((self, context), eventLoop: loop)
        request.answer(request.call) { [service] result in
            let answer: HTTPAnswer
            switch result {
            case .success(let given): answer = service.finished(given, request.call)
            case .failure(let failure): answer = service.finished(failure.answer, request.call)
            }
            let end: @Sendable () -> Void = {
                let (handler, context) = bound.value
                handler.end(answer, context)
            }
            if loop.inEventLoop { end() } else { loop.execute(end) }
        }
        isBeginning = false
    }

    private func end(_ answer: HTTPAnswer, _ context: ChannelHandlerContext) {
        isAnswering = false
        clock.answerEnded()
        bytesOut?.write(NIOAny(IOData.byteBuffer(answer.bytes(context.channel.allocator))), promise: nil)
        mustFlush = true
        if !isBeginning { goOn(context) }
    }

    /// An answer came after what had been read with its request, or the client has taken some.
    private func goOn(_ context: ChannelHandlerContext) {
        takeKept(context)
        flushWritten()
        closeIfWanted(context)
        context.fireChannelReadComplete()
        if readIsWanted, !isAnswering, kept.isEmpty {
            readIsWanted = false
            context.read()
        }
    }

    private func takeKept(_ context: ChannelHandlerContext) {
        while !kept.isEmpty, mayTake(context) { take(kept.removeFirst(), context) }
    }

    private func flushWritten() {
        guard mustFlush else { return }
        mustFlush = false
        bytesOut?.flush()
    }

    private func closeIfWanted(_ context: ChannelHandlerContext) {
        guard !isAnswering else { return }
        for (mode, promise) in closing { context.close(mode: mode, promise: promise) }
        closing = []
    }

    // MARK: What passes

    func channelReadComplete(context: ChannelHandlerContext) {
        takeKept(context)
        flushWritten()
        context.fireChannelReadComplete()
    }

    func read(context: ChannelHandlerContext) {
        if isAnswering || !kept.isEmpty { readIsWanted = true } else { context.read() }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if !kept.isEmpty { goOn(context) }
        context.fireChannelWritabilityChanged()
    }

    func channelInactive(context: ChannelHandlerContext) {
        kept = []
        isAnswering = false
        closeIfWanted(context)
        context.fireChannelInactive()
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        if case .end = unwrapOutboundIn(data) { othersUnderWay -= 1 }
        context.write(data, promise: promise)
    }

    /// A client that sends nothing more still gets its answer, and so does one that is asked while the node ends.
    func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        guard isAnswering, mode != .input else { return context.close(mode: mode, promise: promise) }
        closing.append((mode, promise))
    }
}
