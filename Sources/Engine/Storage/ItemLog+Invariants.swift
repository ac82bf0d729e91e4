// What must hold of the log between any two operations; tests check it.

extension ItemLog {
    /// Traps when index, segments, queues and counts disagree. Cost: a walk over all items.
    func checkInvariants() {
        var items = 0
        var liveBytes = 0
        var compressedItems = 0
        var laneBytes = [0, 0]
        var sealed = [0, 0]
        var byDictionary = [Int](repeating: 0, count: 256)
        for number in 1..<max(pool.end, 1) where pool[number].state != .free {
            compressedItems += checkSegment(number)
            items += pool[number].liveItems
            liveBytes += pool[number].liveBytes
            laneBytes[pool[number].lane.rawValue] += pool[number].capacityBytes
            if pool[number].state == .sealed { sealed[pool[number].lane.rawValue] += 1 }
            if !pool[number].isDedicated { byDictionary[Int(pool[number].dictionary)] += 1 }
        }
        if let compressor {
            let known = (0..<UInt8(5)).map { compressor.segments(of: $0) }
            precondition(known == Array(byDictionary[..<5]), "a dictionary's segments are counted wrong")
        }
        for lane in [Lane.small, .main] {
            precondition(laneBytes[lane.rawValue] == pool[lane].bytes, "a queue's bytes are wrong")
            precondition(sealed[lane.rawValue] == pool[lane].count, "a queue's count is wrong")
            checkQueue(lane)
        }
        precondition(items == counts.items && liveBytes == counts.liveBytes, "the counts are wrong")
        precondition(compressedItems == counts.compressedItems, "the count of compressed items is wrong")
        precondition(counts.compressedBytes <= counts.expandedBytes, "compression has made values larger")
        precondition(evicts || ghosts == nil, "a store that never drops remembers drops")
        precondition(smallQuotaBytes <= max(memoryBytes / 2, pool.segmentBytes), "the small queue's share is too large")
        index.forEachChecked { tag, place in
            let item = item(at: place)
            precondition(pool[place.segment].state != .free && !item.isDead, "an entry points to no item")
            precondition(ItemIndex.tag(ofHash: keyHash(item.key)) == tag, "an entry has a wrong tag")
        }
        precondition(index.count == items, "items and entries differ")
    }

    /// Returns how many compressed items the segment has.
    private func checkSegment(_ number: UInt32) -> Int {
        var items = 0
        var compressedItems = 0
        var bytes = 0
        forEachLive(in: number) { place, item in
            items += 1
            bytes += item.strideBytes
            _ = slot(of: place, hash: keyHash(item.key))
            guard item.isCompressed else { return }
            compressedItems += 1
            let raw = expandedValue(
                ItemLog.Found(slot: slot(of: place, hash: keyHash(item.key)), place: place, item: item))
            precondition(raw.count > item.valueBytes, "a compressed value is no smaller")
            precondition(!pool[number].isDedicated, "a large item is compressed")
        }
        precondition(items == pool[number].liveItems, "a segment's item count is wrong")
        precondition(bytes == pool[number].liveBytes, "a segment's byte count is wrong")
        precondition(pool[number].usedBytes <= pool[number].capacityBytes, "a segment is overfull")
        switch pool[number].state {
        case .open: precondition(number == pool[pool[number].lane].open, "an open segment is lost")
        case .reclaiming: precondition(number == reclaim?.segment, "a reclaimed segment is lost")
        case .sealed: precondition(items > 0, "an empty segment is kept")
        case .free: break
        }
        return compressedItems
    }

    /// The links both ways, and that every segment in a queue knows it.
    private func checkQueue(_ lane: Lane) {
        var count = 0
        var older: UInt32 = 0
        var number = pool[lane].oldest
        while number != 0 {
            precondition(pool[number].state == .sealed && pool[number].lane == lane, "a segment waits in a wrong queue")
            precondition(pool[number].older == older, "a queue's links disagree")
            count += 1
            older = number
            number = pool[number].newer
        }
        precondition(pool[lane].newest == older && count == pool[lane].count, "a queue has lost segments")
    }
}
