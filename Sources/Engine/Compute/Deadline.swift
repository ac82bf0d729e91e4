// The instant a request must be answered by, on the monotonic clock, and what is left of it.

import Glibc

/// Nanoseconds on the monotonic clock. Comparable within one process only; between nodes travels what remains.
package struct Deadline: Sendable, Hashable, Comparable {
    package let uptimeNanoseconds: UInt64

    package init(uptimeNanoseconds: UInt64) { self.uptimeNanoseconds = uptimeNanoseconds }

    /// The deadline `milliseconds` from now; `never` where that is further away than the clock reaches.
    package static func after(milliseconds: Int) -> Deadline {
        let (span, isTooLong) = UInt64(max(0, milliseconds)).multipliedReportingOverflow(by: 1_000_000)
        return isTooLong ? .never : Deadline(uptimeNanoseconds: monotonicNanoseconds().clampedAdding(span))
    }

    package static let never = Deadline(uptimeNanoseconds: .max)

    package var hasPassed: Bool { monotonicNanoseconds() >= uptimeNanoseconds }

    /// What is left, in whole milliseconds; 0 once it has passed.
    package var remainingMilliseconds: Int {
        let now = monotonicNanoseconds()
        guard uptimeNanoseconds > now else { return 0 }
        return Int(min((uptimeNanoseconds - now) / 1_000_000, UInt64(Int32.max)))
    }

    package static func < (a: Deadline, b: Deadline) -> Bool { a.uptimeNanoseconds < b.uptimeNanoseconds }
}

/// Nanoseconds since an arbitrary fixed point; never goes back.
package func monotonicNanoseconds() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
}

/// Whole seconds since 1970, the unit of item expiry. Good until 2106.
package func unixSeconds() -> UInt32 {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME_COARSE, &time)
    return UInt32(truncatingIfNeeded: time.tv_sec)
}

/// Milliseconds since 1970 on this node's clock.
package func unixMilliseconds() -> Int64 {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
}
