// Encodes a tail's columns for a chunk: for each the form that takes fewest bytes, and what is known of its values.

// Unsafe: reads the views of a tail and writes memory of exactly the layout's size.

enum ColumnEncoder {
    /// Seals a tail's rows. Cost: about 10 ns a value. Where memory is scarce the columns are compressed too. `pace`: looked
    /// at after each column, and while strings are sorted.
    static func seal(_ tail: TailView, memory: FrameMemory, _ pace: WorkPace) -> Chunk {
        let isScarce = memory.isScarce
        return Chunk(
            columns: tail.columns.enumerated().map { index, view in
                let column = encode(view, shared: tail.dictionaries[index], compresses: isScarce, pace)
                _ = pace.goesOn(tail.rowCount)
                return column
            }, rowCount: tail.rowCount, rawBytes: tail.rawBytes, memory: memory)
    }

    static func encode(
        _ view: ColumnView, shared: SharedDictionary?, compresses: Bool, _ pace: WorkPace = WorkPace()
    ) -> ChunkColumn {
        switch view.values {
        case .doubles(let doubles): encodePlain(view, doubles, compresses)
        case .integers(let integers): encodeIntegers(view, integers, compresses)
        case .codes:
            if let dictionary = view.dictionary, !dictionary.isShared {
                encodeLocalStrings(view, dictionary, compresses, pace)
            } else {
                encodeSharedStrings(view, shared, compresses)
            }
        }
    }

    // MARK: Kinds

    private static func encodeIntegers(
        _ view: ColumnView, _ source: UnsafePointer<Int64>, _ compresses: Bool
    ) -> ChunkColumn {
        guard case .keys(let low, let high) = view.zone.bounds else {
            return encodeCodes(view, zone: view.zone, codes: zeros(view), largest: 0, compresses: compresses)
        }
        var zone = view.zone
        zone.sum = sum(view, source)
        let scale = commonDivisor(view, source, low)
        let steps = UInt64(bitPattern: high &- low) / UInt64(scale)
        guard steps <= UInt64(UInt32.max) else { return encodePlain(view, source, compresses, zone: zone) }
        let codes = [UInt32](unsafeUninitializedCapacity: view.rowCount) { codes, count in
            for row in 0..<view.rowCount {
                let difference = UInt64(bitPattern: source[row] &- low)
                codes[row] = UInt32(truncatingIfNeeded: scale == 1 ? difference : difference / UInt64(scale))
            }
            clearNulls(view, codes.baseAddress!)
            count = view.rowCount
        }
        return encodeCodes(
            view, zone: zone, codes: codes, largest: UInt32(steps), base: low, scale: scale, compresses: compresses)
    }

    private static func encodeSharedStrings(
        _ view: ColumnView, _ shared: SharedDictionary?, _ compresses: Bool
    ) -> ChunkColumn {
        guard case .keys(let low, let high) = view.zone.bounds else {
            return encodeCodes(
                view, zone: view.zone, codes: zeros(view), largest: 0, shared: shared, compresses: compresses)
        }
        let source = tailCodes(view)
        let codes = [UInt32](unsafeUninitializedCapacity: view.rowCount) { codes, count in
            for row in 0..<view.rowCount { codes[row] = source[row] &- UInt32(low) }
            clearNulls(view, codes.baseAddress!)
            count = view.rowCount
        }
        return encodeCodes(
            view, zone: view.zone, codes: codes, largest: UInt32(high - low), base: low, shared: shared,
            compresses: compresses)
    }

    /// Codes in the order of the strings, and only those in use.
    private static func encodeLocalStrings(
        _ view: ColumnView, _ dictionary: DictionaryView, _ compresses: Bool, _ pace: WorkPace
    ) -> ChunkColumn {
        let source = tailCodes(view)
        var isUsed = [Bool](repeating: false, count: dictionary.count)
        for row in 0..<view.rowCount where view.isValid(row) { isUsed[Int(source[row])] = true }
        let order = dictionary.sortedCodes(pace).filter { isUsed[$0] }
        var newCodes = [UInt32](repeating: 0, count: max(dictionary.count, 1))
        for (new, old) in order.enumerated() { newCodes[old] = UInt32(new) }
        let codes = (0..<view.rowCount).map { view.isValid($0) ? newCodes[Int(source[$0])] : 0 }
        var zone = view.zone
        if !order.isEmpty { zone.bounds = .keys(0, Int64(order.count - 1)) }
        return encodeCodes(
            view, zone: zone, codes: codes, largest: UInt32(max(order.count, 1) - 1), dictionary: (order, dictionary),
            compresses: compresses)
    }

    private static func encodePlain<T: BitwiseCopyable>(
        _ view: ColumnView, _ source: UnsafePointer<T>, _ compresses: Bool, zone: Zone? = nil
    ) -> ChunkColumn {
        let layout = ColumnLayout(type: view.type, rowCount: view.rowCount, form: .plain, nulls: nulls(view))
        let bytes = ColumnBytes(count: layout.dictionaryStart)
        writeNulls(view, layout, to: bytes)
        (bytes.start + layout.nullsBytes).copyMemory(from: source, byteCount: view.rowCount * 8)
        return finish(layout, zone ?? view.zone, bytes, shared: nil, compresses)
    }

    // MARK: Codes

