// How late a message is by its sender's clock, as its receiver can tell without agreeing on the time.

/// What the receiver of requests knows about the sender's clock: how far its own is ahead of it, at the least.
///
/// The sender stamps each request with its clock. To hold a stamp against the receiver's clock, the difference of the two
/// has to be known, and an arrival can't tell it: a receiver that was stopped finds everything "just arrived". So the
/// receiver asks: the sender's clock said `stamp` at some time after the question was sent. Hence
/// `difference >= asked - stamp`, whatever paused, on either side, and however long the way took. The best such bound is
/// kept. It loosens as it gets older, by as much as two clocks may drift apart. A request is therefore never taken for
/// younger than it is; it may be taken for older, by one round trip and a tenth of the time since the last answer.
package struct LatenessEstimate: Sendable {
    /// Two clocks whose rates are off by 5 % in opposite directions: 1.05 / 0.95 - 1, in thousandths, rounded up.
    package static let driftPerMille: Int64 = 106
    /// Clocks beyond this (73 years) are refused: sums of three of them stay within 64 bits.
    private static let clockMax: UInt64 = 1 << 61

    /// This clock less the sender's, at least, and when that was found.
    private var difference: Int64?
    private var foundAt: Int64 = 0

    package init() {}

    package var isKnown: Bool { difference != nil }

    /// The sender answered, with its clock's `stamp`, what it was asked at `asked`. False for a stamp that is no clock's.
    @discardableResult
    package mutating func answered(stamp: UInt64, asked: Instant, now: Instant) -> Bool {
        guard stamp < Self.clockMax, now.nanoseconds < Self.clockMax, asked <= now else { return false }
        let asked = Int64(asked.nanoseconds)
        // Worth what it is at the time of the question: older at once by the time that the answer took.
        let found = asked - Int64(stamp)
        let now = Int64(now.nanoseconds)
        if let aged = aged(now), aged >= found - Self.drift(over: now - asked) { return true }
        (difference, foundAt) = (found, asked)
        return true
    }

    /// The instant on this clock by which a request must have been begun; nil when nothing is known of the sender's
    /// clock, or the stamp is no clock's. `stamp`: the sender's clock when `leftMilliseconds` were left.
    package func due(stamp: UInt64, leftMilliseconds: UInt32) -> Instant? {
        guard let difference, stamp < Self.clockMax else { return nil }
        // The sender's clock at t is at most t - difference + drift · (t - foundAt). Solved for the t at which that is
        // stamp + left.
        let left = Int64(leftMilliseconds) * 1_000_000
        let ahead = left + Int64(stamp) + difference - foundAt
        let own = ahead / (1000 + Self.driftPerMille) * 1000
        let instant = own + foundAt
        return Instant(nanoseconds: UInt64(max(0, instant)))
    }

    /// What is left of a request's time now, drift to come left aside: for work that changes nothing.
    package func leftMilliseconds(stamp: UInt64, leftMilliseconds: UInt32, now: Instant) -> Int {
        guard stamp < Self.clockMax, now.nanoseconds < Self.clockMax, let difference = aged(Int64(now.nanoseconds))
        else { return 0 }
        let late = Int64(now.nanoseconds) - Int64(stamp) - difference
        return max(0, Int(leftMilliseconds) - Int(max(0, late) / 1_000_000))
    }

    private func aged(_ now: Int64) -> Int64? { difference.map { $0 - Self.drift(over: now - foundAt) } }

    private static func drift(over nanoseconds: Int64) -> Int64 { max(0, nanoseconds) / 1000 * driftPerMille }
}
