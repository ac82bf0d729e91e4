// Filters over a block's vectors: each leaves a mask of the rows that pass; masks become lists of positions.

// Unsafe: reads vectors and writes masks of a block's rows.

/// The filters of a plan over one piece, those left that the piece's zones do not decide.
final class BlockFilter {
    /// One of several conditions of which one must hold.
    struct Condition {
        let slot: Int
        let predicate: Predicate
        /// What a predicate about text means for codes of the shared dictionary.
        let shared: SharedText?
    }

    enum SharedText {
        case codes(Predicate)
        /// 1 for each code that passes.
        case verdicts([UInt8])
        /// The few codes that pass.
        case few([Int64])
    }

    private let clauses: [[Condition]]
    private let mask = BlockBuffer()
    private let clauseMask = BlockBuffer()
    private let conditionMask = BlockBuffer()
    private let positions = BlockBuffer()
    /// What text predicates say of strings that only this piece has numbered so, by clause and condition.
    private var localVerdicts: [[Int]: [UInt8]] = [:]

    init(clauses: [[Condition]]) { self.clauses = clauses }

    /// Selects the rows of the reader's block that pass all clauses. False when none does.
    func apply(_ reader: BlockReader) throws(Failure) -> Bool {
        let mask = mask.pointer(UInt8.self)
        for index in clauses.indices {
            if index == 0 {
                try evaluate(index, reader, into: mask)
            } else if clauses[index].count == 1, case .notNull = clauses[index][0].predicate {
                let nulls = try reader.whole(clauses[index][0].slot).nulls
                for null in 0..<nulls.count { mask[nulls[null]] = 0 }
            } else {
                let other = clauseMask.pointer(UInt8.self)
                try evaluate(index, reader, into: other)
                for row in 0..<reader.rowCount { mask[row] &= other[row] }
            }
        }
        (mask + reader.rowCount).update(repeating: 0, count: 8)
        let count = Self.positions(mask, rowCount: reader.rowCount, into: positions.pointer(UInt16.self))
        if count == 0 { return false }
        if count < reader.rowCount { reader.select(BlockPositions(start: positions.pointer(), count: count)) }
        return true
    }

    /// The rows that pass, without listing them.
    func count(_ reader: BlockReader) throws(Failure) -> Int {
        precondition(clauses.count == 1)
        let mask = mask.pointer(UInt8.self)
        try evaluate(0, reader, into: mask)
        return Self.sum(mask, reader.rowCount)
    }

    var isOneClause: Bool { clauses.count == 1 }

    private func evaluate(
        _ clause: Int, _ reader: BlockReader, into mask: UnsafeMutablePointer<UInt8>
    ) throws(Failure) {
        for (index, condition) in clauses[clause].enumerated() {
            let vector = try reader.whole(condition.slot)
            let kernel = FilterKernel(
                vector: vector, rowCount: reader.rowCount,
                mask: index == 0 ? mask : conditionMask.pointer(UInt8.self))
            apply(condition, kernel, [clause, index])
            guard index > 0 else { continue }
            let other = conditionMask.pointer(UInt8.self)
            for row in 0..<reader.rowCount { mask[row] |= other[row] }
        }
    }

    private func apply(_ condition: Condition, _ kernel: FilterKernel, _ place: [Int]) {
        guard case .text(let text) = condition.predicate, let dictionary = kernel.vector.dictionary else {
            return kernel.apply(condition.predicate)
        }
        switch condition.shared {
        case .codes(let predicate)? where dictionary.isShared: kernel.apply(predicate)
        case .verdicts(let verdicts)? where dictionary.isShared: kernel.apply(verdicts: verdicts)
        case .few(let codes)? where dictionary.isShared: kernel.apply(few: codes)
        default:
            let verdicts = localVerdicts[place] ?? text.verdicts(dictionary)
            localVerdicts[place] = verdicts
            kernel.apply(verdicts: verdicts)
        }
    }

