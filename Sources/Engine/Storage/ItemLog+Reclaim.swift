// Making room: which segment to empty next, which of its items to keep, and moving those.
//
// S3-FIFO (Yang et al., SOSP'23) over segments. What is new goes to the small queue. At its end, what was used twice or
// more goes on to the main queue, the rest is dropped and remembered as a ghost. At the end of the main queue, what was
// used goes round once more. A key that comes back while its ghost is remembered goes to main at once, and shows which
// of the two queues is too small.

/// A segment being emptied, from its start to `offset` so far.
struct Reclaim {
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

extension ItemLog {
    /// Uses of a new item that make it worth its room in main.
    private static let promotionUseMin: UInt64 = 2
    /// Ghosts take at most this part of the memory, whatever the number of items.
    private static let ghostMemoryShare = 32
    private static let adaptionWeightMax = 32
    private static let largeSkippedMax = 64

    /// Frees some memory, or moves nearer to it. False when nothing can be freed. Bounded: at most one segment's items
    /// are looked at. Every call makes progress: it empties a segment, shortens the small queue, or takes a chance from a
    /// large item.
    func makeRoom(now: UInt32) -> Bool {
        reclaimEpoch += 1
        if reclaim == nil { sweepNextSegment(now: now) }
        if reclaim == nil, !beginCompaction(), !beginCompression() {
            guard evicts else { return makeRoomWithoutEvicting(now: now) || unmapSpare() }
            guard let victim = nextVictim(now: now) else {
                guard pool[.small].open != 0 || pool[.main].open != 0 else { return unmapSpare() }
                sealOpenSegment(of: .small)
                sealOpenSegment(of: .main)
                return true
            }
            noteFull()
            if pool[victim].isDedicated {
                evictDedicated(victim, now: now)
                return true
            }
            beginEviction(of: victim, now: now)
        }
        continueReclaim(bytes: .max, now: now)
        return true
    }

    /// Spreads the work over the items that are stored: while the store is full, each pays for twice its own bytes of
    /// the next segment to empty. Twice, as about half of those may be kept.
    @inline(never)
    func reclaimAhead(ofItem stride: Int, now: UInt32) {
        if reclaim == nil { sweepNextSegment(now: now) }
        if reclaim == nil, !beginCompaction(), !beginCompression() {
            guard let victim = nextVictim(now: now), !pool[victim].isDedicated else { return }
            noteFull()
            beginEviction(of: victim, now: now)
        }
        reclaimEpoch += 1
        continueReclaim(bytes: 2 * stride + 64, now: now)
    }

    private func unmapSpare() -> Bool {
        guard pool.hasSpare else { return false }
        pool.releaseSpare()
        return true
    }

    // MARK: Choosing

    /// A segment of which everything has expired, or the oldest of the queue that has too much; nil when none is sealed.
    private func nextVictim(now: UInt32) -> UInt32? {
        if let victim = nextExpired(now: now) { return victim }
        let (small, main) = (pool[.small].oldest, pool[.main].oldest)
        let victim = small != 0 && (pool[.small].bytes > smallQuotaBytes || main == 0) ? small : main
        return victim == 0 ? nil : victim
    }

    /// As many keys as there are items, within bounds.
    var ghostCapacity: Int { max(64, min(index.count, memoryBytes / Self.ghostMemoryShare / 4)) & ~7 }

    /// From now on what was dropped is remembered.
    private func noteFull() {
        isFilling = false
        let capacity = ghostCapacity
        if let known = ghosts?.capacity, known < capacity * 2, capacity < known * 2 { return }
        ghosts = GhostTable(capacity: capacity)
    }

    /// Main for a key that was dropped lately. It also tells which queue is too small: the one that dropped it.
    @inline(never)
    func laneByGhosts(_ hash: UInt64, stride: Int) -> Lane {
        guard let dropped = ghosts?.take(hash: hash) else { return .small }
        counts.ghostHits += 1
        adaptSmallQuota(dropped, stride: stride)
        return .main
    }

