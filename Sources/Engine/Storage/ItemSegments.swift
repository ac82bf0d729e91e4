// Items in segments with their index: finding one, writing one where there is room, moving one, declaring one dead.
//
// Unsafe: hands out `ItemPointer`s into its segments. They are good until the next call that writes or moves an item. Not
// thread-safe: the store's lock guards it.

import CLinux

/// An item and the entry that points to it.
struct FoundItem {
    let slot: ItemIndex.Slot
    let place: ItemPlace
    let item: ItemPointer
}

final class ItemSegments {
    /// What is there, and how often it was moved.
    struct Counts {
        var items = 0
        var liveBytes = 0
        var copies: UInt64 = 0
        var compressedItems = 0
        /// Of the values of the compressed items: as stored, and as the clients know them.
        var compressedBytes = 0
        var expandedBytes = 0
    }

    // Nothing here calls out while it changes one of these, so the run-time checks for overlapping accesses are off.
    @exclusivity(unchecked) private var index: ItemIndex
    @exclusivity(unchecked) private var pool: SegmentPool
    private(set) var counts = Counts()
    /// Sealed segments of which more than a third is dead; entries may be out of date.
    private var sparse: [UInt32] = []
    /// Nil: everything is stored as it is.
    private let compressor: ValueCompressor?

    /// `memoryBytes`: of the whole store, by which the index is laid out; `fullBytes`: what segments may take of it at most.
    init(memoryBytes: Int, fullBytes: Int, segmentBytes: Int, compressor: ValueCompressor?) {
        // One more is being reclaimed while the last one is filled.
        pool = SegmentPool(segmentBytes: segmentBytes, segmentsMax: fullBytes / segmentBytes + 2)
        self.compressor = compressor
        var tables = 1
        while tables * 4096 * 100 < memoryBytes { tables *= 2 }
        index = ItemIndex(tableCount: tables)
    }

    // MARK: Facts

    var segmentBytes: Int { pool.segmentBytes }
    /// Memory that is mapped for segments, the spare one included.
    @inline(__always)
    var mappedBytes: Int { pool.mappedBytes }
    /// What there is beside it: the segments' table and the index.
    @inline(__always)
    var tableBytes: Int { pool.tableBytes + index.memoryBytes }
    /// An empty segment is mapped.
    @inline(__always)
    var hasSpare: Bool { pool.hasSpare }
    /// The numbers that have been in use.
    var numbers: Range<UInt32> { 1..<max(pool.end, 1) }
    /// Entries of the index, as many as there are items.
    var count: Int { index.count }
    var meanStride: Int { counts.liveBytes / max(1, counts.items) }

    @inline(__always)
    subscript(number: UInt32) -> Segment { unsafeAddress { pool.address(of: number) } }

    @inline(__always)
    subscript(lane: Lane) -> SegmentQueue { unsafeAddress { pool.address(of: lane) } }

    func isLarge(_ stride: Int) -> Bool { pool.isLarge(stride) }

    /// Adds what is known of them here to the store's figures.
    func report(to statistics: inout ItemStatistics) {
        statistics.items = counts.items
        statistics.liveBytes = counts.liveBytes
        statistics.indexBytes = index.memoryBytes
        statistics.segments = pool.segmentCount
        statistics.segmentBytes = pool.segmentBytes
        statistics.copies = counts.copies
        statistics.compressedItems = counts.compressedItems
        statistics.compressedBytes = counts.compressedBytes
        statistics.expandedBytes = counts.expandedBytes
    }

    // MARK: Finding

    @inline(__always)
    func item(at place: ItemPlace) -> ItemPointer { ItemPointer(self[place.segment].base! + place.offset) }

