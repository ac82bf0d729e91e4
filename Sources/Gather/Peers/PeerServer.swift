// The receiving end of a peer connection: frames in, requests to the node, replies out in any order.

package import Coordination
package import Engine
package import NIOCore
import Synchronization

/// What a node does with the requests of its peers and of commands. `reply` may be called on any thread, once.
package protocol PeerService: Sendable {
    /// `time`: by when the request must have been begun.
    func handle(
        _ request: PeerRequest, from connection: PeerConnection, time: RequestTime,
        reply: @escaping @Sendable (PeerReply) -> Void)
    /// Carries out a batch of a node's commands, for as long as `mayGoOn` says so: see `Router.carryOut`.
    func carryOut(
        _ batch: inout ForwardedBatch, into answers: inout ByteBuffer, mayGoOn: (_ answerBytes: Int) -> Bool,
        defers: (_ commandBytes: Int) -> Void,
        later: @escaping @Sendable (_ index: Int, _ commandBytes: Int, Result<Value, Failure>) -> Void
    ) -> ForwardedProgress
    /// Why a client is not taken; nil when it is.
    func refusal(login: [UInt8], password: [UInt8]) -> Refusal?
    /// Who calls is known now, or was refused.
    func greeted(_ counterpart: Counterpart)
    func refused(_ refusal: Refusal, line: String, address: String)
    /// The connection is gone, and with it whatever was begun and not finished on it.
    func closed(_ connection: PeerConnection)
}

/// One accepted connection, for what lives as long as it does.
package final class PeerConnection: Sendable {
    package let counterpart: Counterpart
    private let closed = Atomic<Bool>(false)

    /// A client's unless it is said that it is a node's: a client may do the least.
    package init(_ counterpart: Counterpart = .client) { self.counterpart = counterpart }

    /// Whether it is gone: what comes of its requests now is for nobody.
    package var isClosed: Bool { closed.load(ordering: .acquiring) }

    package func markClosed() { closed.store(true, ordering: .releasing) }
}

/// How much time a request has left, by its sender's clock, as far as this node can tell.
package struct RequestTime: Sendable {
    /// What changes something must have been begun by then.
    package var due: Deadline
    /// For what only reads: the same without a margin for clocks that go at different rates.
    package var leftMilliseconds: Int

    package init(due: Deadline, leftMilliseconds: Int) {
        self.due = due
        self.leftMilliseconds = leftMilliseconds
    }

    package static let unlimited = RequestTime(due: .never, leftMilliseconds: Int(Int32.max))
}

