// How often each value occurs in each group: what quantiles, distinct counts and the most frequent values are made of.

// Unsafe: counts in memory by group and value, at places below the sizes that it was made for.

import CKernels

/// Exact. While values are codes of a small domain, an array by group and value; else hash tables.
final class ValueCounts: Accumulator {
    /// Counters of an array, at most.
    static let denseMax = 1 << 22

    private enum Mode {
        /// Value = base + scale * digit with digits below `span`.
        case dense(base: Int64, scale: Int64, span: Int)
        case hashed
    }

    enum Purpose {
        case quantiles, distinct, frequencies
    }

    let slot: Int
    private let purpose: Purpose
    /// Whether it matters how often.
    private var counts: Bool { purpose != .distinct }
    private let mode: Mode
    /// Dense: by group * span + digit. Hashed: by number of (group, value).
    private let counters: GroupArray<UInt32>
    private let seen: GroupArray<UInt8>
    private let lanes: GroupArray<UInt32>
    private let lease: MemoryLease
    private let pace: WorkPace
    private var account: TableAccount
    private var rowsInLanes = 0
    /// Digits of pieces that were taken in whole.
    private var wholeSeen = CodeBits()
    private var values = NumberTable()
    private var pairs = NumberTable()
    private var strings = ByteKeyTable()
    private var remap: (dictionary: UnsafePointer<UInt8>, ids: [UInt32])?
    private var largeCounts: [UInt64] = []
    /// Of values that tables had no more room for.
    private var sketches: [ValueSketch] = []
    private var sets: [DistinctSet] = []
    private var tables: [FrequencyTable] = []
    /// What `sketches`, `sets` and `tables` hold.
    private var settledBytes = 0
    /// Different (group, value) that tables hold.
    static let pairsMax = 1 << 18
    private let isDouble: Bool
    private let isText: Bool
    /// Of frequencies: the values to count, nil for all.
    private let only: ByteKeyTable?
    private let topValuesMax: Int

    /// `dense` as in `KeyDomain`, or nil where the domain is large; nil `groups` where they are not known yet.
    init(
        slot: Int, type: ColumnType, purpose: Purpose, dense: (base: Int64, scale: Int64, count: Int)?, groups: Int?,
        only: ByteKeyTable? = nil, topValuesMax: Int = FrequencyTable.valuesMax, _ lease: MemoryLease,
        _ pace: WorkPace
    ) {
        self.lease = lease
        self.pace = pace
        account = TableAccount(lease)
        counters = GroupArray(identity: 0, lease)
        seen = GroupArray(identity: 0, lease)
        lanes = GroupArray(identity: 0, lease)
        self.slot = slot
        self.only = only
        self.topValuesMax = topValuesMax
        isDouble = type == .double
        isText = type == .string
        self.purpose = purpose
        if let dense, let groups, dense.count > 0, groups <= Self.denseMax / dense.count {
            mode = .dense(base: dense.base, scale: dense.scale, span: dense.count)
        } else {
            mode = .hashed
        }
    }

    func beginPiece() { remap = nil }

    /// Different values are those that the piece is known to have.
    func addWhole(_ reader: BlockReader, rowCount: Int) -> Bool {
        guard !counts, case .dense(let base, let scale, _) = mode, let presence = reader.presence(slot) else {
            return false
        }
        let offset = Int((presence.base &- base) / scale)
        let step = Int(presence.scale / scale)
        guard step == 1 || presence.codeCount == 1 else { return false }
        wholeSeen.formUnion(presence.bits, at: offset)
        return true
    }

    func add(_ reader: BlockReader, _ ids: GroupIDs, groups: Int) throws(Failure) {
        let vector = try reader.vector(slot)
        guard reader.count > vector.nulls.count else { return }
        switch mode {
        case .hashed: try addHashed(vector, try reader.dictionary(slot), reader.count, ids)
        case .dense(let base, let scale, let span):
            let place = DensePlace(vector: vector, base: base, scale: scale, span: span)
            if counts {
                try addCounts(vector, place, reader, ids, groups)
            } else {
                try mark(vector, place, reader, ids, groups)
            }
        }
    }

