// A store's items within its memory: finding one, giving a new one its place, making room for it.
//
// Unsafe: hands out `ItemPointer`s into its segments. They are good until the next call that places an item. Not
// thread-safe: the store's lock guards it.

final class ItemLog {
    private let segments: ItemSegments
    private let sweep: ItemSweep
    private let room: ItemRoom
    /// Nil: everything is stored as it is.
    private let compressor: ValueCompressor?
    /// Items that were found to be over when they were asked for, and those of them that nobody had read.
    private var expired: UInt64 = 0
    private var expiredUnread: UInt64 = 0
    /// Compressed items that were stored as they are again, as they turned out to be hot.
    private var expansions: UInt64 = 0

    static func segmentBytes(forMemory bytes: Int) -> Int {
        RawMemory.roundedToPages(min(max(bytes / 256, 64 << 10), 1 << 20))
    }

    init(memoryBytes: Int, evicts: Bool, compresses: Bool, events: NodeEvents) {
        let segmentBytes = Self.segmentBytes(forMemory: memoryBytes)
        // Less than four segments leaves no room to move survivors.
        let fullBytes = max(memoryBytes, 4 * segmentBytes)
        compressor = compresses ? ValueCompressor(storeBytes: memoryBytes) : nil
        segments = ItemSegments(
            memoryBytes: memoryBytes, fullBytes: fullBytes, segmentBytes: segmentBytes, compressor: compressor)
        sweep = ItemSweep(segments)
        room = ItemRoom(
            segments, sweep: sweep, compressor: compressor, fullBytes: fullBytes, evicts: evicts,
            events: events)
    }

    // MARK: Facts

    var itemCount: Int { segments.counts.items }

    /// Adds what is known here to the store's figures.
    func report(to statistics: inout ItemStatistics) {
        segments.report(to: &statistics)
        room.report(to: &statistics)
        sweep.report(to: &statistics)
        statistics.expired = expired
        statistics.expiredUnread += expiredUnread
        statistics.expansions = expansions
        statistics.dictionaryBytes = compressor?.dictionaryBytes ?? 0
        statistics.trainings = compressor?.trainings ?? 0
    }

    /// What the last eviction took, and when, in unix seconds.
    var lastEviction: (unique: UInt64, second: UInt32) { room.lastEviction }

    /// The lowest unique among the first items of the segments, nil without any: items are written one behind the other, so that
    /// no other is older but for those that were moved. Cost: a look at each segment.
    var oldestUnique: UInt64? {
        var oldest: UInt64?
        for number in segments.numbers where segments[number].state != .free && segments[number].liveItems > 0 {
            guard let unique = firstLive(in: number)?.unique else { continue }
            oldest = min(oldest ?? unique, unique)
        }
        return oldest
    }

    private func firstLive(in number: UInt32) -> ItemPointer? {
        let base = segments[number].base!
        var offset = 0
        while offset < segments[number].usedBytes {
            let item = ItemPointer(base + offset)
            if !item.isDead { return item }
            offset += item.strideBytes
        }
        return nil
    }

    // MARK: Finding

    /// The item of this key, expired or not.
    @inline(__always)
    func findAny(_ key: UnsafeRawBufferPointer, hash: UInt64) -> FoundItem? { segments.find(key, hash: hash) }

    /// The item of this key; one whose time is over is dropped on the way.
    @inline(__always)
    func find(_ key: UnsafeRawBufferPointer, hash: UInt64, now: UInt32) -> FoundItem? {
        guard let found = segments.find(key, hash: hash) else { return nil }
        guard found.item.isExpired(at: now) else { return found }
        dropExpired(found)
        return nil
    }

    @inline(never)
    private func dropExpired(_ found: FoundItem) {
        expired += 1
        if !found.item.isRead { expiredUnread += 1 }
        segments.remove(found)
    }

    @inline(__always)
    func prefetchSlot(hash: UInt64) { segments.prefetchSlot(hash: hash) }
    @inline(__always)
    func prefetchItem(hash: UInt64) { segments.prefetchItem(hash: hash) }

    /// The value as the client stored it. A compressed one is expanded into a buffer, good until the next such call.
    func expandedValue(_ found: FoundItem) -> UnsafeRawBufferPointer {
        segments.expandedValue(found.item, in: found.place.segment)
    }