/// Takes over a channel after the hello line.
package final class PeerServerHandler: ChannelInboundHandler, @unchecked Sendable {
    package typealias InboundIn = ByteBuffer
    package typealias OutboundOut = ByteBuffer

    private enum Phase {
        case greeting(CalledGreeting)
        case taken(PeerConnection)
        case refused(Failure)
        case closed
    }

    /// The answer to a command of a batch that was not to be had at once.
    private struct LateAnswer: Sendable {
        let frame: ByteBuffer
        let id: UInt64
        let index: Int
        let commandBytes: Int
    }

    private static let greetingMilliseconds: Int64 = 5_000
    private static let tickMilliseconds: Int64 = 250
    /// A node that said nothing for so long has given this connection up long ago.
    private static let silenceMilliseconds = 5_000
    private static let writeBufferBytesHigh = 1 << 20

    private let service: any PeerService
    private let identity: PeerIdentity
    private let line: String
    private let budget: PeerByteBudget
    private let itemBytesMax: Int
    private var phase = Phase.closed
    private var decoder = PeerFrameDecoder(limits: .greeting)
    private var outgoing = ByteBuffer()
    /// Commands that are worked on before anything else is, and answers that came while they were worked on.
    private var batch: ForwardedBatch?
    private var isAtBatch = false
    private var early: [LateAnswer] = []
    private var flushIsScheduled = false
    private var context: ChannelHandlerContext?
    private var estimate = LatenessEstimate()
    private var allowance = ByteAllowance(.init(bytes: 64 << 20, untakenBytes: 64 << 20, requests: 16_384))
    /// Nothing is read for now: too much is under way.
    private var isHolding = false
    private var share = 0
    private var heardAt = Instant.never
    /// Something has come since the last tick, be it a part of a large frame.
    private var hasRead = false
    private var tickDue = Instant.never

    /// `line`: what the connection began with. `budget` is shared by all of them.
    package init(
        service: any PeerService, identity: PeerIdentity, line: String, itemBytesMax: Int, budget: PeerByteBudget
    ) {
        self.service = service
        self.identity = identity
        self.line = line
        self.itemBytesMax = itemBytesMax
        self.budget = budget
    }

    // MARK: The channel

    package func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        if context.channel.isActive { start(context.channel) }
    }

    package func channelActive(context: ChannelHandlerContext) {
        start(context.channel)
        context.fireChannelActive()
    }

    /// Who is at the other end is known once the channel is active.
    private func start(_ channel: any Channel) {
        _ = channel.setOption(
            .writeBufferWaterMark,
            value: .init(low: Self.writeBufferBytesHigh / 4, high: Self.writeBufferBytesHigh))
        PeerTransport.notice(loss: channel)
        let greeting = CalledGreeting(
            identity: identity, line: line, isLoopback: channel.remoteAddress?.isLoopback ?? false,
            nonce: PeerSecurity.nonce())
        phase = .greeting(greeting)
        if let refusal = greeting.refusal { refuse(refusal) }
        channel.eventLoop.scheduleTask(in: .milliseconds(Self.greetingMilliseconds)) {
            switch self.phase {
            case .greeting, .refused: self.context?.close(promise: nil)
            case .taken, .closed: break
            }
        }
    }

    package func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        hasRead = true
        decoder.append(unwrapInboundIn(data))
        work()
    }

    package func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { work() }
        context.fireChannelWritabilityChanged()
    }

    package func channelInactive(context: ChannelHandlerContext) {
        if case .taken(let connection) = phase {
            connection.markClosed()
            service.closed(connection)
        }
        phase = .closed
        batch = nil
        budget.replace(&share, with: 0)
        context.fireChannelInactive()
    }

    package func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    // MARK: Pace

    /// Replies that were not taken.
    private var untakenBytes: Int {
        guard let channel = context?.channel, !channel.isWritable else { return outgoing.readableBytes }
        let buffered = try? channel.syncOptions?.getOption(.bufferedWritableBytes)
        return outgoing.readableBytes + (buffered ?? Self.writeBufferBytesHigh)
    }

    private var mayTake: Bool {
        guard let context, context.channel.isWritable, outgoing.readableBytes < Self.writeBufferBytesHigh else {
            return false
        }
        return allowance.mayTake(untakenBytes: outgoing.readableBytes) && budget.hasRoom(besides: share)
    }

    /// Works through the frames that came, for as long as the connection may have more under way.
    private func work() {
        do {
            while mayTake {
                if batch != nil {
                    carryOutBatch()
                } else if let frame = try decoder.next() {
                    handle(frame)
                } else {
                    break
                }
            }
        } catch {
            context?.close(promise: nil)
            return
        }
        hold(!mayTake)
        let all = allowance.requestBytes + untakenBytes + decoder.heldBytes + (batch?.heldBytes ?? 0)
        budget.replace(&share, with: all)
        // A frame that grows and grows while there is no room for it: somebody has to go.
        if budget.isExceeded, decoder.heldBytes > PeerByteBudget.smallShareBytes { context?.close(promise: nil) }
    }

    private func hold(_ holds: Bool) {
        guard holds != isHolding, let context else { return }
        isHolding = holds
        _ = context.channel.setOption(.autoRead, value: !holds)
    }

    /// Four times a second: asks for the other side's clock, and whether it lives; looks whether there is room again.
    private func tick() {
        guard let context, case .taken(let connection) = phase else { return }
        let now = Instant.now
        // A timer that comes much too late was not late alone: this process was stopped.
        if now.milliseconds(since: tickDue) > Int(Self.tickMilliseconds) || isHolding || hasRead { heardAt = now }
        hasRead = false
        if case .node = connection.counterpart, now.milliseconds(since: heardAt) > Self.silenceMilliseconds {
            context.close(promise: nil)
            return
        }
        // Who reads nothing reads no ping either, and need not be kept any.
        if context.channel.isWritable { write(.ping(sent: now.nanoseconds, isHolding: isHolding)) }
        // What was answered since the last read is counted no longer.
        work()
        scheduleTick(now)
    }

    private func scheduleTick(_ now: Instant) {
        tickDue = now.adding(milliseconds: Int(Self.tickMilliseconds))
        context?.eventLoop.scheduleTask(in: .milliseconds(Self.tickMilliseconds)) { self.tick() }
    }

    // MARK: Frames

    private func handle(_ frame: PeerFrame) {
        switch phase {
        case .greeting(var greeting):
            guard frame.id == PeerFrame.linkID, let message = LinkMessage(Array(frame.message.readableBytesView)) else {
                return refuse(Refusal(.version, "\(identity.name) did not expect that message"))
            }
            let step = greeting.receive(message, now: .now)
            phase = .greeting(greeting)
            switch step {
            case .send(let answer): write(answer)
            case .refused(let refusal): refuse(refusal)
            case .taken(let counterpart, let asked, let stamp, let login, let password):
                if counterpart == .client, let refusal = service.refusal(login: login, password: password) {
                    return refuse(refusal)
                }
                take(counterpart, asked: asked, stamp: stamp)
            }
        case .refused(let failure): write(.failure(failure), id: frame.id)
        case .taken(let connection):
            let now = Instant.now
            if frame.id == PeerFrame.linkID { return handle(link: frame.message, now) }
            handle(request: frame, connection, now)
        case .closed: break
        }
    }

    private func take(_ counterpart: Counterpart, asked: Instant, stamp: UInt64) {
        let now = Instant.now
        guard estimate.answered(stamp: stamp, asked: asked, now: now) else {
            return refuse(Refusal(.version, "\(identity.name) was told a time that is none"))
        }
        decoder.limits = .requests(itemBytesMax: itemBytesMax)
        phase = .taken(PeerConnection(counterpart))
        heardAt = now
        service.greeted(counterpart)
        write(.welcome)
        scheduleTick(now)
    }

    /// The reason is the answer to the hello, and to whatever else comes.
    private func refuse(_ refusal: Refusal) {
        phase = .refused(refusal.failure)
        service.refused(refusal, line: line, address: context?.remoteAddress?.description ?? "a unix socket")
        write(.failure(refusal.failure), id: PeerFrame.linkID)
    }

    private func handle(link bytes: ByteBuffer, _ now: Instant) {
        switch LinkMessage(Array(bytes.readableBytesView)) {
        case .ping(let sent, _): write(.pong(echo: sent, stamp: now.nanoseconds))
        case .pong(let echo, let stamp):
            estimate.answered(stamp: stamp, asked: Instant(nanoseconds: echo), now: now)
        default: break
        }
    }

    private func handle(request frame: PeerFrame, _ connection: PeerConnection, _ now: Instant) {
        let id = frame.id
        guard !frame.isOversized else {
            return write(
                .failure(
                    Failure(
                        .budgetExceeded, "the request is larger than \(identity.name) takes one of its kind")),
                id: id)
        }
        var message = frame.message
        guard let stamp = message.readWire(UInt64.self), let left = message.readWire(UInt32.self) else {
            return write(.failure(PeerRequest.notUnderstood), id: id)
        }
        guard let due = estimate.due(stamp: stamp, leftMilliseconds: left), now < due else {
            return write(.failure(tooLate), id: id)
        }
        if message.getInteger(at: message.readerIndex, as: UInt8.self) == PeerRequest.batchKind {
            guard connection.counterpart != .client else { return write(.failure(PeerRequest.notForClients), id: id) }
            message.moveReaderIndex(forwardBy: 1)
            batch = ForwardedBatch(id: id, bytes: message, due: Deadline(uptimeNanoseconds: due.nanoseconds))
            return
        }
        let request: PeerRequest
        do throws(Failure) { request = try PeerRequest.decode(&message) } catch {
            return write(.failure(error), id: id)
        }
        let time = RequestTime(
            due: Deadline(uptimeNanoseconds: due.nanoseconds),
            leftMilliseconds: estimate.leftMilliseconds(stamp: stamp, leftMilliseconds: left, now: now))
        let requestBytes = frame.bytes
        allowance.took(requestBytes: requestBytes)
        let loop = connectionLoop
        service.handle(request, from: connection, time: time) { reply in
            if loop.inEventLoop { return self.answer(reply, id: id, requestBytes: requestBytes) }
            // A large answer takes long to encode: that is done here, not on the event loop.
            var encoded = ByteBuffer()
            reply.write(id: id, into: &encoded)
            let frame = encoded
            loop.execute { self.answer(frame, id: id, requestBytes: requestBytes) }
        }
    }

    /// Goes on with the batch, whose answers so far become one message.
    private func carryOutBatch() {
        guard var batch else { return }
        self.batch = nil
        isAtBatch = true
        let id = batch.id
        let loop = connectionLoop
        let start = outgoing.writerIndex
        PeerFrame.begin(id: id, into: &outgoing)
        outgoing.writeWire(PeerReply.answersKind)
        let empty = outgoing.writerIndex
        let progress = service.carryOut(
            &batch, into: &outgoing,
            mayGoOn: { answerBytes in
                answerBytes < Self.writeBufferBytesHigh && allowance.mayTake(untakenBytes: answerBytes)
                    && budget.hasRoom(besides: share)
            },
            defers: { allowance.took(requestBytes: $0) },
            later: { index, commandBytes, result in
                // As `answer(_:)` does it.
                let frame = Self.frame(id: id, index: index, result)
                let answer = LateAnswer(frame: frame, id: id, index: index, commandBytes: commandBytes)
                if loop.inEventLoop { self.answer(answer) } else { loop.execute { self.answer(answer) } }
            })
        if outgoing.writerIndex == empty {
            outgoing.moveWriterIndex(to: start)
        } else {
            PeerFrame.end(startedAt: start, in: &outgoing)
        }
        isAtBatch = false
        for answer in early { self.answer(answer) }
        early = []
        switch progress {
        case .done: break
        case .paused: self.batch = batch
        case .late: write(.failure(tooLate), id: id)
        case .malformed: write(.failure(PeerRequest.notUnderstood), id: id)
        }
        scheduleFlush()
    }

    private var connectionLoop: any EventLoop {
        guard let context else { preconditionFailure("frames come while the handler is in a pipeline") }
        return context.eventLoop
    }

    private var tooLate: Failure {
        Failure(.timeout, "\(identity.name) got the request too late, and did not carry it out")
    }

    // MARK: Replies

    private func answer(_ reply: PeerReply, id: UInt64, requestBytes: Int) {
        guard context != nil else { return }
        let untaken = untakenBytes
        let start = outgoing.writerIndex
        reply.write(id: id, into: &outgoing)
        if !allowance.answered(
            requestBytes: requestBytes, replyBytes: outgoing.writerIndex - start, untakenBytes: untaken)
            || budget.isExceeded && untaken > PeerByteBudget.smallShareBytes
        {
            outgoing.moveWriterIndex(to: start)
            tooMuch.write(id: id, into: &outgoing)
        }
        scheduleFlush()
    }

    private func answer(_ frame: ByteBuffer, id: UInt64, requestBytes: Int) {
        guard context != nil else { return }
        if !append(frame, requestBytes: requestBytes) { tooMuch.write(id: id, into: &outgoing) }
        scheduleFlush()
    }

    private func answer(_ late: LateAnswer) {
        guard context != nil else { return }
        guard !isAtBatch else { return early.append(late) }
        if !append(late.frame, requestBytes: late.commandBytes) {
            outgoing.writeImmutableBuffer(Self.frame(id: late.id, index: late.index, .failure(tooMuchUntaken)))
        }
        scheduleFlush()
    }

    /// False where there are too many answers already that were not taken.
    private func append(_ frame: ByteBuffer, requestBytes: Int) -> Bool {
        let untaken = untakenBytes
        let isKept = allowance.answered(
            requestBytes: requestBytes, replyBytes: frame.readableBytes, untakenBytes: untaken)
        if !isKept || budget.isExceeded && untaken > PeerByteBudget.smallShareBytes { return false }
        if outgoing.readableBytes == 0 { outgoing = frame } else { outgoing.writeImmutableBuffer(frame) }
        return true
    }

    private static func frame(id: UInt64, index: Int, _ result: Result<Value, Failure>) -> ByteBuffer {
        var frame = ByteBuffer()
        PeerFrame.begin(id: id, into: &frame)
        frame.writeWire(PeerReply.answersKind)
        ForwardAnswer.write(result, index: index, into: &frame)
        PeerFrame.end(startedAt: 0, in: &frame)
        return frame
    }

    private var tooMuch: PeerReply { .failure(tooMuchUntaken) }

    private var tooMuchUntaken: Failure {
        Failure(.overloaded, "\(identity.name) holds too many answers that were not taken; it may have happened")
    }

    private func write(_ reply: PeerReply, id: UInt64) {
        guard context != nil else { return }
        reply.write(id: id, into: &outgoing)
        scheduleFlush()
    }

    private func write(_ message: LinkMessage) {
        guard context != nil else { return }
        outgoing.write(link: message)
        scheduleFlush()
    }

    private func scheduleFlush() {
        guard let context, !flushIsScheduled else { return }
        flushIsScheduled = true
        context.eventLoop.execute {
            self.flushIsScheduled = false
            guard let context = self.context else { return }
            let outgoing = self.outgoing
            self.outgoing = context.channel.allocator.buffer(capacity: 4096)
            context.writeAndFlush(self.wrapOutboundOut(outgoing), promise: nil)
            // What is read on was held up by what has just left, or will be by what has not.
            if self.isHolding || self.batch != nil || self.decoder.heldBytes > 0 { self.work() }
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
