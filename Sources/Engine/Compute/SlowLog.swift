// The last methods and jobs that took longer than they should, and whoever is told of each.

import Synchronization

package final class SlowLog: Sendable {
    package struct Entry: Sendable, Equatable {
        /// `job NAME`, or `TYPE:METHOD:NAME`.
        package let what: String
        package let nanoseconds: UInt64
        /// When it was over.
        package let unixMilliseconds: Int64

        package var milliseconds: Double { (Double(nanoseconds) / 1_000).rounded() / 1_000 }
    }

    private static let entriesMax = 128
    /// Of a name.
    private static let whatBytesMax = 200

    private let thresholdNanoseconds: UInt64
    private let tell: @Sendable (Entry) -> Void
    /// The last one comes last.
    private let kept = Mutex([Entry]())

    /// - Parameters:
    ///   - thresholdMilliseconds: what takes less is not slow; 0: nothing is.
    ///   - tell: gets each of them, on the thread that it was found on.
    package init(thresholdMilliseconds: Int = 0, tell: @escaping @Sendable (Entry) -> Void = { _ in }) {
        thresholdNanoseconds = thresholdMilliseconds <= 0 ? .max : UInt64(thresholdMilliseconds) * 1_000_000
        self.tell = tell
    }

    @inline(__always)
    package func isSlow(_ nanoseconds: UInt64) -> Bool { nanoseconds >= thresholdNanoseconds }

    /// Of something that is slow.
    package func note(_ what: String, nanoseconds: UInt64, unixMilliseconds: Int64) {
        let entry = Entry(
            what: CutText.of(Array(what.utf8), bytesMax: Self.whatBytesMax), nanoseconds: nanoseconds,
            unixMilliseconds: unixMilliseconds)
        kept.withLock { kept in
            if kept.count == Self.entriesMax { kept.removeFirst() }
            kept.append(entry)
        }
        tell(entry)
    }

    /// The last one comes first.
    package var entries: [Entry] { kept.withLock { $0.reversed() } }
}
