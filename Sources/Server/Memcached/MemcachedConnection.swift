// A memcached connection on its loop: feeds the session what comes in, sends what it answers, and minds the pace.
//
// Unsafe: system calls on a raw descriptor.

import CLinux
import Engine
import Gather
import Glibc

/// Takes over a connection whose first line was a peer's: the descriptor, that line without its end, and the bytes after
/// it. Called on the thread of the loop that it lived on. `closed` is to be called when the connection is gone.
package typealias PeerUpgrade =
    @Sendable (
        _ loop: ServingLoop, _ descriptor: Int32, _ line: [UInt8], _ remaining: [UInt8],
        _ closed: @escaping @Sendable () -> Void
    ) -> Void

final class MemcachedConnection<Routing: CommandRouter>: LoopMember, BufferHolder {
    /// What a connection needs of its listener.
    struct Context {
        let activity: ConnectionActivity
        let client: ClientAddress
        let account: BufferAccount
        var upgrade: PeerUpgrade?
        var shutdown: (@Sendable () -> Void)?
        /// Called once, when the connection is gone.
        var closed: @Sendable () -> Void
    }

    /// Reads of a client that sends faster than it can be answered, before the others get their turn.
    private static var readsPerTurn: Int { 4 }

    /// Answers of a client that takes a long list as fast as it is made, before the others get their turn.
    private static var resumesPerTurn: Int { 8 }

    /// How long a client that got its last answer may take to close its side, before it is closed all the same.
    private static var drainMilliseconds: Int { 2_000 }

    /// The same once the process is about to end.
    private static var lastDrainMilliseconds: Int { 300 }

    private let loop: ServingLoop
    private let session: MemcachedSession<Routing>
    private let context: Context
    private let counters: SessionCounters
    private let waker: Waker
    private let idleSeconds: Int
    private let readerTimeoutMilliseconds: Int
    /// There may be input that was not read yet: the kernel tells only once.
    private var inputWaits = false
    /// Input that was read ahead of its turn, in the loop's memory; empty but between `readAhead` and `becameReady`.
    private var inputAhead = UnsafeRawBufferPointer(start: nil, count: 0)
    /// The last read was a small one, as the next one will probably be.
    private var readsLittle = true
    /// The client has closed its sending half: all of its input is to be read.
    private var inputEnds = false
    private var inputHasEnded = false
    /// The process is about to end: what has come by now is answered, nothing else.
    private var isFinishing = false
    private var hasEnded = false
    private var hasAskedForShutdown = false
    var holding = BufferAccount.Holding()
    /// Read and sent since the account was told.
    private var movedBytes = 0
    /// The account is being told: what comes of that is told to it later.
    private var isTelling = false
    /// All is answered and sent; the client's end is awaited until then. Milliseconds, see `ServingLoop`.
    private var drainsUntil: Int?
    private var isTicking = false
    private var lastSecond: UInt32
    /// Since when a job's result is being sent, and how much of it was: see `isTooSlow`.
    private var textSince: (milliseconds: Int, sentBytes: Int)?
    /// The client takes no more bytes for now, and took the last one then: milliseconds, see `ServingLoop`.
    private var blockedSince: Int?
    /// The loop will say when what is held back has to be sent, if it was not by then.
    private var isHolding = false
    private var holdsNoLonger = false
    /// How many of the session's replies are to come before what is held now is sent; nil when nothing is held.
    private var heldUntil: UInt64?
    /// The loop's round when that began.
    private var heldSince: UInt64 = 0

    /// More than this is not held back, in bytes.
    private static var heldBackBytesMax: Int { 8 << 10 }

    init(
        descriptor: Int32, loop: ServingLoop, router: Routing, links: PeerLinks?, configuration: SessionConfiguration,
        statistics: MemcachedStatistics, counters: SessionCounters, context: Context
    ) {
        self.loop = loop
        self.context = context
        self.counters = counters
        idleSeconds = configuration.idleTimeoutSeconds
        readerTimeoutMilliseconds = configuration.readerTimeoutMilliseconds
        lastSecond = loop.second
        let waker = Waker(loop)
        self.waker = waker
        var configuration = configuration
        if context.upgrade == nil { configuration.allowsPeers = false }
        session = MemcachedSession(
            router: router, links: links, configuration: configuration, statistics: statistics, counters: counters,
            client: context.client, wake: { waker.wake() })
        super.init(descriptor: descriptor)
        waker.onWake = { [unowned self] in answersHaveCome() }
    }

