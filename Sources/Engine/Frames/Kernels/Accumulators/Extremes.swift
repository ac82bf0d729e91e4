// The least or greatest value by group: keys of numbers, times and truth values, or strings.

// Unsafe: writes memory by group at ids that the numbering keeps below its size.

import CKernels

/// Doubles are compared by their `totalKey`.
final class KeyExtremes: Accumulator {
    let slot: Int
    private let isMin: Bool
    private let best: GroupArray<Int64>

    init(slot: Int, isMin: Bool, _ lease: MemoryLease) {
        self.slot = slot
        self.isMin = isMin
        best = GroupArray(identity: isMin ? .max : .min, lease)
    }

    /// Meaningless for a group without values.
    func key(_ group: Int) -> Int64 { best[group] }

    func addWhole(_ reader: BlockReader, rowCount: Int) throws(Failure) -> Bool {
        guard let zone = reader.zone(slot), !reader.isDouble(slot) else { return false }
        try best.grow(to: 1)
        if case .keys(let low, let high) = zone.bounds { take(isMin ? low : high, 0) }
        return true
    }

    @inline(__always)
    private func take(_ key: Int64, _ group: Int) {
        if isMin ? key < best.start[group] : key > best.start[group] { best.start[group] = key }
    }

    func add(_ reader: BlockReader, _ ids: GroupIDs, groups: Int) throws(Failure) {
        try best.grow(to: groups)
        let vector = try reader.vector(slot)
        let count = reader.count
        switch vector.elements {
        case .constant: forEach(vector, count, ids) { _ in vector.base }
        case .bytes(let codes): forEachCode(codes, vector, count, ids, ck_bounds8)
        case .shorts(let codes): forEachCode(codes, vector, count, ids, ck_bounds16)
        case .words(let codes): forEachCode(codes, vector, count, ids, ck_bounds32)
        case .integers(let integers): forEach(vector, count, ids) { integers[$0] }
        case .doubles(let doubles):
            if case .one = ids, let found = plainExtreme(doubles, count, hasNulls: vector.nulls.count > 0) {
                take(found.totalKey, 0)
            } else {
                forEach(vector, count, ids) { doubles[$0].totalKey }
            }
        }
    }

    /// By plain comparison, many at a time; nil where that is not enough: zeros, whose sign matters and which rows without a
    /// value hold, infinities and NaN.
    private func plainExtreme(_ doubles: UnsafePointer<Double>, _ count: Int, hasNulls: Bool) -> Double? {
        var found = 0.0
        guard count >= 8, ck_extreme_double(doubles, count, isMin, &found) else { return nil }
        let isSafe = isMin ? found < 0 : found > 0
        return isSafe || (found != 0 && !hasNulls) ? found : nil
    }

    /// Without groups the codes themselves are compared, many at a time.
    @inline(__always)
    private func forEachCode<C: FixedWidthInteger & UnsignedInteger>(
        _ codes: UnsafePointer<C>, _ vector: BlockVector, _ count: Int, _ ids: GroupIDs,
        _ bounds: (UnsafePointer<C>, Int, UnsafeMutablePointer<C>, UnsafeMutablePointer<C>) -> Void
    ) {
        guard case .one = ids else {
            return forEach(vector, count, ids) { vector.base &+ vector.scale &* Int64(codes[$0]) }
        }
        guard count > vector.nulls.count else { return }
        var (low, high) = (C.max, C.min)
        // Rows without a value have code 0, which is never above another.
        if vector.nulls.count == 0 || !isMin {
            bounds(codes, count, &low, &high)
            return take(vector.base &+ vector.scale &* Int64(isMin ? low : high), 0)
        }
        vector.nulls.forEachGap(below: count) { range in
            for at in range {
                low = min(low, codes[at])
                high = max(high, codes[at])
            }
        }
        take(vector.base &+ vector.scale &* Int64(isMin ? low : high), 0)
    }

    @inline(__always)
    private func forEach(_ vector: BlockVector, _ count: Int, _ ids: GroupIDs, _ key: (Int) -> Int64) {
        vector.nulls.forEachGap(below: count) { range in
            switch ids {
            case .one:
                var found = best.start[0]
                for at in range { found = isMin ? min(found, key(at)) : max(found, key(at)) }
                best.start[0] = found
            case .bytes(let ids): for at in range { take(key(at), Int(ids[at])) }
            case .shorts(let ids): for at in range { take(key(at), Int(ids[at])) }
            case .words(let ids): for at in range { take(key(at), Int(ids[at])) }
            }
        }
    }
}

/// Strings by their bytes: within a piece by the rank of their codes, between pieces as text.
final class TextExtremes: Accumulator {
    let slot: Int
    private let isMin: Bool
    private let best: GroupArray<Int64>
    private let lease: MemoryLease
    private var texts: [[UInt8]?] = []
    private var ranks: TextRanks

    init(slot: Int, isMin: Bool, _ lease: MemoryLease) {
        self.slot = slot
        self.isMin = isMin
        self.lease = lease
        best = GroupArray(identity: isMin ? .max : .min, lease)
        ranks = TextRanks(lease)
    }

    func text(_ group: Int) -> [UInt8]? { group < texts.count ? texts[group] : nil }

    func beginPiece() throws(Failure) { try settle() }
    func end() throws(Failure) { try settle() }

    /// Turns what was found in ranks into text, before ranks mean something else.
    private func settle() throws(Failure) {
        let identity: Int64 = isMin ? .max : .min
        guard ranks.isKnown else { return }
        try texts.grow(to: best.count, lease)
        for group in 0..<best.count where best.start[group] != identity {
            let text = ranks.text(best.start[group])
            best.start[group] = identity
            if let known = texts[group] {
                let replaces = isMin ? text.lexicographicallyPrecedes(known) : known.lexicographicallyPrecedes(text)
                if !replaces { continue }
            }
            try lease.take(text.memoryBytes - (texts[group]?.memoryBytes ?? 0))
            texts[group] = Array(text)
        }
        ranks.forget()
    }

    func add(_ reader: BlockReader, _ ids: GroupIDs, groups: Int) throws(Failure) {
        try best.grow(to: groups)
        let vector = try reader.vector(slot)
        try ranks.learn(try reader.dictionary(slot))
        let byCode = ranks.byCode
        vector.nulls.forEachGap(below: reader.count) { range in
            for at in range {
                let (rank, group) = (byCode[Int(vector.key(at: at))], ids[at])
                if isMin ? rank < best.start[group] : rank > best.start[group] { best.start[group] = rank }
            }
        }
    }
}
