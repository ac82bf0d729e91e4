// The instant a request must be answered by, on its node's monotonic clock, and what is left of it at another instant.

/// Nanoseconds. Has no clock: whoever asks says what time it is. Comparable within one run of a node only; between nodes travels
/// what remains.
package struct Deadline: Sendable, Hashable, Comparable {
    package let uptimeNanoseconds: UInt64

    package init(uptimeNanoseconds: UInt64) { self.uptimeNanoseconds = uptimeNanoseconds }

    /// The deadline so long after an instant; `never` where that is further away than the clock reaches.
    package static func after(milliseconds: Int, from uptimeNanoseconds: UInt64) -> Deadline {
        let (span, isTooLong) = UInt64(max(0, milliseconds)).multipliedReportingOverflow(by: 1_000_000)
        return isTooLong ? .never : Deadline(uptimeNanoseconds: uptimeNanoseconds.clampedAdding(span))
    }

    package static let never = Deadline(uptimeNanoseconds: .max)

    package func hasPassed(at now: UInt64) -> Bool { now >= uptimeNanoseconds }

    /// What is left, in whole milliseconds; 0 once it has passed.
    package func remainingMilliseconds(at now: UInt64) -> Int {
        guard uptimeNanoseconds > now else { return 0 }
        return Int(min((uptimeNanoseconds - now) / 1_000_000, UInt64(Int32.max)))
    }

    package static func < (a: Deadline, b: Deadline) -> Bool { a.uptimeNanoseconds < b.uptimeNanoseconds }
}
