// Making room: compacting segments that are mostly dead, and evicting the oldest while keeping what was used.

/// A segment being emptied, from its start to `offset` so far.
struct Reclaim {
    let segment: UInt32
    var offset = 0
    /// Items used less often are dropped.
    let useMin: UInt64
    /// Bytes that may still be copied.
    var quotaBytes: Int
    /// Compaction: whatever lives is kept, and its use counter too.
    let keepsAll: Bool
}

extension ItemLog {
    /// Frees some memory, or moves nearer to it. False when nothing can be freed. Bounded: at most one segment's items
    /// are looked at, and at most half a segment is copied. Every call makes progress: it empties a segment, or takes
    /// the second chance from a large item.
    func makeRoom(now: UInt32) -> Bool {
        reclaimEpoch += 1
        if reclaim == nil, !beginCompaction() {
            guard evicts else { return makeRoomWithoutEvicting(now: now) || unmapSpare() }
            if queue.oldest == 0 {
                guard open != 0 else { return unmapSpare() }
                sealOpenSegment()
                if queue.oldest == 0 { return true }
            }
            if pool[queue.oldest].isDedicated {
                evictDedicated(queue.oldest, now: now)
                return true
            }
            beginEviction(now: now)
        }
        continueReclaim(bytes: .max, now: now)
        return true
    }

    /// Spreads the work over the items that are stored: while the store is full, each pays for twice its own bytes of
    /// the next segment to empty. Twice, as up to half of those may be copied.
    @inline(never)
    func reclaimAhead(ofItem stride: Int, now: UInt32) {
        if reclaim == nil, !beginCompaction() {
            guard queue.oldest != 0, !pool[queue.oldest].isDedicated else { return }
            beginEviction(now: now)
        }
        reclaimEpoch += 1
        continueReclaim(bytes: 2 * stride + 64, now: now)
    }

    private func unmapSpare() -> Bool {
        guard pool.hasSpare else { return false }
        pool.releaseSpare()
        return true
    }

    // MARK: Evicting

    /// A large item that was used goes back to the young end, without a copy and with its counter at zero.
    private func evictDedicated(_ victim: UInt32, now: UInt32) {
        pool.unlink(victim, from: &queue)
        let place = ItemPlace(segment: victim, offset: 0)
        let item = item(at: place)
        if item.use > 0, !item.isExpired(at: now) {
            item.setUse(0)
            pool.seal(victim, into: &queue)
        } else {
            drop(place, now: now)
            pool.release(victim)
        }
    }

    /// What was used most will be copied to the open segment, up to half a segment's bytes, the rest dropped.
    private func beginEviction(now: UInt32) {
        counts.segmentsReclaimed += 1
        let victim = queue.oldest
        let quota = pool.segmentBytes / 2
        let useMin = useThreshold(victim, quota: quota, now: now)
        begin(Reclaim(segment: victim, useMin: useMin, quotaBytes: quota, keepsAll: false))
    }

    /// The lowest use count, at least 1, whose holders fit into the quota together; the maximum when none does.
    private func useThreshold(_ victim: UInt32, quota: Int, now: UInt32) -> UInt64 {
        var bytesByUse = [0, 0, 0, 0]
        forEachLive(in: victim) { _, item in
            if !item.isExpired(at: now) { bytesByUse[Int(item.use)] += item.strideBytes }
        }
        var threshold = ItemPointer.useMax
        var bytes = bytesByUse[Int(threshold)]
        while threshold > 1, bytes + bytesByUse[Int(threshold) - 1] <= quota {
            threshold -= 1
            bytes += bytesByUse[Int(threshold)]
        }
        return threshold
    }

    private func begin(_ next: Reclaim) {
        pool.unlink(next.segment, from: &queue)
        pool[next.segment].state = .reclaiming
        pool[next.segment].isListedSparse = false
        reclaim = next
    }

    /// Copies or drops the items of the next `bytes` of the segment; releases it at its end.
    private func continueReclaim(bytes: Int, now: UInt32) {
        guard var current = reclaim else { return }
        let used = pool[current.segment].usedBytes
        let base = pool[current.segment].base!
        let stop = bytes < used - current.offset ? current.offset + bytes : used
        while current.offset < stop {
            let place = ItemPlace(segment: current.segment, offset: current.offset)
            let item = ItemPointer(base + current.offset)
            let stride = item.strideBytes
            current.offset += stride
            if item.isDead { continue }
            let isKept = !item.isExpired(at: now) && item.use >= current.useMin && stride <= current.quotaBytes
            if isKept, relocate(place, item, keepsUse: current.keepsAll) {
                current.quotaBytes -= stride
            } else {
                drop(place, now: now)
            }
        }
        if current.offset < used {
            reclaim = current
        } else {
            reclaim = nil
            pool.release(current.segment)
        }
    }

