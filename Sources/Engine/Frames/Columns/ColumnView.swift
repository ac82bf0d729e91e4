// A column of one chunk or tail as kernels read it: typed pointers into memory that the view keeps alive.

// Unsafe: the pointers are valid for `rowCount` rows as long as `owners` live, which the view guarantees.

/// What is known of a column's values without reading them. Doubles are bounded by their `orderedKey`.
package struct Zone: Sendable, Equatable {
    package enum Bounds: Sendable, Equatable {
        /// No row has a value.
        case none
        case keys(Int64, Int64)
        case strings([UInt8], [UInt8])
    }
    package var nullCount: Int
    package var bounds: Bounds
}

/// The bytes an offset or a code takes.
enum Width: Int, Sendable {
    case one = 1
    case two = 2
    case four = 4
    case eight = 8

    /// The narrowest width for unsigned numbers up to `maximum`.
    init(unsignedUpTo maximum: UInt64) {
        switch maximum {
        case ...0xFF: self = .one
        case ...0xFFFF: self = .two
        case ...0xFFFF_FFFF: self = .four
        default: self = .eight
        }
    }
}

struct IntegerValues: @unchecked Sendable {
    /// Value = base + offset. Width 8 has base 0, and its offsets are the values themselves, signed.
    let base: Int64
    let width: Width
    let pointer: UnsafeRawPointer
}

struct DictionaryView: @unchecked Sendable {
    let count: Int
    /// `count + 1` positions in `bytes`.
    let offsets: UnsafePointer<UInt32>
    let bytes: UnsafePointer<UInt8>
    /// Codes order as their strings do.
    let isSorted: Bool

    @inline(__always)
    subscript(code: Int) -> UnsafeBufferPointer<UInt8> {
        let start = Int(offsets[code])
        return UnsafeBufferPointer(start: bytes + start, count: Int(offsets[code &+ 1]) &- start)
    }
}

struct StringValues: @unchecked Sendable {
    let width: Width
    let codes: UnsafeRawPointer
    let dictionary: DictionaryView
}

/// One bit a row, set where there is a value. Words are complete: the last one is padded with zeros.
struct ValidityView: @unchecked Sendable {
    let words: UnsafePointer<UInt64>

    @inline(__always)
    subscript(row: Int) -> Bool { words[row &>> 6] &>> UInt64(row & 63) & 1 != 0 }
}

/// Rows without a value hold 0 in `values` (offset, code or 0.0), so that sums need not look at `validity`.
package struct ColumnView: Sendable {
    enum Values: Sendable {
        /// int, time and bool (0 and 1).
        case integers(IntegerValues)
        case doubles(UnsafeDoubles)
        case strings(StringValues)
    }

    struct UnsafeDoubles: @unchecked Sendable { let pointer: UnsafePointer<Double> }

    package let type: ColumnType
    package let rowCount: Int
    package let zone: Zone
    let values: Values
    /// Nil where every row has a value.
    let validity: ValidityView?
    let owners: [ColumnBytes]

    func isValid(_ row: Int) -> Bool { validity.map { $0[row] } ?? true }

    /// The value of one row. For row-at-a-time uses; kernels read the pointers.
    package func scalar(at row: Int) -> Scalar {
        precondition(row >= 0 && row < rowCount)
        guard isValid(row) else { return .null }
        switch values {
        case .integers(let integers):
            let number = integers.value(at: row)
            switch type {
            case .bool: return .bool(number != 0)
            case .time: return .time(number)
            default: return .int(number)
            }
        case .doubles(let doubles): return .double(doubles.pointer[row])
        case .strings(let strings): return .string(Array(strings.dictionary[strings.code(at: row)]))
        }
    }
}

extension IntegerValues {
    func value(at row: Int) -> Int64 {
        switch width {
        case .one: base + Int64(pointer.assumingMemoryBound(to: UInt8.self)[row])
        case .two: base + Int64(pointer.assumingMemoryBound(to: UInt16.self)[row])
        case .four: base + Int64(pointer.assumingMemoryBound(to: UInt32.self)[row])
        case .eight: pointer.assumingMemoryBound(to: Int64.self)[row]
        }
    }
}

extension StringValues {
    func code(at row: Int) -> Int {
        switch width {
        case .one: Int(codes.assumingMemoryBound(to: UInt8.self)[row])
        case .two: Int(codes.assumingMemoryBound(to: UInt16.self)[row])
        case .four, .eight: Int(codes.assumingMemoryBound(to: UInt32.self)[row])
        }
    }
}