    /// Whether somebody is sending the value of an item in that segment, which must not change until then.
    func isPinned(_ found: FoundItem) -> Bool { segments[found.place.segment].pins > 0 }
    func pin(_ number: UInt32) -> Bool { segments.pin(number) }
    func unpin(_ number: UInt32) { segments.unpin(number) }

    /// Every item, expired or not, in no order.
    func forEachItem(_ body: (ItemPointer) -> Void) {
        for number in segments.numbers where segments[number].state != .free {
            segments.forEachLive(in: number) { _, item in body(item) }
        }
    }

    /// The items in one of the index's tables; false where there is no such table.
    func forEachItem(inTable table: Int, _ body: (ItemPointer) -> Void) -> Bool {
        guard (0..<segments.tableCount).contains(table) else { return false }
        segments.forEachItem(inTable: table, body)
        return true
    }

    var tableCount: Int { segments.tableCount }

    /// See `ItemStore.walk`.
    func walk(table: Int, tag: UInt64, count: Int, _ body: (ItemPointer) -> Void) -> (table: Int, tag: UInt64)? {
        segments.walk(table: table, tag: tag, count: count, body)
    }

    // MARK: Dropping

    func remove(_ found: FoundItem) { segments.remove(found) }

    /// Drops everything, and gives the memory back.
    func removeAll() {
        segments.removeAll()
        room.beginAnew()
        sweep.forgetSegments()
    }

    /// The same for a flush, which is counted as memcached does.
    func flush() {
        sweep.noteFlush(of: segments.counts.items)
        removeAll()
    }

    /// Drops what has expired of a segment; how many items were looked at, and how many dropped. Nil behind the last one.
    func sweep(segment number: UInt32, now: UInt32) -> (checked: Int, dropped: Int)? {
        guard number < segments.numbers.upperBound else { return nil }
        let before = sweep.reclaimedCount
        let checked = segments[number].liveItems
        sweep.sweepIfExpiring(number, now: now)
        return (checked, Int(sweep.reclaimedCount - before))
    }

    /// Drops items, the least used first, until that many bytes less are in use; all of them when that is not enough.
    func evict(bytes: Int, now: UInt32) {
        guard bytes < segments.counts.liveBytes else { return removeAll() }
        room.evict(bytes: bytes, now: now)
    }

    // MARK: Memory

    /// See `ItemRoom`.
    func lend(bytes: Int, now: UInt32) { room.lend(bytes: bytes, now: now) }
    func resize(memoryBytes: Int) { room.resize(memoryBytes: memoryBytes) }
    func shrink(rounds: Int, now: UInt32) -> Bool { room.shrink(rounds: rounds, now: now) }

    // MARK: Placing

    /// Writes a new item for `key`, superseding `previous` (which `find` returned). Its value's bytes are left for
    /// `fill`, which gets them under the lock. Nil when there is no room and none can be made; then nothing has changed
    /// but for what was evicted in vain. `key` must not point into the log.
    @discardableResult
    func place(
        _ facts: ItemFacts, key: UnsafeRawBufferPointer, hash: UInt64, previous: FoundItem?, now: UInt32,
        lane: Lane? = nil, fill: (UnsafeMutableRawBufferPointer) -> Void
    ) -> ItemPointer? {
        let epoch = room.epoch
        let use = previous.map { $0.item.use + 1 } ?? 0
        let lane = lane ?? previous.map { segments[$0.place.segment].lane } ?? .small
        guard let place = room.reserve(facts.strideBytes, in: lane, now: now) else { return nil }
        let item = segments.write(
            facts, key: key, hash: hash, use: use, at: place,
            previous: epoch == room.epoch ? previous : segments.find(key, hash: hash), fill: fill)
        room.makeRoomAhead(ofItem: facts.strideBytes, now: now)
        return item
    }

    /// Writes a new item over the one that it supersedes, if it takes up no more room. `key` and `value` must not point into
    /// the log. The place stays.
    @inline(__always)
    func overwrite(
        _ found: FoundItem, _ facts: ItemFacts, key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer
    ) -> Bool {
        segments.overwrite(found, facts, key: key, value)
    }

