// One measurement: connects, fills the server, runs the workload, and takes the CPU time of the server's processes before and after.

import Dispatch
import Engine
import Gather
import Glibc

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

struct BenchRun: Sendable {
    let workload: BenchWorkload
    let wire: BenchWorkload.Wire
    let address: HostPort
    /// Whose processor time is counted, together.
    let pids: [pid_t]
    var scriptHash = ""

    /// Takes a thread for as long as it lasts.
    func measure() async throws -> BenchResult {
        try await withCheckedThrowingContinuation { continuation in
            DispatchQueue.global().async { continuation.resume(with: Result { try self.measureHere() }) }
        }
    }

    private func measureHere() throws(Failure) -> BenchResult {
        let load = try BenchLoad(self)
        try load.setUp()
        let before = pids.reduce(0) { $0 + Self.cpuSeconds(of: $1) }
        let started = monotonicNanoseconds()
        try load.measure(until: started + UInt64(workload.seconds * 1e9))
        let after = pids.reduce(0) { $0 + Self.cpuSeconds(of: $1) }
        let seconds = Double(monotonicNanoseconds() - started) / 1e9
        return try load.result(seconds: seconds, serverSeconds: after - before)
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
