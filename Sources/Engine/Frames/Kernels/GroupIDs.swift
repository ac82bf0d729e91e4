// The group of each selected row of a block, in the narrowest numbers that hold it.

// Unsafe: hands pointers to loops that stay below the count they are given.

import CKernels

enum GroupIDs {
    /// All rows are of group 0.
    case one
    case bytes(UnsafePointer<UInt8>)
    case shorts(UnsafePointer<UInt16>)
    case words(UnsafePointer<UInt32>)

    @inline(__always)
    subscript(index: Int) -> Int {
        switch self {
        case .one: 0
        case .bytes(let ids): Int(ids[index])
        case .shorts(let ids): Int(ids[index])
        case .words(let ids): Int(ids[index])
        }
    }
}

/// The width of ids, with the loops there are for it.
protocol GroupID: FixedWidthInteger & UnsignedInteger & BitwiseCopyable {
    /// ids = codes * step + offset, or with `adds` so much more. False when there is no loop for such codes.
    static func digits(
        _ ids: UnsafeMutablePointer<Self>, _ codes: BlockVector.Elements, _ count: Int, step: Int, offset: Int,
        adds: Bool
    ) -> Bool
    /// sums[id] += code * scale + offset, in four copies where `copy` is not 0. False when there is no loop for such codes.
    static func add(
        _ ids: UnsafePointer<Self>, _ codes: BlockVector.Elements, _ count: Int, scale: UInt64, offset: UInt64,
        to sums: UnsafeMutablePointer<UInt64>, copy: Int
    ) -> Bool
    /// sums[id] += number for some rows.
    static func add(
        _ number: UInt64, to sums: UnsafeMutablePointer<UInt64>, _ ids: UnsafePointer<Self>, of rows: BlockPositions)
    /// counters[id] += 1, in four copies where `copy` is not 0.
    static func count(
        _ ids: UnsafePointer<Self>, _ count: Int, in counters: UnsafeMutablePointer<UInt32>, copy: Int)
}

extension GroupID {
    /// Whether neighbours seem to be of one group, as those of a day are in rows that come in the order of time: looks at a
    /// few places.
    fileprivate static func isInRuns(_ ids: UnsafePointer<Self>, _ count: Int) -> Bool {
        guard count >= 512 else { return false }
        var differing = 0
        for at in stride(from: 0, through: count &- 64, by: count / 8) where ids[at] != ids[at &+ 15] {
            differing += 1
        }
        return differing <= 2
    }
}

extension UInt8: GroupID {
    static func digits(
        _ ids: UnsafeMutablePointer<UInt8>, _ codes: BlockVector.Elements, _ count: Int, step: Int, offset: Int,
        adds: Bool
    ) -> Bool {
        let (step, offset) = (UInt32(truncatingIfNeeded: step), UInt32(truncatingIfNeeded: offset))
        guard case .bytes(let codes) = codes else { return false }
        ck_digits8_8(ids, codes, count, step, offset, adds)
        return true
    }

    static func add(
        _ ids: UnsafePointer<UInt8>, _ codes: BlockVector.Elements, _ count: Int, scale: UInt64, offset: UInt64,
        to sums: UnsafeMutablePointer<UInt64>, copy: Int
    ) -> Bool {
        let isInRuns = isInRuns(ids, count)
        switch codes {
        case .bytes(let codes) where isInRuns: ck_add_runs8_8(sums, ids, codes, count, scale, offset)
        case .shorts(let codes) where isInRuns: ck_add_runs8_16(sums, ids, codes, count, scale, offset)
        case .words(let codes) where isInRuns: ck_add_runs8_32(sums, ids, codes, count, scale, offset)
        case .bytes(let codes): ck_add_groups8_8(sums, copy, ids, codes, count, scale, offset)
        case .shorts(let codes): ck_add_groups8_16(sums, copy, ids, codes, count, scale, offset)
        case .words(let codes): ck_add_groups8_32(sums, copy, ids, codes, count, scale, offset)
        default: return false
        }
        return true
    }

    static func add(
        _ number: UInt64, to sums: UnsafeMutablePointer<UInt64>, _ ids: UnsafePointer<UInt8>, of rows: BlockPositions
    ) { ck_add_listed8(sums, ids, rows.start, rows.count, number) }

    static func count(
        _ ids: UnsafePointer<UInt8>, _ count: Int, in counters: UnsafeMutablePointer<UInt32>, copy: Int
    ) { ck_count8(counters, copy, ids, count, 1) }
}