    /// The item expires at that instant from now on (0 never).
    @inline(__always)
    func noteExpiry(_ expiry: Expiry, of found: FoundItem) { segments.noteExpiry(expiry, in: found.place.segment) }

    /// Where an item belongs that is not in the store: a key that was dropped lately has proved itself.
    @inline(__always)
    func laneOfNewcomer(_ hash: UInt64, stride: Int) -> Lane { room.laneOfNewcomer(hash, stride: stride) }

    // MARK: Compression

    /// Whether a value of a key that is not in the store should go to `lane` by way of `placeNewcomer`.
    @inline(__always)
    func mayCompressNewcomer(in lane: Lane) -> Bool { lane == .main || room.isFull && compressor != nil }

    /// Stores a value of a key that is not in the store, which is full or has dropped the key lately: compressed if that
    /// pays. False when there is no room.
    @inline(never)
    func placeNewcomer(
        _ facts: ItemFacts, _ value: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer, hash: UInt64, in lane: Lane,
        now: UInt32
    ) -> Bool {
        let isTried = shouldTryNewcomer(value, key: key, stride: facts.strideBytes, in: lane)
        if let compressor, compressor.wantsSample(now: now) { compressor.addSample(value) }
        // Held, as making room may compress others.
        guard let compressor, isTried, let packed = compressor.compress(value, key: key).map(compressor.hold) else {
            let item = place(facts, key: key, hash: hash, previous: nil, now: now, lane: lane) {
                if value.count > 0 { $0.copyMemory(from: value) }
            }
            if isTried { item?.markIncompressible() }
            return item != nil
        }
        let dictionary = compressor.current
        var packedFacts = facts
        packedFacts.valueBytes = packed.count
        guard
            let item = place(
                packedFacts, key: key, hash: hash, previous: nil, now: now, lane: lane,
                fill: { $0.copyMemory(from: packed) })
        else { return false }
        precondition(compressor.current == dictionary, "the dictionary changed under the lock")
        segments.markCompressed(item)
        return true
    }

    private func shouldTryNewcomer(
        _ value: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer, stride: Int, in lane: Lane
    ) -> Bool {
        guard let compressor, !segments.isLarge(stride) else { return false }
        return lane == .main
            ? compressor.shouldTry(key, valueBytes: value.count)
            : compressor.shouldTryNewcomer(key, valueBytes: value.count)
    }

    /// Stores a compressed item as it is from now on, as it is read very often. It stays compressed if there is no room.
    @inline(never)
    func expandHot(_ found: FoundItem, key: UnsafeRawBufferPointer, hash: UInt64, now: UInt32) {
        let item = found.item
        guard let compressor, room.takeHotQuota(ZstdCodec.rawBytes(UnsafeRawBufferPointer(item.value))) else { return }
        // Held, as making room may compress others.
        let value = compressor.hold(expandedValue(found))
        let facts = ItemFacts(
            keyBytes: key.count, valueBytes: value.count, flags: item.flags, expiry: item.expiry, unique: item.unique,
            extra: item.extra)
        let wasRead = item.isRead
        let placed = place(facts, key: key, hash: hash, previous: found, now: now) { $0.copyMemory(from: value) }
        if wasRead { placed?.markRead() }
        if placed != nil { expansions += 1 }
    }

    /// Enough values were sampled to train a dictionary.
    @inline(__always)
    var isTrainingDue: Bool { compressor?.isTrainingDue ?? false }

    /// What to train on, and the present dictionary; nil where a training is under way, or none is due.
    func takeSample(now: UInt32) -> (sample: ValueSample, present: CompressionDictionary?)? {
        compressor?.takeSample(now: now)
    }

    /// A training is over. From now on values are compressed with the dictionary, if it found one.
    func finishTraining(_ result: (dictionary: CompressionDictionary, ratio: Double)?) {
        compressor?.finishTraining()
        guard let result, let compressor, compressor.adopt(result.dictionary, ratio: result.ratio) else { return }
        // One dictionary a segment.
        segments.sealOpenSegment(of: .small)
        segments.sealOpenSegment(of: .main)
    }

    // MARK: Invariants

    /// Traps when index, segments, queues and counts disagree. Cost: a walk over all items. For tests.
    func checkInvariants() {
        segments.checkInvariants()
        room.checkInvariants()
    }
}
