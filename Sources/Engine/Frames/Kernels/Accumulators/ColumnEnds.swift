// The value that goes with the least or greatest key of another column, by group: what first and last are made of.

// Unsafe: writes memory by group at ids that the numbering keeps below its size.

/// Within a piece strings are compared by the rank of their codes, between pieces as text.
final class ColumnEnds: Accumulator {
    private let slot: Int
    private let by: Int
    private let isFirst: Bool
    private let isText: Bool
    private let bestBy: GroupArray<Int64>
    private let bestKey: GroupArray<Int64>
    private let saw: GroupArray<UInt8>
    private let lease: MemoryLease
    private var settled: [ColumnEnd?] = []
    private var ranks: TextRanks

    init(slot: Int, by: Int, isFirst: Bool, isText: Bool, _ lease: MemoryLease) {
        self.lease = lease
        self.slot = slot
        self.by = by
        self.isFirst = isFirst
        self.isText = isText
        bestBy = GroupArray(identity: isFirst ? .max : .min, lease)
        bestKey = GroupArray(identity: isFirst ? .max : .min, lease)
        saw = GroupArray(identity: 0, lease)
        ranks = TextRanks(lease)
    }

    func end(of group: Int) -> ColumnEnd? { group < settled.count ? settled[group] : nil }

    func beginPiece() throws(Failure) { try settle() }
    func end() throws(Failure) { try settle() }

    /// Moves what a piece had to where ranks do not matter.
    private func settle() throws(Failure) {
        try settled.grow(to: saw.count, lease)
        for group in 0..<saw.count where saw.start[group] != 0 {
            var found = ColumnEnd(by: bestBy.start[group])
            if isText, ranks.isKnown {
                found.text = Array(ranks.text(bestKey.start[group]))
            } else {
                found.key = bestKey.start[group]
            }
            if settled[group].map({ found.replaces($0, isFirst: isFirst) }) ?? true {
                if isText { try lease.take(found.text.memoryBytes - (settled[group]?.text.memoryBytes ?? 0)) }
                settled[group] = found
            }
            saw.start[group] = 0
            bestBy.start[group] = isFirst ? .max : .min
            bestKey.start[group] = isFirst ? .max : .min
        }
        ranks.forget()
    }

    func add(_ reader: BlockReader, _ ids: GroupIDs, groups: Int) throws(Failure) {
        try bestBy.grow(to: groups)
        try bestKey.grow(to: groups)
        try saw.grow(to: groups)
        let values = try reader.vector(slot)
        let keys = try reader.vector(by)
        if isText { try ranks.learn(try reader.dictionary(slot)) }
        var nullAt = 0
        values.nulls.forEachGap(below: reader.count) { range in
            for at in range {
                while nullAt < keys.nulls.count, keys.nulls[nullAt] < at { nullAt &+= 1 }
                if nullAt < keys.nulls.count, keys.nulls[nullAt] == at { continue }
                take(keys.key(at: at), valueKey(values, at), ids[at])
            }
        }
    }

    @inline(__always)
    private func valueKey(_ vector: BlockVector, _ at: Int) -> Int64 {
        if case .doubles(let doubles) = vector.elements { return doubles[at].totalKey }
        return isText ? ranks.byCode[Int(vector.key(at: at))] : vector.key(at: at)
    }

    @inline(__always)
    private func take(_ by: Int64, _ key: Int64, _ group: Int) {
        let best = bestBy.start[group]
        if saw.start[group] != 0 {
            if isFirst ? by > best : by < best { return }
            if by == best, isFirst ? key >= bestKey.start[group] : key <= bestKey.start[group] { return }
        }
        bestBy.start[group] = by
        bestKey.start[group] = key
        saw.start[group] = 1
    }
}
