// Requests whose answers take no task: answered where they are read, in order with all others of their connection.

import DequeModule
import HTTPTypes
import NIOCore
import NIOHTTPTypes

/// In front of the handler that gives requests to the connection's task. What is answered here never gets there; nothing is
/// answered here while the task has a request, and the task gets none while one is answered here.
final class ShortRequests: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias InboundOut = HTTPRequestPart
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = HTTPResponsePart

    private let service: HTTPService
    private let client: ClientWatch
    /// Requests that the connection's task has not answered yet.
    private var othersUnderWay = 0
    /// Whose head has come, and whose end has not.
    private var read: Request?
    /// One waits for its answer; what comes meanwhile is kept, and nothing more is read. So it is while the client takes nothing.
    private var isAnswering = false
    /// Its answer may still come at once.
    private var isBeginning = false
    private var kept = Deque<HTTPRequestPart>()
    private var readIsWanted = false
    private var mustFlush = false

    private struct Request {
        let answer: HTTPEndpoint.ShortHandler
        let call: HTTPCall
    }

    init(service: HTTPService, client: ClientWatch) {
        self.service = service
        self.client = client
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let part = unwrapInboundIn(data)
        if mayTake(context), kept.isEmpty { take(part, context) } else { kept.append(part) }
    }

    /// No more is answered than the client takes.
    private func mayTake(_ context: ChannelHandlerContext) -> Bool { !isAnswering && context.channel.isWritable }

    private func take(_ part: HTTPRequestPart, _ context: ChannelHandlerContext) {
        switch part {
        case .head(let head):
            if othersUnderWay == 0, let request = short(head) {
                read = request
            } else {
                othersUnderWay += 1
                context.fireChannelRead(wrapInboundOut(part))
            }
        // These take no body, as their answers do not depend on any.
        case .body: if read == nil { context.fireChannelRead(wrapInboundOut(part)) }
        case .end:
            guard let request = read else { return context.fireChannelRead(wrapInboundOut(part)) }
            read = nil
            begin(request, context)
        }
    }

    private func short(_ head: HTTPRequest) -> Request? {
        let target = head.path ?? "/"
        let admitted = service.admitShort(head.method, target) { () throws(HTTPFailure) in
            try HTTPCall(
                head.method, target, host: head.authority, fields: head.headerFields, client: client)
        }
        guard let (answer, call) = admitted else { return nil }
        return Request(answer: answer, call: call)
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
        context.write(wrapOutboundOut(.head(answer.head)), promise: nil)
        if case .bytes(let bytes) = answer.body, !bytes.isEmpty {
            context.write(wrapOutboundOut(.body(ByteBuffer(bytes: bytes))), promise: nil)
        }
        context.write(wrapOutboundOut(.end(nil)), promise: nil)
        mustFlush = true
        if !isBeginning { goOn(context) }
    }

    /// An answer came after what had been read with its request, or the client has taken some.
    private func goOn(_ context: ChannelHandlerContext) {
        takeKept(context)
        flushWritten(context)
        context.fireChannelReadComplete()
        if readIsWanted, !isAnswering, kept.isEmpty {
            readIsWanted = false
            context.read()
        }
    }

    private func takeKept(_ context: ChannelHandlerContext) {
        while !kept.isEmpty, mayTake(context) { take(kept.removeFirst(), context) }
    }

    private func flushWritten(_ context: ChannelHandlerContext) {
        guard mustFlush else { return }
        mustFlush = false
        context.flush()
    }

    // MARK: What passes

    func channelReadComplete(context: ChannelHandlerContext) {
        takeKept(context)
        flushWritten(context)
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
        context.fireChannelInactive()
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        if case .end = unwrapOutboundIn(data) { othersUnderWay -= 1 }
        context.write(data, promise: promise)
    }
}
