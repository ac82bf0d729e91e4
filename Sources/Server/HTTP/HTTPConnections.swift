// A client's connection: bytes to requests and back, and who notices that it has gone.

import Gather
import HTTPTypes
import HummingbirdCore
import Logging
import NIOCore
import NIOHTTP1
import NIOHTTPTypes
import NIOHTTPTypesHTTP1

/// How Hummingbird's server sets a connection up and serves it.
struct HTTPConnections: ServerChildChannel {
    struct Value: ServerChildChannelValue {
        let parts: NIOAsyncChannel<HTTPRequestPart, HTTPResponsePart>
        let client: ClientWatch
        var channel: any Channel { parts.channel }
    }

    let service: HTTPService

    init(_ service: HTTPService) { self.service = service }

    private static let headerBytesMax = 16 << 10
    private static let headersMax = 200
    private static let patienceSeconds = 30

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Value> {
        channel.eventLoop.makeCompletedFuture {
            // Whose address can't be told is not taken for this machine.
            let client = ClientWatch(ClientAddress(host: channel.remoteAddress?.ipAddress ?? "an unknown address"))
            var limits = NIOHTTPDecoderLimitConfiguration()
            limits.maxHeaderFieldSize = Self.headerBytesMax
            limits.maxHeaderListSize = Self.headerBytesMax
            limits.maxHeaderFieldCount = Self.headersMax
            let pipeline = channel.pipeline.syncOperations
            let clock = ConnectionClock(limitSeconds: Self.patienceSeconds)
            try pipeline.addHandler(SlowRequestBytes(clock))
            try channel.syncOptions?.setOption(.socketOption(.tcp_nodelay), value: 1)
            try pipeline.configureHTTPServerPipeline(
                withPipeliningAssistance: false, withErrorHandling: false, withOutboundHeaderValidation: false,
                withEncoderConfiguration: .init(), withDecoderLimitConfiguration: limits)
            try pipeline.addHandler(ShortRequests(service: service, client: client, clock))
            try pipeline.addHandler(LastRequests())
            try pipeline.addHandler(SlowRequests(clock))
            try pipeline.addHandler(BrokenRequests())
            try pipeline.addHandler(HTTP1ToHTTPServerCodec(secure: false))
            try pipeline.addHandler(ClientWatchHandler(client))
            try pipeline.addHandler(HTTPConnectionStateHandler(logger: logger))
            let parts = try NIOAsyncChannel<HTTPRequestPart, HTTPResponsePart>(
                wrappingChannelSynchronously: channel, configuration: .init(isOutboundHalfClosureEnabled: true))
            return Value(parts: parts, client: client)
        }
    }

    func handle(value: Value, logger: Logger) async {
        let exchange = HTTPExchange(service: service, client: value.client)
        await withTaskExecutorPreference(LoopExecutor(value.channel.eventLoop)) {
            await HTTP1Channel { request, writer, _ in try await exchange.respond(request, writer) }
                .handle(value: value.parts, logger: logger)
        }
    }
}

/// Tells the watch that the client has closed its side.
private final class ClientWatchHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias InboundOut = HTTPRequestPart
    private let client: ClientWatch

    init(_ client: ClientWatch) { self.client = client }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .some(.inputClosed) = event as? ChannelEvent { client.gone() }
        context.fireUserInboundEventTriggered(event)
    }

    func channelInactive(context: ChannelHandlerContext) {
        client.gone()
        context.fireChannelInactive()
    }
}

/// Runs the tasks of connections on their event loops, so that a request changes no thread on its way.
private final class LoopExecutor: TaskExecutor {
    private let loop: any EventLoop

    init(_ loop: any EventLoop) { self.loop = loop }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        loop.execute { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
    }
}