    /// Sixteen bytes side by side count up to 255 rows each before they are added up.
    private static func sum(_ mask: UnsafeMutablePointer<UInt8>, _ rowCount: Int) -> Int {
        var total = 0
        var row = 0
        while row < rowCount {
            let end = min(row &+ 255 &* 16, rowCount)
            var sums = SIMD16<UInt8>(repeating: 0)
            while row &+ 16 <= end {
                sums &+= UnsafeRawPointer(mask + row).loadUnaligned(as: SIMD16<UInt8>.self)
                row &+= 16
            }
            for lane in 0..<16 { total &+= Int(sums[lane]) }
            if end == rowCount {
                while row < end {
                    total &+= Int(mask[row])
                    row &+= 1
                }
            }
        }
        return total
    }

    /// Eight rows at a time: their bits name a list of positions, written whole and counted as far as it goes.
    private static func positions(
        _ mask: UnsafePointer<UInt8>, rowCount: Int, into out: UnsafeMutablePointer<UInt16>
    ) -> Int {
        PositionTable.shared.withTable { lists, counts in
            var count = 0
            var row = 0
            while row < rowCount {
                let word = UnsafeRawPointer(mask + row).loadUnaligned(as: UInt64.self)
                let bits = Int(truncatingIfNeeded: (word &* 0x0102_0408_1020_4080) &>> 56)
                let base = SIMD8<UInt16>(repeating: UInt16(truncatingIfNeeded: row))
                UnsafeMutableRawPointer(out + count).storeBytes(of: lists[bits] &+ base, as: SIMD8<UInt16>.self)
                count &+= Int(counts[bits])
                row &+= 8
            }
            return count
        }
    }
}

/// For each of 256 sets of eight rows: the rows, and how many they are.
private struct PositionTable: Sendable {
    static let shared = PositionTable()
    private let lists: [SIMD8<UInt16>]
    private let counts: [UInt8]

    private init() {
        var lists: [SIMD8<UInt16>] = []
        for bits in 0..<256 {
            var list = SIMD8<UInt16>()
            var at = 0
            for row in 0..<8 where bits >> row & 1 != 0 {
                list[at] = UInt16(row)
                at += 1
            }
            lists.append(list)
        }
        self.lists = lists
        counts = (0..<256).map { UInt8($0.nonzeroBitCount) }
    }

    func withTable<R>(_ body: (UnsafePointer<SIMD8<UInt16>>, UnsafePointer<UInt8>) -> R) -> R {
        lists.withUnsafeBufferPointer { lists in
            counts.withUnsafeBufferPointer { body(lists.baseAddress!, $0.baseAddress!) }
        }
    }
}

/// One condition over one vector of all rows of a block: 1 in the mask for a row that passes, else 0.
struct FilterKernel {
    let vector: BlockVector
    let rowCount: Int
    let mask: UnsafeMutablePointer<UInt8>

    func apply(_ predicate: Predicate) {
        switch predicate {
        case .never: fill(false)
        case .isNull:
            fill(false)
            setNulls(to: 1)
            return
        case .notNull: fill(true)
        case .interval(let low, let high): keep(low, high, inverted: false)
        case .outside(let low, let high): keep(low, high, inverted: true)
        case .members(let keys): keep(members: keys)
        case .text: preconditionFailure("text is tested through the dictionary")
        }
        setNulls(to: 0)
    }

    private func fill(_ passes: Bool) { mask.update(repeating: passes ? 1 : 0, count: rowCount) }

    private func setNulls(to value: UInt8) {
        for index in 0..<vector.nulls.count { mask[vector.nulls[index]] = value }
    }

    @inline(__always)
    private func keep(_ passes: (Int) -> Bool) {
        for row in 0..<rowCount { mask[row] = passes(row) ? 1 : 0 }
    }

    // MARK: Intervals