    /// Wakes the connection on its loop, from any thread; nothing once it is gone.
    private final class Waker: @unchecked Sendable {
        private let loop: ServingLoop
        /// Touched on the loop's thread only.
        var onWake: (() -> Void)?

        init(_ loop: ServingLoop) { self.loop = loop }

        func wake() { loop.execute { self.onWake?() } }
    }

    /// From here on the loop calls. False where it can't.
    func start() -> Bool {
        guard loop.add(self, [.readable, .writable, .inputEnded, .once]) else { return false }
        if idleSeconds > 0 { setTicking(true) }
        return true
    }

    // MARK: Events

    override func becameReady(_ readiness: Readiness) {
        if drainsUntil != nil { return drain() }
        if readiness.contains(.readable) { inputWaits = true }
        if !readiness.isDisjoint(with: [.inputEnded, .hungUp, .failed]) {
            (inputWaits, inputEnds) = (true, true)
            // Nobody is there to take an answer, and what holds this connection up will not go away.
            let hasFailed = !readiness.isDisjoint(with: [.failed, .hungUp])
            if hasFailed, blockedSince != nil || session.verdict == .stalled { return end() }
        }
        // Writable is what a connection nearly always is.
        if inputWaits || blockedSince != nil { answerAndRead() }
        // The memory is somebody else's next; a session that can't go on keeps what it is given.
        if !inputAhead.isEmpty, !hasEnded { _ = readInput() }
        tellAccount()
    }

    override func readAhead(_ readiness: Readiness, into buffer: UnsafeMutableRawBufferPointer) -> UInt64? {
        guard readsLittle, blockedSince == nil, session.verdict == .open, readiness.contains(.readable),
            readiness.isDisjoint(with: [.inputEnded, .hungUp, .failed]), inputAhead.isEmpty
        else { return nil }
        let count = linux_receive(descriptor, buffer.baseAddress, buffer.count)
        guard count > 0 else { return nil }
        inputAhead = UnsafeRawBufferPointer(rebasing: buffer[..<count])
        return session.hashToPrefetch(inputAhead)
    }

    override func prefetch(_ hashes: UnsafeBufferPointer<UInt64>) { session.prefetch(hashes) }

    private func answersHaveCome() {
        guard !hasEnded, drainsUntil == nil else { return }
        session.collect(now: loop.second)
        answerAndRead()
        tellAccount()
    }

    override func tick(nowMilliseconds: Int) {
        guard !hasEnded else { return }
        if let drainsUntil {
            if nowMilliseconds >= drainsUntil { end() }
            return
        }
        if readerTimeoutMilliseconds > 0, isTooSlow(nowMilliseconds) {
            counters.add(.slowReaderKicks)
            cutOff()
        } else if idleSeconds > 0, Int(loop.second) - Int(lastSecond) >= idleSeconds, session.isSettled {
            counters.add(.idleKicks)
            end()
        }
    }

    /// The client has taken nothing for long; or it takes a job's result, whose memory is that of all jobs, at less than 256 KB/s.
    private func isTooSlow(_ nowMilliseconds: Int) -> Bool {
        if let blockedSince, nowMilliseconds - blockedSince >= readerTimeoutMilliseconds { return true }
        guard let textSince else { return false }
        return nowMilliseconds - textSince.milliseconds >= readerTimeoutMilliseconds + textSince.sentBytes / 256
    }

    override func finish() -> Bool {
        guard !hasEnded else { return true }
        guard !isFinishing else { return false }
        let isIdle = Int(loop.second) - Int(lastSecond) > 1 && session.isSettled && !session.awaitsBlock
        (isFinishing, inputWaits) = (true, true)
        goOn()
        // Who has said nothing for long is not waited for.
        if isIdle, !hasEnded, drainsUntil != nil { end() }
        return hasEnded
    }