    private func addCounts(
        _ vector: BlockVector, _ place: DensePlace, _ reader: BlockReader, _ ids: GroupIDs, _ groups: Int
    ) throws(Failure) {
        let count = reader.count
        rowsInLanes += count
        if rowsInLanes > 1 << 31 { try spill() }
        if case .one = ids, place.span <= 1 << 14 {
            try lanes.grow(to: place.span * 4)
            let first = lanes.start + place.offset
            if case .integers = vector.elements {
                let counters = lanes.start
                return forEach(vector, place, count, ids) { counters[$0] &+= 1 }
            }
            BlockVector.inParts(count, reader) { start, rows in
                switch vector.elements.from(start) {
                case .bytes(let codes): ck_count8(first, place.span, codes, rows, place.step)
                case .shorts(let codes): ck_count16(first, place.span, codes, rows, place.step)
                case .words(let codes): ck_count32(first, place.span, codes, rows, place.step)
                case .constant: first[0] &+= UInt32(rows)
                case .integers, .doubles: preconditionFailure("codes")
                }
            }
            first[0] &-= UInt32(vector.nulls.count)  // rows without a value were counted for code 0
        } else {
            try counters.grow(to: groups * place.span)
            let counters = counters.start
            forEach(vector, place, count, ids) { counters[$0] &+= 1 }
        }
    }

    private func mark(
        _ vector: BlockVector, _ place: DensePlace, _ reader: BlockReader, _ ids: GroupIDs, _ groups: Int
    ) throws(Failure) {
        let count = reader.count
        try seen.grow(to: groups * place.span)
        let seen = seen.start
        // Rows without a value have code 0: where that is not known yet, they are told apart.
        let isPlain = if case .integers = vector.elements { true } else { false }
        if case .one = ids, !isPlain, vector.nulls.count == 0 || seen[place.offset] != 0 {
            let first = seen + place.offset
            return BlockVector.inParts(count, reader) { start, rows in
                switch vector.elements.from(start) {
                case .constant: first[0] = 1
                case .bytes(let codes): ck_mark8(first, codes, rows, place.step)
                case .shorts(let codes): ck_mark16(first, codes, rows, place.step)
                case .words(let codes): ck_mark32(first, codes, rows, place.step)
                case .integers, .doubles: preconditionFailure("codes")
                }
            }
        }
        forEach(vector, place, count, ids) { seen[$0] = 1 }
    }

    /// Moves counters that could overflow to larger ones.
    private func spill() throws(Failure) {
        try end()
        if largeCounts.count < counters.count {
            try lease.take((counters.count - largeCounts.count) * 8)
            largeCounts.append(contentsOf: repeatElement(0, count: counters.count - largeCounts.count))
        }
        for index in 0..<counters.count {
            largeCounts[index] += UInt64(counters.start[index])
            counters.start[index] = 0
        }
        rowsInLanes = 0
    }

    func end() throws(Failure) {
        guard case .dense(_, _, let span) = mode else { return }
        if !wholeSeen.isEmpty {
            try seen.grow(to: span)
            wholeSeen.forEach { digit in
                precondition(digit < span, "zones bound the domain")
                seen.start[digit] = 1
            }
        }
        guard lanes.count > 0 else { return }
        try counters.grow(to: span)
        for index in 0..<lanes.count {
            counters.start[index % span] &+= lanes.start[index]  // wrapping: only the sum of lanes is a count
            lanes.start[index] = 0
        }
    }

    // MARK: Dense

    private struct DensePlace {
        let offset: Int
        let step: Int
        let span: Int
        let base: Int64

        init(vector: BlockVector, base: Int64, scale: Int64, span: Int) {
            offset = vector.bounds == .none ? 0 : Int((vector.base &- base) / scale)
            step = Int(vector.scale / scale)
            self.span = span
            self.base = base
        }
    }

