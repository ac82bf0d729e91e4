// What memcached's writing commands mean, under the store's lock.
//
// Unsafe: copies values through pointers into the log, which move whenever an item is placed.

extension ItemStore {
    func storeLocked(
        _ verb: StoreVerb, key: UnsafeRawBufferPointer, hash: UInt64, flags: UInt32, expiry: UInt32, cas: UInt64,
        value: UnsafeRawBufferPointer, now: UInt32
    ) -> ItemOutcome {
        let found = log.find(key, hash: hash, now: now)
        if found == nil { flushed.forget(hash) }
        switch verb {
        case .set: break
        case .add: if found != nil { return .notStored }
        case .replace: if found == nil { return .notStored }
        case .append, .prepend:
            guard let found else { return .notStored }
            return join(found, value, appending: verb == .append, key: key, hash: hash, now: now)
        case .cas:
            guard let found else { return .notFound }
            if found.item.unique != cas { return .exists }
        }
        let facts = ItemFacts(
            keyBytes: key.count, valueBytes: value.count, flags: flags, expiry: expiry, unique: nextUnique(now))
        let outcome = write(facts, value, key: key, hash: hash, previous: found, now: now)
        if verb == .set, outcome != .stored, let stale = log.findAny(key, hash: hash) {
            // The client believes its value replaced the old one: it must not be read again.
            log.remove(stale)
        }
        return outcome
    }

    func nextUnique(_ now: UInt32) -> UInt64 {
        lastUnique = lastUnique == ItemPointer.uniqueMax ? 1 : lastUnique + 1
        storeTimes.note(unique: lastUnique, second: now)
        return lastUnique
    }

    /// Stores a value, in place where it fits, else at a new place.
    private func write(
        _ facts: ItemFacts, _ value: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer, hash: UInt64,
        previous: ItemLog.Found?, now: UInt32
    ) -> ItemOutcome {
        guard facts.totalBytes <= configuration.itemBytesMax, facts.valueBytes <= ItemPointer.valueBytesMax else {
            return .tooLarge
        }
        if let previous, log.overwrite(previous, facts, key: key, value) {
            totalItems += 1
            return .stored
        }
        if previous == nil {
            let lane = log.laneOfNewcomer(hash, stride: facts.strideBytes)
            if log.mayCompressNewcomer(in: lane) {
                guard log.placeNewcomer(facts, value, key: key, hash: hash, in: lane, now: now) else {
                    return .outOfMemory
                }
                totalItems += 1
                return .stored
            }
        }
        let placed = log.place(facts, key: key, hash: hash, previous: previous, now: now) {
            if value.count > 0 { $0.copyMemory(from: value) }
        }
        guard placed != nil else { return .outOfMemory }
        totalItems += 1
        return .stored
    }

    /// append, prepend: the item keeps its flags and its expiry.
    private func join(
        _ found: ItemLog.Found, _ addition: UnsafeRawBufferPointer, appending: Bool, key: UnsafeRawBufferPointer,
        hash: UInt64, now: UInt32
    ) -> ItemOutcome {
        let old = found.item
        let value = log.expandedValue(found)
        // As memcached answers it: the addition may be small enough, only there is no room to add it to.
        guard value.count + addition.count <= configuration.itemBytesMax else { return .notStored }
        // A copy, as making room may move or evict the item it comes from.
        var whole: [UInt8] = []
        whole.reserveCapacity(value.count + addition.count)
        if appending { whole.append(contentsOf: value) }
        whole.append(contentsOf: addition)
        if !appending { whole.append(contentsOf: value) }
        let facts = ItemFacts(
            keyBytes: key.count, valueBytes: whole.count, flags: old.flags, expiry: old.expiry, unique: nextUnique(now))
        let outcome = whole.withUnsafeBytes {
            write(facts, $0, key: key, hash: hash, previous: found, now: now)
        }
        return outcome == .tooLarge ? .notStored : outcome
    }

    func arithmeticLocked(
        _ verb: ArithmeticVerb, delta: UInt64, key: UnsafeRawBufferPointer, hash: UInt64, now: UInt32
    ) -> ItemOutcome {
        guard let found = log.find(key, hash: hash, now: now) else { return .notFound }
        let item = found.item
        let value = item.isCompressed ? log.expandedValue(found) : UnsafeRawBufferPointer(item.value)
        guard let number = Decimal.leadingNumber(value) else { return .notANumber }
        let result = verb == .increment ? number &+ delta : number - min(number, delta)
        let mayStay = !item.isCompressed && log.pool[found.place.segment].pins == 0
        if mayStay, Decimal.digitCount(result) <= value.count {
            // In place; what is shorter than the old value is padded with blanks, as memcached does.
            Self.writePadded(result, to: item.value)
            item.setUnique(nextUnique(now))
            let isRead = item.isRead
            item.countWrite()
            if isRead { item.markRead() }
            return .number(result)
        }
        let valueBytes = max(Decimal.digitCount(result), item.isCompressed ? value.count : 0)
        let facts = ItemFacts(
            keyBytes: key.count, valueBytes: valueBytes, flags: item.flags, expiry: item.expiry, unique: nextUnique(now)
        )
        let outcome = withUnsafeTemporaryAllocation(byteCount: valueBytes, alignment: 1) { digits in
            Self.writePadded(result, to: digits)
            return write(facts, UnsafeRawBufferPointer(digits), key: key, hash: hash, previous: found, now: now)
        }
        return outcome == .stored ? .number(result) : outcome
    }

    private static func writePadded(_ number: UInt64, to target: UnsafeMutableRawBufferPointer) {
        let written = Decimal.write(number, to: target)
        for at in written..<target.count { target[at] = UInt8(ascii: " ") }
    }

    /// Gives the item another expiry, as a reader does. Nil when there is no room for that. The unique stays.
    func setExpiry(
        _ found: ItemLog.Found, _ expiry: UInt32, key: UnsafeRawBufferPointer, hash: UInt64, now: UInt32
    ) -> ItemLog.Found? {
        let amended = amend(found, key: key, hash: hash, now: now) { $0.expiry = expiry }
        amended?.item.countUse()
        return amended
    }

    /// Changes an item's facts but for its key and value: in place where it has the words for them, or needs none; else
    /// it moves. Nil when there is no room for that.
    func amend(
        _ found: ItemLog.Found, key: UnsafeRawBufferPointer, hash: UInt64, now: UInt32,
        _ change: (inout ItemFacts) -> Void
    ) -> ItemLog.Found? {
        let item = found.item
        let before = ItemFacts(
            keyBytes: key.count, valueBytes: item.value.count, flags: item.flags, expiry: item.expiry,
            unique: item.unique, extra: item.extra)
        var facts = before
        change(&facts)
        if facts.expiry == 0 || item.hasExpiry, facts.extra == nil || item.hasExtra {
            if item.hasExpiry {
                item.setExpiry(facts.expiry)
                log.noteExpiry(facts.expiry, in: found.place.segment)
            }
            if let extra = facts.extra { item.setExtra(extra) }
            item.setUnique(facts.unique)
            return found
        }
        let value = Array(log.expandedValue(found))
        facts.valueBytes = value.count
        let isRead = item.isRead
        let moved = log.place(facts, key: key, hash: hash, previous: found, now: now) { $0.copyBytes(from: value) }
        if isRead { moved?.markRead() }
        return moved == nil ? nil : log.findAny(key, hash: hash)
    }
}