    /// As in ARC (Megiddo and Modha, FAST'03): a key that comes back weighs more if few are remembered of its queue.
    private func adaptSmallQuota(_ dropped: Lane, stride: Int) {
        let (small, main) = (max(1, ghosts?.smallDrops ?? 1), max(1, ghosts?.mainDrops ?? 1))
        let weight = min(max(1, dropped == .small ? main / small : small / main), Self.adaptionWeightMax)
        let change = stride * weight
        let wanted = dropped == .small ? smallQuotaBytes + change : smallQuotaBytes - change
        smallQuotaBytes = min(max(wanted, memoryBytes / 20), memoryBytes / 2)
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

    private var meanStride: Int { counts.liveBytes / max(1, counts.items) }

    /// A large item that deserves it goes to the young end of main, without a copy and with a use less.
    private func evictDedicated(_ victim: UInt32, now: UInt32) {
        let place = ItemPlace(segment: victim, offset: 0)
        let item = item(at: place)
        let useMin = pool[victim].lane == .small ? Self.promotionUseMin : 1
        if item.use >= useMin, !item.isExpired(at: now) {
            item.setUse(useAfterKeeping(item, from: pool[victim].lane))
            pool.requeue(victim, to: .main)
        } else {
            pool.unlink(victim)
            drop(place, now: now)
            release(victim)
        }
    }

    private func useAfterKeeping(_ item: ItemPointer, from lane: Lane) -> UInt64 {
        lane == .small ? 0 : item.use - 1
    }

    private func beginEviction(of victim: UInt32, now: UInt32) {
        counts.segmentsReclaimed += 1
        if pool[victim].lane == .main {
            hotQuotaBytes = min(
                hotQuotaBytes + pool.segmentBytes / Self.hotMemoryShare, memoryBytes / Self.hotMemoryShare)
        }
        let scoreMin = pool[victim].lane == .small ? 1 : scoreThreshold(victim, now: now)
        begin(Reclaim(segment: victim, purpose: .evict(scoreMin: scoreMin)))
    }

    /// The lowest score, at least 1, whose holders leave an eighth of a segment free together; beyond the maximum when
    /// none does. So emptying a segment of main always frees memory.
    private func scoreThreshold(_ victim: UInt32, now: UInt32) -> UInt64 {
        let quota = pool.segmentBytes / 8 * 7
        let mean = meanStride
        return withUnsafeTemporaryAllocation(of: Int.self, capacity: Int(ItemPointer.useMax) + 1) { bytesByScore in
            bytesByScore.initialize(repeating: 0)
            forEachLive(in: victim) { _, item in
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
        pool.unlink(next.segment)
        pool[next.segment].state = .reclaiming
        pool[next.segment].isListedSparse = false
        reclaim = next
    }

    /// Moves or drops the items of the next `bytes` of the segment; releases it at its end.
    func continueReclaim(bytes: Int, now: UInt32) {
        guard var current = reclaim else { return }
        let used = pool[current.segment].usedBytes
        let base = pool[current.segment].base!
        let mean = meanStride
        let stop = bytes < used - current.offset ? current.offset + bytes : used
        while current.offset < stop {
            let place = ItemPlace(segment: current.segment, offset: current.offset)
            let item = ItemPointer(base + current.offset)
            current.offset += item.strideBytes
            if item.isDead { continue }
            if !isKept(item, purpose: current.purpose, lane: pool[current.segment].lane, mean: mean, now: now)
                || !move(place, item, purpose: current.purpose, now: now)
            {
                drop(place, now: now)
            }
        }
        if current.offset < used {
            reclaim = current
        } else {
            reclaim = nil
            release(current.segment)
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

    private func move(_ place: ItemPlace, _ item: ItemPointer, purpose: Reclaim.Purpose, now: UInt32) -> Bool {
        let lane = pool[place.segment].lane
        switch purpose {
        case .compact:
            if lane == .main { return relocateToMain(place, item, use: item.use, now: now) }
            return item.isCompressed
                ? relocateCompressed(place, item, to: .small, use: item.use)
                : relocate(place, item, to: .small, use: item.use)
        case .evict:
            return relocateToMain(place, item, use: useAfterKeeping(item, from: lane), now: now)
        }
    }

    func drop(_ place: ItemPlace, now: UInt32) {
        let item = item(at: place)
        let hash = keyHash(item.key)
        if item.isExpired(at: now) {
            counts.reclaimed += 1
            if !item.isRead { counts.expiredUnread += 1 }
        } else {
            counts.evictions += 1
            (counts.lastEvictedUnique, counts.lastEvictionSecond) = (item.unique, now)
            if !item.isRead { counts.evictedUnread += 1 }
            ghosts?.insert(hash: hash, from: pool[place.segment].lane)
        }
        index.remove(slot(of: place, hash: hash))
        forget(place, item)
    }

    // MARK: Moving

    /// Copies an item to a lane's open segment, opening another if need be: for the moment between that and the release
    /// of the segment it came from, the store may hold one segment more than its memory. False when the kernel has none.
    func relocate(_ place: ItemPlace, _ item: ItemPointer, to lane: Lane, use: UInt64) -> Bool {
        let stride = item.strideBytes
        if !hasRoom(for: stride, in: lane) {
            guard replaceOpenSegment(in: lane) else { return false }
        }
        let hash = keyHash(item.key)
        let slot = slot(of: place, hash: hash)
        let target = take(stride, from: pool[lane].open)
        let copy = self.item(at: target)
        copy.base.copyMemory(from: item.base, byteCount: stride)
        copy.setUse(use)
        noteExpiry(item.expiry, in: target.segment)
        if copy.isCompressed { countCompressed(copy, 1) }
        index.move(slot, hash: hash, to: target)
        counts.copies += 1
        counts.items += 1
        forget(place, item)
        return true
    }

    /// Takes an item that no entry points to any more out of the counts of its segment.
    func forget(_ place: ItemPlace, _ item: ItemPointer) {
        let stride = item.strideBytes
        if item.isCompressed { countCompressed(item, -1) }
        item.markDead()
        counts.items -= 1
        counts.liveBytes -= stride
        pool[place.segment].liveBytes -= stride
        pool[place.segment].liveItems -= 1
    }

    func slot(of place: ItemPlace, hash: UInt64) -> ItemIndex.Slot {
        guard let (slot, _) = index.find(hash: hash, { $0 == place }) else {
            preconditionFailure("a live item is missing from the index")
        }
        return slot
    }

    func forEachLive(in number: UInt32, _ body: (ItemPlace, ItemPointer) -> Void) {
        let base = pool[number].base!
        var offset = 0
        while offset < pool[number].usedBytes {
            let item = ItemPointer(base + offset)
            let stride = item.strideBytes
            if !item.isDead { body(ItemPlace(segment: number, offset: offset), item) }
            offset += stride
        }
    }

    // MARK: Compacting

    /// Chooses a mostly dead segment, whose live items are to be moved together. False when there is none.
    private func beginCompaction() -> Bool {
        while let number = sparse.popLast() {
            // The number may have been released, and used anew, since it was listed.
            guard pool[number].isListedSparse else { continue }
            pool[number].isListedSparse = false
            guard pool[number].state == .sealed else { continue }
            beginCompaction(of: number)
            return true
        }
        return false
    }

    /// Chooses a segment that came to main before the store was full: rather than dropping anything, from whichever queue,
    /// see how much room compression makes. Until there are no more such segments, the store is still being filled. False
    /// when there is none, or little to be won.
    private func beginCompression() -> Bool {
        guard evicts, compressor?.isWorthwhile ?? false else { return false }
        // Past a few large items, which have segments of their own.
        var (number, steps) = (pool[.main].oldest, Self.largeSkippedMax)
        while number != 0, pool[number].isDedicated, steps > 0 { (number, steps) = (pool[number].newer, steps - 1) }
        guard number != 0, pool[number].isUntried else { return false }
        pool[number].isUntried = false
        guard compressionGain(of: number) >= pool.segmentBytes / 8 else { return false }
        beginCompaction(of: number)
        return true
    }

    private func beginCompaction(of number: UInt32) {
        counts.segmentsCompacted += 1
        begin(Reclaim(segment: number, purpose: .compact))
    }

    /// A store that must not evict drops what has expired, once a second at most, then compacts the segment with the
    /// most dead bytes if that frees an eighth of a segment.
    private func makeRoomWithoutEvicting(now: UInt32) -> Bool {
        if lastSweepSecond != now {
            lastSweepSecond = now
            sweepExpired(now: now)
            return true
        }
        var best: UInt32 = 0
        var bestDead = pool.segmentBytes / 8
        for lane in [Lane.small, .main] {
            var number = pool[lane].oldest
            while number != 0 {
                let dead = pool[number].usedBytes - pool[number].liveBytes
                if !pool[number].isDedicated, dead > bestDead { (best, bestDead) = (number, dead) }
                number = pool[number].newer
            }
        }
        if best == 0 {
            for lane in [Lane.small, .main] {
                let open = pool[lane].open
                guard open != 0, pool[open].usedBytes - pool[open].liveBytes > bestDead else { continue }
                sealOpenSegment(of: lane)
                return true
            }
            return false
        }
        beginCompaction(of: best)
        continueReclaim(bytes: .max, now: now)
        return true
    }
}
