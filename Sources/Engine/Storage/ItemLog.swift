// Items in segments with their index: finding one, placing one, declaring one dead.
//
// Unsafe: hands out `ItemPointer`s into its segments. They are good until the next call that places an item. Not
// thread-safe: the store's lock guards it.

import CLinux

final class ItemLog {
    struct Found {
        let slot: ItemIndex.Slot
        let place: ItemPlace
        let item: ItemPointer
    }

    struct Counts {
        var items = 0
        var liveBytes = 0
        var evictions: UInt64 = 0
        /// Of the last eviction: what it took, and when.
        var lastEvictedUnique: UInt64 = 0
        var lastEvictionSecond: UInt32 = 0
        var expired: UInt64 = 0
        var reclaimed: UInt64 = 0
        var copies: UInt64 = 0
        var evictedUnread: UInt64 = 0
        var expiredUnread: UInt64 = 0
        var segmentsReclaimed: UInt64 = 0
        var segmentsCompacted: UInt64 = 0
        /// Keys that came back soon after they were dropped.
        var ghostHits: UInt64 = 0
        var compressedItems = 0
        /// Of the values of the compressed items: as stored, and as the clients know them.
        var compressedBytes = 0
        var expandedBytes = 0
        /// Compressed items that were stored as they are again, as they turned out to be hot.
        var expansions: UInt64 = 0
    }

    /// The store's memory, live objects' part included.
    var fullBytes: Int
    /// What live objects take of it.
    var lentBytes = 0
    /// What is left for items.
    var memoryBytes: Int { fullBytes &- lentBytes }
    let evicts: Bool
    // Nothing here calls out while it changes one of these, so the run-time checks for overlapping accesses are off.
    @exclusivity(unchecked) var index: ItemIndex
    @exclusivity(unchecked) var pool: SegmentPool
    /// The segment whose items are being copied or dropped.
    @exclusivity(unchecked) var reclaim: Reclaim?
    /// Keys dropped lately; nil until the store is full for the first time.
    @exclusivity(unchecked) var ghosts: GhostTable?
    /// What the small queue may take of the memory; it adapts between a 20th and a half.
    var smallQuotaBytes: Int
    /// Until the memory is used up, what is pushed out of the small queue is main's, used or not.
    var isFilling = true
    /// Sealed segments of which more than a third is dead; entries may be out of date.
    var sparse: [UInt32] = []
    @exclusivity(unchecked) var counts = Counts()
    /// Grows whenever items were moved or dropped to make room: slots found before are void then.
    var reclaimEpoch = 0
    var lastSweepSecond: UInt32 = 0
    /// Segments of which everything had expired when they were last looked for, at `expirySecond`.
    var expired: [UInt32] = []
    var expirySecond: UInt32 = 0
    /// The segment to sweep for expired items next.
    var sweepCursor: UInt32 = 1
    /// Compressed items that turn out to be hot may take this much more memory for now.
    var hotQuotaBytes: Int

    static func segmentBytes(forMemory bytes: Int) -> Int {
        RawMemory.roundedToPages(min(max(bytes / 256, 64 << 10), 1 << 20))
    }

    /// Nil: everything is stored as it is.
    let compressor: ValueCompressor?

    init(memoryBytes: Int, evicts: Bool, compresses: Bool) {
        let segmentBytes = Self.segmentBytes(forMemory: memoryBytes)
        // Less than four segments leaves no room to move survivors.
        fullBytes = max(memoryBytes, 4 * segmentBytes)
        self.evicts = evicts
        // One more is being reclaimed while the last one is filled.
        pool = SegmentPool(segmentBytes: segmentBytes, segmentsMax: fullBytes / segmentBytes + 2)
        compressor = compresses ? ValueCompressor(storeBytes: memoryBytes) : nil
        hotQuotaBytes = fullBytes / Self.hotMemoryShare
        smallQuotaBytes = max(fullBytes / 10, segmentBytes)
        var tables = 1
        while tables * 4096 * 100 < memoryBytes { tables *= 2 }
        index = ItemIndex(tableCount: tables)
    }

    /// Memory in use: segments, their table, the index.
    var usedBytes: Int { pool.mappedBytes + sideBytes }

    /// Memory in use beside the segments.
    var sideBytes: Int { pool.tableBytes + index.memoryBytes + ghostBytes + compressorBytes }

    /// What the ghosts take, or will take once the store is full.
    private var ghostBytes: Int { max(ghosts?.memoryBytes ?? 0, evicts ? ghostCapacity * 4 : 0) }

    /// In a tiny store the compressor's contexts count for an eighth at most, so that there is room for items.
    private var compressorBytes: Int { min(compressor?.memoryBytes ?? 0, memoryBytes / 8) }

    @inline(__always)
    func item(at place: ItemPlace) -> ItemPointer { ItemPointer(pool[place.segment].base! + place.offset) }

    // MARK: Finding

