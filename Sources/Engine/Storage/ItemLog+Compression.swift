// Compressed items in the log: made when an item is moved within or to main, expanded when it is read.
//
// Unsafe: passes values between segments and the compressor's buffers.
//
// Nothing is compressed while a client waits for its store, nor in the small queue: what survives there has shown that
// it will stay for a while. A segment's compressed values all need the same dictionary, which the segment keeps alive.

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
        if item.isCompressed {
            let dictionary = pool[place.segment].dictionary
            if dictionary == compressor.current {
                return relocate(place, item, to: .main, use: use)
            }
            return relocateRecoded(place, item, from: dictionary, use: use)
        }
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
        return relocate(place, item, as: packed, isCompressed: true, use: use)
    }

    /// The dictionary has changed since the item was compressed.
    private func relocateRecoded(_ place: ItemPlace, _ item: ItemPointer, from dictionary: UInt8, use: UInt64) -> Bool {
        guard let compressor else { return false }
        let raw = expandedValue(item, dictionary: dictionary)
        if let packed = compressor.compress(raw, key: item.key) {
            return relocate(place, item, as: packed, isCompressed: true, use: use)
        }
        return relocate(place, item, as: raw, isCompressed: false, use: use)
    }

    /// Writes the item anew to main's open segment, with another form of its value.
    private func relocate(
        _ place: ItemPlace, _ item: ItemPointer, as value: UnsafeRawBufferPointer, isCompressed: Bool, use: UInt64
    ) -> Bool {
        let facts = ItemFacts(
            keyBytes: item.keyBytes, valueBytes: value.count, flags: item.flags, expiry: item.expiry,
            unique: item.unique, extra: item.extra)
        let stride = facts.strideBytes
        // Expanded, it may have become too large for a regular segment.
        guard stride <= pool.segmentBytes, hasRoom(for: stride, in: .main) || replaceOpenSegment(in: .main) else {
            return false
        }
        let hash = keyHash(item.key)
        let slot = slot(of: place, hash: hash)
        let target = take(stride, from: pool[.main].open)
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

    // MARK: Storing

    /// Stores a value of a key that is not in the store but was dropped lately, so that it goes to main: compressed if
    /// that pays. False when there is no room.
    @inline(never)
    func placeInMain(
        _ facts: ItemFacts, _ value: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer, hash: UInt64, now: UInt32
    ) -> Bool {
        var packedFacts = facts
        var packed: [UInt8]?
        if let compressor, !pool.isLarge(facts.strideBytes), compressor.shouldTry(key, valueBytes: value.count) {
            // Copied, as making room may need the buffer.
            packed = compressor.compress(value, key: key).map { Array($0) }
        }
        guard let packed, let dictionary = compressor?.current else {
            return place(facts, key: key, hash: hash, previous: nil, now: now, lane: .main) {
                if value.count > 0 { $0.copyMemory(from: value) }
            } != nil
        }
        packedFacts.valueBytes = packed.count
        guard
            let item = place(
                packedFacts, key: key, hash: hash, previous: nil, now: now, lane: .main,
                fill: { $0.copyBytes(from: packed) })
        else { return false }
        precondition(compressor?.current == dictionary, "the dictionary changed under the lock")
        item.setCompressed(true)
        countCompressed(item, 1)
        return true
    }

    // MARK: Hot items

    /// Main may spend a 16th of the memory, each time it is gone through, on keeping hot items expanded.
    static let hotMemoryShare = 16

    /// Stores a compressed item as it is from now on, as it is read very often. It stays compressed if there is no room.
    @inline(never)
    func expandHot(_ found: Found, key: UnsafeRawBufferPointer, hash: UInt64, now: UInt32) {
        // Copied, as making room may need the buffer.
        let value = Array(expandedValue(found))
        guard evicts, value.count <= hotQuotaBytes else { return }
        hotQuotaBytes -= value.count
        let item = found.item
        let facts = ItemFacts(
            keyBytes: key.count, valueBytes: value.count, flags: item.flags, expiry: item.expiry, unique: item.unique,
            extra: item.extra)
        let wasRead = item.isRead
        let placed = place(facts, key: key, hash: hash, previous: found, now: now) { $0.copyBytes(from: value) }
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

    /// From now on main's items are compressed with this dictionary.
    func adopt(_ dictionary: CompressionDictionary, ratio: Double) {
        guard let compressor, compressor.adopt(dictionary, ratio: ratio) else { return }
        // One dictionary a segment.
        sealOpenSegment(of: .main)
    }

    /// Takes values for the first training from a segment that is handed to main: about one in eight.
    func sampleSegment(_ number: UInt32, now: UInt32) {
        guard let compressor, compressor.wantsSample(now: now) else { return }
        var count = 0
        forEachLive(in: number) { _, item in
            count += 1
            if count & 7 == 0 { compressor.addSample(UnsafeRawBufferPointer(item.value)) }
        }
    }

    /// Gives back a segment that was unlinked or never sealed, and its hold on a dictionary.
    func release(_ number: UInt32) {
        if pool[number].lane == .main, !pool[number].isDedicated { compressor?.release(pool[number].dictionary) }
        pool.release(number)
    }
}
