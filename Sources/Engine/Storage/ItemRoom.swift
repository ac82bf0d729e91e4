// Room for items: whether there is memory for another segment, which segment to empty next, and which of its items to keep.
//
// S3-FIFO (Yang et al., SOSP'23) over segments. What is new goes to the small queue. At its end, what was used twice or
// more goes on to the main queue, the rest is dropped and remembered as a ghost. At the end of the main queue, what was
// used goes round once more. A key that comes back while its ghost is remembered goes to main at once, and shows which
// of the two queues is too small.

final class ItemRoom {
    /// A segment being emptied, from its start to `offset` so far.
    private struct Reclaim {
        enum Purpose {
            /// The end of a queue: what scores at least this much is kept.
            case evict(scoreMin: UInt64)
            /// Too many dead bytes: whatever lives is moved, and stays in its queue.
            case compact
        }

        let segment: UInt32
        let purpose: Purpose
        var offset = 0
    }

    private struct Counts {
        var evictions: UInt64 = 0
        /// Of the last eviction: what it took, and when.
        var lastEvictedUnique: UInt64 = 0
        var lastEvictionSecond: UInt32 = 0
        var evictedUnread: UInt64 = 0
    }

    /// Uses of a new item that make it worth its room in main.
    private static let promotionUseMin: UInt64 = 2
    private static let largeSkippedMax = 64
    /// Main may spend this part of the memory, each time it is gone through, on keeping hot items expanded.
    private static let hotMemoryShare = 16

    private let segments: ItemSegments
    private let sweep: ItemSweep
    private let mover: ItemMover
    private let compressor: ValueCompressor?
    private let evicts: Bool
    private let events: NodeEvents
    /// The store's memory, live objects' part included.
    private var fullBytes: Int
    /// What live objects take of it.
    private var lentBytes = 0
    /// The segment whose items are being copied or dropped.
    private var reclaim: Reclaim?
    // Asked for each item that is new, under the store's lock, by nobody that calls out: it needs no check at run time.
    @exclusivity(unchecked) private var balance: QueueBalance
    /// Until the memory is used up, what is pushed out of the small queue is main's, used or not.
    private var isFilling = true
    /// Compressed items that turn out to be hot may take this much more memory for now.
    private var hotQuotaBytes: Int
    private var counts = Counts()
    /// Grows whenever items were moved or dropped to make room: slots found before are void then.
    private(set) var epoch = 0

    init(
        _ segments: ItemSegments, sweep: ItemSweep, compressor: ValueCompressor?, fullBytes: Int, evicts: Bool,
        events: NodeEvents
    ) {
        self.segments = segments
        self.events = events
        self.sweep = sweep
        self.compressor = compressor
        mover = ItemMover(segments, compressor: compressor)
        self.fullBytes = fullBytes
        self.evicts = evicts
        hotQuotaBytes = fullBytes / Self.hotMemoryShare
        balance = QueueBalance(smallBytes: max(fullBytes / 10, segments.segmentBytes))
    }

    // MARK: Memory

    /// What is left for items.
    @inline(__always)
    var memoryBytes: Int { fullBytes &- lentBytes }

    /// Memory in use: segments, their table, the index.
    @inline(__always)
    var usedBytes: Int { segments.mappedBytes + sideBytes }

    /// Memory in use beside the segments.
    @inline(__always)
    private var sideBytes: Int { segments.tableBytes + ghostBytes + compressorBytes }

    /// What the ghosts take, or will take once the store is full.
    private var ghostBytes: Int { max(balance.ghostBytes, evicts ? ghostCapacity * 4 : 0) }

    /// In a tiny store the compressor's contexts count for an eighth at most, so that there is room for items.
    private var compressorBytes: Int { min(compressor?.memoryBytes ?? 0, memoryBytes / 8) }

    /// Whether there is memory for one more segment to fill.
    @inline(__always)
    private var mayOpenSegment: Bool {
        usedBytes + (segments.hasSpare ? 0 : segments.segmentBytes) <= memoryBytes
    }

