// The mutable end of a frame's part: rows as they came, readable by queries while more are appended.

// Unsafe: row values are written to memory beyond the rows that any view was told of; views read only below, in memory that
// they keep when the tail goes on with more.

/// Up to `capacity` rows, with room for as many as there are, twice as much at most: a frame of few rows is small. Used by one
/// thread at a time (under the part's lock); the views it hands out are immutable.
struct Tail: Sendable {
    let capacity: Int
    private(set) var rowCount = 0
    /// Rows that there is room for.
    private var room = 0
    private(set) var rawBytes = 0
    let reservation: MemoryReservation
    private let dictionaries: [SharedDictionary?]
    private var columns: [TailColumn]
    private var cachedView: TailView?

    /// `dictionaries` has one for each column of strings; `load` is the one that the rows are staged by.
    init(
        schema: FrameSchema, dictionaries: [SharedDictionary?], capacity: Int, memory: FrameMemory, load: UInt64? = nil
    ) {
        self.dictionaries = dictionaries
        self.capacity = capacity
        reservation = MemoryReservation(memory)
        columns = zip(schema.columns, dictionaries).map { column, dictionary in
            TailColumn(type: column.type, shared: dictionary, load: load)
        }
        reservation.force(columns.count * Self.columnBytes)
    }

    // MARK: Memory

    /// What a column has besides its values.
    private static let columnBytes = 512
    private static let roomMin = 8

    private static func room(for rows: Int, capacity: Int) -> Int {
        var room = min(Self.roomMin, capacity)
        while room < rows { room *= 2 }
        return min(room, capacity)
    }

    /// Of values, and of what says which of them there are, once more in a view.
    private static func bytes(ofRoom room: Int, _ schema: FrameSchema) -> Int {
        schema.columns.reduce(0) { $0 + room * ($1.type == .string ? 4 : 8) + (room + 63) / 64 * 16 }
    }

    /// What a batch will take, at most, where `tail` is the present one: to be on the account before any of it is made.
    static func bytesNeeded(for batch: ColumnBatch, after tail: Tail?, capacity: Int) -> Int {
        let schema = batch.schema
        let before = tail?.rowCount ?? 0
        let strings = batch.columns.reduce(0) { $0 + ($1.type == .string ? $1.dictionary.memoryBytes * 2 : 0) }
        let whole = (before + batch.rowCount) / capacity
        let rest = (before + batch.rowCount) % capacity
        let tails = whole + (rest > 0 ? 1 : 0) - (tail == nil ? 0 : 1)
        var bytes = strings + max(0, tails) * schema.columns.count * columnBytes
        bytes += whole * Self.bytes(ofRoom: capacity, schema)
        if rest > 0 { bytes += Self.bytes(ofRoom: room(for: rest, capacity: capacity), schema) }
        // What the tail has already is only moved.
        return max(0, bytes - Self.bytes(ofRoom: tail?.room ?? 0, schema))
    }

    /// Makes room for so many rows, which are on somebody's account.
    private mutating func makeRoom(for rows: Int, _ schema: FrameSchema) {
        guard rows > room else { return }
        let more = Self.room(for: rows, capacity: capacity)
        reservation.force(Self.bytes(ofRoom: more, schema) - Self.bytes(ofRoom: room, schema))
        for index in columns.indices { columns[index].grow(to: more, rowCount: rowCount) }
        room = more
    }

    var isFull: Bool { rowCount == capacity || columns.contains { $0.isTooLarge } }

    /// Takes rows from `start` on, as many as fit; answers how many. `codes` maps the batch's dictionary to this tail's,
    /// column by column, and is filled as needed.
    mutating func append(_ batch: ColumnBatch, from start: Int, codes: inout [[UInt32]]) -> Int {
        let count = min(capacity - rowCount, batch.rowCount - start)
        makeRoom(for: rowCount + count, batch.schema)
        let dictionaryBytes = columns.reduce(0) { $0 + $1.dictionaryBytes }
        for index in columns.indices {
            columns[index].append(batch.columns[index], rows: start..<start + count, at: rowCount, codes: &codes[index])
        }
        rowCount += count
        rawBytes += batch.rowCount == 0 ? 0 : batch.rawBytes * count / batch.rowCount
        cachedView = nil
        // A view has the strings once more.
        reservation.force(2 * (columns.reduce(0) { $0 + $1.dictionaryBytes } - dictionaryBytes))
        return count
    }

    /// Bounds of a column's values so far.
    func bounds(_ column: Int) -> Zone.Bounds { columns[column].bounds }