    @inline(__always)
    private func forEach(
        _ vector: BlockVector, _ place: DensePlace, _ count: Int, _ ids: GroupIDs, _ body: (Int) -> Void
    ) {
        let (offset, step, base) = (place.offset, place.step, place.base)
        switch vector.elements {
        case .constant: visit(vector, place.span, count, ids, { _ in offset }, body)
        case .bytes(let codes): visit(vector, place.span, count, ids, { Int(codes[$0]) &* step &+ offset }, body)
        case .shorts(let codes) where step == 1:
            visit(vector, place.span, count, ids, { Int(codes[$0]) &+ offset }, body)
        case .shorts(let codes): visit(vector, place.span, count, ids, { Int(codes[$0]) &* step &+ offset }, body)
        case .words(let codes): visit(vector, place.span, count, ids, { Int(codes[$0]) &* step &+ offset }, body)
        case .integers(let integers):
            visit(vector, place.span, count, ids, { Int(truncatingIfNeeded: integers[$0] &- base) }, body)
        case .doubles: preconditionFailure("doubles are counted by hash")
        }
    }

    @inline(__always)
    private func visit(
        _ vector: BlockVector, _ span: Int, _ count: Int, _ ids: GroupIDs, _ digit: (Int) -> Int,
        _ body: (Int) -> Void
    ) {
        vector.nulls.forEachGap(below: count) { range in
            switch ids {
            case .one: for at in range { body(digit(at)) }
            case .bytes(let ids): for at in range { body(Int(ids[at]) &* span &+ digit(at)) }
            case .shorts(let ids): for at in range { body(Int(ids[at]) &* span &+ digit(at)) }
            case .words(let ids): for at in range { body(Int(ids[at]) &* span &+ digit(at)) }
            }
        }
    }

    // MARK: Hashed

    private func addHashed(
        _ vector: BlockVector, _ dictionary: DictionaryView?, _ count: Int, _ ids: GroupIDs
    ) throws(Failure) {
        try account.expect(tableBytes(adding: count, dictionary))
        // Pairs there may be after this block.
        if counts { try counters.grow(to: pairs.count + count) }
        if let dictionary, remap?.dictionary != dictionary.bytes {
            remap = (dictionary.bytes, (0..<dictionary.count).map { UInt32(strings.intern(dictionary[$0])) })
        }
        vector.nulls.forEachGap(below: count) { range in
            for at in range {
                let number: Int
                if case .doubles(let doubles) = vector.elements {
                    number = values.number(UInt64(bitPattern: doubles[at].orderedKey))
                } else if let remap {
                    number = Int(remap.ids[Int(vector.key(at: at))])
                } else {
                    number = values.number(UInt64(bitPattern: vector.key(at: at)))
                }
                let pair = pairs.number(UInt64(ids[at]) &<< 32 | UInt64(number))
                if counts { counters.start[pair] &+= 1 }
            }
        }
        rowsInLanes += count
        if counts, rowsInLanes > 1 << 31 { try spill() }
        if pairs.count > Self.pairsMax { try settle() }
        try account.note(tableBytes)
    }

    private var tableBytes: Int {
        values.memoryBytes + pairs.memoryBytes + strings.heldBytes + (remap?.ids.count ?? 0) * 4 + settledBytes
    }

    private func tableBytes(adding rows: Int, _ dictionary: DictionaryView?) -> Int {
        var bytes = pairs.memoryBytes(adding: rows) + settledBytes
        if let dictionary, remap?.dictionary != dictionary.bytes {
            bytes +=
                strings.heldBytes(adding: dictionary.count, keyBytes: dictionary.packedBytes) + dictionary.count * 4
        } else {
            bytes += strings.heldBytes + (remap?.ids.count ?? 0) * 4
        }
        return bytes + (dictionary == nil ? values.memoryBytes(adding: rows) : values.memoryBytes)
    }

