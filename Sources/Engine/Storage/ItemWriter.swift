// What memcached's writing commands mean, for whoever holds the store's lock.
//
// Unsafe: copies values through pointers into the log, which move whenever an item is placed.

/// The uniques that a store gives its items, and when it gave them.
struct ItemUniques {
    private var last: UInt64 = 0
    private var times = StoreTimes()

    @inline(__always)
    mutating func next(_ now: UInt32) -> UInt64 {
        last = last == ItemPointer.uniqueMax ? 1 : last + 1
        times.note(unique: last, second: now)
        return last
    }

    /// The second in which a unique was given, or an earlier one; nil when none was noted.
    func second(of unique: UInt64) -> UInt32? { times.second(ofUnique: unique) }
}

struct ItemWriter {
    private let log: ItemLog
    private let itemBytesMax: Int
    private var uniques = ItemUniques()
    private var totalItems: UInt64 = 0
    /// What the last flush took.
    private var flushed = FlushedKeys()

    init(_ log: ItemLog, itemBytesMax: Int) {
        self.log = log
        self.itemBytesMax = itemBytesMax
    }

    /// Adds what is known here to the store's figures.
    func report(to statistics: inout ItemStatistics) {
        statistics.totalItems = totalItems
        statistics.flushedMisses = flushed.misses
        let evicted = log.lastEviction
        if let stored = uniques.second(of: evicted.unique) {
            statistics.evictedAgeSeconds = evicted.second > stored ? evicted.second - stored : 0
        }
        statistics.oldestSecond = log.oldestUnique.flatMap { uniques.second(of: $0) } ?? 0
    }

    // MARK: Finding

    /// A miss of any key may be one of an item that a flush took, which is counted.
    @inline(__always)
    var remembersFlush: Bool { !flushed.isEmpty }
    mutating func noteMiss(_ hash: UInt64, now: UInt32) { flushed.noteMiss(hash, now: now) }

    @inline(__always)
    func find(_ key: UnsafeRawBufferPointer, hash: UInt64, now: UInt32) -> FoundItem? {
        log.find(key, hash: hash, now: now)
    }

    /// The item of this key, expired or not.
    func findAny(_ key: UnsafeRawBufferPointer, hash: UInt64) -> FoundItem? { log.findAny(key, hash: hash) }

    /// The value as the client stored it; good until the next call of this, or the next one that stores.
    func value(of found: FoundItem) -> UnsafeRawBufferPointer {
        found.item.isCompressed ? log.expandedValue(found) : UnsafeRawBufferPointer(found.item.value)
    }

    /// When the item was used last, in unix seconds, as far as is known.
    func lastAccess(_ item: ItemPointer, _ now: UInt32) -> UInt32 {
        item.extra?.lastAccess ?? uniques.second(of: item.unique) ?? now
    }

    // MARK: Dropping

    func remove(_ found: FoundItem) { log.remove(found) }

    /// Drops everything, and remembers for a while what that was.
    mutating func flush(_ now: UInt32) {
        flushed.removeAll()
        if log.itemCount <= FlushedKeys.countMax {
            log.forEachItem { flushed.insert(keyHash($0.key), now: now) }
        }
        log.flush()
    }

    // MARK: Storing

