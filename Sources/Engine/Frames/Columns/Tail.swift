// The mutable end of a frame's part: rows as they came, readable by queries while more are appended.

// Unsafe: row values are written to fixed memory beyond the rows that any view was told of; views read only below.

/// Up to `capacity` rows. Used by one thread at a time (under the part's lock); the views it hands out are immutable.
struct Tail: Sendable {
    let capacity: Int
    private(set) var rowCount = 0
    private(set) var rawBytes = 0
    let reservation: MemoryReservation
    private let schema: FrameSchema
    private var columns: [TailColumn]
    private var cachedView: TailView?

    init(schema: FrameSchema, capacity: Int, memory: FrameMemory) {
        self.schema = schema
        self.capacity = capacity
        reservation = MemoryReservation(memory)
        columns = schema.columns.map { TailColumn(type: $0.type, capacity: capacity) }
    }

    var isFull: Bool { rowCount == capacity || columns.contains { $0.isTooLarge } }

    /// Takes rows from `start` on, as many as fit; answers how many. `codes` maps the batch's dictionary to this tail's,
    /// column by column, and is filled as needed.
    mutating func append(_ batch: ColumnBatch, from start: Int, codes: inout [[UInt32]]) -> Int {
        let count = min(capacity - rowCount, batch.rowCount - start)
        for index in columns.indices {
            columns[index].append(batch.columns[index], rows: start..<start + count, at: rowCount, codes: &codes[index])
        }
        rowCount += count
        rawBytes += batch.rowCount == 0 ? 0 : batch.rawBytes * count / batch.rowCount
        cachedView = nil
        return count
    }

    /// The rows so far. Cost: the validity bitmaps and the dictionaries that grew are copied; the values are not.
    mutating func view() -> TailView {
        if let cachedView { return cachedView }
        var views: [ColumnView] = []
        for index in columns.indices { views.append(columns[index].view(rowCount: rowCount)) }
        let view = TailView(columns: views, rowCount: rowCount, rawBytes: rawBytes, reservation: reservation)
        cachedView = view
        return view
    }
}

/// An immutable view of a tail's rows at one moment.
package final class TailView: Sendable {
    let columns: [ColumnView]
    package let rowCount: Int
    let rawBytes: Int
    /// Keeps the rows on the account for as long as they can be read.
    let reservation: MemoryReservation

    init(columns: [ColumnView], rowCount: Int, rawBytes: Int, reservation: MemoryReservation) {
        self.columns = columns
        self.rowCount = rowCount
        self.rawBytes = rawBytes
        self.reservation = reservation
    }
}

/// One column of a tail.
private struct TailColumn: Sendable {
    let type: ColumnType
    private let values: ColumnBytes
    private var validity: [UInt64]
    private var nullCount = 0
    private var valueCount = 0
    private var keyMin = Int64.max
    private var keyMax = Int64.min
    private var dictionary = ByteKeyTable()
    private var dictionaryBytes: ColumnBytes?
    private var dictionaryBytesCount = 0

    init(type: ColumnType, capacity: Int) {
        self.type = type
        values = ColumnBytes(count: capacity * (type == .string ? 4 : 8))
        validity = Array(repeating: 0, count: (capacity + 63) / 64)
    }

    /// A dictionary is sealed early rather than let grow beyond what 32-bit positions reach.
    var isTooLarge: Bool { dictionary.bytes.count > 64 << 20 }

    mutating func append(_ batch: BatchColumn, rows: Range<Int>, at row: Int, codes: inout [UInt32]) {
        switch type {
        case .double: copy(batch.doubles, rows, at: row)
        case .string: copyCodes(batch, rows, at: row, codes: &codes)
        default: copy(batch.integers, rows, at: row)
        }
        markValid(batch.nullRows, rows, at: row)
        widenZone(batch, rows)
    }

    private func copy<T>(_ source: [T], _ rows: Range<Int>, at row: Int) {
        source.withUnsafeBufferPointer { source in
            let target = values.start.assumingMemoryBound(to: T.self) + row
            target.update(from: source.baseAddress! + rows.lowerBound, count: rows.count)
        }
    }