    /// The rows so far. Cost: the validity bitmaps and the dictionaries that grew are copied; the values are not.
    mutating func view() -> TailView {
        if let cachedView { return cachedView }
        var views: [ColumnView] = []
        for index in columns.indices { views.append(columns[index].view(rowCount: rowCount)) }
        let view = TailView(
            columns: views, dictionaries: dictionaries, rowCount: rowCount, rawBytes: rawBytes,
            reservation: reservation)
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

    let dictionaries: [SharedDictionary?]
    let id = Chunk.newID()

    init(
        columns: [ColumnView], dictionaries: [SharedDictionary?], rowCount: Int, rawBytes: Int,
        reservation: MemoryReservation
    ) {
        self.columns = columns
        self.dictionaries = dictionaries
        self.rowCount = rowCount
        self.rawBytes = rawBytes
        self.reservation = reservation
    }
}

/// One column of a tail.
private struct TailColumn: Sendable {
    let type: ColumnType
    private var values = ColumnBytes(count: 0)
    private var validity: [UInt64] = []
    private var nullCount = 0
    private var valueCount = 0
    private var keyMin = Int64.max
    private var keyMax = Int64.min
    /// Nil for a dictionary of this tail's own.
    private let shared: SharedDictionary?
    private let load: UInt64?
    private var dictionary = ByteKeyTable()
    private var dictionaryView: DictionaryView?

    init(type: ColumnType, shared: SharedDictionary?, load: UInt64?) {
        self.type = type
        self.load = load
        self.shared = type == .string && shared?.acceptsMore == true ? shared : nil
    }

    /// Views keep what they were given.
    mutating func grow(to room: Int, rowCount: Int) {
        let width = type == .string ? 4 : 8
        let more = ColumnBytes(count: room * width)
        if rowCount > 0 { more.start.copyMemory(from: values.start, byteCount: rowCount * width) }
        values = more
        let words = (room + 63) / 64
        validity.reserveCapacity(words)
        while validity.count < words { validity.append(0) }
    }

    var bounds: Zone.Bounds { valueCount == 0 ? .none : .keys(keyMin, keyMax) }

    /// A dictionary is sealed early rather than let grow beyond what 32-bit positions reach.
    var isTooLarge: Bool { dictionary.bytes.count > 64 << 20 }

    mutating func append(_ batch: BatchColumn, rows: Range<Int>, at row: Int, codes: inout [UInt32]) {
        switch type {
        case .double: copy(batch.doubles, rows, at: row)
        case .string: copyCodes(batch, rows, at: row, codes: &codes)
        default: copy(batch.integers, rows, at: row)
        }
        markValid(batch.nullRows, rows, at: row)
        widenZone(batch, rows, at: row)
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
        let fill = { (table: inout ByteKeyTable, codes: inout [UInt32]) in
            for source in rows {
                let at = row + source - rows.lowerBound
                if let next = nulls.first, next == source {
                    nulls.removeFirst()
                    target[at] = 0
                    continue
                }
                let code = Int(batch.codes[source])
                if codes[code] == unmapped {
                    codes[code] = UInt32(batch.dictionary[code].withUnsafeBufferPointer { table.intern($0) })
                }
                target[at] = codes[code]
            }
        }
        if let shared {
            shared.intern(for: load) { fill(&$0, &codes) }
        } else {
            fill(&dictionary, &codes)
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

    private mutating func widen(by key: Int64) {
        keyMin = min(keyMin, key)
        keyMax = max(keyMax, key)
    }

    private mutating func widenZone(_ batch: BatchColumn, _ rows: Range<Int>, at start: Int) {
        guard type != .string else {
            let codes = values.start.assumingMemoryBound(to: UInt32.self) + start
            for at in 0..<rows.count where validity[(start + at) >> 6] >> UInt64((start + at) & 63) & 1 != 0 {
                widen(by: Int64(codes[at]))
            }
            return
        }
        var nulls = batch.nullRows[...].dropFirst(
            batch.nullRows.firstIndex { $0 >= rows.lowerBound } ?? batch.nullRows.count)
        for row in rows {
            if let next = nulls.first, next == row {
                nulls.removeFirst()
                continue
            }
            widen(by: type == .double ? batch.doubles[row].orderedKey : batch.integers[row])
        }
    }

    mutating func view(rowCount: Int) -> ColumnView {
        var owners = [values]
        let contents: ColumnView.Values
        switch type {
        case .string: contents = .codes(.packed(bits: 32, UnsafeRawPointer(values.start)), base: 0, scale: 1)
        case .double: contents = .doubles(UnsafePointer(values.start.assumingMemoryBound(to: Double.self)))
        default: contents = .integers(UnsafePointer(values.start.assumingMemoryBound(to: Int64.self)))
        }
        var nulls = NullStore.none
        if nullCount > 0 {
            let words = validity.withUnsafeBytes { ColumnBytes(copying: $0) }
            owners.append(words)
            nulls = .validity(UnsafePointer(words.start.assumingMemoryBound(to: UInt64.self)))
        }
        return ColumnView(
            type: type, rowCount: rowCount,
            zone: Zone(nullCount: nullCount, bounds: bounds),
            values: contents, nulls: nulls, dictionary: type == .string ? strings() : nil, owners: owners)
    }

    private mutating func strings() -> DictionaryView {
        if let shared { return shared.view() }
        if let dictionaryView, dictionaryView.count == dictionary.count { return dictionaryView }
        let view = DictionaryView(packing: dictionary)
        dictionaryView = view
        return view
    }

    /// What the column's own dictionary takes.
    var dictionaryBytes: Int { shared == nil && type == .string ? dictionary.memoryBytes : 0 }
}
