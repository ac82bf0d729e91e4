// A sealed, immutable run of a frame's rows: encoded columns, compressed where memory had become scarce.

// Unsafe: builds views over bytes whose layout `ColumnEncoder` wrote and whose size was checked.

import Synchronization

/// How an encoded column's bytes are laid out: [nulls][codes or numbers][dictionary], each padded to 8 bytes.
struct ColumnLayout: Sendable {
    enum Form: Sendable, Equatable {
        case constant
        case packed(bits: Int)
        /// [ends, 4 bytes each][codes, 4 bytes each]
        case runs(Int)
        /// 64-bit integers or doubles as they are.
        case plain
    }
    enum Nulls: Sendable, Equatable {
        case none
        /// So many 32-bit rows.
        case list(Int)
        case validity
    }
    let type: ColumnType
    let rowCount: Int
    let form: Form
    let nulls: Nulls
    var base: Int64 = 0
    var scale: Int64 = 1
    /// Of a dictionary of the chunk's own; nil where the column's shared one is meant.
    var dictionaryCount: Int?

    var nullsBytes: Int {
        switch nulls {
        case .none: 0
        case .list(let count): Self.padded(count * 4)
        case .validity: (rowCount + 63) / 64 * 8
        }
    }
    var valuesBytes: Int {
        switch form {
        case .constant: 0
        case .packed(let bits): Self.padded(BitPacking.packedBytes(rowCount: rowCount, bits: bits))
        case .runs(let count): count * 8
        case .plain: rowCount * 8
        }
    }
    var dictionaryStart: Int { nullsBytes + valuesBytes }

    private static func padded(_ bytes: Int) -> Int { (bytes + 7) & ~7 }
}

/// One encoded column: its bytes as kernels read them, or compressed.
struct ChunkColumn: Sendable {
    enum Stored: Sendable {
        case plain(ColumnBytes)
        case compressed([UInt8])
    }
    let layout: ColumnLayout
    let zone: Zone
    let encodedBytes: Int
    let stored: Stored
    let shared: SharedDictionary?
    let presence: CodePresence?

    var storedBytes: Int {
        let known = presence?.memoryBytes ?? 0
        return switch stored {
        case .plain(let bytes): bytes.count + known
        case .compressed(let bytes): bytes.count + known
        }
    }
}

package final class Chunk: Sendable {
    /// Unique within the process, for ever: what is derived from a chunk may be cached under it.
    package let id: UInt64
    package let rowCount: Int
    /// Text the rows were read from, in bytes.
    package let rawBytes: Int
    package let storedBytes: Int
    /// What the columns take once decompressed, in bytes.
    package let encodedBytes: Int
    private let columns: [ChunkColumn]
    private let uses: ColumnUses
    private let memory: FrameMemory
    private let reservation: MemoryReservation

    /// What a chunk and each of its columns have besides their values.
    private static let chunkBytes = 256
    private static let columnBytes = 256

    private static let nextID = Atomic<UInt64>(1)

    /// Of what never changes.
    static func newID() -> UInt64 { nextID.wrappingAdd(1, ordering: .relaxed).oldValue }

    convenience init(columns: [ChunkColumn], rowCount: Int, rawBytes: Int, memory: FrameMemory) {
        self.init(
            id: Self.newID(), columns: columns,
            uses: ColumnUses(count: columns.count), rowCount: rowCount, rawBytes: rawBytes, memory: memory)
    }

    private init(
        id: UInt64, columns: [ChunkColumn], uses: ColumnUses, rowCount: Int, rawBytes: Int, memory: FrameMemory
    ) {
        self.id = id
        self.uses = uses
        self.memory = memory
        self.columns = columns
        self.rowCount = rowCount
        self.rawBytes = rawBytes
        storedBytes = columns.reduce(Self.chunkBytes) { $0 + Self.columnBytes + $1.storedBytes }
        encodedBytes = columns.reduce(0) { $0 + $1.encodedBytes }
        reservation = MemoryReservation(memory)
        // The tail that these rows come from is still on the account and is about to leave it.
        reservation.force(storedBytes)
    }

    package func zone(_ column: Int) -> Zone { columns[column].zone }

    /// Nil where it was not noted, or codes are of a dictionary of the chunk's own, all of which some row has.
    func presence(_ column: Int) -> CodePresence? { columns[column].presence }

    func sharesDictionary(_ column: Int) -> Bool {
        columns[column].layout.type == .string && columns[column].layout.dictionaryCount == nil
    }

    func sharedDictionary(_ column: Int) -> DictionaryView? { columns[column].shared?.view() }

    func hasCodes(_ column: Int) -> Bool { columns[column].layout.form != .plain }

    /// See `FramePiece.codeScale`.
    func codeScale(_ column: Int) -> Int64? {
        let layout = columns[column].layout
        if layout.type == .string { return layout.dictionaryCount == nil ? 1 : nil }
        switch layout.form {
        case .plain: return layout.type == .double ? nil : 1
        case .constant: return 0
        case .packed, .runs: return layout.scale
        }
    }

    /// The encoding of a column, for people: `packed 11`, `runs 4`, `constant`, `plain`.
    package func encoding(_ column: Int) -> String {
        switch columns[column].layout.form {
        case .constant: "constant"
        case .packed(let bits): "packed \(bits)"
        case .runs(let count): "runs \(count)"
        case .plain: "plain"
        }
    }

    /// The column, decompressed through `cache`. Throws only when memory was damaged.
    func view(_ index: Int, cache: ColumnCache) throws(Failure) -> ColumnView {
        uses.note(index, at: cache.clock())
        switch columns[index].stored {
        case .plain(let bytes): return columns[index].view(bytes)
        case .compressed(let compressed):
            let key = ColumnCache.Key(chunk: id, column: index)
            if let bytes = cache.find(key) { return columns[index].view(bytes) }
            let bytes = ColumnBytes(count: columns[index].encodedBytes)
            try Zstd.decompress(compressed, into: bytes)
            cache.insert(bytes, for: key)
            return columns[index].view(bytes)
        }
    }
}

