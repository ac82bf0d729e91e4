// One event loop's connection to one other node: connects when needed, matches replies to requests, fails fast when down.

import Dispatch
package import Engine
package import NIOCore
import NIOPosix

package typealias PeerCompletion = @Sendable (Result<PeerReply, Failure>) -> Void

/// Everything here happens on `loop`; `send` may be called from any thread.
package final class PeerLink: @unchecked Sendable {
    private enum State {
        case idle
        case connecting
        case connected(any Channel)
        /// Not tried again before this instant (never, once closed): meanwhile requests fail at once with this.
        case down(until: Deadline, Failure)
    }

    private static let connectTimeoutMilliseconds: Int64 = 500
    /// A refusal comes at once and is cheap to ask for again; silence is not.
    private static let pauseAfterRefusalMilliseconds = 10
    private static let pauseAfterSilenceMilliseconds = 200
    private static let inFlightMax = 16_384
    /// What may wait here for a peer that does not read.
    package static let queuedBytesMaxDefault = 64 << 20
    private static let writeBufferBytesHigh = 1 << 20
    /// A peer that read nothing for so long gets another connection: what is queued for this one is not kept.
    private static let stallMilliseconds = 3_000

    private let loop: any EventLoop
    private let name: String
    private let host: String
    private let port: Int
    private let hello: String
    private let queuedBytesMax: Int
    private var state = State.idle
    private var pending = PendingRequests<PeerCompletion>(countMax: PeerLink.inFlightMax)
    private var outgoing = ByteBuffer()
    private var flushIsScheduled = false
    private var expiry: Scheduled<Void>?
    private var expiryDeadline = Deadline.never
    /// The connection takes no more bytes, and is given up when that lasts until then.
    private var stalledUntil: Deadline?

    /// `hello`: the line that opens the connection, see `PeerHello`.
    package init(
        loop: any EventLoop, name: String, host: String, port: Int, hello: PeerHello,
        queuedBytesMax: Int = PeerLink.queuedBytesMaxDefault
    ) {
        self.loop = loop
        self.name = name
        self.host = host
        self.port = port
        self.hello = hello.line
        self.queuedBytesMax = queuedBytesMax
    }

    private var address: String {
        let place = Node(name: name, host: host, port: port).address
        return name.isEmpty ? place : "\(name) (\(place))"
    }

    /// Sends one request. The completion runs once, on the link's event loop: with the reply, or with `unreachable`,
    /// `timeout` or `overloaded`.
    package func send(_ request: PeerRequest, deadline: Deadline, completion: @escaping PeerCompletion) {
        if loop.inEventLoop {
            sendOnLoop(request, deadline, completion)
        } else {
            loop.execute { self.sendOnLoop(request, deadline, completion) }
        }
    }

    package func send(_ request: PeerRequest, deadline: Deadline) async throws(Failure) -> PeerReply {
        let result = await withCheckedContinuation { continuation in
            send(request, deadline: deadline) { continuation.resume(returning: $0) }
        }
        return try result.get()
    }

    /// For good: whoever waits is told at once, and so is whoever asks from now on.
    package func close() {
        loop.execute {
            self.expiry?.cancel()
            self.failAll(Failure(.cancelled, "the connection to \(self.address) was closed"), until: .never)
        }
    }

    private func sendOnLoop(_ request: PeerRequest, _ deadline: Deadline, _ completion: @escaping PeerCompletion) {
        if case .down(let until, let failure) = state {
            guard until.hasPassed else { return completion(.failure(failure)) }
            state = .idle
        }
        guard outgoing.readableBytes < queuedBytesMax, let id = pending.add(deadline: deadline, completion) else {
            return completion(.failure(Failure(.overloaded, "\(address) has too many requests under way; try again")))
        }
        guard PeerFrame.write(id: id, into: &outgoing, { request.encode(into: &$0) }) else {
            _ = pending.take(id)
            return completion(
                .failure(
                    Failure(.budgetExceeded, "the request has more than \(PeerFrame.bytesMax >> 20) MiB: split it")))
        }
        scheduleExpiry(deadline)
        switch state {
        case .idle: connect()
        case .connected: scheduleFlush()
        case .connecting, .down: break
        }
    }

    /// Requests of one turn of the loop leave in one write.
    private func scheduleFlush() {
        guard !flushIsScheduled else { return }
        flushIsScheduled = true
        loop.execute {
            self.flushIsScheduled = false
            self.flush()
        }
    }

    private func flush() {
        guard case .connected(let channel) = state, outgoing.readableBytes > 0, channel.isWritable else { return }
        let bytes = outgoing
        outgoing = channel.allocator.buffer(capacity: 4096)
        channel.writeAndFlush(bytes, promise: nil)
    }

    fileprivate func writabilityChanged(_ channel: any Channel) {
        guard case .connected(let current) = state, current === channel else { return }
        let isWritable = channel.isWritable
        stalledUntil = isWritable ? nil : .after(milliseconds: Self.stallMilliseconds)
        if isWritable { flush() }
    }

    private func connect() {
        state = .connecting
        ClientBootstrap(group: loop)
            .channelOption(.socketOption(.tcp_nodelay), value: 1)
            .channelOption(
                .writeBufferWaterMark,
                value: .init(low: Self.writeBufferBytesHigh / 4, high: Self.writeBufferBytesHigh)
            )
            .connectTimeout(.milliseconds(Self.connectTimeoutMilliseconds))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(PeerReplyHandler(link: self))
                }
            }
            .connect(host: host, port: port)
            .whenComplete { result in
                switch result {
                case .success(let channel): self.connected(channel)
                case .failure(let error):
                    self.failAll(
                        Failure(.unreachable, "\(self.address) can't be reached: \(plainText(of: error))"),
                        pauseMilliseconds: error is ChannelError
                            ? Self.pauseAfterSilenceMilliseconds : Self.pauseAfterRefusalMilliseconds)
                }
            }
    }

    private func connected(_ channel: any Channel) {
        guard case .connecting = state else { return channel.close(promise: nil) }  // closed meanwhile
        state = .connected(channel)
        stalledUntil = nil
        var first = channel.allocator.buffer(capacity: hello.utf8.count + outgoing.readableBytes)
        first.writeString(hello)
        first.writeBuffer(&outgoing)
        outgoing = first
        flush()
    }

    fileprivate func received(_ frame: PeerFrame) {
        var message = frame.message
        guard let completion = pending.take(frame.id) else { return }  // late: nobody waits any more
        guard let reply = PeerReply(decoding: &message) else {
            return completion(
                .failure(Failure(.scriptVersion, "\(address) answers in a version that is not understood")))
        }
        if case .failure(let failure) = reply {
            completion(.failure(failure))
        } else {
            completion(.success(reply))
        }
    }

    fileprivate func disconnected(_ channel: any Channel, _ reason: String) {
        guard case .connected(let current) = state, current === channel else { return }
        failAll(
            Failure(.unreachable, "\(address) \(reason); what was asked of it may have happened"),
            pauseMilliseconds: Self.pauseAfterRefusalMilliseconds)
    }

    private func failAll(_ failure: Failure, pauseMilliseconds: Int) {
        if case .down(until: .never, _) = state { return }  // closed
        failAll(failure, until: .after(milliseconds: pauseMilliseconds))
    }

    private func failAll(_ failure: Failure, until: Deadline) {
        let before = state
        state = .down(until: until, failure)  // before the close, which calls back at once
        outgoing = ByteBuffer()
        if case .connected(let channel) = before { channel.close(promise: nil) }
        for completion in pending.takeAll() { completion(.failure(failure)) }
    }

    private func scheduleExpiry(_ deadline: Deadline) {
        guard deadline < expiryDeadline else { return }
        expiry?.cancel()
        expiryDeadline = deadline
        expiry = loop.scheduleTask(in: .milliseconds(Int64(deadline.remainingMilliseconds) + 1)) { self.expire() }
    }

    private func expire() {
        expiryDeadline = .never
        let failure = Failure(.timeout, "\(address) did not answer in time")
        for completion in pending.takeExpired(now: .after(milliseconds: 0)) { completion(.failure(failure)) }
        if let stalledUntil, stalledUntil.hasPassed {
            self.stalledUntil = nil
            failAll(
                Failure(.timeout, "\(address) reads nothing; what was asked of it may have happened"),
                pauseMilliseconds: Self.pauseAfterSilenceMilliseconds)
        }
        if let next = pending.earliestDeadline { scheduleExpiry(next) }
    }
}

/// Bytes of the connection into frames, frames to the link.
private final class PeerReplyHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    private let link: PeerLink
    private var decoder = PeerFrameDecoder()
    private var reason = "closed the connection"

    init(link: PeerLink) { self.link = link }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        decoder.append(unwrapInboundIn(data))
        do {
            while let frame = try decoder.next() { link.received(frame) }
        } catch {
            reason = "speaks another protocol: it is no cacheismo node"
            context.close(promise: nil)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        reason = "failed: \(plainText(of: error))"
        context.close(promise: nil)
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        link.writabilityChanged(context.channel)
    }

    func channelInactive(context: ChannelHandlerContext) { link.disconnected(context.channel, reason) }
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
