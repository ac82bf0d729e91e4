// A point in time on one process's monotonic clock, as whoever drives a state machine passes it in.

/// Nanoseconds since a fixed point that only this process knows. Arithmetic saturates: a peer's numbers can't trap it.
package struct Instant: Sendable, Hashable, Comparable {
    package let nanoseconds: UInt64

    package init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

    package static let never = Instant(nanoseconds: .max)

    package static func < (a: Instant, b: Instant) -> Bool { a.nanoseconds < b.nanoseconds }

    package func adding(milliseconds: Int) -> Instant {
        let (sum, overflows) = nanoseconds.addingReportingOverflow(UInt64(max(0, milliseconds)) &* 1_000_000)
        return overflows ? .never : Instant(nanoseconds: sum)
    }

    /// How long ago `earlier` was, in whole milliseconds; 0 for what is still to come.
    package func milliseconds(since earlier: Instant) -> Int {
        self > earlier ? Int((nanoseconds - earlier.nanoseconds) / 1_000_000) : 0
    }
}