// MARK: - Cold columns

extension Chunk {
    /// Columns that are kept compressed.
    package var compressedColumns: [Int] { columns.indices.filter { columns[$0].isCompressed } }

    /// Columns that are kept as kernels read them and that nobody has read for so long, at most `limit`. One that was never
    /// read counts from when it is first looked at here.
    func coldColumns(now: UInt32, seconds: UInt32, limit: Int) -> [Int] {
        Array(
            columns.indices.lazy.filter { index in
                !self.columns[index].isCompressed && self.uses.isCold(index, now: now, seconds: seconds)
            }
            .prefix(limit))
    }

    /// The same chunk, under the same id, with these columns compressed; nil where that would save too little of any. Cost:
    /// about 4 ns a byte.
    func compressing(_ cold: [Int]) -> Chunk? {
        var columns = columns
        for index in cold {
            guard let compressed = columns[index].compressed() else {
                uses.keep(index)
                continue
            }
            columns[index] = compressed
        }
        guard cold.contains(where: { columns[$0].isCompressed }) else { return nil }
        return Chunk(id: id, columns: columns, uses: uses, rowCount: rowCount, rawBytes: rawBytes, memory: memory)
    }
}

/// When the columns of a chunk were last read, in unix seconds.
private final class ColumnUses: Sendable {
    /// 0: not known.
    private let last: Mutex<[UInt32]>

    init(count: Int) { last = Mutex(Array(repeating: 0, count: count)) }

    func note(_ column: Int, at now: UInt32) {
        last.withLock { if $0[column] != .max { $0[column] = now } }
    }

    /// The column does not get smaller.
    func keep(_ column: Int) { last.withLock { $0[column] = .max } }

    func isCold(_ column: Int, now: UInt32, seconds: UInt32) -> Bool {
        last.withLock { last in
            if last[column] == 0 { last[column] = now }
            return last[column] <= now && now - last[column] >= seconds
        }
    }
}

extension ChunkColumn {
    var isCompressed: Bool { if case .compressed = stored { true } else { false } }

    /// Compressed, if that saves a tenth.
    func compressed() -> ChunkColumn? {
        guard case .plain(let bytes) = stored, bytes.count > 0 else { return nil }
        let compressed = Zstd.compress(bytes.raw)
        guard compressed.count <= bytes.count * 9 / 10 else { return nil }
        return ChunkColumn(
            layout: layout, zone: zone, encodedBytes: encodedBytes, stored: .compressed(Array(compressed)),
            shared: shared, presence: presence)
    }

    fileprivate func view(_ bytes: ColumnBytes) -> ColumnView {
        ColumnView(
            type: layout.type, rowCount: layout.rowCount, zone: zone, values: values(bytes), nulls: nulls(bytes),
            dictionary: dictionary(bytes), owners: [bytes])
    }

    private func values(_ bytes: ColumnBytes) -> ColumnView.Values {
        let start = UnsafeRawPointer(bytes.start) + layout.nullsBytes
        switch layout.form {
        case .constant: return .codes(.constant, base: layout.base, scale: layout.scale)
        case .packed(let bits):
            return .codes(.packed(bits: bits, start), base: layout.base, scale: layout.scale)
        case .runs(let count):
            let ends = start.assumingMemoryBound(to: UInt32.self)
            return .codes(
                .runs(ends: ends, codes: ends + count, count: count), base: layout.base, scale: layout.scale)
        case .plain where layout.type == .double: return .doubles(start.assumingMemoryBound(to: Double.self))
        case .plain: return .integers(start.assumingMemoryBound(to: Int64.self))
        }
    }

    private func nulls(_ bytes: ColumnBytes) -> NullStore {
        let start = UnsafeRawPointer(bytes.start)
        switch layout.nulls {
        case .none: return .none
        case .list(let count): return .list(start.assumingMemoryBound(to: UInt32.self), count: count)
        case .validity: return .validity(start.assumingMemoryBound(to: UInt64.self))
        }
    }

    private func dictionary(_ bytes: ColumnBytes) -> DictionaryView? {
        guard layout.type == .string else { return nil }
        guard let count = layout.dictionaryCount else { return shared?.view() }
        return DictionaryView(packed: bytes, at: layout.dictionaryStart, count: count, isSorted: true)
    }
}