    override func loopEnds() { end() }

    // MARK: In and out

    /// Answers and reads in turns, for as long as there is something to read and the client takes the answers.
    override func goOn() {
        guard drainsUntil == nil else {
            if !hasEnded { drain() }
            return
        }
        answerAndRead()
        tellAccount()
    }

    private func answerAndRead() {
        for _ in 0..<Self.readsPerTurn {
            guard pump(), inputWaits else { return }
            guard readInput() else { return }
        }
        if pump(), inputWaits { loop.deferTurn(of: self) }
    }

    /// False when the connection is gone.
    private func readInput() -> Bool {
        lastSecond = loop.second
        if !inputAhead.isEmpty {
            let input = inputAhead
            inputAhead = UnsafeRawBufferPointer(start: nil, count: 0)
            take(input, isAll: input.count < ServingLoop.aheadBytes)
            return true
        }
        let count = linux_receive(descriptor, loop.input.baseAddress, loop.input.count)
        if count > 0 {
            take(UnsafeRawBufferPointer(rebasing: loop.input[..<count]), isAll: count < loop.input.count)
        } else if count == 0 {
            (inputHasEnded, inputWaits) = (true, false)
        } else if errno == EAGAIN {
            inputWaits = false
        } else if errno != EINTR {
            end()
            return false
        }
        return true
    }

    /// A read that did not fill its buffer took all there was.
    private func take(_ input: UnsafeRawBufferPointer, isAll: Bool) {
        if isAll, !inputEnds { inputWaits = false }
        movedBytes &+= input.count
        readsLittle = input.count < ServingLoop.aheadBytes
        loop.withSpare { session.lend(&$0) }
        context.activity.note(second: loop.second)
        context.activity.note(.working)
        session.receive(input, now: loop.second)
        context.activity.note(session.awaitsBlock ? .readingBlock : .reading)
    }

    /// Sends what there is and lets a stalled session go on. True when the session wants more input; what the client does
    /// not take stays in the session, which then is given none.
    private func pump() -> Bool {
        var resumes = 0
        while !hasEnded {
            if holdsBack { return session.verdict == .open && !inputHasEnded }
            guard send() else { return false }
            switch session.verdict {
            case .open:
                if inputHasEnded || (isFinishing && !inputWaits && !session.awaitsBlock) { closeWhenSettled() }
                return !inputHasEnded
            case .stalled:
                resumes += 1
                if resumes > Self.resumesPerTurn {
                    loop.deferTurn(of: self)
                    return false
                }
                session.resume(now: loop.second)
                // Still stalled without anything to send: it waits for answers, and will be woken.
                if session.verdict == .stalled, session.outputBytes == 0 { return false }
            case .closing, .shutdown:
                closeWhenSettled()
                return false
            case .upgradeToPeer(let line):
                handOver(line)
                return false
            }
        }
        return false
    }

    /// A little that comes before answers of other nodes goes with those that are awaited now, if they come soon: half the
    /// system calls, on both sides.
    private var holdsBack: Bool {
        guard session.hasPeers, !session.isSettled, session.outputBytes > 0,
            session.outputBytes < Self.heldBackBytesMax, session.verdict == .open || session.verdict == .stalled,
            blockedSince == nil, !holdsNoLonger
        else { return false }
        let until = heldUntil ?? session.repliesAwaited
        guard session.awaitsReplies(before: until) else { return false }
        if heldUntil == nil { (heldUntil, heldSince) = (until, loop.holdingRound) }
        holdOn()
        return true
    }

    private func holdOn() {
        guard !isHolding else { return }
        isHolding = true
        loop.holdBack(self)
    }

    override func holdingEnds() {
        isHolding = false
        guard !hasEnded, heldUntil != nil else { return }
        // What was held when the loop was asked has left meanwhile: this is younger.
        guard heldSince < loop.holdingRound - 1 else { return holdOn() }
        holdsNoLonger = true
        goOn()
        holdsNoLonger = false
    }