extension UInt16: GroupID {
    static func digits(
        _ ids: UnsafeMutablePointer<UInt16>, _ codes: BlockVector.Elements, _ count: Int, step: Int, offset: Int,
        adds: Bool
    ) -> Bool {
        let (step, offset) = (UInt32(truncatingIfNeeded: step), UInt32(truncatingIfNeeded: offset))
        switch codes {
        case .bytes(let codes): ck_digits16_8(ids, codes, count, step, offset, adds)
        case .shorts(let codes): ck_digits16_16(ids, codes, count, step, offset, adds)
        default: return false
        }
        return true
    }

    static func add(
        _ ids: UnsafePointer<UInt16>, _ codes: BlockVector.Elements, _ count: Int, scale: UInt64, offset: UInt64,
        to sums: UnsafeMutablePointer<UInt64>, copy: Int
    ) -> Bool {
        let isInRuns = isInRuns(ids, count)
        switch codes {
        case .bytes(let codes) where isInRuns: ck_add_runs16_8(sums, ids, codes, count, scale, offset)
        case .shorts(let codes) where isInRuns: ck_add_runs16_16(sums, ids, codes, count, scale, offset)
        case .words(let codes) where isInRuns: ck_add_runs16_32(sums, ids, codes, count, scale, offset)
        case .bytes(let codes): ck_add_groups16_8(sums, copy, ids, codes, count, scale, offset)
        case .shorts(let codes): ck_add_groups16_16(sums, copy, ids, codes, count, scale, offset)
        case .words(let codes): ck_add_groups16_32(sums, copy, ids, codes, count, scale, offset)
        default: return false
        }
        return true
    }

    static func add(
        _ number: UInt64, to sums: UnsafeMutablePointer<UInt64>, _ ids: UnsafePointer<UInt16>, of rows: BlockPositions
    ) { ck_add_listed16(sums, ids, rows.start, rows.count, number) }

    static func count(
        _ ids: UnsafePointer<UInt16>, _ count: Int, in counters: UnsafeMutablePointer<UInt32>, copy: Int
    ) { ck_count16(counters, copy, ids, count, 1) }
}

extension UInt32: GroupID {
    static func digits(
        _ ids: UnsafeMutablePointer<UInt32>, _ codes: BlockVector.Elements, _ count: Int, step: Int, offset: Int,
        adds: Bool
    ) -> Bool {
        let (step, offset) = (UInt32(truncatingIfNeeded: step), UInt32(truncatingIfNeeded: offset))
        switch codes {
        case .bytes(let codes): ck_digits32_8(ids, codes, count, step, offset, adds)
        case .shorts(let codes): ck_digits32_16(ids, codes, count, step, offset, adds)
        case .words(let codes): ck_digits32_32(ids, codes, count, step, offset, adds)
        default: return false
        }
        return true
    }

    static func add(
        _ ids: UnsafePointer<UInt32>, _ codes: BlockVector.Elements, _ count: Int, scale: UInt64, offset: UInt64,
        to sums: UnsafeMutablePointer<UInt64>, copy: Int
    ) -> Bool {
        let isInRuns = isInRuns(ids, count)
        switch codes {
        case .bytes(let codes) where isInRuns: ck_add_runs32_8(sums, ids, codes, count, scale, offset)
        case .shorts(let codes) where isInRuns: ck_add_runs32_16(sums, ids, codes, count, scale, offset)
        case .words(let codes) where isInRuns: ck_add_runs32_32(sums, ids, codes, count, scale, offset)
        case .bytes(let codes): ck_add_groups32_8(sums, copy, ids, codes, count, scale, offset)
        case .shorts(let codes): ck_add_groups32_16(sums, copy, ids, codes, count, scale, offset)
        case .words(let codes): ck_add_groups32_32(sums, copy, ids, codes, count, scale, offset)
        default: return false
        }
        return true
    }

    static func add(
        _ number: UInt64, to sums: UnsafeMutablePointer<UInt64>, _ ids: UnsafePointer<UInt32>, of rows: BlockPositions
    ) { ck_add_listed32(sums, ids, rows.start, rows.count, number) }

    static func count(
        _ ids: UnsafePointer<UInt32>, _ count: Int, in counters: UnsafeMutablePointer<UInt32>, copy: Int
    ) { ck_count32(counters, copy, ids, count, 1) }
}
