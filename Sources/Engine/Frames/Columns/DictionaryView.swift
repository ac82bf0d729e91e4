// Strings by code, immutable: a column's shared dictionary at one moment, or the dictionary of a single chunk.

// Unsafe: points into packed bytes that the view keeps alive; codes come from columns that were encoded with it.

/// The strings without what keeps them alive: good while their view lives, copied without counting a reference.
struct DictionaryStrings {
    /// One position more in `bytes` than there are strings.
    let offsets: UnsafePointer<UInt32>
    let bytes: UnsafePointer<UInt8>

    @inline(__always)
    subscript(code: Int) -> UnsafeBufferPointer<UInt8> {
        let start = Int(offsets[code])
        return UnsafeBufferPointer(start: bytes + start, count: Int(offsets[code &+ 1]) &- start)
    }
}

struct DictionaryView: @unchecked Sendable {
    let count: Int
    let strings: DictionaryStrings
    /// Codes order as their strings do.
    let isSorted: Bool
    /// Codes mean the same in every chunk of the frame.
    var isShared: Bool { series != nil }
    /// Of a shared dictionary: where two views have the same, the shorter one's codes mean the same in the longer one.
    private let series: UInt64?
    private let owner: ColumnBytes

    /// Tells one dictionary's strings from another's.
    var bytes: UnsafePointer<UInt8> { strings.bytes }

    @inline(__always)
    subscript(code: Int) -> UnsafeBufferPointer<UInt8> { strings[code] }

    /// Codes of one mean the same in the other, if it is long enough to know them.
    func hasCodes(of other: DictionaryView) -> Bool { series != nil && series == other.series }

    /// Fewer strings are kept as they are rather than as codes, which keep all of the dictionary.
    var codesMin: Int { count / 64 }

    /// Over `count + 1` 32-bit positions followed by the strings' bytes.
    init(packed: ColumnBytes, at start: Int, count: Int, isSorted: Bool, series: UInt64? = nil) {
        let base = packed.start + start
        self.count = count
        strings = DictionaryStrings(
            offsets: UnsafePointer(base.assumingMemoryBound(to: UInt32.self)),
            bytes: UnsafePointer((base + (count + 1) * 4).assumingMemoryBound(to: UInt8.self)))
        self.isSorted = isSorted
        self.series = series
        owner = packed
    }

    /// A copy of a table's strings, in its order; see `hasCodes` for `series`.
    init(packing table: ByteKeyTable, series: UInt64? = nil) {
        let positions = table.offsets.count * 4
        let packed = ColumnBytes(count: positions + table.bytes.count)
        table.offsets.withUnsafeBytes { packed.start.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
        table.bytes.withUnsafeBytes {
            if $0.count > 0 { (packed.start + positions).copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
        }
        self.init(packed: packed, at: 0, count: table.count, isSorted: false, series: series)
    }

    /// Bytes of positions and strings.
    var packedBytes: Int { (count + 1) * 4 + Int(strings.offsets[count]) }

    /// All codes in the order of their strings. Once `pace` says that the work is to end, in any order.
    func sortedCodes(_ pace: WorkPace = WorkPace()) -> [Int] {
        guard !isSorted else { return Array(0..<count) }
        return (0..<count).sorted { pace.goesOn(4) && self[$0].lexicographicallyPrecedes(self[$1]) }
    }
}
