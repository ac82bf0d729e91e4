// One connection of the load generator: keeps `depth` requests under way and times each batch.
//
// Unsafe: system calls on a raw descriptor.

import CLinux
import DequeModule
import Engine
import Glibc
import Histogram
import NIOCore

/// Closed loop: a batch goes out when the one before it has been answered. Open loop: whoever keeps the time calls
/// `sendDue`, and a request's latency counts from when it was due. One thread at a time; nothing but the kernel is between
/// a request and the server, for what the generator costs can't be used to load the server.
final class BenchConnection {
    private enum Phase {
        case setup(next: Int, step: Int)
        case ready, measuring
    }

    let descriptor: Int32
    private(set) var replies = 0
    private(set) var latencies = Histogram<UInt32>(numberOfSignificantValueDigits: .two)
    private(set) var counter: ReplyCounter
    private var requests: BenchRequests
    private let isOpenLoop: Bool
    private let depth: Int
    private var phase: Phase
    private var awaited = 0
    private var sentAt: UInt64 = 0
    /// Open loop: when the requests under way were due, in nanoseconds.
    private var due = Deque<UInt64>()
    /// What the kernel has not taken yet.
    private var out = ByteBuffer()

    /// Connects to a server of this machine, and begins to put every `step`th key from `first` on in its place.
    init(port: Int, requests: BenchRequests, setupFrom first: Int, step: Int) throws(Failure) {
        descriptor = try Self.connect(port: port)
        self.requests = requests
        counter = ReplyCounter(requests.wire)
        isOpenLoop = requests.workload.requestsPerSecond != nil
        depth = requests.workload.depth
        phase = .setup(next: first, step: step)
    }

    deinit { close(descriptor) }

    private static func connect(port: Int) throws(Failure) -> Int32 {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(truncatingIfNeeded: port).bigEndian
        address.sin_addr.s_addr = in_addr_t(0x7F00_0001).bigEndian
        let outcome = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard outcome == 0 else {
            let reason = String(cString: strerror(errno))
            close(descriptor)
            throw Failure(.unreachable, "can't connect to 127.0.0.1:\(port): \(reason)")
        }
        var one: CInt = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<CInt>.size))
        _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
        return descriptor
    }

    // MARK: Phases

    /// Whether all of its keys are in their places.
    var isReady: Bool { if case .ready = phase { true } else { false } }

    /// Sends the next keys to put in their places, until there are none left.
    func goOnWithSetup() throws(Failure) {
        guard case .setup(var next, let step) = phase, awaited == 0 else { return }
        while next < requests.workload.keys, awaited < 64, out.readableBytes < 256 << 10 {
            requests.appendSetup(of: next, to: &out)
            next += step
            awaited += 1
        }
        phase = awaited == 0 ? .ready : .setup(next: next, step: step)
        try send()
    }

    func startMeasuring() throws(Failure) {
        counter = ReplyCounter(requests.wire)
        phase = .measuring
        if !isOpenLoop { try sendBatch() }
    }

    /// One request, which was due at `instant`.
    func sendDue(at instant: UInt64) throws(Failure) {
        requests.append(to: &out)
        due.append(instant)
        awaited += 1
        try send()
    }

    private func sendBatch() throws(Failure) {
        for _ in 0..<depth { requests.append(to: &out) }
        awaited = depth
        sentAt = monotonicNanoseconds()
        try send()
    }

    // MARK: In and out

    /// Something has come, or there is room again.
    func becameReady(_ readiness: Readiness, input: UnsafeMutableRawBufferPointer) throws(Failure) {
        if readiness.contains(.writable), out.readableBytes > 0 { try send() }
        while true {
            let count = linux_receive(descriptor, input.baseAddress, input.count)
            if count < 0, errno == EAGAIN { return }
            guard count > 0 else {
                throw Failure(.unreachable, "\(requests.workload.name): the server closed a connection")
            }
            try take(UnsafeRawBufferPointer(rebasing: input[..<count]))
            if count < input.count { return }
        }
    }

    private func take(_ bytes: UnsafeRawBufferPointer) throws(Failure) {
        let count = counter.feed(bytes)
        awaited -= count
        switch phase {
        case .setup: try goOnWithSetup()
        case .ready: break
        case .measuring:
            replies += count
            if isOpenLoop { return record(count) }
            guard awaited <= 0 else { return }
            latencies.record((monotonicNanoseconds() - sentAt) / 1000)
            try sendBatch()
        }
    }

    private func record(_ count: Int) {
        let now = monotonicNanoseconds()
        for _ in 0..<count {
            guard let instant = due.popFirst() else { return }
            latencies.record((now - min(now, instant)) / 1000)
        }
    }

    private func send() throws(Failure) {
        while out.readableBytes > 0 {
            let count = out.withUnsafeReadableBytes { linux_send(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EAGAIN { return }
            guard count >= 0 else {
                throw Failure(.unreachable, "\(requests.workload.name): the server closed a connection")
            }
            out.moveReaderIndex(forwardBy: count)
        }
        out.clear()
    }
}
