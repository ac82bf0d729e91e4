// Runs that are over and can still be looked at, with their answers: for ten minutes, as far as there is room.

package import Engine
import Synchronization

package final class RunLog: Sendable {
    package struct Run: Sendable {
        package var query: UInt64
        package var job: String
        package var parameters: [String: Value]
        package var startedUnixMilliseconds: Int64
        /// So far, or in all.
        package var milliseconds: Double
        /// Nil while it is under way.
        package var status: String?
        package var envelope: Envelope?
    }

    private struct Kept {
        var run: Run
        let endedNanoseconds: UInt64
        /// Of its result, and of what it logged.
        let bytes: Int
    }

    private static let keptNanoseconds: UInt64 = 600 * 1_000_000_000
    private static let runsMax = 1_000
    /// Of all results together. Beyond it the oldest are let go of.
    private static let bytesMax = 64 << 20

    private let environment: any Environment
    /// The one that ended last comes last.
    private let kept = Mutex([Kept]())

    init(_ environment: any Environment) { self.environment = environment }

    func add(_ run: Run) {
        let now = environment.uptimeNanoseconds
        let entry = Kept(
            run: run, endedNanoseconds: now,
            bytes: run.envelope.map { $0.result.value.heldBytes + $0.log.heldBytes } ?? 0)
        let dropped: [Kept] = kept.withLock { kept in
            kept.append(entry)
            var dropped = Self.takeOld(&kept, now)
            var bytes = kept.reduce(0) { $0 + $1.bytes }
            // The youngest stays whatever it has: somebody waits for it.
            while kept.count > Self.runsMax || (bytes > Self.bytesMax && kept.count > 1) {
                let oldest = kept.removeFirst()
                bytes -= oldest.bytes
                dropped.append(oldest)
            }
            return dropped
        }
        // Outside of the lock, as results may be large.
        withExtendedLifetime(dropped) {}
    }

    private static func takeOld(_ kept: inout [Kept], _ now: UInt64) -> [Kept] {
        let old = kept.prefix { now - $0.endedNanoseconds > keptNanoseconds }
        defer { kept.removeFirst(old.count) }
        return Array(old)
    }

    var runs: [Run] {
        let now = environment.uptimeNanoseconds
        return kept.withLock { kept in
            withExtendedLifetime(Self.takeOld(&kept, now)) {}
            return kept.map(\.run)
        }
    }

    func run(_ query: UInt64) -> Run? {
        let now = environment.uptimeNanoseconds
        return kept.withLock { kept in
            kept.last { $0.run.query == query && now - $0.endedNanoseconds <= Self.keptNanoseconds }?.run
        }
    }
}
