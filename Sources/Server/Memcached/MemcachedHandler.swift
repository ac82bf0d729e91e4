// The channel handler of a memcached connection: it feeds the session, sends what it answers, and minds the pace.

import Engine
package import Gather
package import NIOCore

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Takes over a connection whose first line was a peer's. Runs on the channel's event loop; the memcached handler leaves
/// the pipeline right after. `line` comes without its end; `remaining` holds the bytes after it.
package typealias PeerUpgrade = @Sendable (_ channel: any Channel, _ line: [UInt8], _ remaining: ByteBuffer) -> Void

package final class MemcachedHandler<Routing: CommandRouter>: ChannelInboundHandler, RemovableChannelHandler {
    package typealias InboundIn = ByteBuffer
    package typealias OutboundOut = ByteBuffer

    private let session: MemcachedSession<Routing>
    private let waker: Waker
    private let upgrade: PeerUpgrade?
    private let shutdown: (@Sendable () -> Void)?
    private let idleSeconds: Int
    private let counters: SessionCounters
    private var isReading = true
    private var hasEnded = false
    private var inputHasEnded = false
    private var lastSecond: UInt32 = 0
    private var idleCheck: Scheduled<Void>?
    private let readerTimeout: TimeAmount
    private var writtenBytes = 0
    private var readerProgress: ReaderProgress?
    private var readerCheck: Scheduled<Void>?

    /// Wakes the handler on its event loop, from any thread; nothing once the channel is gone.
    private final class Waker: @unchecked Sendable {
        private let eventLoop: any EventLoop
        /// Touched on the event loop only.
        var onWake: (() -> Void)?

        init(_ eventLoop: any EventLoop) { self.eventLoop = eventLoop }

        func wake() { eventLoop.execute { self.onWake?() } }
    }

    package init(
        router: Routing, links: PeerLinks?, configuration: SessionConfiguration, statistics: MemcachedStatistics,
        counters: SessionCounters, eventLoop: any EventLoop, upgrade: PeerUpgrade?,
        shutdown: (@Sendable () -> Void)? = nil
    ) {
        let waker = Waker(eventLoop)
        var configuration = configuration
        if upgrade == nil { configuration.allowsPeers = false }
        self.waker = waker
        self.upgrade = upgrade
        self.shutdown = shutdown
        idleSeconds = configuration.idleTimeoutSeconds
        readerTimeout = .milliseconds(Int64(configuration.readerTimeoutMilliseconds))
        self.counters = counters
        session = MemcachedSession(
            router: router, links: links, configuration: configuration, statistics: statistics, counters: counters,
            wake: { waker.wake() })
    }

    package func handlerAdded(context: ChannelHandlerContext) {
        waker.onWake = { [unowned self] in
            guard !hasEnded else { return }
            session.collect(now: unixSeconds())
            pump(context)
        }
        lastSecond = unixSeconds()
        if idleSeconds > 0 { scheduleIdleCheck(context, after: idleSeconds) }
    }

    package func handlerRemoved(context: ChannelHandlerContext) {
        hasEnded = true
        waker.onWake = nil
        idleCheck?.cancel()
        readerCheck?.cancel()
    }

    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !hasEnded else { return context.fireChannelRead(data) }
        let buffer = unwrapInboundIn(data)
        lastSecond = unixSeconds()
        buffer.withUnsafeReadableBytes { session.receive($0, now: lastSecond) }
        // The answers of several reads go out together, unless there is much to send already.
        if session.verdict != .open { pump(context) }
    }

    package func channelReadComplete(context: ChannelHandlerContext) {
        if !hasEnded { pump(context) }
        context.fireChannelReadComplete()
    }

    package func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable, !hasEnded { pump(context) }
        context.fireChannelWritabilityChanged()
    }

    /// The client has closed its sending half: it still gets the answers to what it sent.
    package func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? ChannelEvent, case .inputClosed = event, !hasEnded {
            inputHasEnded = true
            pump(context)
        }
        context.fireUserInboundEventTriggered(event)
    }

    package func channelInactive(context: ChannelHandlerContext) {
        hasEnded = true
        waker.onWake = nil
        context.fireChannelInactive()
    }

    package func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // A client that resets its connection is no news.
        context.close(promise: nil)
    }

    /// Sends what there is and lets a stalled session go on, as long as the client keeps up.
    private func pump(_ context: ChannelHandlerContext) {
        while !hasEnded {
            // What a client does not take stays in the session, which then stops asking for more. Answers from elsewhere
            // lead here too, so that without this they would all pile up in the channel.
            guard context.channel.isWritable else { return waitForReader(context) }
            send(context)
            switch session.verdict {
            case .open:
                if inputHasEnded { return closeWhenSettled(context) }
                setReading(context.channel.isWritable, context)
                return
            case .stalled:
                setReading(false, context)
                guard context.channel.isWritable, !hasEnded else { return }
                session.resume(now: lastSecond)
                // Still stalled without anything to send: it waits for answers, and will be woken.
                if session.verdict == .stalled, session.outputBytes == 0 { return }
            case .closing: return closeWhenSettled(context)
            case .shutdown:
                shutdown?()
                return closeWhenSettled(context)
            case .upgradeToPeer(let line): return handOver(line, context)
            }
        }
    }

    private func send(_ context: ChannelHandlerContext) {
        guard session.outputBytes > 0 else { return }
        // Taken out first: a write that does not go through calls back into `pump` before it returns.
        let output = session.takeOutput()
        let outputBytes = output.readableBytes
        writtenBytes &+= outputBytes
        context.writeAndFlush(wrapOutboundOut(output), promise: nil)
        session.giveBack(output)
        // Small answers that are not taken add up until the channel is no longer writable.
        if outputBytes > Self.largeOutputBytes { watchReader(context) }
    }

    private func setReading(_ reads: Bool, _ context: ChannelHandlerContext) {
        guard reads != isReading else { return }
        isReading = reads
        try? context.channel.syncOptions?.setOption(.autoRead, value: reads)
    }

    /// Closes once every answer was given and written. A client that asked for much and then quit still gets it all.
    private func closeWhenSettled(_ context: ChannelHandlerContext) {
        setReading(false, context)
        guard session.isSettled else { return }
        hasEnded = true
        let lastWrite = context.eventLoop.makePromise(of: Void.self)
        let loopBound = context.loopBound
        lastWrite.futureResult.whenComplete { _ in loopBound.value.close(promise: nil) }
        context.writeAndFlush(wrapOutboundOut(ByteBuffer()), promise: lastWrite)
        watchReader(context)
    }

    // MARK: A client that does not read

    private static var largeOutputBytes: Int { 64 << 10 }

    private func waitForReader(_ context: ChannelHandlerContext) {
        setReading(false, context)
        watchReader(context)
    }

    /// From now until all is taken: a client that takes nothing for `readerTimeout` is cut off.
    private func watchReader(_ context: ChannelHandlerContext) {
        guard readerProgress == nil, readerTimeout > .zero, let waiting = waitingBytes(context), waiting > 0 else {
            return
        }
        readerProgress = ReaderProgress(written: writtenBytes, waiting: waiting, now: .now())
        scheduleReaderCheck(context)
    }

    private func scheduleReaderCheck(_ context: ChannelHandlerContext) {
        let pause = TimeAmount.nanoseconds(max(1, readerTimeout.nanoseconds / 8))
        readerCheck = context.eventLoop.assumeIsolated().scheduleTask(in: pause) { [unowned self] in
            guard let waiting = waitingBytes(context),
                let stalled = readerProgress?.observe(written: writtenBytes, waiting: waiting, now: NIODeadline.now())
            else { return readerProgress = nil }
            guard stalled >= readerTimeout else { return scheduleReaderCheck(context) }
            hasEnded = true
            counters.add(.slowReaderKicks)
            // With a reset, so that the kernel does not keep what will never be read.
            _ = (context.channel as? any SocketOptionProvider)?.setSoLinger(linger(l_onoff: 1, l_linger: 0))
            context.close(promise: nil)
        }
    }

    /// Given to the channel and not yet taken by the kernel; nil where a channel can't tell.
    private func waitingBytes(_ context: ChannelHandlerContext) -> Int? {
        try? context.channel.syncOptions?.getOption(.bufferedWritableBytes)
    }

    private func handOver(_ line: [UInt8], _ context: ChannelHandlerContext) {
        hasEnded = true
        let remaining = ByteBuffer(bytes: session.takeRemainingInput())
        setReading(true, context)
        try? context.channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: false)
        upgrade?(context.channel, line, remaining)
        context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
    }

    private func scheduleIdleCheck(_ context: ChannelHandlerContext, after seconds: Int) {
        idleCheck = context.eventLoop.assumeIsolated().scheduleTask(in: .seconds(Int64(seconds))) { [unowned self] in
            guard !hasEnded else { return }
            let idle = Int(unixSeconds()) - Int(lastSecond)
            if idle >= idleSeconds, session.isSettled {
                hasEnded = true
                counters.add(.idleKicks)
                context.close(promise: nil)
            } else {
                scheduleIdleCheck(context, after: max(1, idleSeconds - idle))
            }
        }
    }
}
