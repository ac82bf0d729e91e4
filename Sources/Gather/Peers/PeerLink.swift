// One event loop's connection to one other node: drives its state machine, and matches replies to requests.

package import Coordination
package import Engine
package import NIOCore
import Synchronization

package typealias PeerCompletion = @Sendable (Result<PeerReply, Failure>) -> Void

/// Everything here happens on `loop`; `send` may be called from any thread. What to do when is `LinkMachine`'s to say.
package final class PeerLink: @unchecked Sendable {
    private static let inFlightMax = 16_384
    /// What may wait here for a peer that does not read.
    package static let queuedBytesMaxDefault = 64 << 20

    private let loop: any PeerLoop
    private let name: String
    private let host: String
    private let port: Int
    private let caller: PeerCaller
    private let purpose: PeerHello.Purpose
    /// Nil for a command's link, whose user is told by the command.
    private let status: PeerStatus?
    private let queuedBytesMax: Int
    private let connectMilliseconds: Int
    /// Whether what a node says of rows can be.
    private let believe: (@Sendable (MapAnswer, Counterpart) -> Bool)?

    private var machine: LinkMachine
    private var channel: (any PeerChannel)?
    private var greeting: CallerGreeting?
    private var counterpart: Counterpart?
    private var attempt = 0
    private var upSince: Instant?
    /// Whoever asks while the node is down is told this.
    private var failure = Failure(.unreachable, "no connection was tried")
    private var pending = PendingRequests<Waiter>(countMax: PeerLink.inFlightMax)
    private var outgoing = ByteBuffer()
    /// The last message that waits to leave, while batches may join it.
    private var joining: Joining?
    private var flushIsScheduled = false
    private var expiry: PeerTimer?
    private var expiryDeadline = Deadline.never
    private var timer: PeerTimer?
    /// Its loop may have ended since: it is not to be asked for anything any more.
    private let isOver = Atomic<Bool>(false)

    private struct Joining {
        let batches: JoinedBatches
        let id: UInt64
        /// Where its frame starts.
        let start: Int
    }

    private enum Waiter {
        case reply(PeerCompletion)
        case batches(JoinedBatches)

        func fail(_ failure: Failure) {
            switch self {
            case .reply(let completion): completion(.failure(failure))
            case .batches(let batches): batches.fail(failure)
            }
        }
    }

    /// `caller`: who opens the connection, and with what it proves it.
    package convenience init(
        loop: any EventLoop, name: String, host: String, port: Int, caller: PeerCaller, status: PeerStatus? = nil,
        queuedBytesMax: Int = PeerLink.queuedBytesMaxDefault, timing: LinkMachine.Timing = .init()
    ) {
        self.init(
            loop: NIOPeerLoop(loop), name: name, host: host, port: port, caller: caller, status: status,
            queuedBytesMax: queuedBytesMax, timing: timing)
    }

    package init(
        loop: any PeerLoop, name: String, host: String, port: Int, caller: PeerCaller,
        purpose: PeerHello.Purpose = .anything, status: PeerStatus? = nil,
        queuedBytesMax: Int = PeerLink.queuedBytesMaxDefault, timing: LinkMachine.Timing = .init(),
        believe: (@Sendable (MapAnswer, Counterpart) -> Bool)? = nil
    ) {
        self.purpose = purpose
        self.loop = loop
        self.name = name
        self.host = host
        self.port = port
        self.caller = caller
        self.status = status
        self.queuedBytesMax = queuedBytesMax
        self.believe = believe
        connectMilliseconds = timing.connectMilliseconds
        machine = LinkMachine(timing: timing)
    }

    private var address: String {
        let place = Node(name: name, host: host, port: port).address
        return name.isEmpty ? place : "\(name) (\(place))"
    }

    /// What `address` names.
    private var addressNames: [String] {
        let place = Node(name: name, host: host, port: port).address
        return name.isEmpty ? [place] : [name, place]
    }

    /// The sentence begins with whom the link is to.
    private func failed(_ reason: Reason, _ rest: String) -> Failure {
        Failure(reason, "\(address) \(rest)", about: addressNames.map { .named($0) })
    }

    private func unreached(_ why: String) -> Failure {
        Failure(.unreachable, "\(address) can't be reached: \(why)", about: addressNames.map { .unreached($0) })
    }

    /// Sends one request. The completion runs once, on the link's event loop: with the reply, or with `unreachable`,
    /// `timeout` or `overloaded`.
    package func send(_ request: PeerRequest, deadline: Deadline, completion: @escaping PeerCompletion) {
        if request.isForwarded { status?.forwarded(1) }
        onLoop(orFail: { completion(.failure($0)) }) {
            self.joining = nil
            _ = self.sendOnLoop(deadline, .reply(completion), commands: 1) { request.encode(into: &$0) }
        }
    }

    /// Sends the commands of a batch, in one message with those that other sessions have for the node in the same turn. The batch
    /// hears of each of them once, on the link's event loop.
    package func send(_ batch: ForwardBatch, deadline: Deadline) {
        status?.forwarded(batch.count)
        onLoop(orFail: { batch.fail($0) }) { self.sendOnLoop(batch, deadline) }
    }

    private func onLoop(orFail fail: (Failure) -> Void, _ body: @escaping @Sendable () -> Void) {
        if loop.isCurrent { return body() }
        if isOver.load(ordering: .relaxed) { fail(closed) } else { loop.execute(body) }
    }

    private var closed: Failure {
        Failure(
            .cancelled, "the connection to \(address) was closed", about: addressNames.map { .named($0) })
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
            self.timer?.cancel()
            self.failure = self.closed
            self.receive(.close)
        }
        isOver.store(true, ordering: .relaxed)
    }

    // MARK: Requests

    private func sendOnLoop(_ batch: ForwardBatch, _ deadline: Deadline) {
        if join(batch) { return }
        joining = nil
        let batches = JoinedBatches(batch)
        let start = outgoing.writerIndex
        let id = sendOnLoop(deadline, .batches(batches), commands: batch.count) { buffer in
            buffer.writeWire(PeerRequest.batchKind)
            buffer.writeImmutableBuffer(batch.bytes)
        }
        if let id { joining = Joining(batches: batches, id: id, start: start) }
    }

    /// Adds the batch to the message that leaves next, whose deadline is a moment before its own. False where there is none.
    private func join(_ batch: ForwardBatch) -> Bool {
        guard let joining, joining.batches.hasRoom(for: batch), status?.isSilent != true,
            pending.extend(joining.id, commands: batch.count)
        else { return false }
        outgoing.writeImmutableBuffer(batch.bytes)
        PeerFrame.end(startedAt: joining.start, in: &outgoing)
        joining.batches.append(batch)
        return true
    }

    /// Returns the request's id; nil where the waiter was told why it can't be sent.
    private func sendOnLoop(
        _ deadline: Deadline, _ waiter: Waiter, commands: Int, _ encode: (inout ByteBuffer) -> Void
    ) -> UInt64? {
        let now = loop.now
        // Another loop's link may know already what this one would have to find out.
        if let status, status.isSilent { receive(.suspected, now) }
        if machine.phase == .idle || !machine.takesRequests {
            receive(.wanted, now)
            guard machine.takesRequests else { return refuse(waiter, failure) }
        }
        guard deadline.uptimeNanoseconds > now.nanoseconds else {
            return refuse(waiter, failed(.timeout, "was not asked: there was no time left"))
        }
        guard outgoing.readableBytes < queuedBytesMax,
            let id = pending.add(deadline: deadline, sent: now.nanoseconds, commands: commands, waiter)
        else {
            return refuse(waiter, failed(.overloaded, "has too many requests under way; try again"))
        }
        let left = UInt32(clamping: (deadline.uptimeNanoseconds - now.nanoseconds) / 1_000_000)
        let isWritten = PeerFrame.write(id: id, into: &outgoing) { buffer in
            RequestHead(sent: now.nanoseconds, leftMilliseconds: left, epoch: caller.epoch).write(into: &buffer)
            encode(&buffer)
        }
        guard isWritten else {
            _ = pending.take(id)
            return refuse(
                waiter,
                Failure(.budgetExceeded, "the request has more than \(PeerFrame.bytesMax >> 20) MiB: split it"))
        }
        scheduleExpiry(deadline)
        if machine.phase == .up { scheduleFlush() }
        return id
    }

    private func refuse(_ waiter: Waiter, _ failure: Failure) -> UInt64? {
        waiter.fail(failure)
        return nil
    }

    private func scheduleExpiry(_ deadline: Deadline) {
        guard deadline < expiryDeadline else { return }
        expiry?.cancel()
        expiryDeadline = deadline
        expiry = loop.schedule(afterMilliseconds: deadline.remainingMilliseconds(at: loop.now.nanoseconds) + 1) {
            self.expire()
        }
    }

    private func expire() {
        expiryDeadline = .never
        let now = loop.now
        let late = failed(.timeout, "did not answer in time; what was asked of it may have happened")
        let expired = pending.takeExpired(now: Deadline(uptimeNanoseconds: now.nanoseconds))
        for (_, waiter) in expired { waiter.fail(late) }
        for (sent, _) in expired { receive(.unanswered(sent: Instant(nanoseconds: sent)), now) }
        if let next = pending.earliestDeadline { scheduleExpiry(next) }
    }

    // MARK: The machine

    private func receive(_ event: LinkMachine.Event, _ given: Instant? = nil) {
        let now = given ?? loop.now
        for effect in machine.receive(event, now: now) { carryOut(effect, now) }
    }

    private func carryOut(_ effect: LinkMachine.Effect, _ now: Instant) {
        switch effect {
        case .connect: connect()
        case .greet: greet()
        case .ping: write(.ping(sent: now.nanoseconds, isHolding: false))
        case .flush: flush()
        case .abandon:
            attempt += 1
            let channel = channel
            self.channel = nil
            channel?.close()
        case .fail(let cause): fail(cause, now)
        case .schedule(let instant): schedule(instant, now)
        }
    }

    private func schedule(_ instant: Instant, _ now: Instant) {
        timer?.cancel()
        timer = loop.schedule(afterMilliseconds: instant.milliseconds(since: now) + 1) { self.receive(.timer) }
    }

    private func fail(_ cause: LinkMachine.Cause, _ now: Instant) {
        channel = nil
        switch cause {
        case .gone, .declined: break  // said by whoever found it out
        case .noAnswer:
            failure = unreached("no answer to the connection attempt")
        case .silent:
            failure = failed(.unreachable, "is silent; what was asked of it may have happened")
        }
        if machine.phase != .closed {
            if cause == .declined {
                status?.note(.refused(message: failure.message))
            } else {
                status?.note(.lost(since: upSince, message: failure.message))
            }
            if cause == .silent { status?.foundSilent() }
        }
        upSince = nil
        counterpart = nil
        outgoing = ByteBuffer()
        joining = nil
        for waiter in pending.takeAll() { waiter.fail(failure) }
    }

    // MARK: The connection

    private func connect() {
        attempt += 1
        let attempt = attempt
        let input = PeerLinkInput(link: self)
        loop.connect(host: host, port: port, milliseconds: connectMilliseconds, user: input) { result in
            guard self.attempt == attempt else {  // given up meanwhile
                if case .success(let channel) = result { channel.close() }
                return
            }
            switch result {
            case .success(let channel):
                input.channel = channel
                self.connected(channel)
            case .failure(let failure):
                self.failure = self.unreached(failure.message)
                self.receive(.connectFailed(failure.isSilence ? .noAnswer : .gone))
            }
        }
    }

    private func connected(_ channel: any PeerChannel) {
        self.channel = channel
        guard caller.mayReach(isLoopback: channel.isLoopback) else {
            return decline(
                Refusal(
                    .notAllowed,
                    "\(address) is on another machine: give all nodes the same --cluster-secret FILE, "
                        + "or --insecure-peers",
                    about: addressNames))
        }
        receive(.connected)
    }

    private func greet() {
        guard let channel else { return }
        let greeting = caller.greeting(target: name, purpose: purpose)
        self.greeting = greeting
        var first = ByteBuffer()
        first.writeString(greeting.hello.line)
        first.write(link: greeting.greet)
        channel.send(&first)
    }

    private func decline(_ refusal: Refusal) {
        failure = refusal.failure
        receive(.declined)
    }

    private func write(_ message: LinkMessage) {
        guard let channel else { return }
        var buffer = ByteBuffer()
        buffer.write(link: message)
        channel.send(&buffer)
    }

    /// Requests of one turn of the loop leave in one write.
    private func scheduleFlush() {
        guard !flushIsScheduled else { return }
        flushIsScheduled = true
        loop.afterTurn {
            self.flushIsScheduled = false
            self.flush()
        }
    }

    private func flush() {
        guard machine.phase == .up, let channel, outgoing.readableBytes > 0, channel.isWritable else { return }
        // Out of the property: the channel may find itself writable again, and come back, before it returns.
        joining = nil
        var bytes = ByteBuffer()
        swap(&bytes, &outgoing)
        channel.send(&bytes)
        if outgoing.readableBytes == 0 { swap(&bytes, &outgoing) }
    }

    fileprivate func becameWritable(_ channel: any PeerChannel) {
        if channel === self.channel { flush() }
    }

    // MARK: What comes

    /// A frame; true when the other side can only have sent it after it heard from us.
    fileprivate func received(_ frame: PeerFrame, on channel: any PeerChannel) -> Bool {
        guard channel === self.channel else { return false }
        var message = frame.message
        if frame.id == PeerFrame.linkID { return received(link: &message) }
        if message.getInteger(at: message.readerIndex, as: UInt8.self) == PeerReply.answersKind {
            message.moveReaderIndex(forwardBy: 1)
            received(answers: message, id: frame.id)
            return true
        }
        // Late: nobody waits any more.
        guard let waiter = pending.take(frame.id) else { return true }
        guard case .reply(let completion) = waiter else {
            let failure: Failure? =
                if case .failure(let failure)? = PeerReply(decoding: &message) { failure } else { nil }
            waiter.fail(failure ?? PeerReply.notUnderstood)
            return true
        }
        guard let reply = PeerReply(decoding: &message) else {
            completion(.failure(failed(.scriptVersion, "answers in a version that is not understood")))
            return true
        }
        switch reply {
        case .failure(let failure): completion(.failure(failure))
        case .mapped(let answer):
            guard let counterpart, case .node(_, answer.incarnation) = counterpart else {
                completion(.failure(failed(.scriptVersion, "answers as another run of its process")))
                return true
            }
            guard believe?(answer, counterpart) ?? true else {
                completion(.failure(failed(.scriptVersion, "tells of rows or nodes that can't be")))
                return true
            }
            completion(.success(reply))
        default: completion(.success(reply))
        }
        return true
    }

    /// The answers to some commands of batches.
    private func received(answers: ByteBuffer, id: UInt64) {
        guard let waiter = pending.find(id) else { return }
        guard case .batches(let batches) = waiter, let isDone = answers.withUnsafeReadableBytes(batches.take) else {
            _ = pending.take(id)
            return waiter.fail(failed(.scriptVersion, "answers in a version that is not understood"))
        }
        if isDone { _ = pending.take(id) }
    }

    private func received(link bytes: inout ByteBuffer) -> Bool {
        guard let message = LinkMessage(Array(bytes.readableBytesView)) else {
            if case .failure(let failure)? = PeerReply(decoding: &bytes) { decline(Refusal(failure)) }
            return true
        }
        switch message {
        case .ping(let sent, let isHolding):
            write(.pong(echo: sent, stamp: loop.now.nanoseconds))
            return isHolding
        case .pong(let echo, _):
            let now = loop.now.nanoseconds
            if now > echo { status?.measured(roundTrip: now - echo) }
            return true
        default: break
        }
        switch greeting?.receive(message, stamp: loop.now.nanoseconds) {
        case .send(let answer): write(answer)
        case .declined(let refusal): decline(refusal)
        case .welcomed(let counterpart): welcomed(counterpart)
        case nil: break
        }
        return true
    }

    private func welcomed(_ counterpart: Counterpart) {
        guard machine.phase == .greeting else { return }
        greeting = nil
        self.counterpart = counterpart
        let now = loop.now
        upSince = now
        if case .node(_, let incarnation) = counterpart { status?.met(incarnation: incarnation) }
        status?.note(.up(now: now))
        receive(.welcomed, now)
    }

    fileprivate func heard(on channel: any PeerChannel) {
        guard channel === self.channel else { return }
        let now = loop.now
        status?.heard(now)
        receive(.heard, now)
    }

    fileprivate func disconnected(_ channel: any PeerChannel, _ reason: String) {
        guard channel === self.channel else { return }
        failure = failed(.unreachable, "\(reason); what was asked of it may have happened")
        receive(.disconnected)
    }
}

