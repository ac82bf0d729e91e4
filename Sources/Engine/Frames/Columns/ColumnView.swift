// A column of one chunk or tail as kernels read it: how its keys are encoded, and where they lie.

// Unsafe: the pointers are valid for `rowCount` rows as long as `owners` live, which the view guarantees.

/// What is known of a column's values without reading them. Doubles are bounded by their `orderedKey`, strings by their
/// codes.
package struct Zone: Sendable, Equatable {
    package enum Bounds: Sendable, Equatable {
        /// No row has a value.
        case none
        case keys(Int64, Int64)
    }
    package var nullCount: Int
    package var bounds: Bounds
    /// The exact sum of an integer column's values; nil where it was not worked out.
    package var sum: Int128?

    package init(nullCount: Int, bounds: Bounds, sum: Int128? = nil) {
        self.nullCount = nullCount
        self.bounds = bounds
        self.sum = sum
    }
}

/// Where a column's codes lie.
enum CodeStore: @unchecked Sendable {
    /// Every row has code 0.
    case constant
    /// See `BitPacking`.
    case packed(bits: Int, UnsafeRawPointer)
    /// Run `i` has code `codes[i]` up to, not including, row `ends[i]`.
    case runs(ends: UnsafePointer<UInt32>, codes: UnsafePointer<UInt32>, count: Int)

    func code(at row: Int, rowCount: Int) -> UInt32 {
        switch self {
        case .constant: return 0
        case .packed(let bits, let words): return BitPacking.code(at: row, of: words, rowCount: rowCount, bits: bits)
        case .runs(let ends, let codes, let count):
            return codes[partitionPoint(count - 1) { ends[$0] <= row }]
        }
    }
}

/// Which rows have no value. Sparse nulls are a list, many a bitmap.
enum NullStore: @unchecked Sendable {
    case none
    /// Ascending rows.
    case list(UnsafePointer<UInt32>, count: Int)
    /// One bit a row, set where there is a value.
    case validity(UnsafePointer<UInt64>)

    func isNull(_ row: Int) -> Bool {
        switch self {
        case .none: return false
        case .validity(let words): return words[row >> 6] >> UInt64(row & 63) & 1 == 0
        case .list(let rows, let count):
            let at = Self.position(of: row, in: rows, count)
            return at < count && rows[at] == row
        }
    }

    /// The number of listed rows before `row`.
    static func position(of row: Int, in rows: UnsafePointer<UInt32>, _ count: Int) -> Int {
        partitionPoint(count) { rows[$0] < row }
    }
}

/// Rows without a value have code 0, or the number 0.
package struct ColumnView: Sendable {
    enum Values: @unchecked Sendable {
        /// int, time, bool (0 and 1): the value is base + scale * code. Strings: base + code is the dictionary's code.
        case codes(CodeStore, base: Int64, scale: Int64)
        case integers(UnsafePointer<Int64>)
        case doubles(UnsafePointer<Double>)
    }

    package let type: ColumnType
    package let rowCount: Int
    package let zone: Zone
    let values: Values
    let nulls: NullStore
    /// Of a column of strings.
    let dictionary: DictionaryView?
    let owners: [ColumnBytes]

    func isValid(_ row: Int) -> Bool { !nulls.isNull(row) }

    /// The key of one row that has a value: the integer, the string's code.
    func key(at row: Int) -> Int64 {
        switch values {
        case .codes(let store, let base, let scale):
            base &+ scale &* Int64(store.code(at: row, rowCount: rowCount))
        case .integers(let integers): integers[row]
        case .doubles(let doubles): doubles[row].orderedKey
        }
    }

    /// The value of one row. For row-at-a-time uses; kernels read blocks.
    package func scalar(at row: Int) -> Scalar {
        precondition(row >= 0 && row < rowCount)
        guard isValid(row) else { return .null }
        switch type {
        case .double:
            guard case .doubles(let doubles) = values else { preconditionFailure("doubles are kept as such") }
            return .double(doubles[row])
        case .string: return .string(Array(dictionary![Int(key(at: row))]))
        case .bool: return .bool(key(at: row) != 0)
        case .time: return .time(key(at: row))
        case .int: return .int(key(at: row))
        }
    }
}
