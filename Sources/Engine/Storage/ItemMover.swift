// Moves items between segments, their values in the form that suits them there: compressed where that pays.
//
// Unsafe: passes values between segments and the compressor's buffers.
//
// Nothing is compressed while there is memory left. A full store compresses what is new to it, too, where values shrink:
// else the small queue would hold half as many items as it might. A segment's compressed values all need the same
// dictionary, which the segment keeps alive.

struct ItemMover {
    private let segments: ItemSegments
    private let compressor: ValueCompressor?

    init(_ segments: ItemSegments, compressor: ValueCompressor?) {
        self.segments = segments
        self.compressor = compressor
    }

    /// Moves an item to main's open segment. False when there is no memory for it.
    func moveToMain(_ place: ItemPlace, _ item: ItemPointer, use: UInt64, now: UInt32) -> Bool {
        guard let compressor else { return segments.move(place, item, to: .main, use: use) }
        if item.isCompressed { return moveCompressed(place, item, to: .main, use: use) }
        if compressor.wantsSample(now: now) { compressor.addSample(UnsafeRawBufferPointer(item.value)) }
        // What is read very often stays as it is.
        guard item.use < ItemPointer.useMax, !item.isIncompressible,
            compressor.shouldTry(item.key, valueBytes: item.valueBytes)
        else {
            return segments.move(place, item, to: .main, use: use)
        }
        guard let packed = compressor.compress(UnsafeRawBufferPointer(item.value), key: item.key) else {
            item.markIncompressible()
            return segments.move(place, item, to: .main, use: use)
        }
        return segments.move(place, item, to: .main, as: packed, isCompressed: true, use: use)
    }

    /// Moves an item to the open segment of the queue that it is in.
    func moveWithin(_ lane: Lane, _ place: ItemPlace, _ item: ItemPointer, now: UInt32) -> Bool {
        if lane == .main { return moveToMain(place, item, use: item.use, now: now) }
        return item.isCompressed
            ? moveCompressed(place, item, to: .small, use: item.use)
            : segments.move(place, item, to: .small, use: item.use)
    }

    /// Moves a compressed item; coded anew if the dictionary has changed since it was compressed.
    private func moveCompressed(_ place: ItemPlace, _ item: ItemPointer, to lane: Lane, use: UInt64) -> Bool {
        guard let compressor, segments[place.segment].dictionary != compressor.current else {
            return segments.move(place, item, to: lane, use: use)
        }
        let raw = segments.expandedValue(item, in: place.segment)
        if let packed = compressor.compress(raw, key: item.key) {
            return segments.move(place, item, to: lane, as: packed, isCompressed: true, use: use)
        }
        return segments.move(place, item, to: lane, as: raw, isCompressed: false, use: use)
    }

    // MARK: What compression would bring

    /// About how much smaller the segment's items would be, judged by those compressed so far, in bytes.
    func compressionGain(of number: UInt32) -> Int {
        guard let compressor else { return 0 }
        var bytes = 0
        segments.forEachLive(in: number) { _, item in
            guard !item.isCompressed, !item.isIncompressible, compressor.takes(item.valueBytes) else { return }
            bytes += item.valueBytes
        }
        return Int(Double(bytes) * (1 - compressor.ratio))
    }

    /// Takes values for the first training from a segment that is handed to main: about one in eight.
    func sample(_ number: UInt32, now: UInt32) {
        guard let compressor, compressor.wantsSample(now: now) else { return }
        var count = 0
        segments.forEachLive(in: number) { _, item in
            count += 1
            if count & 7 == 0, !item.isCompressed { compressor.addSample(UnsafeRawBufferPointer(item.value)) }
        }
    }
}
