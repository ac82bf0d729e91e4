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
    /// What a client may do, or why it is not taken.
    func admit(login: [UInt8], password: [UInt8], from client: ClientAddress) -> ClientAdmission
    /// Who calls is known now, or was refused.
    func greeted(_ counterpart: Counterpart)
    func refused(_ refusal: Refusal, line: String, address: String)
    /// The connection is gone, and with it whatever was begun and not finished on it.
    func closed(_ connection: PeerConnection)
}

/// What is said to a client that has said who it is.
package struct ClientAdmission: Sendable {
    package var outcome: Result<Roles, Refusal>
    /// How long it has to wait for that.
    package var delayMilliseconds = 0

    package init(_ outcome: Result<Roles, Refusal>, delayMilliseconds: Int = 0) {
        self.outcome = outcome
        self.delayMilliseconds = delayMilliseconds
    }
}

/// One accepted connection, for what lives as long as it does.
package final class PeerConnection: Sendable {
    package let counterpart: Counterpart
    /// Of a client; a node, which may ask what nodes may, is bound by none.
    let roles: Roles
    private let closed = Atomic<Bool>(false)

    /// A client's unless it is said that it is a node's: a client may do the least.
    package init(_ counterpart: Counterpart = .client, roles: Roles = .all) {
        self.counterpart = counterpart
        self.roles = roles
    }

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

/// Serves a connection after the hello line, on the thread of its loop.
package final class PeerServer: PeerChannelUser, @unchecked Sendable {

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

    private static let greetingMilliseconds = 5_000
    private static let tickMilliseconds = 250
    /// A node that said nothing for so long has given this connection up long ago.
    private static let silenceMilliseconds = 5_000
    private let service: any PeerService
    private let identity: PeerIdentity
    private let line: String
    private let budget: PeerByteBudget
    private let itemBytesMax: Int
    private let channel: any PeerChannel
    /// What it may be asked.
    private let purpose: PeerHello.Purpose
    private var phase = Phase.closed
    private var decoder = PeerFrameDecoder(limits: .greeting)
    // What is looked at before each command of a batch: on the loop's thread, where accesses don't overlap (`isAtBatch`).
    @exclusivity(unchecked) private var outgoing = ByteBuffer()
    /// Commands that are worked on before anything else is, and answers that came while they were worked on.
    private var batch: ForwardedBatch?
    private var isAtBatch = false
    private var early: [LateAnswer] = []
    private var flushIsScheduled = false
    /// The connection is gone.
    private var isGone = false
    private var estimate = LatenessEstimate()
    @exclusivity(unchecked) private var allowance = ByteAllowance(
        .init(bytes: 64 << 20, untakenBytes: 64 << 20, requests: 16_384))
    /// Nothing is read for now: too much is under way.
    private var isHolding = false
    @exclusivity(unchecked) private var share = 0
    private var heardAt = Instant.never
    /// Something has come since the last tick, be it a part of a large frame.
    private var hasRead = false
    private var tickDue = Instant.never

    /// `line`: what the connection began with. `budget` is shared by all of them.
    package init(
        service: any PeerService, identity: PeerIdentity, line: String, itemBytesMax: Int, budget: PeerByteBudget,
        channel: any PeerChannel
    ) {
        self.service = service
        self.identity = identity
        self.line = line
        self.itemBytesMax = itemBytesMax
        self.budget = budget
        self.channel = channel
        purpose = PeerHello(line: line)?.purpose ?? .anything
        let greeting = CalledGreeting(
            identity: identity, line: line, isLoopback: channel.isLoopback, nonce: PeerSecurity.nonce())
        phase = .greeting(greeting)
        if let refusal = greeting.refusal { refuse(refusal) }
        _ = channel.loop.schedule(afterMilliseconds: Self.greetingMilliseconds) {
            switch self.phase {
            case .greeting, .refused: self.channel.close()
            case .taken, .closed: break
            }
        }
    }

    // MARK: The channel

    package func received(_ bytes: UnsafeRawBufferPointer) {
        hasRead = true
        decoder.append(bytes)
        work()
    }

    package func becameWritable() { work() }

    package func ended(_ reason: String?) {
        isGone = true
        if case .taken(let connection) = phase {
            connection.markClosed()
            service.closed(connection)
        }
        phase = .closed
        batch = nil
        budget.replace(&share, with: 0)
    }

    // MARK: Pace

    /// Replies that were not taken.
    private var untakenBytes: Int {
        outgoing.readableBytes + (channel.isWritable ? 0 : channel.unsentBytes)
    }

    private var mayTake: Bool {
        guard !isGone, channel.isWritable, outgoing.readableBytes < PeerTransport.unsentBytesHigh else {
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
            channel.close()
            return
        }
        guard !isGone else { return }
        hold(!mayTake)
        let all = allowance.requestBytes + untakenBytes + decoder.heldBytes + (batch?.heldBytes ?? 0)
        budget.replace(&share, with: all)
        // A frame that grows and grows while there is no room for it: somebody has to go.
        if budget.isExceeded, decoder.heldBytes > PeerByteBudget.smallShareBytes { channel.close() }
    }

    private func hold(_ holds: Bool) {
        guard holds != isHolding else { return }
        isHolding = holds
        channel.setReading(!holds)
    }

    /// Four times a second: asks for the other side's clock, and whether it lives; looks whether there is room again.
    private func tick() {
        guard case .taken(let connection) = phase else { return }
        let now = channel.loop.now
        // A timer that comes much too late was not late alone: this process was stopped.
        if now.milliseconds(since: tickDue) > Self.tickMilliseconds || isHolding || hasRead { heardAt = now }
        hasRead = false
        if case .node = connection.counterpart, now.milliseconds(since: heardAt) > Self.silenceMilliseconds {
            channel.close()
            return
        }
        // Who reads nothing reads no ping either, and need not be kept any.
        if channel.isWritable { write(.ping(sent: now.nanoseconds, isHolding: isHolding)) }
        // What was answered since the last read is counted no longer.
        work()
        scheduleTick(now)
    }

    private func scheduleTick(_ now: Instant) {
        tickDue = now.adding(milliseconds: Self.tickMilliseconds)
        _ = channel.loop.schedule(afterMilliseconds: Self.tickMilliseconds) { self.tick() }
    }

    // MARK: Frames

    private func handle(_ frame: PeerFrame) {
        switch phase {
        case .greeting(var greeting):
            guard frame.id == PeerFrame.linkID, let message = LinkMessage(Array(frame.message.readableBytesView)) else {
                return refuse(Refusal(.version, "\(identity.name) did not expect that message", about: identity.name))
            }
            let step = greeting.receive(message, now: channel.loop.now)
            phase = .greeting(greeting)
            switch step {
            case .send(let answer): write(answer)
            case .refused(let refusal): refuse(refusal)
            case .taken(let counterpart, let asked, let stamp, let login, let password):
                let heard = channel.loop.now
                guard counterpart == .client else {
                    return take(counterpart, .all, asked: asked, stamp: stamp, heard: heard)
                }
                let client = ClientAddress(host: channel.host, isLocal: channel.isLoopback)
                let admission = service.admit(login: login, password: password, from: client)
                guard admission.delayMilliseconds > 0 else {
                    return end(admission, asked: asked, stamp: stamp, heard: heard)
                }
                _ = channel.loop.schedule(afterMilliseconds: admission.delayMilliseconds) {
                    // Unless it did not wait for it.
                    guard case .greeting = self.phase else { return }
                    self.end(admission, asked: asked, stamp: stamp, heard: heard)
                }
            }
        case .refused(let failure): write(.failure(failure), id: frame.id)
        case .taken(let connection):
            let now = channel.loop.now
            if frame.id == PeerFrame.linkID { return handle(link: frame.message, now) }
            handle(request: frame, connection, now)
        case .closed: break
        }
    }

    /// The end of a client's greeting.
    private func end(_ admission: ClientAdmission, asked: Instant, stamp: UInt64, heard: Instant) {
        switch admission.outcome {
        case .success(let roles): take(.client, roles, asked: asked, stamp: stamp, heard: heard)
        case .failure(let refusal): refuse(refusal)
        }
    }

    /// `heard`: when the answer to what it was asked had come.
    private func take(_ counterpart: Counterpart, _ roles: Roles, asked: Instant, stamp: UInt64, heard: Instant) {
        let now = channel.loop.now
        guard estimate.answered(stamp: stamp, asked: asked, now: heard) else {
            return refuse(Refusal(.version, "\(identity.name) was told a time that is none", about: identity.name))
        }
        decoder.limits =
            purpose == .forwards ? .forwards(itemBytesMax: itemBytesMax) : .requests(itemBytesMax: itemBytesMax)
        phase = .taken(PeerConnection(counterpart, roles: roles))
        heardAt = now
        service.greeted(counterpart)
        write(.welcome)
        scheduleTick(now)
    }

    /// The reason is the answer to the hello, and to whatever else comes.
    private func refuse(_ refusal: Refusal) {
        phase = .refused(refusal.failure)
        service.refused(refusal, line: line, address: channel.place)
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
                        .budgetExceeded, "the request is larger than \(identity.name) takes one of its kind",
                        about: .named(identity.name))),
                id: id)
        }
        var message = frame.message
        guard let head = RequestHead(&message) else {
            return write(.failure(PeerRequest.notUnderstood), id: id)
        }
        guard let due = estimate.due(stamp: head.sent, leftMilliseconds: head.leftMilliseconds), now < due else {
            return write(.failure(tooLate), id: id)
        }
        guard connection.counterpart == .client || head.epoch == identity.epoch else {
            return write(.failure(otherView), id: id)
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
        if purpose == .forwards {
            // Anything else takes long, and clients would wait.
            guard case .control(.flush, _) = request else {
                return write(.failure(PeerRequest.notUnderstood), id: id)
            }
        }
        let time = RequestTime(
            due: Deadline(uptimeNanoseconds: due.nanoseconds),
            leftMilliseconds: estimate.leftMilliseconds(
                stamp: head.sent, leftMilliseconds: head.leftMilliseconds, now: now))
        let requestBytes = frame.bytes
        allowance.took(requestBytes: requestBytes)
        let loop = channel.loop
        service.handle(request, from: connection, time: time) { reply in
            // For nobody, on a loop that may have ended too.
            if connection.isClosed { return }
            if loop.isCurrent { return self.answer(reply, id: id, requestBytes: requestBytes) }
            // A large answer takes long to encode: that is done here, not on the event loop.
            var encoded = ByteBuffer()
            reply.write(id: id, into: &encoded)
            let frame = encoded
            loop.execute { self.answer(frame, id: id, requestBytes: requestBytes) }
        }
    }

    /// Goes on with the batch, whose answers so far become one message.
    private func carryOutBatch() {
        guard var batch, case .taken(let connection) = phase else { return }
        self.batch = nil
        isAtBatch = true
        let id = batch.id
        let loop = channel.loop
        let start = outgoing.writerIndex
        PeerFrame.begin(id: id, into: &outgoing)
        outgoing.writeWire(PeerReply.answersKind)
        let empty = outgoing.writerIndex
        let progress = service.carryOut(
            &batch, into: &outgoing,
            mayGoOn: { answerBytes in
                answerBytes < PeerTransport.unsentBytesHigh && allowance.mayTake(untakenBytes: answerBytes)
                    && budget.hasRoom(besides: share)
            },
            defers: { allowance.took(requestBytes: $0) },
            later: { index, commandBytes, result in
                if connection.isClosed { return }
                // As `answer(_:)` does it.
                let frame = Self.frame(id: id, index: index, result)
                let answer = LateAnswer(frame: frame, id: id, index: index, commandBytes: commandBytes)
                if loop.isCurrent { self.answer(answer) } else { loop.execute { self.answer(answer) } }
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

    private var otherView: Failure {
        Failure(
            .wrongEpoch, "\(identity.name) was asked in another view of the nodes, and did not carry it out",
            about: .named(identity.name))
    }

    private var tooLate: Failure {
        Failure(
            .timeout, "\(identity.name) got the request too late, and did not carry it out",
            about: .named(identity.name))
    }

    // MARK: Replies

    private func answer(_ reply: PeerReply, id: UInt64, requestBytes: Int) {
        guard !isGone else { return }
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
        guard !isGone else { return }
        if !append(frame, requestBytes: requestBytes) { tooMuch.write(id: id, into: &outgoing) }
        scheduleFlush()
    }

    private func answer(_ late: LateAnswer) {
        guard !isGone else { return }
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
        Failure(
            .overloaded, "\(identity.name) holds too many answers that were not taken; it may have happened",
            about: .named(identity.name))
    }

    private func write(_ reply: PeerReply, id: UInt64) {
        guard !isGone else { return }
        reply.write(id: id, into: &outgoing)
        scheduleFlush()
    }

    private func write(_ message: LinkMessage) {
        guard !isGone else { return }
        outgoing.write(link: message)
        scheduleFlush()
    }

    private func scheduleFlush() {
        guard !isGone, !flushIsScheduled else { return }
        flushIsScheduled = true
        channel.loop.afterTurn {
            self.flushIsScheduled = false
            guard !self.isGone else { return }
            // Out of the property: the channel may find itself writable again, and come back, before it returns.
            var outgoing = ByteBuffer()
            swap(&outgoing, &self.outgoing)
            self.channel.send(&outgoing)
            if self.outgoing.readableBytes == 0 { swap(&outgoing, &self.outgoing) }
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