/// Bytes of the connection into frames, frames to the link. On the link's loop.
private final class PeerLinkInput: PeerChannelUser, @unchecked Sendable {
    private let link: PeerLink
    /// Once it is made.
    var channel: (any PeerChannel)?
    private var decoder = PeerFrameDecoder()
    private var reason: String?

    init(link: PeerLink) { self.link = link }

    func received(_ bytes: UnsafeRawBufferPointer) {
        guard let channel else { return }
        decoder.append(bytes)
        do {
            var isSignOfLife = false
            while let frame = try decoder.next() {
                if link.received(frame, on: channel) { isSignOfLife = true }
            }
            if isSignOfLife || decoder.heldBytes > 0 { link.heard(on: channel) }
        } catch {
            reason = "speaks another protocol: it is no cacheismo node"
            channel.close()
        }
    }

    func becameWritable() { if let channel { link.becameWritable(channel) } }

    func ended(_ reason: String?) {
        guard let channel else { return }
        self.channel = nil
        link.disconnected(channel, self.reason ?? reason ?? "closed the connection")
    }
}

extension ByteBuffer {
    /// Appends a frame about the connection itself.
    package mutating func write(link message: LinkMessage) {
        _ = PeerFrame.write(id: PeerFrame.linkID, into: &self) { $0.writeBytes(message.bytes) }
    }
}