    /// `bytes` go to live objects, in place of what they had, at most three quarters. Cost: what has to be evicted for that.
    func lend(bytes: Int, now: UInt32) {
        lentBytes = min(max(bytes, 0), fullBytes / 4 * 3)
        balance.fit(memoryBytes: memoryBytes, leastBytes: segments.segmentBytes, mayGrow: false)
        // Every round makes progress or ends; a store that never evicts keeps what it has.
        var rounds = 4096
        while usedBytes > memoryBytes, rounds > 0, evicts, makeRoom(now: now) { rounds -= 1 }
    }

    /// The limit of segments, index and what else there is. Takes nothing and gives nothing back yet.
    func resize(memoryBytes bytes: Int) {
        fullBytes = max(bytes, 4 * segments.segmentBytes)
        segments.reserve(segmentsMax: fullBytes / segments.segmentBytes + 2)
        lentBytes = min(lentBytes, fullBytes / 4 * 3)
        hotQuotaBytes = min(hotQuotaBytes, memoryBytes / Self.hotMemoryShare)
        balance.fit(memoryBytes: memoryBytes, leastBytes: segments.segmentBytes, mayGrow: true)
    }

    /// False once the store is within its limit, or can't get there; true after some rounds on the way.
    func shrink(rounds: Int, now: UInt32) -> Bool {
        for _ in 0..<rounds {
            guard usedBytes > memoryBytes else { return false }
            if segments.hasSpare { segments.releaseSpare() } else if !makeRoom(now: now) { return false }
        }
        return usedBytes > memoryBytes
    }

    /// Drops items, the least used first, until so many bytes less are in use.
    func evict(bytes: Int, now: UInt32) {
        let target = segments.counts.liveBytes - bytes
        var rounds = 4096
        while segments.counts.liveBytes > target, rounds > 0, evicts, makeRoom(now: now) { rounds -= 1 }
    }

    /// A hot item's value may be kept expanded, which takes so many bytes of what may be spent on that.
    func takeHotQuota(_ bytes: Int) -> Bool {
        guard evicts, bytes <= hotQuotaBytes else { return false }
        hotQuotaBytes -= bytes
        return true
    }

    /// There are no items any more.
    func beginAnew() {
        reclaim = nil
        balance.forgetDrops()
        isFilling = true
        epoch += 1
    }

    func report(to statistics: inout ItemStatistics) {
        statistics.usedBytes = usedBytes
        statistics.limitBytes = memoryBytes
        statistics.evictions = counts.evictions
        statistics.evictedUnread = counts.evictedUnread
        statistics.ghostHits = balance.ghostHits
        statistics.smallQuotaBytes = balance.smallBytes
    }

    /// What the last eviction took, and when, in unix seconds.
    var lastEviction: (unique: UInt64, second: UInt32) { (counts.lastEvictedUnique, counts.lastEvictionSecond) }

    // MARK: A place for an item

    /// Room for one item of `stride` bytes, counted as live already. Nil when there is none and none can be made.
    @inline(__always)
    func reserve(_ stride: Int, in lane: Lane, now: UInt32) -> ItemPlace? {
        guard !segments.isLarge(stride) else { return reserveDedicated(stride, in: lane, now: now) }
        guard segments.hasRoom(for: stride, in: lane) || openSegment(forItemOf: stride, in: lane, now: now) else {
            return nil
        }
        return segments.take(stride, in: lane)
    }

