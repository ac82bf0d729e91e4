// Room from items whose time is over, whether or not anybody asks for them again.
//
// A segment knows bounds of its items' expiries. Where everything is over, it is emptied before anything else. Where some
// is, it is swept now and then: one segment for each that is emptied, so that all are swept while the memory is written
// over once.

final class ItemSweep {
    private let segments: ItemSegments
    /// Segments of which everything had expired when they were last looked for, at `expirySecond`.
    private var expired: [UInt32] = []
    private var expirySecond: UInt32 = 0
    /// The segment that was swept last.
    private var cursor: UInt32 = 1
    /// When all were swept at once.
    private var lastSweepSecond: UInt32 = 0
    /// Items dropped as their time was over, and those of them that nobody had read.
    private var reclaimed: UInt64 = 0
    private var reclaimedUnread: UInt64 = 0

    init(_ segments: ItemSegments) { self.segments = segments }

    func report(to statistics: inout ItemStatistics) {
        statistics.reclaimed += reclaimed
        statistics.expiredUnread += reclaimedUnread
    }

    /// Items dropped so far.
    var reclaimedCount: UInt64 { reclaimed }

    /// A sealed segment of which everything has expired. Looks at all segments once a second at most.
    func nextExpired(now: UInt32) -> UInt32? {
        if expirySecond != now {
            expirySecond = now
            expired.removeAll(keepingCapacity: true)
            for number in segments.numbers where isOver(number, now: now) { expired.append(number) }
        }
        while let number = expired.popLast() {
            // It may have been emptied since, and used anew.
            if isOver(number, now: now) { return number }
        }
        return nil
    }

    private func isOver(_ number: UInt32, now: UInt32) -> Bool {
        segments[number].state == .sealed && segments[number].expiryLast <= now
    }

    /// Drops the expired items of the next segment that may have some.
    func sweepNext(now: UInt32) {
        let end = segments.numbers.upperBound
        // At most this many segments are passed over; looking at one is cheap.
        for _ in 0..<min(Int(end) - 1, 16) {
            cursor = cursor + 1 < end ? cursor + 1 : 1
            guard segments[cursor].state == .sealed, segments[cursor].expiryFirst <= now else { continue }
            sweep(cursor, now: now)
            return
        }
    }

    private func sweep(_ number: UInt32, now: UInt32) {
        var (first, last) = (UInt32.max, UInt32(0))
        segments.forEachLive(in: number) { place, item in
            if item.isExpired(at: now) {
                drop(place, item)
            } else {
                let instant = item.expiry.order
                (first, last) = (min(first, instant), max(last, instant))
            }
        }
        segments.setExpiries(of: number, first: first, last: last)
    }

    /// Drops an item whose time is over; its segment stays for now.
    func drop(_ place: ItemPlace, _ item: ItemPointer) {
        reclaimed += 1
        if !item.isRead { reclaimedUnread += 1 }
        segments.remove(place, item, hash: keyHash(item.key))
    }

    /// Items that went all at once: as memcached counts them once their memory is used anew.
    func noteFlush(of items: Int) { reclaimed += UInt64(items) }

    /// Drops the expired items of a segment, unless it is being emptied anyway.
    func sweepIfExpiring(_ number: UInt32, now: UInt32) {
        guard segments[number].state == .open || segments[number].state == .sealed,
            segments[number].expiryFirst <= now
        else { return }
        sweep(number, now: now)
    }

    /// Drops every item whose time is over, once a second at most; false where that was done already. Cost: a walk over all
    /// items that may expire.
    func sweepAll(now: UInt32) -> Bool {
        guard lastSweepSecond != now else { return false }
        lastSweepSecond = now
        for number in segments.numbers { sweepIfExpiring(number, now: now) }
        return true
    }

    /// There are no segments any more.
    func forgetSegments() { expired.removeAll() }
}