    private static func encodeCodes(
        _ view: ColumnView, zone: Zone, codes: [UInt32], largest: UInt32, base: Int64 = 0, scale: Int64 = 1,
        dictionary: (order: [Int], strings: DictionaryView)? = nil, shared: SharedDictionary? = nil, compresses: Bool
    ) -> ChunkColumn {
        var layout = ColumnLayout(
            type: view.type, rowCount: view.rowCount, form: form(codes, largest: largest), nulls: nulls(view))
        layout.base = base
        layout.scale = scale
        layout.dictionaryCount = dictionary?.order.count
        let packed = dictionary.map { pack($0.order, $0.strings) } ?? []
        let bytes = ColumnBytes(count: layout.dictionaryStart + packed.count)
        bytes.start.initializeMemory(as: UInt8.self, repeating: 0, count: bytes.count)
        writeNulls(view, layout, to: bytes)
        write(codes, layout, to: bytes.start + layout.nullsBytes)
        packed.withUnsafeBytes {
            if $0.count > 0 {
                (bytes.start + layout.dictionaryStart).copyMemory(from: $0.baseAddress!, byteCount: $0.count)
            }
        }
        guard dictionary == nil else { return finish(layout, zone, bytes, shared: nil, compresses) }
        let presence = CodePresence(codes, largest: largest, base: base, scale: scale) { view.isValid($0) }
        return finish(layout, zone, bytes, shared: shared, presence: presence, compresses)
    }

    /// The smallest form: one value, long runs, or the fewest bits.
    private static func form(_ codes: [UInt32], largest: UInt32) -> ColumnLayout.Form {
        guard largest > 0 else { return .constant }
        var runs = 1
        for row in 1..<codes.count where codes[row] != codes[row - 1] { runs += 1 }
        let bits = BitPacking.bits(upTo: largest)
        let packedBytes = BitPacking.packedBytes(rowCount: codes.count, bits: bits)
        return runs * 8 < packedBytes / 2 ? .runs(runs) : .packed(bits: bits)
    }

    private static func write(_ codes: [UInt32], _ layout: ColumnLayout, to target: UnsafeMutableRawPointer) {
        switch layout.form {
        case .constant, .plain: break
        case .packed(let bits):
            codes.withUnsafeBufferPointer {
                BitPacking.pack($0.baseAddress!, rowCount: layout.rowCount, bits: bits, into: target)
            }
        case .runs(let count):
            let ends = target.assumingMemoryBound(to: UInt32.self)
            var run = 0
            for row in codes.indices where row + 1 == codes.count || codes[row + 1] != codes[row] {
                ends[run] = UInt32(row + 1)
                ends[count + run] = codes[row]
                run += 1
            }
        }
    }

    private static func pack(_ order: [Int], _ dictionary: DictionaryView) -> [UInt8] {
        var offsets: [UInt32] = [0]
        var bytes: [UInt8] = []
        for code in order {
            bytes.append(contentsOf: dictionary[code])
            offsets.append(UInt32(bytes.count))
        }
        return offsets.withUnsafeBytes { Array($0) } + bytes
    }

    // MARK: Source

    private static func zeros(_ view: ColumnView) -> [UInt32] { Array(repeating: 0, count: view.rowCount) }

    /// A tail's strings have 32-bit codes, as in a plain array.
    private static func tailCodes(_ view: ColumnView) -> UnsafePointer<UInt32> {
        guard case .codes(.packed(_, let words), _, _) = view.values else { preconditionFailure("a tail's strings") }
        return words.assumingMemoryBound(to: UInt32.self)
    }

    private static func sum(_ view: ColumnView, _ source: UnsafePointer<Int64>) -> Int128 {
        var sum: Int128 = 0  // rows without a value hold 0
        for row in 0..<view.rowCount { sum += Int128(source[row]) }
        return sum
    }

    /// What all differences from the least value are multiples of: an hour, for times that are whole hours.
    private static func commonDivisor(_ view: ColumnView, _ source: UnsafePointer<Int64>, _ low: Int64) -> Int64 {
        var divisor: UInt64 = 0
        for row in 0..<view.rowCount {
            let difference = UInt64(bitPattern: source[row] &- low)
            if divisor == 0 || difference % divisor != 0 {
                guard difference == 0 || view.isValid(row) else { continue }
                var (a, b) = (divisor, difference)
                while b != 0 { (a, b) = (b, a % b) }
                divisor = a
                if divisor == 1 { return 1 }
            }
        }
        return divisor == 0 ? 1 : Int64(exactly: divisor) ?? 1
    }

    private static func clearNulls(_ view: ColumnView, _ codes: UnsafeMutablePointer<UInt32>) {
        guard view.zone.nullCount > 0 else { return }
        for row in 0..<view.rowCount where !view.isValid(row) { codes[row] = 0 }
    }

    // MARK: Layout

    private static func nulls(_ view: ColumnView) -> ColumnLayout.Nulls {
        let count = view.zone.nullCount
        if count == 0 { return .none }
        return count * 32 < view.rowCount ? .list(count) : .validity
    }

    private static func writeNulls(_ view: ColumnView, _ layout: ColumnLayout, to bytes: ColumnBytes) {
        switch layout.nulls {
        case .none: break
        case .list:
            let rows = bytes.start.assumingMemoryBound(to: UInt32.self)
            var at = 0
            for row in 0..<view.rowCount where !view.isValid(row) {
                rows[at] = UInt32(row)
                at += 1
            }
        case .validity:
            let words = bytes.start.assumingMemoryBound(to: UInt64.self)
            words.update(repeating: 0, count: layout.nullsBytes / 8)
            for row in 0..<view.rowCount where view.isValid(row) { words[row >> 6] |= 1 << UInt64(row & 63) }
        }
    }

    private static func finish(
        _ layout: ColumnLayout, _ zone: Zone, _ bytes: ColumnBytes, shared: SharedDictionary?,
        presence: CodePresence? = nil, _ compresses: Bool
    ) -> ChunkColumn {
        let column = ChunkColumn(
            layout: layout, zone: zone, encodedBytes: bytes.count, stored: .plain(bytes), shared: shared,
            presence: presence)
        return compresses ? column.compressed() ?? column : column
    }
}