    private func drop(_ place: ItemPlace, now: UInt32) {
        let item = item(at: place)
        if item.isExpired(at: now) {
            counts.reclaimed += 1
            if !item.isRead { counts.expiredUnread += 1 }
        } else {
            counts.evictions += 1
            if !item.isRead { counts.evictedUnread += 1 }
        }
        index.remove(slot(of: place, item))
        forget(place, item)
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

    private func beginCompaction(of number: UInt32) {
        counts.segmentsCompacted += 1
        begin(Reclaim(segment: number, useMin: 0, quotaBytes: .max, keepsAll: true))
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
        var number = queue.oldest
        while number != 0 {
            let dead = pool[number].usedBytes - pool[number].liveBytes
            if !pool[number].isDedicated, dead > bestDead { (best, bestDead) = (number, dead) }
            number = pool[number].newer
        }
        if best == 0, open != 0, pool[open].usedBytes - pool[open].liveBytes > bestDead {
            sealOpenSegment()
            return true
        }
        guard best != 0 else { return false }
        beginCompaction(of: best)
        continueReclaim(bytes: .max, now: now)
        return true
    }

    /// Drops every item whose time is over. Cost: a walk over all items.
    func sweepExpired(now: UInt32) {
        for number in 1..<max(pool.end, 1) where pool[number].state != .free {
            forEachLive(in: number) { place, item in
                if item.isExpired(at: now) { drop(place, now: now) }
            }
            if pool[number].state == .sealed { considerSparse(number) }
        }
    }

    // MARK: Parts

    /// Copies an item to the open segment, opening another if need be: for the moment between that and the release of
    /// the segment it came from, the store may hold one segment more than its memory. False when the kernel has none.
    private func relocate(_ place: ItemPlace, _ item: ItemPointer, keepsUse: Bool = false) -> Bool {
        let stride = item.strideBytes
        if open == 0 || pool[open].usedBytes + stride > pool.segmentBytes {
            guard replaceOpenSegment() else { return false }
        }
        let slot = slot(of: place, item)
        let target = take(stride, from: open)
        let copy = self.item(at: target)
        copy.base.copyMemory(from: item.base, byteCount: stride)
        if !keepsUse { copy.setUse(item.use - 1) }
        index.move(slot, hash: keyHash(item.key), to: target)
        counts.copies += 1
        counts.items += 1
        forget(place, item)
        return true
    }

    /// Takes an item that no entry points to any more out of the counts of its segment.
    private func forget(_ place: ItemPlace, _ item: ItemPointer) {
        let stride = item.strideBytes
        item.markDead()
        counts.items -= 1
        counts.liveBytes -= stride
        pool[place.segment].liveBytes -= stride
        pool[place.segment].liveItems -= 1
    }

    private func slot(of place: ItemPlace, _ item: ItemPointer) -> ItemIndex.Slot {
        guard let (slot, _) = index.find(hash: keyHash(item.key), { $0 == place }) else {
            preconditionFailure("a live item is missing from the index")
        }
        return slot
    }

    private func forEachLive(in number: UInt32, _ body: (ItemPlace, ItemPointer) -> Void) {
        let base = pool[number].base!
        var offset = 0
        while offset < pool[number].usedBytes {
            let item = ItemPointer(base + offset)
            let stride = item.strideBytes
            if !item.isDead { body(ItemPlace(segment: number, offset: offset), item) }
            offset += stride
        }
    }

    // MARK: Tests

    /// Traps when index, segments and counts disagree. Cost: a walk over all items.
    func checkInvariants() {
        var items = 0
        var liveBytes = 0
        var queued = 0
        for number in 1..<max(pool.end, 1) where pool[number].state != .free {
            var segmentItems = 0
            var segmentBytes = 0
            forEachLive(in: number) { place, item in
                segmentItems += 1
                segmentBytes += item.strideBytes
                _ = slot(of: place, item)
            }
            precondition(segmentItems == pool[number].liveItems, "a segment's item count is wrong")
            precondition(segmentBytes == pool[number].liveBytes, "a segment's byte count is wrong")
            precondition(pool[number].usedBytes <= pool[number].capacityBytes, "a segment is overfull")
            switch pool[number].state {
            case .open: precondition(number == open, "an open segment is lost")
            case .reclaiming: precondition(number == reclaim?.segment, "a reclaimed segment is lost")
            case .sealed: precondition(segmentItems > 0, "an empty segment is kept")
            case .free: break
            }
            if pool[number].state == .sealed { queued += 1 }
            items += segmentItems
            liveBytes += segmentBytes
        }
        precondition(queued == queue.count, "the queue's count is wrong")
        precondition(items == counts.items && liveBytes == counts.liveBytes, "the counts are wrong")
        index.forEachChecked { tag, place in
            let item = item(at: place)
            precondition(pool[place.segment].state != .free && !item.isDead, "an entry points to no item")
            precondition(ItemIndex.tag(ofHash: keyHash(item.key)) == tag, "an entry has a wrong tag")
        }
        precondition(index.count == items, "items and entries differ")
    }
}
