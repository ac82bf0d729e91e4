// One typed value of a column or an answer, its order, and how it turns into a `Value`.

/// A column's value outside its column: group keys, aggregate results, bounds.
package enum Scalar: Sendable, Hashable {
    case null
    case int(Int64)
    case double(Double)
    case string([UInt8])
    case bool(Bool)
    case time(Int64)
    /// Of an answer only: a list, as histograms and the most frequent values are.
    case structured(Value)

    /// How it appears in an answer. A time becomes ISO 8601 text.
    package var value: Value {
        switch self {
        case .null: .null
        case .int(let number): .int(number)
        case .double(let number): .double(number)
        case .string(let bytes): .bytes(bytes)
        case .bool(let flag): .bool(flag)
        case .time(let microseconds): .string(Timestamp.text(microseconds))
        case .structured(let value): value
        }
    }

    package var isNull: Bool { self == .null }

    /// What it takes in memory beside its own place.
    var heldBytes: Int {
        switch self {
        case .string(let text): text.memoryBytes
        case .structured(let value): value.heldBytes
        default: 0
        }
    }

    /// The order of answers: nulls last, NaN after every other number, -0.0 equal to 0.0, strings by their bytes.
    /// Numbers of both kinds compare by value; other mixtures (they do not occur within a column) by kind.
    package static func compare(_ a: Scalar, _ b: Scalar) -> Int {
        switch (a, b) {
        case (.null, .null): 0
        case (.null, _): 1
        case (_, .null): -1
        case (.int(let a), .int(let b)), (.time(let a), .time(let b)): three(a, b)
        case (.double(let a), .double(let b)): three(a.orderedKey, b.orderedKey)
        case (.int(let a), .double(let b)): compare(a, b)
        case (.double(let a), .int(let b)): -compare(b, a)
        case (.bool(let a), .bool(let b)): three(a ? 1 : 0, b ? 1 : 0)
        case (.string(let a), .string(let b)): a.lexicographicallyPrecedes(b) ? -1 : (a == b ? 0 : 1)
        default: three(a.kind, b.kind)
        }
    }

    /// Exactly, also where no double is the integer.
    private static func compare(_ a: Int64, _ b: Double) -> Int {
        let nearest = Double(a)
        if nearest != b { return three(nearest.orderedKey, b.orderedKey) }
        // 2^63, which is no integer here, is what the greatest ones are nearest to.
        return Int64(exactly: b).map { three(a, $0) } ?? -1
    }

    private static func three<T: Comparable>(_ a: T, _ b: T) -> Int { a < b ? -1 : (a == b ? 0 : 1) }

    private var kind: Int {
        switch self {
        case .bool: 0
        case .int, .double: 1
        case .time: 2
        case .string: 3
        case .null: 4
        case .structured: 5
        }
    }
}

extension Double {
    /// An integer that orders as the numbers do, with -0.0 as 0.0 and every NaN as one value above infinity:
    /// so a comparison of doubles is a comparison of integers, and total.
    @inline(__always)
    var orderedKey: Int64 {
        if self != self { return .max }
        return (self + 0.0).signedKey  // -0.0 + 0.0 is 0.0
    }

    /// Like `orderedKey`, but -0.0 comes before 0.0, so that no information is lost: for min and max.
    @inline(__always)
    var totalKey: Int64 { self != self ? .max : signedKey }

    @inline(__always)
    private var signedKey: Int64 {
        let bits = Int64(bitPattern: bitPattern)
        return bits ^ ((bits &>> 63) & Int64.max)
    }

    /// The number with this `totalKey` or `orderedKey`.
    @inline(__always)
    init(totalKey key: Int64) {
        self = key == .max ? .nan : Double(bitPattern: UInt64(bitPattern: key ^ ((key &>> 63) & Int64.max)))
    }
}
