// Compressed items in the log: made when an item is new to a full store or moves to main, expanded when it is read.
//
// Unsafe: passes values between segments and the compressor's buffers.
//
// Nothing is compressed while there is memory left. A full store compresses what is new to it, too, where values shrink:
// else the small queue would hold half as many items as it might. A segment's compressed values all need the same
// dictionary, which the segment keeps alive.

extension ItemLog {
    /// The value as the client stored it. A compressed one is expanded into a buffer, good until the next such call.
    @inline(never)
    func expandedValue(_ found: Found) -> UnsafeRawBufferPointer {
        expandedValue(found.item, dictionary: pool[found.place.segment].dictionary)
    }

    private func expandedValue(_ item: ItemPointer, dictionary: UInt8) -> UnsafeRawBufferPointer {
        let stored = UnsafeRawBufferPointer(item.value)
        guard item.isCompressed else { return stored }
        guard let compressor else { preconditionFailure("a compressed item in a store that does not compress") }
        return compressor.decompress(stored, dictionary: dictionary)
    }

    // MARK: Moving

    /// Moves an item to main's open segment, its value in the form that suits it there.
    func relocateToMain(_ place: ItemPlace, _ item: ItemPointer, use: UInt64, now: UInt32) -> Bool {
        guard let compressor else { return relocate(place, item, to: .main, use: use) }
        if item.isCompressed { return relocateCompressed(place, item, to: .main, use: use) }
        if compressor.wantsSample(now: now) { compressor.addSample(UnsafeRawBufferPointer(item.value)) }
        // What is read very often stays as it is.
        guard item.use < ItemPointer.useMax, !item.isIncompressible,
            compressor.shouldTry(item.key, valueBytes: item.valueBytes)
        else {
            return relocate(place, item, to: .main, use: use)
        }
        guard let packed = compressor.compress(UnsafeRawBufferPointer(item.value), key: item.key) else {
            item.markIncompressible()
            return relocate(place, item, to: .main, use: use)
        }
        return relocate(place, item, to: .main, as: packed, isCompressed: true, use: use)
    }

    /// Moves a compressed item; coded anew if the dictionary has changed since it was compressed.
    func relocateCompressed(_ place: ItemPlace, _ item: ItemPointer, to lane: Lane, use: UInt64) -> Bool {
        let dictionary = pool[place.segment].dictionary
        guard let compressor, dictionary != compressor.current else {
            return relocate(place, item, to: lane, use: use)
        }
        let raw = expandedValue(item, dictionary: dictionary)
        if let packed = compressor.compress(raw, key: item.key) {
            return relocate(place, item, to: lane, as: packed, isCompressed: true, use: use)
        }
        return relocate(place, item, to: lane, as: raw, isCompressed: false, use: use)
    }

    /// Writes the item anew to the lane's open segment, with another form of its value.
    private func relocate(
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
        let target = take(stride, from: pool[lane].open)
        let copy = self.item(at: target)
        copy.initialize(facts, key: item.key)
        copy.setUse(use)
        if item.isRead { copy.markRead() }
        copy.setCompressed(isCompressed)
        noteExpiry(facts.expiry, in: target.segment)
        copy.value.copyMemory(from: value)
        if isCompressed { countCompressed(copy, 1) }
        index.move(slot, hash: hash, to: target)
        counts.copies += 1
        counts.items += 1
        forget(place, item)
        return true
    }

    /// About how much smaller the segment's items would be, judged by those compressed so far.
    func compressionGain(of number: UInt32) -> Int {
        guard let compressor else { return 0 }
        var bytes = 0
        forEachLive(in: number) { _, item in
            guard !item.isCompressed, !item.isIncompressible, compressor.takes(item.valueBytes) else { return }
            bytes += item.valueBytes
        }
        return Int(Double(bytes) * (1 - compressor.ratio))
    }

    // MARK: Storing

    /// Whether a value of a key that is not in the store should go to `lane` by way of `placeNewcomer`.
    @inline(__always)
    func mayCompressNewcomer(in lane: Lane) -> Bool { lane == .main || !isFilling && compressor != nil }

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
        item.setCompressed(true)
        countCompressed(item, 1)
        return true
    }

    private func shouldTryNewcomer(
        _ value: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer, stride: Int, in lane: Lane
    ) -> Bool {
        guard let compressor, !pool.isLarge(stride) else { return false }
        return lane == .main
            ? compressor.shouldTry(key, valueBytes: value.count)
            : compressor.shouldTryNewcomer(key, valueBytes: value.count)
    }

    // MARK: Hot items

    /// Main may spend a 16th of the memory, each time it is gone through, on keeping hot items expanded.
    static let hotMemoryShare = 16

    /// Stores a compressed item as it is from now on, as it is read very often. It stays compressed if there is no room.
    @inline(never)
    func expandHot(_ found: Found, key: UnsafeRawBufferPointer, hash: UInt64, now: UInt32) {
        guard evicts, let compressor, ZstdCodec.rawBytes(UnsafeRawBufferPointer(found.item.value)) <= hotQuotaBytes
        else { return }
        // Held, as making room may compress others.
        let value = compressor.hold(expandedValue(found))
        hotQuotaBytes -= value.count
        let item = found.item
        let facts = ItemFacts(
            keyBytes: key.count, valueBytes: value.count, flags: item.flags, expiry: item.expiry, unique: item.unique,
            extra: item.extra)
        let wasRead = item.isRead
        let placed = place(facts, key: key, hash: hash, previous: found, now: now) { $0.copyMemory(from: value) }
        if wasRead { placed?.markRead() }
        if placed != nil { counts.expansions += 1 }
    }

    // MARK: Counting

    /// Adds the item, which is compressed, to the counts, or takes it out (-1).
    func countCompressed(_ item: ItemPointer, _ sign: Int) {
        counts.compressedItems += sign
        counts.compressedBytes += sign * item.valueBytes
        counts.expandedBytes += sign * ZstdCodec.rawBytes(UnsafeRawBufferPointer(item.value))
    }

    // MARK: Dictionaries

    /// A training is over. From now on values are compressed with the dictionary, if it found one.
    func finishTraining(_ result: (dictionary: CompressionDictionary, ratio: Double)?) {
        compressor?.finishTraining()
        guard let result, let compressor, compressor.adopt(result.dictionary, ratio: result.ratio) else { return }
        // One dictionary a segment.
        sealOpenSegment(of: .small)
        sealOpenSegment(of: .main)
    }

    /// Takes values for the first training from a segment that is handed to main: about one in eight.
    func sampleSegment(_ number: UInt32, now: UInt32) {
        guard let compressor, compressor.wantsSample(now: now) else { return }
        var count = 0
        forEachLive(in: number) { _, item in
            count += 1
            if count & 7 == 0, !item.isCompressed { compressor.addSample(UnsafeRawBufferPointer(item.value)) }
        }
    }

    /// Gives back a segment that was unlinked or never sealed, and its hold on a dictionary.
    func release(_ number: UInt32) {
        if !pool[number].isDedicated { compressor?.release(pool[number].dictionary) }
        pool.release(number)
    }
}
