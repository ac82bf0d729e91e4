// Buckets that a time or a number falls into: hours, days, weeks, months, or any width.

/// Buckets have consecutive indices; a key belongs to the one that starts last before it.
package enum TimeBucket: Sendable, Hashable {
    /// Microseconds, or a number's own unit; `origin` is where some bucket starts.
    case width(Int64, origin: Int64)
    case month

    /// `hour`, `day`, `week` (from Monday), `month`, or a number of seconds. Nil for anything else.
    package init?(time text: String) {
        switch text {
        case "minute": self = .width(60_000_000, origin: 0)
        case "hour": self = .width(3_600_000_000, origin: 0)
        case "day": self = .width(Timestamp.microsecondsPerDay, origin: 0)
        case "week": self = .width(7 * Timestamp.microsecondsPerDay, origin: 4 * Timestamp.microsecondsPerDay)
        case "month": self = .month
        default:
            guard let seconds = Int64(text), (1...1 << 40).contains(seconds) else { return nil }
            self = .width(seconds * 1_000_000, origin: 0)
        }
    }

    package func index(of key: Int64) -> Int64 {
        switch self {
        case .width(let width, let origin):
            let offset = key.subtractingReportingOverflow(origin)
            guard !offset.overflow else {
                let (quotient, remainder) = (Int128(key) - Int128(origin)).quotientAndRemainder(
                    dividingBy: Int128(width))
                return Int64(remainder < 0 ? quotient - 1 : quotient)
            }
            let (quotient, remainder) = offset.partialValue.quotientAndRemainder(dividingBy: width)
            return remainder < 0 ? quotient - 1 : quotient
        case .month: return Timestamp.month(of: key)
        }
    }

    /// The key that the bucket of this index starts at.
    package func start(of index: Int64) -> Int64 {
        switch self {
        case .width(let width, let origin):
            // The first bucket may begin below all keys.
            Int64(clamping: Int128(index) * Int128(width) + Int128(origin))
        case .month: Timestamp.start(ofMonth: index)
        }
    }
}

extension Timestamp {
    /// Months since January 1970.
    static func month(of microseconds: Int64) -> Int64 {
        let (quotient, remainder) = microseconds.quotientAndRemainder(dividingBy: microsecondsPerDay)
        let (year, month, _) = date(days: remainder < 0 ? quotient - 1 : quotient)
        return (year - 1970) * 12 + month - 1
    }

    static func start(ofMonth index: Int64) -> Int64 {
        let (quotient, remainder) = index.quotientAndRemainder(dividingBy: 12)
        let (year, month) = remainder < 0 ? (quotient - 1, remainder + 12) : (quotient, remainder)
        // The first month may begin below all times.
        return Int64(clamping: Int128(days(year: 1970 + year, month: month + 1, day: 1)) * Int128(microsecondsPerDay))
    }
}
