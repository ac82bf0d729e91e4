// When an item or an object is over, and memcached's rules about it.

/// An instant in unix seconds, or never. Within a second it is over as soon as the second has come.
package struct Expiry: Sendable, Hashable {
    /// As it is stored and sent: 0 never, 1 already over.
    package let stored: UInt32

    /// Takes back what was stored or sent.
    @inline(__always)
    package init(stored: UInt32) { self.stored = stored }

    package static let never = Expiry(stored: 0)
    package static let over = Expiry(stored: 1)

    /// The largest number of seconds that memcached takes for a time from now: thirty days.
    package static let relativeMax: Int64 = 30 * 24 * 60 * 60

    /// What a client asks for: 0 never, negative at once, up to thirty days from now on, else an instant.
    package init(exptime: Int64, now: UInt32) {
        switch exptime {
        case 0: self = .never
        case ..<0: self = .over
        case ...Self.relativeMax: self.init(seconds: exptime, after: now)
        default: self.init(stored: UInt32(clamping: exptime))
        }
    }

    /// So many seconds, at least one, behind `now`.
    package init(seconds: Int64, after now: UInt32) {
        stored = UInt32(clamping: Int64(now).clampedAdding(seconds))
    }

    @inline(__always)
    package var isNever: Bool { stored == 0 }

    @inline(__always)
    package func isOver(at now: UInt32) -> Bool { stored != 0 && stored <= now }

    /// Seconds until it is over, negative behind that; nil where it never is.
    package func remaining(at now: UInt32) -> Int64? { isNever ? nil : Int64(stored) - Int64(now) }

    /// What several are put in order by: never comes last.
    @inline(__always)
    package var order: UInt32 { isNever ? .max : stored }
}
