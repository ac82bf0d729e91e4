// Which codes the rows of a chunk's column have, where there are few: what zones leave open between least and largest.

/// A bit for each code; exact. Rows without a value have none.
struct CodePresence: Sendable {
    /// Codes beyond which none is made: 1 KiB for 65,536 rows.
    static let codesMax = 1 << 13

    /// Key = base + scale * code.
    let base: Int64
    let scale: Int64
    let codeCount: Int
    let bits: CodeBits

    /// `isValid` says whether a row has a value, and is asked of rows with code 0 only: nulls have that one. Nil where
    /// there are too many codes to note.
    init?(_ codes: [UInt32], largest: UInt32, base: Int64, scale: Int64, isValid: (Int) -> Bool) {
        guard largest < Self.codesMax else { return nil }
        codeCount = Int(largest) + 1
        self.base = base
        self.scale = scale
        var marks = [UInt8](repeating: 0, count: codeCount)
        marks.withUnsafeMutableBufferPointer { marks in for code in codes { marks[Int(code)] = 1 } }
        if marks[0] != 0, !codes.indices.contains(where: { codes[$0] == 0 && isValid($0) }) { marks[0] = 0 }
        bits = marks.withUnsafeBufferPointer { CodeBits(marks: $0) }
    }

    var memoryBytes: Int { bits.memoryBytes }

    /// Whether some row has this key.
    func hasKey(_ key: Int64) -> Bool {
        guard key >= base else { return false }
        let (code, rest) = UInt64(bitPattern: key &- base).quotientAndRemainder(dividingBy: UInt64(scale))
        return rest == 0 && code < UInt64(codeCount) && bits.has(Int(code))
    }

    /// Whether some row has a key in the range.
    func hasKey(from low: Int64, to high: Int64) -> Bool {
        guard low <= high, high >= base else { return false }
        let step = UInt64(scale)
        let first = low <= base ? 0 : (UInt64(bitPattern: low &- base) - 1) / step + 1
        let last = min(UInt64(bitPattern: high &- base) / step, UInt64(codeCount - 1))
        guard first <= last else { return false }
        return (Int(first)...Int(last)).contains(where: bits.has)
    }

    /// False when no row with a value passes.
    func mayHold(_ predicate: Predicate) -> Bool {
        switch predicate {
        case .interval(let low, let high): hasKey(from: low, to: high)
        case .outside(let low, let high):
            low > .min && hasKey(from: .min, to: low - 1) || high < .max && hasKey(from: high + 1, to: .max)
        case .members(let keys): keys.contains(where: hasKey)
        default: true
        }
    }

    /// Whether all rows with a value pass.
    func alwaysHolds(_ predicate: Predicate) -> Bool {
        switch predicate {
        case .interval(let low, let high): !mayHold(.outside(low, high))
        case .outside(let low, let high): !mayHold(.interval(low, high))
        case .members(let keys): keys.count { hasKey($0) } == bits.count
        default: false
        }
    }
}
