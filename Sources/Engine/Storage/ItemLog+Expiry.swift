// Room from items whose time is over, whether or not anybody asks for them again.
//
// A segment knows bounds of its items' expiries. Where everything is over, it is emptied before anything else. Where some
// is, it is swept now and then: one segment for each that is emptied, so that all are swept while the memory is written
// over once.

extension ItemLog {
    /// A sealed segment of which everything has expired. Looks at all segments once a second at most.
    func nextExpired(now: UInt32) -> UInt32? {
        if expirySecond != now {
            expirySecond = now
            expired.removeAll(keepingCapacity: true)
            for number in 1..<max(pool.end, 1) where isOver(number, now: now) { expired.append(number) }
        }
        while let number = expired.popLast() {
            // It may have been emptied since, and used anew.
            if isOver(number, now: now) { return number }
        }
        return nil
    }

    private func isOver(_ number: UInt32, now: UInt32) -> Bool {
        pool[number].state == .sealed && pool[number].expiryLast <= now
    }

    /// Drops the expired items of the next segment that may have some.
    func sweepNextSegment(now: UInt32) {
        let end = max(pool.end, 1)
        // At most this many segments are passed over; looking at one is cheap.
        for _ in 0..<min(Int(end) - 1, 16) {
            sweepCursor = sweepCursor + 1 < end ? sweepCursor + 1 : 1
            guard pool[sweepCursor].state == .sealed, pool[sweepCursor].expiryFirst <= now else { continue }
            sweep(sweepCursor, now: now)
            return
        }
    }

    private func sweep(_ number: UInt32, now: UInt32) {
        var (first, last) = (UInt32.max, UInt32(0))
        forEachLive(in: number) { place, item in
            if item.isExpired(at: now) {
                drop(place, now: now)
            } else {
                let instant = item.expiry == 0 ? .max : item.expiry
                (first, last) = (min(first, instant), max(last, instant))
            }
        }
        (pool[number].expiryFirst, pool[number].expiryLast) = (first, last)
        if pool[number].state == .sealed { considerSparse(number) }
    }

    /// Drops the expired items of a segment, unless it is being emptied anyway.
    func sweepIfExpiring(_ number: UInt32, now: UInt32) {
        guard pool[number].state == .open || pool[number].state == .sealed, pool[number].expiryFirst <= now else {
            return
        }
        sweep(number, now: now)
    }

    /// Drops every item whose time is over. Cost: a walk over all items that may expire.
    func sweepExpired(now: UInt32) {
        for number in 1..<max(pool.end, 1) { sweepIfExpiring(number, now: now) }
    }
}