    /// `keepsWhatIsThere`: a set that can't be stored leaves the item that it was to replace.
    mutating func store(
        _ verb: StoreVerb, key: UnsafeRawBufferPointer, hash: UInt64, flags: UInt32, expiry: Expiry, cas: UInt64,
        value: UnsafeRawBufferPointer, now: UInt32, keepsWhatIsThere: Bool = false
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
            keyBytes: key.count, valueBytes: value.count, flags: flags, expiry: expiry, unique: uniques.next(now))
        let outcome = write(facts, value, key: key, hash: hash, previous: found, now: now)
        if verb == .set, outcome != .stored, !keepsWhatIsThere, let stale = log.findAny(key, hash: hash) {
            // The client believes its value replaced the old one: it must not be read again.
            log.remove(stale)
        }
        return outcome
    }

    /// Stores a value, in place where it fits, else at a new place.
    private mutating func write(
        _ facts: ItemFacts, _ value: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer, hash: UInt64,
        previous: FoundItem?, now: UInt32
    ) -> ItemOutcome {
        guard facts.totalBytes <= itemBytesMax, facts.valueBytes <= ItemPointer.valueBytesMax else {
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
    private mutating func join(
        _ found: FoundItem, _ addition: UnsafeRawBufferPointer, appending: Bool, key: UnsafeRawBufferPointer,
        hash: UInt64, now: UInt32
    ) -> ItemOutcome {
        let old = found.item
        let value = log.expandedValue(found)
        // As memcached answers it: the addition may be small enough, only there is no room to add it to.
        guard value.count + addition.count <= itemBytesMax else { return .notStored }
        // A copy, as making room may move or evict the item it comes from.
        var whole: [UInt8] = []
        whole.reserveCapacity(value.count + addition.count)
        if appending { whole.append(contentsOf: value) }
        whole.append(contentsOf: addition)
        if !appending { whole.append(contentsOf: value) }
        let facts = ItemFacts(
            keyBytes: key.count, valueBytes: whole.count, flags: old.flags, expiry: old.expiry,
            unique: uniques.next(now))
        let outcome = whole.withUnsafeBytes {
            write(facts, $0, key: key, hash: hash, previous: found, now: now)
        }
        return outcome == .tooLarge ? .notStored : outcome
    }

    mutating func arithmetic(
        _ verb: ArithmeticVerb, delta: UInt64, key: UnsafeRawBufferPointer, hash: UInt64, now: UInt32
    ) -> ItemOutcome {
        guard let found = log.find(key, hash: hash, now: now) else { return .notFound }
        let item = found.item
        let value = item.isCompressed ? log.expandedValue(found) : UnsafeRawBufferPointer(item.value)
        guard let number = Decimal.leadingNumber(value) else { return .notANumber }
        let result = verb == .increment ? number &+ delta : number - min(number, delta)
        let mayStay = !item.isCompressed && !log.isPinned(found)
        if mayStay, Decimal.digitCount(result) <= value.count {
            // In place; what is shorter than the old value is padded with blanks, as memcached does.
            Self.writePadded(result, to: item.value)
            item.setUnique(uniques.next(now))
            let isRead = item.isRead
            item.countWrite()
            if isRead { item.markRead() }
            return .number(result)
        }
        let valueBytes = max(Decimal.digitCount(result), item.isCompressed ? value.count : 0)
        let facts = ItemFacts(
            keyBytes: key.count, valueBytes: valueBytes, flags: item.flags, expiry: item.expiry,
            unique: uniques.next(now)
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
        _ found: FoundItem, _ expiry: Expiry, key: UnsafeRawBufferPointer, hash: UInt64, now: UInt32
    ) -> FoundItem? {
        let amended = amend(found, key: key, hash: hash, now: now) { $0.expiry = expiry }
        amended?.item.countUse()
        return amended
    }

    /// Changes an item's facts but for its key and value: in place where it has the words for them, or needs none; else
    /// it moves. Nil when there is no room for that.
    func amend(
        _ found: FoundItem, key: UnsafeRawBufferPointer, hash: UInt64, now: UInt32,
        _ change: (inout ItemFacts) -> Void
    ) -> FoundItem? {
        let item = found.item
        let before = ItemFacts(
            keyBytes: key.count, valueBytes: item.value.count, flags: item.flags, expiry: item.expiry,
            unique: item.unique, extra: item.extra)
        var facts = before
        change(&facts)
        if facts.expiry.isNever || item.hasExpiry, facts.extra == nil || item.hasExtra {
            if item.hasExpiry {
                item.setExpiry(facts.expiry)
                log.noteExpiry(facts.expiry, of: found)
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

    // MARK: Parts of meta commands

    mutating func nextUnique(_ now: UInt32) -> UInt64 { uniques.next(now) }

    /// Stores a new item with these facts, also with a unique of its own. Nil when there is no room.
    mutating func create(
        _ facts: ItemFacts, _ value: [UInt8], key: UnsafeRawBufferPointer, hash: UInt64, now: UInt32
    ) -> ItemPointer? {
        let placed = log.place(facts, key: key, hash: hash, previous: nil, now: now) { $0.copyBytes(from: value) }
        if placed != nil { totalItems += 1 }
        return placed
    }

    /// Takes the item's value away. Nil when there is no room for what is left.
    func empty(
        _ found: FoundItem, _ facts: ItemFacts, key: UnsafeRawBufferPointer, hash: UInt64, now: UInt32
    ) -> FoundItem? {
        let placed = log.place(facts, key: key, hash: hash, previous: found, now: now) { _ in }
        return placed == nil ? nil : log.findAny(key, hash: hash)
    }
}
