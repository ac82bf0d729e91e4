// The load generator at work: all of a workload's connections on one thread, as fast as they are answered or at a rate.
//
// Unsafe: owns a raw input buffer.

import Engine
import Gather
import Histogram

struct BenchLoad: ~Copyable {
    private static let inputBytes = 256 << 10

    private let workload: BenchWorkload
    private let poll = EventPoll()
    private let input = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.inputBytes, alignment: 64)
    private var connections: [BenchConnection] = []
    /// By descriptor.
    private var places: [Int32: Int] = [:]

    init(_ run: borrowing BenchRun) throws(Failure) {
        workload = run.workload
        for index in 0..<workload.connections {
            let requests = BenchRequests(
                workload, wire: run.wire, scriptHash: run.scriptHash, seed: UInt64(index) &* 7_919 &+ 1)
            let connection = try BenchConnection(
                port: run.address.port, requests: requests, setupFrom: index, step: workload.connections)
            guard poll.add(connection.descriptor, [.readable, .writable, .inputEnded, .once]) else {
                throw Failure(.overloaded, "the kernel watches no more connections: lower --connections")
            }
            places[connection.descriptor] = connections.count
            connections.append(connection)
        }
    }

    deinit { input.deallocate() }

    /// Puts every key in its place.
    func setUp() throws(Failure) {
        for connection in connections { try connection.goOnWithSetup() }
        while !connections.allSatisfy(\.isReady) { try wait(milliseconds: 1_000) }
    }

    /// `end`: of `monotonicNanoseconds`.
    func measure(until end: UInt64) throws(Failure) {
        for connection in connections { try connection.startMeasuring() }
        guard let rate = workload.requestsPerSecond else {
            while monotonicNanoseconds() < end { try wait(milliseconds: 10) }
            return
        }
        let started = monotonicNanoseconds()
        let interval = 1e9 / rate
        var sent = 0
        while true {
            let now = monotonicNanoseconds()
            guard now < end else { return }
            while started + UInt64(Double(sent) * interval) <= now {
                try connections[sent % connections.count].sendDue(at: started + UInt64(Double(sent) * interval))
                sent += 1
            }
            // A sleep ends late: what is due sooner than in a few milliseconds is waited for awake.
            let untilNext = Double(started) + Double(sent) * interval - Double(now)
            try wait(milliseconds: untilNext > 5e6 ? Int32(untilNext / 2e6) : 0)
        }
    }

    private func wait(milliseconds: Int32) throws(Failure) {
        for at in 0..<poll.wait(milliseconds: milliseconds) {
            let (descriptor, readiness) = poll.event(at)
            if let place = places[descriptor] { try connections[place].becameReady(readiness, input: input) }
        }
    }

    /// `seconds` of measurement; `serverSeconds` of the server's processor time in it.
    func result(seconds: Double, serverSeconds: Double) throws(Failure) -> BenchResult {
        var latencies = Histogram<UInt32>(numberOfSignificantValueDigits: .two)
        var (replies, misses) = (0, 0)
        for connection in connections {
            let counter = connection.counter
            guard counter.errors == 0 else {
                throw Failure(
                    .scriptError,
                    "\(workload.name): the server answered \(counter.errors) errors, first: \(counter.firstError)")
            }
            replies += connection.replies
            misses += counter.misses
            for bucket in connection.latencies.recordedValues() where bucket.count > 0 {
                latencies.record(bucket.value, count: bucket.count)
            }
        }
        return BenchResult(
            operations: replies * workload.operationsPerRequest, seconds: seconds, serverSeconds: serverSeconds,
            p50: latencies.valueAtPercentile(50), p99: latencies.valueAtPercentile(99), misses: misses)
    }
}