    @inline(never)
    private func openSegment(forItemOf stride: Int, in lane: Lane, now: UInt32) -> Bool {
        while !segments.hasRoom(for: stride, in: lane) {
            if mayOpenSegment {
                guard segments.replaceOpenSegment(in: lane) else { return false }
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
        while segments[.small].bytes > balance.smallBytes, segments[.small].oldest != 0 {
            let oldest = segments[.small].oldest
            if !segments[oldest].isDedicated {
                mover.sample(oldest, now: now)
                segments.setUntried(oldest, true)
            }
            segments.requeue(oldest, to: .main)
        }
    }

    @inline(never)
    private func reserveDedicated(_ stride: Int, in lane: Lane, now: UInt32) -> ItemPlace? {
        let bytes = RawMemory.roundedToPages(stride)
        guard bytes + sideBytes <= memoryBytes else { return nil }
        while usedBytes + bytes > memoryBytes {
            if segments.hasSpare {
                segments.releaseSpare()
            } else {
                guard makeRoom(now: now) else { return nil }
            }
        }
        return segments.takeDedicated(stride, mappedBytes: bytes, in: lane)
    }

    /// After an item was stored, of that stride: spreads the work over the items while the store is full.
    @inline(__always)
    func makeRoomAhead(ofItem stride: Int, now: UInt32) {
        if evicts, !mayOpenSegment { reclaimAhead(ofItem: stride, now: now) }
    }

    // MARK: Making room

    /// Frees some memory, or moves nearer to it. False when nothing can be freed. Bounded: at most one segment's items
    /// are looked at. Every call makes progress: it empties a segment, shortens the small queue, or takes a chance from a
    /// large item.
    private func makeRoom(now: UInt32) -> Bool {
        epoch += 1
        if reclaim == nil { sweep.sweepNext(now: now) }
        if reclaim == nil, !beginCompaction(), !beginCompression() {
            guard evicts else { return makeRoomWithoutEvicting(now: now) || unmapSpare() }
            guard let victim = nextVictim(now: now) else {
                guard segments[.small].open != 0 || segments[.main].open != 0 else { return unmapSpare() }
                segments.sealOpenSegment(of: .small)
                segments.sealOpenSegment(of: .main)
                return true
            }
            noteFull()
            if segments[victim].isDedicated {
                evictDedicated(victim, now: now)
                return true
            }
            beginEviction(of: victim, now: now)
        }
        continueReclaim(bytes: .max, now: now)
        return true
    }

    /// Each item that is stored pays for twice its own bytes of the next segment to empty. Twice, as about half of those may
    /// be kept.
    @inline(never)
    private func reclaimAhead(ofItem stride: Int, now: UInt32) {
        if reclaim == nil { sweep.sweepNext(now: now) }
        if reclaim == nil, !beginCompaction(), !beginCompression() {
            guard let victim = nextVictim(now: now), !segments[victim].isDedicated else { return }
            noteFull()
            beginEviction(of: victim, now: now)
        }
        epoch += 1
        continueReclaim(bytes: 2 * stride + 64, now: now)
    }

    private func unmapSpare() -> Bool {
        guard segments.hasSpare else { return false }
        segments.releaseSpare()
        return true
    }

    // MARK: Choosing

    /// A segment of which everything has expired, or the oldest of the queue that has too much; nil when none is sealed.
    private func nextVictim(now: UInt32) -> UInt32? {
        if let victim = sweep.nextExpired(now: now) { return victim }
        let (small, main) = (segments[.small].oldest, segments[.main].oldest)
        let victim = small != 0 && (segments[.small].bytes > balance.smallBytes || main == 0) ? small : main
        return victim == 0 ? nil : victim
    }

    private var ghostCapacity: Int { QueueBalance.ghostCapacity(items: segments.count, memoryBytes: memoryBytes) }

    /// From now on what was dropped is remembered.
    private func noteFull() {
        isFilling = false
        balance.remember(capacity: ghostCapacity)
    }

    /// The memory has been used up: what is new to the store may be worth compressing.
    @inline(__always)
    var isFull: Bool { !isFilling }

    /// Where an item belongs that is not in the store: a key that was dropped lately has proved itself.
    @inline(__always)
    func laneOfNewcomer(_ hash: UInt64, stride: Int) -> Lane {
        balance.remembersDrops ? balance.laneOfKnown(hash, stride: stride, memoryBytes: memoryBytes) : .small
    }

    // MARK: Evicting

    /// How much an item deserves to stay: its uses, weighed by how many items of the mean size its room would hold.
    @inline(__always)
    private func score(_ item: ItemPointer, meanStride: Int) -> UInt64 {
        let use = item.use
        let stride = item.strideBytes
        // The divisor is at least a header's bytes; the product of 3 and at most 30 bits does not overflow.
        return min(use, use &* UInt64(truncatingIfNeeded: meanStride) / UInt64(truncatingIfNeeded: stride))
    }

    /// A large item that deserves it goes to the young end of main, without a copy and with a use less.
    private func evictDedicated(_ victim: UInt32, now: UInt32) {
        let place = ItemPlace(segment: victim, offset: 0)
        let item = segments.item(at: place)
        let useMin = segments[victim].lane == .small ? Self.promotionUseMin : 1
        if item.use >= useMin, !item.isExpired(at: now) {
            item.setUse(useAfterKeeping(item, from: segments[victim].lane))
            segments.requeue(victim, to: .main)
        } else {
            segments.unlink(victim)
            drop(place, item, now: now)
            segments.release(victim)
        }
    }

    private func useAfterKeeping(_ item: ItemPointer, from lane: Lane) -> UInt64 {
        lane == .small ? 0 : item.use - 1
    }

    private func beginEviction(of victim: UInt32, now: UInt32) {
        if segments[victim].lane == .main {
            hotQuotaBytes = min(
                hotQuotaBytes + segments.segmentBytes / Self.hotMemoryShare, memoryBytes / Self.hotMemoryShare)
        }
        let scoreMin = segments[victim].lane == .small ? 1 : scoreThreshold(victim, now: now)
        begin(Reclaim(segment: victim, purpose: .evict(scoreMin: scoreMin)))
    }

    /// The lowest score, at least 1, whose holders leave an eighth of a segment free together; beyond the maximum when
    /// none does. So emptying a segment of main always frees memory.
    private func scoreThreshold(_ victim: UInt32, now: UInt32) -> UInt64 {
        let quota = segments.segmentBytes / 8 * 7
        let mean = segments.meanStride
        return withUnsafeTemporaryAllocation(of: Int.self, capacity: Int(ItemPointer.useMax) + 1) { bytesByScore in
            bytesByScore.initialize(repeating: 0)
            segments.forEachLive(in: victim) { _, item in
                if !item.isExpired(at: now) { bytesByScore[Int(score(item, meanStride: mean))] += item.strideBytes }
            }
            var threshold = ItemPointer.useMax + 1
            var bytes = 0
            while threshold > 1, bytes + bytesByScore[Int(threshold) - 1] <= quota {
                threshold -= 1
                bytes += bytesByScore[Int(threshold)]
            }
            return threshold
        }
    }

    private func begin(_ next: Reclaim) {
        segments.beginReclaiming(next.segment)
        reclaim = next
    }

    /// Moves or drops the items of the next `bytes` of the segment; releases it at its end.
    private func continueReclaim(bytes: Int, now: UInt32) {
        guard var current = reclaim else { return }
        let used = segments[current.segment].usedBytes
        let base = segments[current.segment].base!
        let lane = segments[current.segment].lane
        let mean = segments.meanStride
        let stop = bytes < used - current.offset ? current.offset + bytes : used
        while current.offset < stop {
            let place = ItemPlace(segment: current.segment, offset: current.offset)
            let item = ItemPointer(base + current.offset)
            current.offset += item.strideBytes
            if item.isDead { continue }
            if !isKept(item, purpose: current.purpose, lane: lane, mean: mean, now: now)
                || !move(place, item, purpose: current.purpose, lane: lane, now: now)
            {
                drop(place, item, now: now)
            }
        }
        if current.offset < used {
            reclaim = current
        } else {
            reclaim = nil
            segments.release(current.segment)
        }
    }

    @inline(__always)
    private func isKept(_ item: ItemPointer, purpose: Reclaim.Purpose, lane: Lane, mean: Int, now: UInt32) -> Bool {
        if item.isExpired(at: now) { return false }
        switch purpose {
        case .compact: return true
        case .evict(let scoreMin):
            return (lane == .main || item.use >= Self.promotionUseMin) && score(item, meanStride: mean) >= scoreMin
        }
    }

    private func move(
        _ place: ItemPlace, _ item: ItemPointer, purpose: Reclaim.Purpose, lane: Lane, now: UInt32
    ) -> Bool {
        switch purpose {
        case .compact: mover.moveWithin(lane, place, item, now: now)
        case .evict: mover.moveToMain(place, item, use: useAfterKeeping(item, from: lane), now: now)
        }
    }

    /// Drops an item of a segment that is being emptied: evicted, unless its time is over.
    private func drop(_ place: ItemPlace, _ item: ItemPointer, now: UInt32) {
        guard !item.isExpired(at: now) else { return sweep.drop(place, item) }
        let hash = keyHash(item.key)
        counts.evictions += 1
        (counts.lastEvictedUnique, counts.lastEvictionSecond) = (item.unique, now)
        if !item.isRead { counts.evictedUnread += 1 }
        events.tell(.evicted(key: Array(item.key), wasRead: item.isRead, bytes: item.strideBytes))
        balance.noteDrop(hash, from: segments[place.segment].lane)
        segments.remove(place, item, hash: hash)
    }

    // MARK: Compacting

    /// Chooses a mostly dead segment, whose live items are to be moved together. False when there is none.
    private func beginCompaction() -> Bool {
        guard let number = segments.takeSparse() else { return false }
        begin(Reclaim(segment: number, purpose: .compact))
        return true
    }

    /// Chooses a segment that came to main before the store was full: rather than dropping anything, from whichever queue,
    /// see how much room compression makes. Until there are no more such segments, the store is still being filled. False
    /// when there is none, or little to be won.
    private func beginCompression() -> Bool {
        guard evicts, compressor?.isWorthwhile ?? false else { return false }
        // Past a few large items, which have segments of their own.
        var (number, steps) = (segments[.main].oldest, Self.largeSkippedMax)
        while number != 0, segments[number].isDedicated, steps > 0 {
            (number, steps) = (segments[number].newer, steps - 1)
        }
        guard number != 0, segments[number].isUntried else { return false }
        segments.setUntried(number, false)
        guard mover.compressionGain(of: number) >= segments.segmentBytes / 8 else { return false }
        begin(Reclaim(segment: number, purpose: .compact))
        return true
    }

    /// A store that must not evict drops what has expired, once a second at most, then compacts the segment with the
    /// most dead bytes if that frees an eighth of a segment.
    private func makeRoomWithoutEvicting(now: UInt32) -> Bool {
        if sweep.sweepAll(now: now) { return true }
        let deadMin = segments.segmentBytes / 8
        if let number = deadest(moreThan: deadMin) {
            begin(Reclaim(segment: number, purpose: .compact))
            continueReclaim(bytes: .max, now: now)
            return true
        }
        for lane in [Lane.small, .main] {
            let open = segments[lane].open
            guard open != 0, segments[open].usedBytes - segments[open].liveBytes > deadMin else { continue }
            segments.sealOpenSegment(of: lane)
            return true
        }
        return false
    }

    /// The sealed segment with the most dead bytes.
    private func deadest(moreThan deadMin: Int) -> UInt32? {
        var best: (number: UInt32, dead: Int)?
        for lane in [Lane.small, .main] {
            var number = segments[lane].oldest
            while number != 0 {
                let dead = segments[number].usedBytes - segments[number].liveBytes
                if !segments[number].isDedicated, dead > best?.dead ?? deadMin { best = (number, dead) }
                number = segments[number].newer
            }
        }
        return best?.number
    }

    // MARK: Invariants

    /// Traps where what is known here and the segments disagree. For tests.
    func checkInvariants() {
        precondition(evicts || !balance.remembersDrops, "a store that never drops remembers drops")
        precondition(
            balance.smallBytes <= max(memoryBytes / 2, segments.segmentBytes), "the small queue's share is too large")
        for number in segments.numbers where segments[number].state == .reclaiming {
            precondition(number == reclaim?.segment, "a reclaimed segment is lost")
        }
    }
}