    /// Moves what the tables hold to sketches and sets, which stay within bounds however many values there are.
    private func settle() throws(Failure) {
        let found = pairs.keys.reduce(0) { max($0, Int($1 >> 32) + 1) }
        let groupCount = max(found, sketches.count, sets.count, tables.count)
        try account.note(tableBytes + resultBytes(groupCount: groupCount, shared: nil))
        switch purpose {
        case .quantiles: sketches = try allSketches(groupCount: groupCount, pace)
        case .distinct: sets = try allSets(groupCount: groupCount, shared: nil, pace)
        case .frequencies: tables = try allTables(groupCount: groupCount, shared: nil, pace)
        }
        settledBytes =
            sketches.reduce(0) { $0 + $1.memoryBytes } + sets.reduce(0) { $0 + $1.memoryBytes }
            + tables.reduce(0) { $0 + $1.memoryBytes }
        (values, pairs, strings, remap) = (NumberTable(), NumberTable(), ByteKeyTable(), nil)
        for index in 0..<counters.count { counters.start[index] = 0 }
        lease.give(largeCounts.count * 8)
        largeCounts = []
    }

    /// What the results of so many groups take, at most, besides what is settled already.
    func resultBytes(groupCount: Int, shared: DictionaryView?) -> Int {
        let eachGroup =
            switch purpose {
            case .quantiles: ValueSketch.emptyBytes + 64
            case .distinct: DistinctSet.emptyBytes
            case .frequencies: FrequencyTable.emptyBytes
            }
        switch mode {
        case .hashed:
            // As they grow, arrays have twice the room, and are there twice while they are copied.
            let text = pairs.count > 0 && isText ? strings.bytes.count / max(1, strings.count) + 1 : 8
            return settledBytes + groupCount * eachGroup + pairs.count * (text + 16) * 3
        case .dense(let base, _, let span):
            let size = counts ? max(counters.count, largeCounts.count) : seen.count
            if !counts, isText {
                // Bits for codes; groups of fewer values have the strings.
                let texts = shared.map { $0.codesMin * ($0.packedBytes / max(1, $0.count) + 16) } ?? 0
                return groupCount * (eachGroup + max(texts, (Int(base) + span) / 8 + 64))
            }
            var used = 0
            for index in 0..<size where (counts ? total(index) : Int64(seen.start[index])) > 0 { used += 1 }
            let text = isText ? shared.map { $0.packedBytes / max(1, $0.count) + 1 } ?? 0 : 8
            return groupCount * eachGroup + used * (text + 16) * 3
        }
    }

    // MARK: Results

    /// Of numbers: each group's values with their counts.
    func allSketches(groupCount: Int, _ pace: WorkPace) throws(Failure) -> [ValueSketch] {
        let keys = try keys(groupCount: groupCount, pace)
        var result: [ValueSketch] = []
        result.reserveCapacity(groupCount)
        for keys in keys {
            try pace.spend(4 + keys.count)
            result.append(ValueSketch(keys, isDouble: isDouble))
        }
        for (group, sketch) in sketches.enumerated() {
            try pace.spend(sketch.size)
            try result[group].combine(sketch, isDouble: isDouble)
        }
        return result
    }

    /// Each group's different values. `shared` is the dictionary that dense codes are of.
    func allSets(groupCount: Int, shared: DictionaryView?, _ pace: WorkPace) throws(Failure) -> [DistinctSet] {
        var result = sets
        while result.count < groupCount { result.append(DistinctSet()) }
        if case .dense(let base, _, let span) = mode, isText, let shared {
            for group in 0..<min(groupCount, seen.count / span) {
                try pace.spend(span / 8 + 16)
                let marks = UnsafeBufferPointer(start: seen.start + group * span, count: span)
                result[group] = Self.set(marks, base: Int(base), shared)
            }
        } else if isText {
            try texts(shared: shared, pace) { group, text, _ in result[group].insert(text) }
        } else {
            try forEachKey(pace) { group, key, _ in result[group].insert(key) }
        }
        return result
    }

