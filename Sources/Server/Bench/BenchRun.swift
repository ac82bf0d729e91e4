// One measurement: connects, fills the server, runs the workload, and takes the server's CPU time before and after.

import Engine
import Histogram
import NIOCore
import NIOPosix

#if canImport(Glibc)
    import Glibc
#endif

struct BenchResult: Sendable {
    var operations: Int
    var seconds: Double
    /// The server's own accounting, user and system, over the measurement.
    var serverSeconds: Double
    /// Of one batch of `depth` requests, or of one request where they come at a rate, in microseconds.
    var p50: UInt64
    var p99: UInt64
    var misses: Int

    var operationsPerSecond: Double { Double(operations) / seconds }
    /// Microseconds.
    var serverCPUPerOperation: Double { serverSeconds * 1e6 / Double(max(1, operations)) }
}

struct BenchRun {
    let workload: BenchWorkload
    let wire: BenchWorkload.Wire
    let address: ServerAddress
    let pid: pid_t
    var scriptHash = ""

    func measure() async throws -> BenchResult {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let bench = try await loop.submit { NIOLoopBound(Connections(), eventLoop: loop) }.get()
        let allSetUp = loop.makePromise(of: Void.self)
        let workload = workload
        try await withThrowingTaskGroup(of: Void.self) { group in
            for index in 0..<workload.connections {
                group.addTask { try await connect(index, loop, bench, allSetUp) }
            }
            try await group.waitForAll()
        }
        try await allSetUp.futureResult.get()
        let before = Self.cpuSeconds(of: pid)
        let started = monotonicNanoseconds()
        loop.execute { bench.value.start(requestsPerSecond: workload.requestsPerSecond, on: loop) }
        try await Task.sleep(for: .seconds(workload.seconds))
        let after = Self.cpuSeconds(of: pid)
        let seconds = Double(monotonicNanoseconds() - started) / 1e9
        let result = try await loop.submit {
            bench.value.finish(workload, seconds: seconds, serverSeconds: after - before)
        }.get()
        guard result.errors == 0 else {
            throw Failure(
                .scriptError,
                "\(workload.name): the server answered \(result.errors) errors, first: \(result.firstError)")
        }
        return result.result
    }

    private func connect(
        _ index: Int, _ loop: any EventLoop, _ bench: NIOLoopBound<Connections>, _ allSetUp: EventLoopPromise<Void>
    ) async throws {
        let requests = BenchRequests(
            workload, wire: wire, scriptHash: scriptHash, seed: UInt64(index) &* 7_919 &+ 1)
        let count = workload.connections
        _ = try await ClientBootstrap(group: loop)
            .channelOption(.socketOption(.tcp_nodelay), value: 1)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let handler = BenchHandler(requests, setupFrom: index, step: count) {
                        bench.value.setUp += 1
                        if bench.value.setUp == count { allSetUp.succeed() }
                    }
                    try channel.pipeline.syncOperations.addHandler(handler)
                    bench.value.all.append((channel, handler))
                }
            }
            .connect(host: address.host, port: address.port).get()
    }

    /// Lives on the event loop.
    private final class Connections {
        var all: [(channel: any Channel, handler: BenchHandler)] = []
        var setUp = 0

        private var timer: RepeatedTask?
        /// Open loop: who is next, since when, how far apart in nanoseconds, and how many were sent.
        private var members: [(handler: BenchHandler, context: ChannelHandlerContext)] = []
        private var started: UInt64 = 0
        private var interval = 0.0
        private var sent = 0

        func start(requestsPerSecond: Double?, on loop: any EventLoop) {
            members = all.compactMap { channel, handler in
                (try? channel.pipeline.syncOperations.context(handler: handler)).map { (handler, $0) }
            }
            for (handler, context) in members { handler.start(context) }
            guard let requestsPerSecond else { return }
            started = monotonicNanoseconds()
            interval = 1e9 / requestsPerSecond
            let bound = NIOLoopBound(self, eventLoop: loop)
            timer = loop.scheduleRepeatedTask(initialDelay: .zero, delay: Self.tick) { _ in bound.value.sendDue() }
        }

        private func sendDue() {
            let elapsed = Double(monotonicNanoseconds() - started)
            while Double(sent) * interval <= elapsed {
                let (handler, context) = members[sent % members.count]
                handler.sendDue(context, at: started + UInt64(Double(sent) * interval))
                sent += 1
            }
        }

        /// How late a request may go out, at most, on a free machine: it counts towards the latency.
        private static let tick = TimeAmount.microseconds(100)

        func finish(
            _ workload: BenchWorkload, seconds: Double, serverSeconds: Double
        ) -> (result: BenchResult, errors: Int, firstError: String) {
            var latencies = Histogram<UInt32>(numberOfSignificantValueDigits: .two)
            var (replies, errors, misses, firstError) = (0, 0, 0, "")
            timer?.cancel()
            for (channel, handler) in all {
                handler.stop()
                channel.close(promise: nil)
                replies += handler.tally.replies
                errors += handler.tally.errors
                misses += handler.tally.misses
                if firstError.isEmpty { firstError = handler.tally.firstError }
                for bucket in handler.tally.latencies.recordedValues() where bucket.count > 0 {
                    latencies.record(bucket.value, count: bucket.count)
                }
            }
            all = []
            let result = BenchResult(
                operations: replies * workload.operationsPerRequest, seconds: seconds, serverSeconds: serverSeconds,
                p50: latencies.valueAtPercentile(50), p99: latencies.valueAtPercentile(99), misses: misses)
            return (result, errors, firstError)
        }
    }

    /// User and system time of a process so far, to the clock tick (10 ms): /proc/PID/stat, fields 14 and 15.
    static func cpuSeconds(of pid: pid_t) -> Double {
        guard let bytes = try? FilePath.read("/proc/\(pid)/stat") else { return 0 }
        // The second field, a name in parentheses, may hold anything.
        let text = String(decoding: bytes, as: UTF8.self)
        guard let end = text.lastIndex(of: ")") else { return 0 }
        let fields = text[end...].split(separator: " ").dropFirst()
        let ticks = fields.dropFirst(11).prefix(2).compactMap { Double($0) }.reduce(0, +)
        return ticks / Double(sysconf(Int32(_SC_CLK_TCK)))
    }
}