    /// True when all is sent, and the buffers it was in are given back.
    private func send() -> Bool {
        heldUntil = nil
        while session.outputBytes > 0 {
            let count = send(session.output)
            if count > 0 {
                session.didSend(count)
                textSince?.sentBytes += count
                if !session.holdsText { textSince = nil }
                movedBytes &+= count
                blockedSince = nil
            } else if errno == EAGAIN {
                session.settleOutput()
                if session.holdsText { textSince = textSince ?? (loop.nowMilliseconds, 0) }
                block()
                return false
            } else if errno != EINTR {
                end()
                return false
            }
        }
        loop.withSpare { session.giveBack(&$0) }
        loop.trimSpare()
        blockedSince = nil
        if idleSeconds == 0 { setTicking(false) }
        return true
    }

    private func send(_ output: OutputPieces) -> Int {
        guard output.value.count > 0 else { return linux_send(descriptor, output.head.baseAddress, output.head.count) }
        return linux_send_pieces(
            descriptor, output.head.baseAddress, output.head.count, output.value.baseAddress, output.value.count,
            output.tail.baseAddress, output.tail.count)
    }

    // MARK: Memory

    /// What is held is known after each turn; a client that has gone holds nothing.
    @inline(__always)
    private func tellAccount() {
        guard !hasEnded, !isTelling else { return }
        isTelling = true
        context.account.note(self, holds: session.bufferBytes, moved: movedBytes)
        isTelling = false
        movedBytes = 0
    }

    /// Others need the room more: the request that is on its way is refused, or the client that does not read is cut off.
    func shedBuffers() {
        guard !hasEnded else { return }
        guard blockedSince == nil, session.refuseHeld() else {
            counters.add(.slowReaderKicks)
            return cutOff()
        }
        answerAndRead()
    }

    /// With a reset, so that the kernel does not keep what will never be read.
    private func cutOff() {
        var linger = Glibc.linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout.size(ofValue: linger)))
        end()
    }

    /// The kernel will say when the client takes more.
    private func block() {
        blockedSince = blockedSince ?? loop.nowMilliseconds
        setTicking(true)
    }

    private func setTicking(_ ticks: Bool) {
        guard ticks != isTicking else { return }
        isTicking = ticks
        if ticks { loop.startTicking() } else { loop.stopTicking() }
    }

    // MARK: The end

    /// Closes once every answer was given and sent. A client that asked for much and then quit still gets it all.
    private func closeWhenSettled() {
        guard session.isSettled else { return }
        askForShutdown()
        guard !inputHasEnded else { return end() }
        // Closing with input unread, or on its way, would reset the connection, and the last answers might be lost with it:
        // the client is told that no more will come, and its end is awaited.
        Glibc.shutdown(descriptor, Int32(SHUT_WR))
        drainsUntil =
            loop.nowMilliseconds + (isFinishing ? Self.lastDrainMilliseconds : Self.drainMilliseconds)
        setTicking(true)
        drain()
    }

    /// Throws away what comes behind the last request.
    private func drain() {
        for _ in 0..<Self.readsPerTurn {
            let count = linux_receive(descriptor, loop.input.baseAddress, loop.input.count)
            guard count > 0 else {
                if count < 0, errno == EAGAIN || errno == EINTR { return }
                return end()
            }
        }
        loop.deferTurn(of: self)
    }

    /// Once, also for a client that did not stay to see it.
    private func askForShutdown() {
        guard session.verdict == .shutdown, !hasAskedForShutdown else { return }
        hasAskedForShutdown = true
        context.shutdown?()
    }

    private func end() {
        guard !hasEnded else { return }
        leave()
        close(descriptor)
        context.closed()
        askForShutdown()
    }

    private func leave() {
        hasEnded = true
        context.account.remove(self)
        waker.onWake = nil
        setTicking(false)
        loop.remove(self)
    }

    private func handOver(_ line: [UInt8]) {
        leave()
        context.upgrade?(loop, descriptor, line, session.takeRemainingInput(), context.closed)
    }
}
