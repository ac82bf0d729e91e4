// One connection of the load generator: keeps `depth` requests under way and times each batch.

import DequeModule
import Engine
import Histogram
import NIOCore

/// What a connection has seen; read after the run, on its event loop.
final class BenchTally {
    var replies = 0
    var latencies = Histogram<UInt32>(numberOfSignificantValueDigits: .two)
    var errors = 0
    var misses = 0
    var firstError = ""
}

/// Closed loop: a batch goes out when the one before it has been answered. Open loop: whoever keeps the time calls
/// `sendDue`, and a request's latency counts from when it was due.
final class BenchHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    enum Phase {
        case setup(next: Int, step: Int)
        case measuring, over
    }

    let tally = BenchTally()
    private var requests: BenchRequests
    private var counter: ReplyCounter
    private var phase: Phase
    private var awaited = 0
    private var sentAt: UInt64 = 0
    /// Open loop: when the requests under way were due, in nanoseconds.
    private var due = Deque<UInt64>()
    private let onSetupDone: () -> Void

    init(_ requests: BenchRequests, setupFrom first: Int, step: Int, onSetupDone: @escaping () -> Void) {
        self.requests = requests
        counter = ReplyCounter(requests.wire)
        phase = .setup(next: first, step: step)
        self.onSetupDone = onSetupDone
    }

    func channelActive(context: ChannelHandlerContext) { sendSetup(context) }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let replies = unwrapInboundIn(data).withUnsafeReadableBytes { counter.feed($0) }
        awaited -= replies
        if case .measuring = phase { tally.replies += replies }
        if requests.workload.requestsPerSecond != nil, case .measuring = phase { return recordDue(replies) }
        guard awaited <= 0 else { return }
        switch phase {
        case .setup: sendSetup(context)
        case .measuring:
            tally.latencies.record((monotonicNanoseconds() - sentAt) / 1000)
            sendBatch(context)
        case .over: break
        }
    }

    /// Begins to measure; called on the event loop, once all connections have set up their keys.
    func start(_ context: ChannelHandlerContext) {
        counter = ReplyCounter(requests.wire)
        phase = .measuring
        if requests.workload.requestsPerSecond == nil { sendBatch(context) }
    }

    /// One request, which was due at `instant`.
    func sendDue(_ context: ChannelHandlerContext, at instant: UInt64) {
        guard case .measuring = phase else { return }
        var out = context.channel.allocator.buffer(capacity: 512)
        requests.append(to: &out)
        due.append(instant)
        context.writeAndFlush(wrapOutboundOut(out), promise: nil)
    }

    private func recordDue(_ replies: Int) {
        let now = monotonicNanoseconds()
        for _ in 0..<replies {
            guard let instant = due.popFirst() else { return }
            tally.latencies.record((now - min(now, instant)) / 1000)
        }
    }

    func stop() {
        phase = .over
        tally.errors = counter.errors
        tally.misses = counter.misses
        tally.firstError = counter.firstError
    }

    private func sendSetup(_ context: ChannelHandlerContext) {
        guard case .setup(var next, let step) = phase, next < requests.workload.keys else {
            return onSetupDone()
        }
        var out = context.channel.allocator.buffer(capacity: 16 << 10)
        var count = 0
        while next < requests.workload.keys, count < 64, out.readableBytes < 256 << 10 {
            requests.appendSetup(of: next, to: &out)
            next += step
            count += 1
        }
        phase = .setup(next: next, step: step)
        awaited = count
        context.writeAndFlush(wrapOutboundOut(out), promise: nil)
    }

    private func sendBatch(_ context: ChannelHandlerContext) {
        var out = context.channel.allocator.buffer(capacity: 4 << 10)
        for _ in 0..<requests.workload.depth { requests.append(to: &out) }
        awaited = requests.workload.depth
        sentAt = monotonicNanoseconds()
        context.writeAndFlush(wrapOutboundOut(out), promise: nil)
    }
}
