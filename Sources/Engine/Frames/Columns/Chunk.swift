// A sealed, immutable run of a frame's rows: encoded columns, compressed at rest where that pays.

// Unsafe: builds views over decoded bytes whose layout `ColumnEncoder` wrote and whose size was checked.

import Synchronization

/// How an encoded column's bytes are laid out: [validity words][values, padded to 8][dictionary].
struct ColumnLayout: Sendable {
    let type: ColumnType
    let rowCount: Int
    let width: Width
    let base: Int64
    let hasNulls: Bool
    let dictionaryCount: Int

    var validityBytes: Int { hasNulls ? (rowCount + 63) / 64 * 8 : 0 }
    var valuesBytes: Int { (rowCount * width.rawValue + 7) & ~7 }
    var dictionaryStart: Int { validityBytes + valuesBytes }
}

/// One encoded column: compressed bytes, or the bytes themselves where compression saves less than a tenth.
struct ChunkColumn: Sendable {
    enum Stored: Sendable {
        case plain(ColumnBytes)
        case compressed([UInt8])
    }
    let layout: ColumnLayout
    let zone: Zone
    let encodedBytes: Int
    let stored: Stored

    var storedBytes: Int {
        switch stored {
        case .plain(let bytes): bytes.count
        case .compressed(let bytes): bytes.count
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
    private let reservation: MemoryReservation

    private static let nextID = Atomic<UInt64>(1)

    init(columns: [ChunkColumn], rowCount: Int, rawBytes: Int, memory: FrameMemory) {
        id = Self.nextID.wrappingAdd(1, ordering: .relaxed).oldValue
        self.columns = columns
        self.rowCount = rowCount
        self.rawBytes = rawBytes
        storedBytes = columns.reduce(0) { $0 + $1.storedBytes }
        encodedBytes = columns.reduce(0) { $0 + $1.encodedBytes }
        reservation = MemoryReservation(memory)
        // The tail that these rows come from is still on the account and is about to leave it.
        reservation.force(storedBytes)
    }

    package func zone(_ column: Int) -> Zone { columns[column].zone }

    /// The column, decompressed through `cache`. Throws only when memory was damaged.
    func view(_ index: Int, cache: ColumnCache) throws(Failure) -> ColumnView {
        let column = columns[index]
        switch column.stored {
        case .plain(let bytes): return column.view(bytes)
        case .compressed(let compressed):
            let key = ColumnCache.Key(chunk: id, column: index)
            if let bytes = cache.find(key) { return column.view(bytes) }
            let bytes = ColumnBytes(count: column.encodedBytes)
            try Zstd.decompress(compressed, into: bytes)
            cache.insert(bytes, for: key)
            return column.view(bytes)
        }
    }
}

extension ChunkColumn {
    fileprivate func view(_ bytes: ColumnBytes) -> ColumnView {
        let start = UnsafeRawPointer(bytes.start)
        let values = start + layout.validityBytes
        let contents: ColumnView.Values
        switch layout.type {
        case .double: contents = .doubles(.init(pointer: values.assumingMemoryBound(to: Double.self)))
        case .string:
            let dictionary = DictionaryView(
                packed: bytes, at: layout.dictionaryStart, count: layout.dictionaryCount, isSorted: true)
            contents = .strings(StringValues(width: layout.width, codes: values, dictionary: dictionary))
        default: contents = .integers(IntegerValues(base: layout.base, width: layout.width, pointer: values))
        }
        return ColumnView(
            type: layout.type, rowCount: layout.rowCount, zone: zone, values: contents,
            validity: layout.hasNulls ? ValidityView(words: start.assumingMemoryBound(to: UInt64.self)) : nil,
            owners: [bytes])
    }
}