    /// The item of this key, expired or not.
    @inline(__always)
    func findAny(_ key: UnsafeRawBufferPointer, hash: UInt64) -> Found? {
        guard let (slot, place) = index.find(hash: hash, { item(at: $0).matches(key) }) else { return nil }
        return Found(slot: slot, place: place, item: item(at: place))
    }

    /// The item of this key; one whose time is over is dropped on the way.
    @inline(__always)
    func find(_ key: UnsafeRawBufferPointer, hash: UInt64, now: UInt32) -> Found? {
        guard let found = findAny(key, hash: hash) else { return nil }
        guard found.item.isExpired(at: now) else { return found }
        dropExpired(found)
        return nil
    }

    @inline(never)
    private func dropExpired(_ found: Found) {
        counts.expired += 1
        if !found.item.isRead { counts.expiredUnread += 1 }
        remove(found)
    }

    /// Starts to bring in what `find` will look at first. Cost: a multiplication and a load.
    @inline(__always)
    func prefetchSlot(hash: UInt64) { index.prefetch(hash: hash) }

    /// Once the slot is there: starts to bring in the item that it most probably points to.
    @inline(__always)
    func prefetchItem(hash: UInt64) {
        guard let (_, place) = index.find(hash: hash, { _ in true }) else { return }
        let base = item(at: place).base
        linux_prefetch(base)
        linux_prefetch(base + 64)
        linux_prefetch(base + 128)
    }

    // MARK: Dropping

    /// Takes the item out of the index and declares its bytes dead.
    func remove(_ found: Found) {
        index.remove(found.slot)
        kill(found.place)
    }

    /// Declares the bytes at `place` dead; the index no longer points there.
    func kill(_ place: ItemPlace) {
        let item = item(at: place)
        let stride = item.strideBytes
        if item.isCompressed { countCompressed(item, -1) }
        item.markDead()
        counts.items -= 1
        counts.liveBytes -= stride
        pool[place.segment].liveBytes -= stride
        pool[place.segment].liveItems -= 1
        if pool[place.segment].state == .sealed { considerSparse(place.segment) }
    }

    /// A sealed segment without live items goes at once; one that is mostly dead is listed for compaction.
    func considerSparse(_ number: UInt32) {
        if pool[number].liveItems == 0 {
            pool.unlink(number)
            release(number)
        } else if !pool[number].isDedicated, !pool[number].isListedSparse,
            pool[number].liveBytes * 3 < pool[number].capacityBytes * 2
        {
            pool[number].isListedSparse = true
            sparse.append(number)
        }
    }

    func removeAll() {
        index.removeAll()
        for number in 1..<max(pool.end, 1) where pool[number].state != .free {
            if pool[number].state == .sealed { pool.unlink(number) }
            release(number)
        }
        pool.releaseSpare()
        reclaim = nil
        ghosts = nil
        isFilling = true
        sparse.removeAll()
        expired.removeAll()
        counts.items = 0
        counts.liveBytes = 0
        (counts.compressedItems, counts.compressedBytes, counts.expandedBytes) = (0, 0, 0)
        reclaimEpoch += 1
    }

    // MARK: Placing

    /// Writes a new item for `key`, superseding `previous` (which `find` returned). Its value's bytes are left for
    /// `fill`, which gets them under the lock. Nil when there is no room and none can be made; then nothing has changed
    /// but for what was evicted in vain. `key` must not point into the log.
    @discardableResult
    func place(
        _ facts: ItemFacts, key: UnsafeRawBufferPointer, hash: UInt64, previous: Found?, now: UInt32, lane: Lane? = nil,
        fill: (UnsafeMutableRawBufferPointer) -> Void
    ) -> ItemPointer? {
        let epoch = reclaimEpoch
        let use = previous.map { $0.item.use + 1 } ?? 0
        let lane = lane ?? previous.map { pool[$0.place.segment].lane } ?? .small
        guard let place = reserve(facts.strideBytes, in: lane, now: now) else { return nil }
        let item = item(at: place)
        item.initialize(facts, key: key)
        item.setUse(use)
        fill(item.value)
        noteExpiry(facts.expiry, in: place.segment)
        counts.items += 1
        let previous = epoch == reclaimEpoch ? previous : findAny(key, hash: hash)
        if let previous {
            index.move(previous.slot, hash: hash, to: place)
            kill(previous.place)
        } else {
            index.insert(hash: hash, place)
        }
        if pool[place.segment].isDedicated { pool.seal(place.segment) }
        if evicts, !mayOpenSegment { reclaimAhead(ofItem: facts.strideBytes, now: now) }
        return item
    }

    /// Where an item belongs that is not in the store: a key that was dropped lately has proved itself.
    @inline(__always)
    func laneOfNewcomer(_ hash: UInt64, stride: Int) -> Lane {
        ghosts == nil ? .small : laneByGhosts(hash, stride: stride)
    }