    private static func set(
        _ marks: UnsafeBufferPointer<UInt8>, base: Int, _ dictionary: DictionaryView
    ) -> DistinctSet {
        let count = marks.reduce(0) { $0 + Int($1) }
        guard count < dictionary.codesMin else {
            return DistinctSet(CodeSet(dictionary, base: base, marks: marks))
        }
        var set = DistinctSet()
        for (index, mark) in marks.enumerated() where mark != 0 { set.insert(dictionary[base + index]) }
        return set
    }

    /// Each group's values by frequency; `shared` as in `allSets`.
    func allTables(
        groupCount: Int, shared: DictionaryView?, _ pace: WorkPace
    ) throws(Failure) -> [FrequencyTable] {
        var result = tables
        while result.count < groupCount { result.append(FrequencyTable(limit: topValuesMax)) }
        if isText {
            try texts(shared: shared, pace) { group, text, count in
                if only?.contains(text) ?? true { result[group].add(text, count) }
            }
        } else {
            try forEachKey(pace) { group, key, count in
                withUnsafeBytes(of: key.littleEndian) { bytes in
                    let value = bytes.bindMemory(to: UInt8.self)
                    if only?.contains(value) ?? true { result[group].add(value, count) }
                }
            }
        }
        if only != nil { for group in result.indices { result[group].markPartial() } }
        return result
    }

    private func total(_ index: Int) -> Int64 {
        Int64(counters[index]) + Int64(index < largeCounts.count ? largeCounts[index] : 0)
    }

    /// Keys (integers, or `orderedKey` of doubles) with their counts, by group, ascending.
    private func keys(groupCount: Int, _ pace: WorkPace) throws(Failure) -> [[(key: Int64, count: Int64)]] {
        var result = [[(key: Int64, count: Int64)]](repeating: [], count: groupCount)
        try forEachKey(pace) { group, key, count in result[group].append((key, count)) }
        guard case .hashed = mode else { return result }
        for group in result.indices {
            try pace.spend(1 + result[group].count * 8)
            result[group].sort { $0.key < $1.key }
        }
        return result
    }

    private func forEachKey(
        _ pace: WorkPace, _ body: (_ group: Int, _ key: Int64, _ count: Int64) -> Void
    ) throws(Failure) {
        try forEachValue(pace) { group, value, count in
            switch mode {
            case .dense(let base, let scale, _): body(group, base &+ scale &* Int64(value), count)
            case .hashed: body(group, Int64(bitPattern: values.keys[value]), count)
            }
        }
    }

    /// Strings with their counts, by group. `shared` is the dictionary that dense codes are of.
    private func texts(
        shared: DictionaryView?, _ pace: WorkPace, _ body: (Int, UnsafeBufferPointer<UInt8>, Int64) -> Void
    ) throws(Failure) {
        switch mode {
        case .dense(let base, _, _):
            guard let shared else { return }
            let texts = shared.strings
            defer { withExtendedLifetime(shared) {} }
            try forEachValue(pace) { group, value, count in body(group, texts[Int(base) &+ value], count) }
        case .hashed:
            try forEachValue(pace) { group, value, count in strings.withKey(value) { body(group, $0, count) } }
        }
    }

    private func forEachValue(
        _ pace: WorkPace, _ body: (_ group: Int, _ value: Int, _ count: Int64) -> Void
    ) throws(Failure) {
        switch mode {
        case .hashed:
            try pace.inPieces(pairs.count, units: 8) { range in
                for index in range {
                    let pair = pairs.keys[index]
                    body(Int(pair >> 32), Int(pair & 0xFFFF_FFFF), counts ? total(index) : 1)
                }
            }
        case .dense(_, _, let span):
            let size = counts ? max(counters.count, largeCounts.count) : seen.count
            try pace.inPieces(size, units: 2) { range in
                for index in range {
                    let count = counts ? total(index) : Int64(seen.start[index])
                    if count > 0 { body(index / span, index % span, count) }
                }
            }
        }
    }
}
