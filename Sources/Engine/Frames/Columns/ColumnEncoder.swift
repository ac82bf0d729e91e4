// Encodes a tail's column for a chunk: narrow offsets, sorted dictionaries, bitmaps only where there are nulls.

// Unsafe: reads the views of a tail and writes an array of exactly the layout's size.

enum ColumnEncoder {
    /// Seals a tail's rows. Cost: about 10 ns a value, most of it compression.
    static func seal(_ tail: TailView, memory: FrameMemory) -> Chunk {
        Chunk(
            columns: tail.columns.map(encode), rowCount: tail.rowCount, rawBytes: tail.rawBytes, memory: memory)
    }

    static func encode(_ view: ColumnView) -> ChunkColumn {
        switch view.values {
        case .integers(let integers): encodeIntegers(view, integers)
        case .doubles(let doubles): encodeDoubles(view, doubles.pointer)
        case .strings(let strings): encodeStrings(view, strings)
        }
    }

    // MARK: Kinds

    private static func encodeIntegers(_ view: ColumnView, _ integers: IntegerValues) -> ChunkColumn {
        let source = integers.pointer.assumingMemoryBound(to: Int64.self)  // a tail's integers have width 8
        var (low, high): (Int64, Int64) = (0, 0)
        if case .keys(let min, let max) = view.zone.bounds { (low, high) = (min, max) }
        let width = Width(unsignedUpTo: UInt64(bitPattern: high &- low))
        let layout = layout(view, width: width, base: width == .eight ? 0 : low)
        let bytes = ColumnBytes(count: layout.dictionaryStart)
        writeValidity(view, to: bytes)
        let values = bytes.start + layout.validityBytes
        switch width {
        case .one: writeOffsets(view, source, base: low, to: values, UInt8.self)
        case .two: writeOffsets(view, source, base: low, to: values, UInt16.self)
        case .four: writeOffsets(view, source, base: low, to: values, UInt32.self)
        case .eight: values.copyMemory(from: source, byteCount: view.rowCount * 8)
        }
        zeroPadding(layout, bytes)
        return finish(layout, view.zone, bytes)
    }

    private static func writeOffsets<O: FixedWidthInteger & UnsignedInteger>(
        _ view: ColumnView, _ source: UnsafePointer<Int64>, base: Int64, to raw: UnsafeMutableRawPointer, _: O.Type
    ) {
        let target = raw.assumingMemoryBound(to: O.self)
        for row in 0..<view.rowCount {
            target[row] = view.isValid(row) ? O(truncatingIfNeeded: source[row] &- base) : 0
        }
    }

    private static func encodeDoubles(_ view: ColumnView, _ source: UnsafePointer<Double>) -> ChunkColumn {
        let layout = layout(view, width: .eight, base: 0)
        let bytes = ColumnBytes(count: layout.dictionaryStart)
        writeValidity(view, to: bytes)
        (bytes.start + layout.validityBytes).copyMemory(from: source, byteCount: view.rowCount * 8)
        return finish(layout, view.zone, bytes)
    }

    private static func encodeStrings(_ view: ColumnView, _ strings: StringValues) -> ChunkColumn {
        let source = strings.codes.assumingMemoryBound(to: UInt32.self)  // a tail's codes have width 4
        let (order, newCodes) = sortedUsedCodes(view, source, strings.dictionary)
        let layout = layout(
            view, width: Width(unsignedUpTo: UInt64(max(order.count, 1) - 1)), base: 0, dictionaryCount: order.count)
        let dictionary = pack(order, strings.dictionary)
        let bytes = ColumnBytes(count: layout.dictionaryStart + dictionary.count)
        writeValidity(view, to: bytes)
        let values = bytes.start + layout.validityBytes
        switch layout.width {
        case .one: writeCodes(view, source, newCodes, to: values, UInt8.self)
        case .two: writeCodes(view, source, newCodes, to: values, UInt16.self)
        case .four, .eight: writeCodes(view, source, newCodes, to: values, UInt32.self)
        }
        zeroPadding(layout, bytes)
        dictionary.withUnsafeBytes {
            (bytes.start + layout.dictionaryStart).copyMemory(from: $0.baseAddress!, byteCount: $0.count)
        }
        var zone = view.zone
        if let first = order.first, let last = order.last {
            zone.bounds = .strings(Array(strings.dictionary[Int(first)]), Array(strings.dictionary[Int(last)]))
        }
        return finish(layout, zone, bytes)
    }

    private static func writeCodes<C: FixedWidthInteger & UnsignedInteger>(
        _ view: ColumnView, _ source: UnsafePointer<UInt32>, _ newCodes: [UInt32], to raw: UnsafeMutableRawPointer,
        _: C.Type
    ) {
        let target = raw.assumingMemoryBound(to: C.self)
        for row in 0..<view.rowCount {
            target[row] = view.isValid(row) ? C(truncatingIfNeeded: newCodes[Int(source[row])]) : 0
        }
    }

    /// The codes that rows use, in the order of their strings, and the new code of each old one.
    private static func sortedUsedCodes(
        _ view: ColumnView, _ source: UnsafePointer<UInt32>, _ dictionary: DictionaryView
    ) -> (order: [UInt32], newCodes: [UInt32]) {
        var isUsed = [Bool](repeating: false, count: dictionary.count)
        for row in 0..<view.rowCount where view.isValid(row) { isUsed[Int(source[row])] = true }
        var order = (0..<UInt32(dictionary.count)).filter { isUsed[Int($0)] }
        order.sort { dictionary[Int($0)].lexicographicallyPrecedes(dictionary[Int($1)]) }
        var newCodes = [UInt32](repeating: 0, count: max(dictionary.count, 1))
        for (new, old) in order.enumerated() { newCodes[Int(old)] = UInt32(new) }
        return (order, newCodes)
    }

    private static func pack(_ order: [UInt32], _ dictionary: DictionaryView) -> [UInt8] {
        var offsets: [UInt32] = [0]
        var bytes: [UInt8] = []
        for code in order {
            bytes.append(contentsOf: dictionary[Int(code)])
            offsets.append(UInt32(bytes.count))
        }
        return offsets.withUnsafeBytes { Array($0) } + bytes
    }

    // MARK: Layout

    private static func layout(
        _ view: ColumnView, width: Width, base: Int64, dictionaryCount: Int = 0
    ) -> ColumnLayout {
        ColumnLayout(
            type: view.type, rowCount: view.rowCount, width: width, base: base, hasNulls: view.zone.nullCount > 0,
            dictionaryCount: dictionaryCount)
    }

    private static func writeValidity(_ view: ColumnView, to bytes: ColumnBytes) {
        guard let validity = view.validity else { return }
        bytes.start.copyMemory(from: validity.words, byteCount: (view.rowCount + 63) / 64 * 8)
    }

    private static func zeroPadding(_ layout: ColumnLayout, _ bytes: ColumnBytes) {
        let used = layout.rowCount * layout.width.rawValue
        (bytes.start + layout.validityBytes + used).initializeMemory(
            as: UInt8.self, repeating: 0, count: layout.valuesBytes - used)
    }

    private static func finish(_ layout: ColumnLayout, _ zone: Zone, _ bytes: ColumnBytes) -> ChunkColumn {
        let compressed = Zstd.compress(bytes.raw)
        let pays = compressed.count <= bytes.count * 9 / 10
        return ChunkColumn(
            layout: layout, zone: zone, encodedBytes: bytes.count,
            stored: pays ? .compressed(Array(compressed)) : .plain(bytes))
    }
}