    /// Writes a new item over the one that it supersedes, if it takes up no more room. What is left over becomes dead
    /// bytes. `key` and `value` must not point into the log. The place stays.
    func overwrite(
        _ found: Found, _ facts: ItemFacts, key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer
    ) -> Bool {
        let item = found.item
        let left = item.strideBytes - facts.strideBytes
        guard !item.isCompressed, left == 0 || left >= ItemPointer.headerBytesMin,
            !pool[found.place.segment].isDedicated || left == 0, pool[found.place.segment].pins == 0
        else { return false }
        let use = item.use + 1
        item.initialize(facts, key: key)
        item.setUse(use)
        if value.count > 0 { item.value.copyMemory(from: value) }
        noteExpiry(facts.expiry, in: found.place.segment)
        guard left > 0 else { return true }
        ItemPointer(item.base + facts.strideBytes).initializeFiller(stride: left)
        counts.liveBytes -= left
        pool[found.place.segment].liveBytes -= left
        if pool[found.place.segment].state == .sealed { considerSparse(found.place.segment) }
        return true
    }

    /// Whether there is memory for one more segment to fill.
    @inline(__always)
    private var mayOpenSegment: Bool {
        usedBytes + (pool.hasSpare ? 0 : pool.segmentBytes) <= memoryBytes
    }

    /// The segment has an item that expires at that instant (0 never).
    @inline(__always)
    func noteExpiry(_ expiry: UInt32, in number: UInt32) {
        let instant = expiry == 0 ? .max : expiry
        if instant < pool[number].expiryFirst { pool[number].expiryFirst = instant }
        if instant > pool[number].expiryLast { pool[number].expiryLast = instant }
    }

    /// Room for one item of `stride` bytes, counted as live already. Dedicated segments come back still open.
    private func reserve(_ stride: Int, in lane: Lane, now: UInt32) -> ItemPlace? {
        pool.isLarge(stride)
            ? reserveDedicated(stride, in: lane, now: now) : reserveRegular(stride, in: lane, now: now)
    }

    @inline(__always)
    private func reserveRegular(_ stride: Int, in lane: Lane, now: UInt32) -> ItemPlace? {
        if !hasRoom(for: stride, in: lane) {
            guard openSegment(forItemOf: stride, in: lane, now: now) else { return nil }
        }
        return take(stride, from: pool[lane].open)
    }

    /// Whether the lane's open segment takes `stride` more bytes.
    @inline(__always)
    func hasRoom(for stride: Int, in lane: Lane) -> Bool {
        let open = pool[lane].open
        return open != 0 && pool[open].usedBytes + stride <= pool.segmentBytes
    }

    /// Takes `stride` bytes of an open segment that has them.
    func take(_ stride: Int, from number: UInt32) -> ItemPlace {
        let offset = pool[number].usedBytes
        pool[number].usedBytes = offset + stride
        pool[number].liveBytes += stride
        pool[number].liveItems += 1
        counts.liveBytes += stride
        return ItemPlace(segment: number, offset: offset)
    }

    @inline(never)
    private func openSegment(forItemOf stride: Int, in lane: Lane, now: UInt32) -> Bool {
        while !hasRoom(for: stride, in: lane) {
            if mayOpenSegment {
                guard replaceOpenSegment(in: lane) else { return false }
                // So much can only have come free by deletion or expiry.
                if usedBytes < memoryBytes / 8 * 7 { isFilling = true }
                if isFilling { fillMain(now: now) }
            } else {
                guard makeRoom(now: now) else { return false }
            }
        }
        return true
    }

    /// While there is memory left, nothing needs to prove itself: what the small queue has no room for is main's.
    private func fillMain(now: UInt32) {
        while pool[.small].bytes > smallQuotaBytes, pool[.small].oldest != 0 {
            let oldest = pool[.small].oldest
            if !pool[oldest].isDedicated {
                sampleSegment(oldest, now: now)
                pool[oldest].isUntried = true
            }
            pool.requeue(oldest, to: .main)
        }
    }

    /// Seals the lane's open segment and opens an empty one, for values compressed with the present dictionary.
    func replaceOpenSegment(in lane: Lane) -> Bool {
        guard let fresh = pool.acquire(lane) else { return false }
        sealOpenSegment(of: lane)
        pool[lane].open = fresh
        if let compressor {
            pool[fresh].dictionary = compressor.current
            compressor.retain(compressor.current)
        }
        return true
    }

    func sealOpenSegment(of lane: Lane) {
        let full = pool[lane].open
        guard full != 0 else { return }
        pool.seal(full)
        considerSparse(full)
    }

    @inline(never)
    private func reserveDedicated(_ stride: Int, in lane: Lane, now: UInt32) -> ItemPlace? {
        let bytes = RawMemory.roundedToPages(stride)
        guard bytes + sideBytes <= memoryBytes else { return nil }
        while usedBytes + bytes > memoryBytes {
            if pool.hasSpare {
                pool.releaseSpare()
            } else {
                guard makeRoom(now: now) else { return nil }
            }
        }
        guard let number = pool.acquire(lane, dedicatedBytes: bytes) else { return nil }
        return take(stride, from: number)
    }
}
