// One condition over all rows of a block: a bit for each row that passes.

// Unsafe: reads vectors and writes the mask of a block's rows, through loops that stay within the block.

import CKernels

/// Looks at codes and numbers as they are, in rows without a value too: those hold code 0, or the number 0.
struct FilterKernel {
    let vector: BlockVector
    let rowCount: Int
    /// A word for 64 rows; bits beyond the rows are left 0.
    let bits: UnsafeMutablePointer<UInt64>

    /// Whether rows without a value may have passed, which the caller is to mend.
    func apply(_ predicate: Predicate) -> Bool {
        switch predicate {
        case .never, .isNull: fill(false)
        case .notNull: fill(true)
        case .interval(let low, let high): keep(low, high, inverted: false)
        case .outside(let low, let high): keep(low, high, inverted: true)
        case .members(let keys): keep(members: keys)
        case .text: preconditionFailure("text is tested through the dictionary")
        }
    }

    static func words(_ rowCount: Int) -> Int { (rowCount + 63) / 64 }

    @discardableResult
    func fill(_ passes: Bool) -> Bool {
        let words = Self.words(rowCount)
        bits.update(repeating: passes ? .max : 0, count: words)
        if passes, rowCount % 64 != 0 { bits[words - 1] = 1 << UInt64(rowCount % 64) - 1 }
        return passes
    }

    /// Row by row, for what there is no loop for.
    @inline(__always)
    private func keep(_ passes: (Int) -> Bool) -> Bool {
        for word in 0..<Self.words(rowCount) {
            var found: UInt64 = 0
            let start = word &* 64
            for at in 0..<min(64, rowCount &- start) {
                found |= (passes(start &+ at) ? 1 : 0) &<< UInt64(truncatingIfNeeded: at)
            }
            bits[word] = found
        }
        return true
    }

    // MARK: Intervals

    private func keep(_ low: Int64, _ high: Int64, inverted: Bool) -> Bool {
        switch vector.elements {
        case .constant: return fill((vector.base >= low && vector.base <= high) != inverted)
        case .doubles(let doubles):
            return keep { (doubles[$0].orderedKey >= low && doubles[$0].orderedKey <= high) != inverted }
        case .integers(let integers):
            guard low <= high else { return fill(inverted) }
            let codes = UnsafeRawPointer(integers).assumingMemoryBound(to: UInt64.self)
            let start = UInt64(bitPattern: low)
            let span = UInt64(bitPattern: high &- low)
            ck_within64(codes, rowCount, start, span, inverted, bits)
            return true
        case .bytes(let codes):
            guard let (start, span) = interval(low, high, UInt8.self) else { return fill(inverted) }
            ck_within8(codes, rowCount, start, span, inverted, bits)
            return (0 &- start <= span) != inverted
        case .shorts(let codes):
            guard let (start, span) = interval(low, high, UInt16.self) else { return fill(inverted) }
            ck_within16(codes, rowCount, start, span, inverted, bits)
            return (0 &- start <= span) != inverted
        case .words(let codes):
            guard let (start, span) = interval(low, high, UInt32.self) else { return fill(inverted) }
            ck_within32(codes, rowCount, start, span, inverted, bits)
            return (0 &- start <= span) != inverted
        }
    }

    /// The interval of codes that an interval of keys is, cut to what codes can be; nil when there is none. Below `start` the
    /// subtraction of it wraps to more than any span.
    private func interval<C: FixedWidthInteger & UnsignedInteger>(
        _ low: Int64, _ high: Int64, _: C.Type
    ) -> (start: C, span: C)? {
        let scale = Int128(vector.scale)
        let distance = max(Int128(low) - Int128(vector.base), 0)
        let lowest = (distance + scale - 1) / scale
        let reach = Int128(high) - Int128(vector.base)
        let highest = reach < 0 ? -1 : min(reach / scale, Int128(C.max))
        guard lowest <= highest else { return nil }
        return (C(lowest), C(highest) - C(lowest))
    }

    // MARK: Sets and strings

    private func keep(members keys: [Int64]) -> Bool {
        switch vector.elements {
        case .constant: return fill(Self.contains(keys, vector.base))
        case .bytes(let codes):
            let verdicts = (0..<256).map { code -> UInt8 in
                Self.contains(keys, vector.base &+ vector.scale &* Int64(code)) ? 1 : 0
            }
            ck_judge8(codes, rowCount, verdicts, bits)
            return true
        default: return keep { Self.contains(keys, vector.key(at: $0)) }
        }
    }

    private static func contains(_ keys: [Int64], _ key: Int64) -> Bool {
        let place = partitionPoint(keys.count) { keys[$0] < key }
        return place < keys.count && keys[place] == key
    }

    /// Compares with each of a few keys of a dictionary.
    func apply(few keys: [Int64]) -> Bool {
        switch vector.elements {
        case .constant: return fill(keys.contains(vector.base))
        case .bytes(let codes):
            let few = codesOf(keys, UInt8.self)
            ck_equals8(codes, rowCount, few, few.count, bits)
            return few.contains(0)
        case .shorts(let codes):
            let few = codesOf(keys, UInt16.self)
            ck_equals16(codes, rowCount, few, few.count, bits)
            return few.contains(0)
        case .words(let codes):
            let few = codesOf(keys, UInt32.self)
            ck_equals32(codes, rowCount, few, few.count, bits)
            return few.contains(0)
        case .integers, .doubles: preconditionFailure("strings are codes")
        }
    }

    private func codesOf<C: FixedWidthInteger>(_ keys: [Int64], _: C.Type) -> [C] {
        keys.compactMap { C(exactly: $0 &- vector.base) }
    }

    /// Looks rows up in what was found out for each string of the dictionary.
    func apply(verdicts: [UInt8]) -> Bool {
        guard !verdicts.isEmpty else { return fill(false) }
        return verdicts.withUnsafeBufferPointer { all in
            let verdicts = all.baseAddress! + Int(vector.base)
            switch vector.elements {
            case .constant: return fill(verdicts[0] != 0)
            case .bytes(let codes): ck_judge8(codes, rowCount, verdicts, bits)
            case .shorts(let codes): ck_judge16(codes, rowCount, verdicts, bits)
            case .words(let codes): ck_judge32(codes, rowCount, verdicts, bits)
            case .integers, .doubles: preconditionFailure("strings are codes")
            }
            return verdicts[0] != 0
        }
    }
}

extension TextPredicate {
    /// 1 for each string of the dictionary that passes.
    func verdicts(_ dictionary: DictionaryView) -> [UInt8] {
        (0..<dictionary.count).map { holds(dictionary[$0]) ? 1 : 0 }
    }
}
