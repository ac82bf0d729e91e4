// Sums and counts by group of two rows with one addition: to the pair of their groups.

// Unsafe: adds into memory by pair of groups at ids that the numbering keeps below its size.

import CKernels

/// A 64-bit number for each pair of groups holds the sum of the first rows' codes, that of the second rows' and how many
/// pairs there were. An addition to memory is what sums by group cost, so that half as many take little more than half the
/// time, while the table stays in the first-level cache.
final class PairSums {
    /// Groups whose pairs are 40 KB.
    static let groupsMax = 72

    private let groups: Int
    private let table: GroupArray<UInt64>
    private let sums: GroupArray<UInt64>
    private let counts: GroupArray<UInt64>
    /// Of a sum's field, in bits.
    private var width = 0
    private var pairsLeft = 0

    init(groups: Int, _ lease: MemoryLease) throws(Failure) {
        self.groups = groups
        table = GroupArray(identity: 0, lease)
        sums = GroupArray(identity: 0, lease)
        counts = GroupArray(identity: 0, lease)
        try table.grow(to: groups * groups)
        try sums.grow(to: groups)
        try counts.grow(to: groups)
    }

    /// Pairs that fit beside each other for codes up to `limit` of at most 16 bits: the fields of sums have `bits` more than
    /// a code, and what is left has no fewer for the count.
    private static func bits(codesUpTo limit: UInt64) -> (code: Int, spare: Int) {
        let code = max(1, UInt64.bitWidth - limit.leadingZeroBitCount)
        return (code, (UInt64.bitWidth - 2 * code) / 3)
    }

    /// Whether adding the table up, whenever a field is full, costs little beside the rows.
    static func pays(groups: Int, codesUpTo limit: UInt64) -> Bool {
        ck_pairs_pay() && groups > 1 && groups <= groupsMax && limit < 1 << 16
            && groups * groups * 2 <= 1 << bits(codesUpTo: limit).spare
    }

    /// Adds the first rows, all but a few, and returns how many, calling `prefetch` before some of them; what was added so before must have been flushed if codes
    /// had another limit. `flush` is called with sums of codes and counts by group when a field is full.
    func add(
        _ ids: UnsafePointer<UInt8>, _ codes: BlockVector.Elements, _ count: Int, codesUpTo limit: UInt64,
        prefetch: () -> Void,
        flush: (_ sums: UnsafeMutablePointer<UInt64>, _ counts: UnsafeMutablePointer<UInt64>) -> Void
    ) -> Int {
        let (code, spare) = Self.bits(codesUpTo: limit)
        var at = 0
        while count - at > 1 {
            // A few rows at the end are not worth it: the next piece begins with an empty table.
            if at > 0, pairsLeft == 0, count - at < 64 { break }
            if width != code + spare || pairsLeft == 0 {
                self.flush(flush)
                width = code + spare
                pairsLeft = 1 << spare - 1
            }
            prefetch()
            let pairs = min(pairsLeft, (count - at) / 2, BlockReader.rowsPerPrefetch / 2)
            switch codes {
            case .bytes(let codes):
                ck_add_pairs8(table.start, UInt32(groups), Int32(width), ids + at, codes + at, pairs * 2)
            case .shorts(let codes):
                ck_add_pairs16(table.start, UInt32(groups), Int32(width), ids + at, codes + at, pairs * 2)
            default: preconditionFailure("codes of at most 16 bits")
            }
            pairsLeft -= pairs
            at += pairs * 2
        }
        return at
    }

    /// Calls `body` with what was added since the last time, if anything.
    func flush(_ body: (_ sums: UnsafeMutablePointer<UInt64>, _ counts: UnsafeMutablePointer<UInt64>) -> Void) {
        guard width > 0 else { return }
        ck_flush_pairs(table.start, UInt32(groups), Int32(width), sums.start, counts.start)
        body(sums.start, counts.start)
        sums.start.update(repeating: 0, count: groups)
        counts.start.update(repeating: 0, count: groups)
        width = 0
        pairsLeft = 0
    }
}