    /// The item of this key, expired or not.
    @inline(__always)
    func find(_ key: UnsafeRawBufferPointer, hash: UInt64) -> FoundItem? {
        guard let (slot, place) = index.find(hash: hash, { item(at: $0).matches(key) }) else { return nil }
        return FoundItem(slot: slot, place: place, item: item(at: place))
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

    /// The entry that points to a live item.
    func slot(of place: ItemPlace, hash: UInt64) -> ItemIndex.Slot {
        guard let (slot, _) = index.find(hash: hash, { $0 == place }) else {
            preconditionFailure("a live item is missing from the index")
        }
        return slot
    }

    func forEachLive(in number: UInt32, _ body: (ItemPlace, ItemPointer) -> Void) {
        let base = self[number].base!
        var offset = 0
        while offset < self[number].usedBytes {
            let item = ItemPointer(base + offset)
            let stride = item.strideBytes
            if !item.isDead { body(ItemPlace(segment: number, offset: offset), item) }
            offset += stride
        }
    }

    /// How many tables the index has; items are in one of them each.
    var tableCount: Int { index.tableCount }

    func forEachItem(inTable table: Int, _ body: (ItemPointer) -> Void) {
        index.forEachPlace(inTable: table) { body(item(at: $0)) }
    }

    /// See `ItemStore.walk`.
    func walk(table: Int, tag: UInt64, count: Int, _ body: (ItemPointer) -> Void) -> (table: Int, tag: UInt64)? {
        index.walk(table: table, tag: tag, count: count) { body(item(at: $0)) }
    }

    // MARK: Writing

    /// Writes a new item for `key` at a place that was taken for it, superseding `previous`. Its value's bytes are left for
    /// `fill`. `key` must not point into a segment.
    @inline(__always)
    func write(
        _ facts: ItemFacts, key: UnsafeRawBufferPointer, hash: UInt64, use: UInt64, at place: ItemPlace,
        previous: FoundItem?, fill: (UnsafeMutableRawBufferPointer) -> Void
    ) -> ItemPointer {
        let item = item(at: place)
        item.initialize(facts, key: key)
        item.setUse(use)
        fill(item.value)
        noteExpiry(facts.expiry, in: place.segment)
        counts.items += 1
        if let previous {
            index.move(previous.slot, hash: hash, to: place)
            kill(previous.place)
        } else {
            index.insert(hash: hash, place)
        }
        if self[place.segment].isDedicated { pool.seal(place.segment) }
        return item
    }

    /// Writes a new item over the one that it supersedes, if it takes up no more room. What is left over becomes dead
    /// bytes. `key` and `value` must not point into a segment. The place stays.
    func overwrite(
        _ found: FoundItem, _ facts: ItemFacts, key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer
    ) -> Bool {
        let item = found.item
        let number = found.place.segment
        let left = item.strideBytes - facts.strideBytes
        guard !item.isCompressed, left == 0 || left >= ItemPointer.headerBytesMin,
            !self[number].isDedicated || left == 0, self[number].pins == 0
        else { return false }
        let use = item.use + 1
        item.initialize(facts, key: key)
        item.setUse(use)
        if value.count > 0 { item.value.copyMemory(from: value) }
        noteExpiry(facts.expiry, in: number)
        guard left > 0 else { return true }
        ItemPointer(item.base + facts.strideBytes).initializeFiller(stride: left)
        counts.liveBytes -= left
        pool[number].liveBytes -= left
        if self[number].state == .sealed { considerSparse(number) }
        return true
    }

    /// The segment has an item that expires at that instant (0 never).
    @inline(__always)
    func noteExpiry(_ expiry: Expiry, in number: UInt32) {
        let instant = expiry.order
        if instant < pool[number].expiryFirst { pool[number].expiryFirst = instant }
        if instant > pool[number].expiryLast { pool[number].expiryLast = instant }
    }

    /// The first and the last instant at which an item of the segment expires, once all have been looked at.
    func setExpiries(of number: UInt32, first: UInt32, last: UInt32) {
        (pool[number].expiryFirst, pool[number].expiryLast) = (first, last)
        if self[number].state == .sealed { considerSparse(number) }
    }

    // MARK: Dropping

    /// Takes the item out of the index and declares its bytes dead.
    func remove(_ found: FoundItem) {
        index.remove(found.slot)
        kill(found.place)
    }

    /// The same for one whose segment is being looked through, and stays for now whatever is left in it.
    func remove(_ place: ItemPlace, _ item: ItemPointer, hash: UInt64) {
        index.remove(slot(of: place, hash: hash))
        forget(place, item)
    }

    /// Declares the bytes at `place` dead; the index no longer points there.
    private func kill(_ place: ItemPlace) {
        forget(place, item(at: place))
        if self[place.segment].state == .sealed { considerSparse(place.segment) }
    }

    /// Takes an item that no entry points to any more out of the counts of its segment.
    @inline(__always)
    private func forget(_ place: ItemPlace, _ item: ItemPointer) {
        let stride = item.strideBytes
        if item.isCompressed { countCompressed(item, -1) }
        item.markDead()
        counts.items -= 1
        counts.liveBytes -= stride
        pool[place.segment].liveBytes -= stride
        pool[place.segment].liveItems -= 1
    }

    /// A sealed segment without live items goes at once; one that is mostly dead is listed for compaction.
    private func considerSparse(_ number: UInt32) {
        if self[number].liveItems == 0 {
            pool.unlink(number)
            release(number)
        } else if !self[number].isDedicated, !self[number].isListedSparse,
            self[number].liveBytes * 3 < self[number].capacityBytes * 2
        {
            pool[number].isListedSparse = true
            sparse.append(number)
        }
    }

    /// A mostly dead segment, which is not listed as such any more; nil when there is none.
    func takeSparse() -> UInt32? {
        while let number = sparse.popLast() {
            // The number may have been released, and used anew, since it was listed.
            guard self[number].isListedSparse else { continue }
            pool[number].isListedSparse = false
            if self[number].state == .sealed { return number }
        }
        return nil
    }

    func removeAll() {
        index.removeAll()
        for number in numbers where self[number].state != .free {
            if self[number].state == .sealed { pool.unlink(number) }
            release(number)
        }
        pool.releaseSpare()
        sparse.removeAll()
        counts.items = 0
        counts.liveBytes = 0
        (counts.compressedItems, counts.compressedBytes, counts.expandedBytes) = (0, 0, 0)
    }

    // MARK: Room in segments

    /// Whether the lane's open segment takes `stride` more bytes.
    @inline(__always)
    func hasRoom(for stride: Int, in lane: Lane) -> Bool {
        let open = self[lane].open
        return open != 0 && self[open].usedBytes + stride <= pool.segmentBytes
    }

    /// Takes `stride` bytes of the lane's open segment, which has them; they count as live already.
    @inline(__always)
    func take(_ stride: Int, in lane: Lane) -> ItemPlace { take(stride, from: self[lane].open) }

    /// Takes a segment for one item, which is sealed once that is written. Nil when the kernel has no memory.
    func takeDedicated(_ stride: Int, mappedBytes: Int, in lane: Lane) -> ItemPlace? {
        pool.acquire(lane, dedicatedBytes: mappedBytes).map { take(stride, from: $0) }
    }

    @inline(__always)
    private func take(_ stride: Int, from number: UInt32) -> ItemPlace {
        let offset = pool[number].usedBytes
        pool[number].usedBytes = offset + stride
        pool[number].liveBytes += stride
        pool[number].liveItems += 1
        counts.liveBytes += stride
        return ItemPlace(segment: number, offset: offset)
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
        let full = self[lane].open
        guard full != 0 else { return }
        pool.seal(full)
        considerSparse(full)
    }

    // MARK: Segments

    /// Out of its queue, its items to be moved or dropped step by step.
    func beginReclaiming(_ number: UInt32) {
        pool.unlink(number)
        pool[number].state = .reclaiming
        pool[number].isListedSparse = false
    }

    func unlink(_ number: UInt32) { pool.unlink(number) }
    func requeue(_ number: UInt32, to lane: Lane) { pool.requeue(number, to: lane) }
    func setUntried(_ number: UInt32, _ isUntried: Bool) { pool[number].isUntried = isUntried }
    func releaseSpare() { pool.releaseSpare() }
    func reserve(segmentsMax: Int) { pool.reserve(segmentsMax: segmentsMax) }
    func pin(_ number: UInt32) -> Bool { pool.pin(number) }
    func unpin(_ number: UInt32) { pool.unpin(number) }

    /// Gives back a segment that was unlinked or never sealed, and its hold on a dictionary.
    func release(_ number: UInt32) {
        if !self[number].isDedicated { compressor?.release(self[number].dictionary) }
        pool.release(number)
    }

    // MARK: Moving

    /// Copies an item to a lane's open segment, opening another if need be: for the moment between that and the release
    /// of the segment it came from, the store may hold one segment more than its memory. False when the kernel has none.
    func move(_ place: ItemPlace, _ item: ItemPointer, to lane: Lane, use: UInt64) -> Bool {
        let stride = item.strideBytes
        guard hasRoom(for: stride, in: lane) || replaceOpenSegment(in: lane) else { return false }
        let hash = keyHash(item.key)
        let slot = slot(of: place, hash: hash)
        let target = take(stride, in: lane)
        let copy = self.item(at: target)
        copy.base.copyMemory(from: item.base, byteCount: stride)
        copy.setUse(use)
        if copy.isCompressed { countCompressed(copy, 1) }
        finishMove(slot, hash, from: place, item, to: target)
        return true
    }

    /// Writes the item anew to the lane's open segment, with another form of its value.
    func move(
        _ place: ItemPlace, _ item: ItemPointer, to lane: Lane, as value: UnsafeRawBufferPointer, isCompressed: Bool,
        use: UInt64
    ) -> Bool {
        let facts = ItemFacts(
            keyBytes: item.keyBytes, valueBytes: value.count, flags: item.flags, expiry: item.expiry,
            unique: item.unique, extra: item.extra)
        let stride = facts.strideBytes
        // Expanded, it may have become too large for a regular segment.
        guard stride <= pool.segmentBytes, hasRoom(for: stride, in: lane) || replaceOpenSegment(in: lane) else {
            return false
        }
        let hash = keyHash(item.key)
        let slot = slot(of: place, hash: hash)
        let target = take(stride, in: lane)
        let copy = self.item(at: target)
        copy.initialize(facts, key: item.key)
        copy.setUse(use)
        if item.isRead { copy.markRead() }
        copy.setCompressed(isCompressed)
        copy.value.copyMemory(from: value)
        if isCompressed { countCompressed(copy, 1) }
        finishMove(slot, hash, from: place, item, to: target)
        return true
    }

    private func finishMove(
        _ slot: ItemIndex.Slot, _ hash: UInt64, from place: ItemPlace, _ item: ItemPointer, to target: ItemPlace
    ) {
        noteExpiry(item.expiry, in: target.segment)
        index.move(slot, hash: hash, to: target)
        counts.copies += 1
        counts.items += 1
        forget(place, item)
    }

    // MARK: Compressed values

    /// The value as the client stored it. A compressed one is expanded into a buffer, good until the next such call.
    @inline(never)
    func expandedValue(_ item: ItemPointer, in number: UInt32) -> UnsafeRawBufferPointer {
        let stored = UnsafeRawBufferPointer(item.value)
        guard item.isCompressed else { return stored }
        guard let compressor else { preconditionFailure("a compressed item in a store that does not compress") }
        return compressor.decompress(stored, dictionary: self[number].dictionary)
    }

    /// The new item's value was compressed with the present dictionary.
    func markCompressed(_ item: ItemPointer) {
        item.setCompressed(true)
        countCompressed(item, 1)
    }

    /// Adds the item, which is compressed, to the counts, or takes it out (-1).
    private func countCompressed(_ item: ItemPointer, _ sign: Int) {
        counts.compressedItems += sign
        counts.compressedBytes += sign * item.valueBytes
        counts.expandedBytes += sign * ZstdCodec.rawBytes(UnsafeRawBufferPointer(item.value))
    }

    // MARK: Invariants

    /// For tests: the entries of the index in its order, which is checked on the way.
    func forEachCheckedEntry(_ body: (_ tag: UInt64, ItemPlace) -> Void) { index.forEachChecked(body) }

    /// For tests: how many segments the compressor thinks each dictionary has, "none" first; nil without a compressor.
    var segmentsByDictionary: [Int]? {
        compressor.map { compressor in (0..<UInt8(5)).map { compressor.segments(of: $0) } }
    }
}
