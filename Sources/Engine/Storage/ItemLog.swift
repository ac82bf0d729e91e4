// Items in segments with their index: finding one, placing one, declaring one dead.
//
// Unsafe: hands out `ItemPointer`s into its segments. They are good until the next call that places an item. Not
// thread-safe: the store's lock guards it.

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
        var expired: UInt64 = 0
        var reclaimed: UInt64 = 0
        var copies: UInt64 = 0
        var evictedUnread: UInt64 = 0
        var expiredUnread: UInt64 = 0
        var segmentsReclaimed: UInt64 = 0
        var segmentsCompacted: UInt64 = 0
    }

    let memoryBytes: Int
    let evicts: Bool
    // Nothing here calls out while it changes one of these, so the run-time checks for overlapping accesses are off.
    @exclusivity(unchecked) var index: ItemIndex
    @exclusivity(unchecked) var pool: SegmentPool
    @exclusivity(unchecked) var queue = SegmentQueue()
    /// The regular segment that is being filled; 0 when there is none.
    @exclusivity(unchecked) var open: UInt32 = 0
    /// The segment whose items are being copied or dropped.
    @exclusivity(unchecked) var reclaim: Reclaim?
    /// Sealed segments of which more than half is dead; entries may be out of date.
    var sparse: [UInt32] = []
    @exclusivity(unchecked) var counts = Counts()
    /// Grows whenever items were moved or dropped to make room: slots found before are void then.
    var reclaimEpoch = 0
    var lastSweepSecond: UInt32 = 0

    static func segmentBytes(forMemory bytes: Int) -> Int {
        RawMemory.roundedToPages(min(max(bytes / 256, 64 << 10), 1 << 20))
    }

    init(memoryBytes: Int, evicts: Bool) {
        let segmentBytes = Self.segmentBytes(forMemory: memoryBytes)
        // Less than four segments leaves no room to move survivors.
        self.memoryBytes = max(memoryBytes, 4 * segmentBytes)
        self.evicts = evicts
        pool = SegmentPool(segmentBytes: segmentBytes)
        var tables = 1
        while tables * 4096 * 100 < memoryBytes { tables *= 2 }
        index = ItemIndex(tableCount: tables)
    }

    /// Memory in use: segments, their table, the index.
    var usedBytes: Int { pool.mappedBytes + pool.tableBytes + index.memoryBytes }

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
            pool.unlink(number, from: &queue)
            pool.release(number)
        } else if !pool[number].isDedicated, !pool[number].isListedSparse,
            pool[number].liveBytes * 2 < pool[number].capacityBytes
        {
            pool[number].isListedSparse = true
            sparse.append(number)
        }
    }

    func removeAll() {
        index.removeAll()
        for number in 1..<max(pool.end, 1) where pool[number].state != .free { pool.release(number) }
        pool.releaseSpare()
        queue = SegmentQueue()
        open = 0
        reclaim = nil
        sparse.removeAll()
        counts.items = 0
        counts.liveBytes = 0
        reclaimEpoch += 1
    }

    // MARK: Placing

    /// Writes a new item for `key`, superseding `previous` (which `find` returned). Its value's bytes are left for
    /// `fill`, which gets them under the lock. Nil when there is no room and none can be made; then nothing has changed
    /// but for what was evicted in vain. `key` must not point into the log.
    @discardableResult
    func place(
        _ facts: ItemFacts, key: UnsafeRawBufferPointer, hash: UInt64, previous: Found?, now: UInt32,
        fill: (UnsafeMutableRawBufferPointer) -> Void
    ) -> ItemPointer? {
        let epoch = reclaimEpoch
        guard let place = reserve(facts.strideBytes, now: now) else { return nil }
        let item = item(at: place)
        item.initialize(facts, key: key)
        fill(item.value)
        counts.items += 1
        let previous = epoch == reclaimEpoch ? previous : findAny(key, hash: hash)
        if let previous {
            index.move(previous.slot, hash: hash, to: place)
            kill(previous.place)
        } else {
            index.insert(hash: hash, place)
        }
        if pool[place.segment].isDedicated { pool.seal(place.segment, into: &queue) }
        if evicts, !mayOpenSegment { reclaimAhead(ofItem: facts.strideBytes, now: now) }
        return item
    }

    /// Whether there is memory for one more segment to fill.
    @inline(__always)
    private var mayOpenSegment: Bool {
        usedBytes + (pool.hasSpare ? 0 : pool.segmentBytes) <= memoryBytes
    }

    /// Room for one item of `stride` bytes, counted as live already. Dedicated segments come back still open.
    private func reserve(_ stride: Int, now: UInt32) -> ItemPlace? {
        stride * 4 > pool.segmentBytes
            ? reserveDedicated(stride, now: now) : reserveRegular(stride, now: now)
    }

    @inline(__always)
    private func reserveRegular(_ stride: Int, now: UInt32) -> ItemPlace? {
        if open == 0 || pool[open].usedBytes + stride > pool.segmentBytes {
            guard openSegment(forItemOf: stride, now: now) else { return nil }
        }
        return take(stride, from: open)
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
    private func openSegment(forItemOf stride: Int, now: UInt32) -> Bool {
        while open == 0 || pool[open].usedBytes + stride > pool.segmentBytes {
            if mayOpenSegment {
                guard replaceOpenSegment() else { return false }
            } else {
                guard makeRoom(now: now) else { return false }
            }
        }
        return true
    }

    /// Seals the open segment and opens an empty one.
    func replaceOpenSegment() -> Bool {
        guard let fresh = pool.acquire() else { return false }
        sealOpenSegment()
        open = fresh
        return true
    }

    func sealOpenSegment() {
        guard open != 0 else { return }
        let full = open
        open = 0
        pool.seal(full, into: &queue)
        considerSparse(full)
    }

    @inline(never)
    private func reserveDedicated(_ stride: Int, now: UInt32) -> ItemPlace? {
        let bytes = RawMemory.roundedToPages(stride)
        guard bytes + pool.tableBytes + index.memoryBytes <= memoryBytes else { return nil }
        while usedBytes + bytes > memoryBytes {
            if pool.hasSpare {
                pool.releaseSpare()
            } else {
                guard makeRoom(now: now) else { return nil }
            }
        }
        guard let number = pool.acquire(dedicatedBytes: bytes) else { return nil }
        return take(stride, from: number)
    }
}