    private mutating func copyCodes(_ batch: BatchColumn, _ rows: Range<Int>, at row: Int, codes: inout [UInt32]) {
        let unmapped = UInt32.max
        if codes.isEmpty { codes = Array(repeating: unmapped, count: max(batch.dictionary.count, 1)) }
        var nulls = batch.nullRows[...].dropFirst(
            batch.nullRows.firstIndex { $0 >= rows.lowerBound } ?? batch.nullRows.count)
        let target = values.start.assumingMemoryBound(to: UInt32.self)
        for source in rows {
            let at = row + source - rows.lowerBound
            if let next = nulls.first, next == source {
                nulls.removeFirst()
                target[at] = 0
                continue
            }
            let code = Int(batch.codes[source])
            if codes[code] == unmapped { codes[code] = UInt32(dictionary.intern(Array(batch.dictionary[code]))) }
            target[at] = codes[code]
        }
    }

    private mutating func markValid(_ nullRows: [UInt32], _ rows: Range<Int>, at row: Int) {
        for at in row..<row + rows.count { validity[at >> 6] |= 1 << UInt64(at & 63) }
        var nulls = 0
        for null in nullRows where rows.contains(Int(null)) {
            let at = row + Int(null) - rows.lowerBound
            validity[at >> 6] &= ~(1 << UInt64(at & 63))
            nulls += 1
        }
        nullCount += nulls
        valueCount += rows.count - nulls
    }

    private mutating func widenZone(_ batch: BatchColumn, _ rows: Range<Int>) {
        guard type != .string else { return }
        var nulls = batch.nullRows[...].dropFirst(
            batch.nullRows.firstIndex { $0 >= rows.lowerBound } ?? batch.nullRows.count)
        for row in rows {
            if let next = nulls.first, next == row {
                nulls.removeFirst()
                continue
            }
            let key = type == .double ? batch.doubles[row].orderedKey : batch.integers[row]
            keyMin = min(keyMin, key)
            keyMax = max(keyMax, key)
        }
    }

    mutating func view(rowCount: Int) -> ColumnView {
        var owners = [values]
        let contents: ColumnView.Values
        switch type {
        case .string:
            let bytes = packedDictionary()
            owners.append(bytes)
            contents = .strings(
                StringValues(
                    width: .four, codes: UnsafeRawPointer(values.start),
                    dictionary: DictionaryView(packed: bytes, count: dictionary.count, isSorted: false)))
        case .double:
            contents = .doubles(.init(pointer: UnsafePointer(values.start.assumingMemoryBound(to: Double.self))))
        default:
            contents = .integers(IntegerValues(base: 0, width: .eight, pointer: UnsafeRawPointer(values.start)))
        }
        var validityView: ValidityView?
        if nullCount > 0 {
            let words = validity.withUnsafeBytes { ColumnBytes(copying: $0) }
            owners.append(words)
            validityView = ValidityView(words: UnsafePointer(words.start.assumingMemoryBound(to: UInt64.self)))
        }
        return ColumnView(
            type: type, rowCount: rowCount, zone: zone, values: contents, validity: validityView, owners: owners)
    }

    /// A tail keeps no bounds of strings: it is never pruned by them.
    private var zone: Zone {
        Zone(
            nullCount: nullCount,
            bounds: valueCount == 0 ? .none : type == .string ? .strings([], [0xFF]) : .keys(keyMin, keyMax))
    }

    private mutating func packedDictionary() -> ColumnBytes {
        if let dictionaryBytes, dictionaryBytesCount == dictionary.count { return dictionaryBytes }
        var packed: [UInt8] = []
        dictionary.offsets.withUnsafeBytes { packed.append(contentsOf: $0) }
        packed.append(contentsOf: dictionary.bytes)
        let bytes = packed.withUnsafeBytes { ColumnBytes(copying: $0) }
        dictionaryBytes = bytes
        dictionaryBytesCount = dictionary.count
        return bytes
    }
}

extension DictionaryView {
    /// Over `count + 1` 32-bit positions followed by the strings' bytes.
    init(packed: ColumnBytes, at start: Int = 0, count: Int, isSorted: Bool) {
        let base = packed.start + start
        self.init(
            count: count, offsets: UnsafePointer(base.assumingMemoryBound(to: UInt32.self)),
            bytes: UnsafePointer((base + (count + 1) * 4).assumingMemoryBound(to: UInt8.self)), isSorted: isSorted)
    }
}
