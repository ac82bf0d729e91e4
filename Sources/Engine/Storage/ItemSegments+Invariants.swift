// What must hold of the segments between any two operations; tests check it.

extension ItemSegments {
    /// Traps when index, segments, queues and counts disagree. Cost: a walk over all items.
    func checkInvariants() {
        var items = 0
        var liveBytes = 0
        var compressedItems = 0
        var laneBytes = [0, 0]
        var sealed = [0, 0]
        var byDictionary = [Int](repeating: 0, count: 256)
        for number in numbers where self[number].state != .free {
            compressedItems += checkSegment(number)
            items += self[number].liveItems
            liveBytes += self[number].liveBytes
            laneBytes[self[number].lane.rawValue] += self[number].capacityBytes
            if self[number].state == .sealed { sealed[self[number].lane.rawValue] += 1 }
            if !self[number].isDedicated { byDictionary[Int(self[number].dictionary)] += 1 }
        }
        if let known = segmentsByDictionary {
            precondition(known == Array(byDictionary[..<known.count]), "a dictionary's segments are counted wrong")
        }
        for lane in [Lane.small, .main] {
            precondition(laneBytes[lane.rawValue] == self[lane].bytes, "a queue's bytes are wrong")
            precondition(sealed[lane.rawValue] == self[lane].count, "a queue's count is wrong")
            checkQueue(lane)
        }
        precondition(items == counts.items && liveBytes == counts.liveBytes, "the counts are wrong")
        precondition(compressedItems == counts.compressedItems, "the count of compressed items is wrong")
        precondition(counts.compressedBytes <= counts.expandedBytes, "compression has made values larger")
        forEachCheckedEntry { tag, place in
            let item = item(at: place)
            precondition(self[place.segment].state != .free && !item.isDead, "an entry points to no item")
            precondition(ItemIndex.tag(ofHash: keyHash(item.key)) == tag, "an entry has a wrong tag")
        }
        precondition(count == items, "items and entries differ")
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
            precondition(expandedValue(item, in: number).count > item.valueBytes, "a compressed value is no smaller")
            precondition(!self[number].isDedicated, "a large item is compressed")
        }
        precondition(items == self[number].liveItems, "a segment's item count is wrong")
        precondition(bytes == self[number].liveBytes, "a segment's byte count is wrong")
        precondition(self[number].usedBytes <= self[number].capacityBytes, "a segment is overfull")
        switch self[number].state {
        case .open: precondition(number == self[self[number].lane].open, "an open segment is lost")
        case .sealed: precondition(items > 0, "an empty segment is kept")
        case .free, .reclaiming: break
        }
        return compressedItems
    }

    /// The links both ways, and that every segment in a queue knows it.
    private func checkQueue(_ lane: Lane) {
        var count = 0
        var older: UInt32 = 0
        var number = self[lane].oldest
        while number != 0 {
            precondition(self[number].state == .sealed && self[number].lane == lane, "a segment waits in a wrong queue")
            precondition(self[number].older == older, "a queue's links disagree")
            count += 1
            older = number
            number = self[number].newer
        }
        precondition(self[lane].newest == older && count == self[lane].count, "a queue has lost segments")
    }
}