    private func keep(_ low: Int64, _ high: Int64, inverted: Bool) {
        switch vector.elements {
        case .constant: fill((vector.base >= low && vector.base <= high) != inverted)
        case .doubles(let doubles):
            keep { (doubles[$0].orderedKey >= low && doubles[$0].orderedKey <= high) != inverted }
        case .integers(let integers): keep { (integers[$0] >= low && integers[$0] <= high) != inverted }
        case .bytes(let codes): keepCodes(codes, low, high, inverted)
        case .shorts(let codes): keepCodes(codes, low, high, inverted)
        case .words(let codes): keepCodes(codes, low, high, inverted)
        }
    }

    /// Compares codes in their own width: the interval is brought to codes and cut to what they can be.
    private func keepCodes<C: FixedWidthInteger & UnsignedInteger>(
        _ codes: UnsafePointer<C>, _ low: Int64, _ high: Int64, _ inverted: Bool
    ) {
        let scale = Int128(vector.scale)
        let distance = max(Int128(low) - Int128(vector.base), 0)
        let lowest = (distance + scale - 1) / scale
        let reach = Int128(high) - Int128(vector.base)
        let highest = reach < 0 ? -1 : min(reach / scale, Int128(C.max))
        guard lowest <= highest else { return fill(inverted) }
        let start = C(lowest)
        let span = C(highest) - start
        // Below `start` the subtraction wraps to more than any span.
        if inverted { keep { codes[$0] &- start > span } } else { keep { codes[$0] &- start <= span } }
    }

    // MARK: Sets and strings

    private func keep(members keys: [Int64]) {
        switch vector.elements {
        case .constant: fill(Self.contains(keys, vector.base))
        case .bytes(let codes):
            let verdicts = (0..<256).map { code -> UInt8 in
                Self.contains(keys, vector.base &+ vector.scale &* Int64(code)) ? 1 : 0
            }
            verdicts.withUnsafeBufferPointer { verdicts in
                for row in 0..<rowCount { mask[row] = verdicts[Int(codes[row])] }
            }
        default: keep { Self.contains(keys, vector.key(at: $0)) }
        }
    }

    private static func contains(_ keys: [Int64], _ key: Int64) -> Bool {
        var (low, high) = (0, keys.count)
        while low < high {
            let middle = (low + high) / 2
            if keys[middle] < key { low = middle + 1 } else { high = middle }
        }
        return low < keys.count && keys[low] == key
    }

    /// Compares with each of a few keys in turn.
    func apply(few keys: [Int64]) {
        switch vector.elements {
        case .constant: fill(keys.contains(vector.base))
        case .bytes(let codes): keepFew(codes, keys)
        case .shorts(let codes): keepFew(codes, keys)
        case .words(let codes): keepFew(codes, keys)
        case .integers, .doubles: preconditionFailure("strings are codes")
        }
        setNulls(to: 0)
    }

    private func keepFew<C: FixedWidthInteger & UnsignedInteger>(_ codes: UnsafePointer<C>, _ keys: [Int64]) {
        fill(false)
        for key in keys {
            guard let code = C(exactly: key &- vector.base) else { continue }
            for row in 0..<rowCount { mask[row] |= codes[row] == code ? 1 : 0 }
        }
    }

    /// Looks rows up in what was found out for each string of the dictionary.
    func apply(verdicts: [UInt8]) {
        guard !verdicts.isEmpty else { return fill(false) }
        verdicts.withUnsafeBufferPointer { verdicts in
            let verdicts = verdicts.baseAddress! + Int(vector.base)
            switch vector.elements {
            case .constant: fill(verdicts[0] != 0)
            case .bytes(let codes): for row in 0..<rowCount { mask[row] = verdicts[Int(codes[row])] }
            case .shorts(let codes): for row in 0..<rowCount { mask[row] = verdicts[Int(codes[row])] }
            case .words(let codes): for row in 0..<rowCount { mask[row] = verdicts[Int(codes[row])] }
            case .integers, .doubles: preconditionFailure("strings are codes")
            }
        }
        setNulls(to: 0)
    }
}

extension TextPredicate {
    /// 1 for each string of the dictionary that passes.
    func verdicts(_ dictionary: DictionaryView) -> [UInt8] {
        (0..<dictionary.count).map { holds(dictionary[$0]) ? 1 : 0 }
    }
}
