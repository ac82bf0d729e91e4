// The group of every selected row: digits of the keys put together by arithmetic while their domain is small, numbered by
// a hash table where it is not.

// Unsafe: reads vectors and writes ids of a block's selected rows.

/// What is known of a key column over all pieces of a scan.
struct KeyDomain {
    let slot: Int
    let type: ColumnType
    let bucket: TimeBucket?
    /// Keys (of a bucket: their indices) are base + scale * digit with digits below `count`; nil where they have to be
    /// numbered as they come. A null has the digit `count`.
    let dense: (base: Int64, scale: Int64, count: Int)?
    /// Whether any row has no value.
    let hasNulls: Bool

    /// Of a dense domain.
    var digitCount: Int? { dense.map { $0.count + (hasNulls ? 1 : 0) } }
}

/// Groups of one thread's scan, numbered from 0.
final class GroupNumbering {
    /// Beyond this many groups arrays by group cost more than they save.
    static let denseMax = 1 << 20

    private let domains: [KeyDomain]
    /// Digits of key `k` count `strides[k]`; nil where groups are numbered by hash.
    private let strides: [Int]?
    private let denseCount: Int
    private var digitTables: [DigitTable]
    private var pairTables: [NumberTable]
    private var groupTable = NumberTable()
    /// Of groups numbered by hash: each one's key.
    private var keys = KeyList()
    private var tables: TableAccount
    private let shorts = BlockBuffer()
    private let digits = BlockBuffer()
    private let wide = BlockBuffer()
    private let groupsMax: Int

    init(domains: [KeyDomain], groupsMax: Int, _ lease: MemoryLease) {
        tables = TableAccount(lease)
        self.domains = domains
        self.groupsMax = groupsMax
        digitTables = domains.map { DigitTable($0) }
        pairTables = domains.map { _ in NumberTable() }
        var strides: [Int] = []
        var product = 1
        for domain in domains {
            guard let digitCount = domain.digitCount, product <= Self.denseMax, digitCount <= Self.denseMax else {
                product = .max
                break
            }
            strides.append(product)
            product *= digitCount
        }
        self.strides = product <= Self.denseMax ? strides : nil
        denseCount = product
    }

    var hasKeys: Bool { !domains.isEmpty }

    /// Groups there may be: all ids are below it.
    var count: Int { domains.isEmpty ? 1 : strides == nil ? keys.count : denseCount }

    /// `count`, where it does not grow.
    var knownCount: Int? { domains.isEmpty ? 1 : strides == nil ? nil : denseCount }

    /// The ids of the reader's selected rows. Throws when there are too many groups.
    func number(_ reader: BlockReader) throws(Failure) -> GroupIDs {
        guard hasKeys else { return .one }
        guard let strides else {
            try tables.expect(try tableBytes(adding: reader))
            let ids = try numberByHash(reader)
            try tables.note(tableBytes)
            return .words(ids)
        }
        if denseCount <= 1 << 8 {
            if let ids = try codesAsIDs(reader) { return .bytes(ids) }
            let ids = shorts.pointer(UInt8.self)
            try write(strides, reader, ids)
            return .bytes(ids)
        }
        if denseCount <= 1 << 16 {
            let ids = shorts.pointer(UInt16.self)
            try write(strides, reader, ids)
            return .shorts(ids)
        }
        let ids = wide.pointer(UInt32.self)
        try write(strides, reader, ids)
        return .words(ids)
    }

    /// The codes themselves, where they are the only digits and begin at the domain's base.
    private func codesAsIDs(_ reader: BlockReader) throws(Failure) -> UnsafePointer<UInt8>? {
        guard domains.count == 1, let dense = domains[0].dense, domains[0].bucket == nil else { return nil }
        let vector = try reader.vector(domains[0].slot)
        guard case .bytes(let codes) = vector.elements, vector.base == dense.base, vector.scale == dense.scale,
            vector.nulls.count == 0
        else { return nil }
        return codes
    }

    private func write<ID: GroupID>(
        _ strides: [Int], _ reader: BlockReader, _ ids: UnsafeMutablePointer<ID>
    ) throws(Failure) {
        for (index, domain) in domains.enumerated() {
            let vector = try reader.vector(domain.slot)
            let writer = DigitWriter(
                vector: vector, domain: domain, stride: strides[index], isFirst: index == 0, ids: ids,
                count: reader.count)
            writer.write(remap: digitTables[index].remap(for: vector))
        }
    }

    /// Codes of dictionaries that are a chunk's own mean something else in the next piece.
    func beginPiece() {
        for index in digitTables.indices { digitTables[index].forgetStrings() }
    }

    // MARK: By hash

    private var tableBytes: Int {
        pairTables.reduce(groupTable.memoryBytes + keys.heldBytes) { $0 + $1.memoryBytes }
            + digitTables.reduce(0) { $0 + $1.heldBytes }
    }

    /// At most, after a block.
    private func tableBytes(adding reader: BlockReader) throws(Failure) -> Int {
        let rows = reader.count
        var bytes = pairTables.reduce(groupTable.memoryBytes(adding: rows)) { $0 + $1.memoryBytes(adding: rows) }
        bytes += keys.heldBytes(adding: rows)
        for (domain, table) in zip(domains, digitTables) {
            bytes += table.heldBytes(adding: rows, try reader.dictionary(domain.slot))
        }
        return bytes
    }

    private func numberByHash(_ reader: BlockReader) throws(Failure) -> UnsafeMutablePointer<UInt32> {
        let wide = wide.pointer(UInt64.self)
        let ids = digits.pointer(UInt32.self)
        var bits = 0
        for index in domains.indices {
            let vector = try reader.vector(domains[index].slot)
            let dictionary = try reader.dictionary(domains[index].slot)
            digitTables[index].write(vector, dictionary, count: reader.count, into: ids)
            if bits + 32 > 64 {
                for at in 0..<reader.count { wide[at] = UInt64(pairTables[index].number(wide[at])) }
                bits = 32
            }
            if bits == 0 {
                for at in 0..<reader.count { wide[at] = UInt64(ids[at]) }
            } else {
                for at in 0..<reader.count { wide[at] = wide[at] &<< 32 | UInt64(ids[at]) }
            }
            bits += 32
        }
        for at in 0..<reader.count {
            let before = groupTable.count
            let group = groupTable.number(wide[at])
            if group == before { try addGroup(reader, at) }
            ids[at] = UInt32(truncatingIfNeeded: group)
        }
        return ids
    }

    @inline(never)
    private func addGroup(_ reader: BlockReader, _ at: Int) throws(Failure) {
        guard keys.count < groupsMax else { throw Partial.tooManyGroups(groupsMax) }
        var key = WireWriter()
        for domain in domains {
            let vector = try reader.vector(domain.slot)
            guard !Self.isNull(vector, at) else {
                key.append(.null)
                continue
            }
            let number = vector.key(at: at)
            let start = domain.bucket.map { $0.start(of: $0.index(of: number)) } ?? number
            key.append(key: start, domain.type, try reader.dictionary(domain.slot))
        }
        key.withBytes { keys.append($0) }
    }

    private static func isNull(_ vector: BlockVector, _ at: Int) -> Bool {
        let place = partitionPoint(vector.nulls.count) { vector.nulls[$0] < at }
        return place < vector.nulls.count && vector.nulls[place] == at
    }

    /// What the keys of so many groups take, at most: those numbered by arithmetic may be turned to bytes.
    func keyBytes(count: Int) -> Int {
        guard strides != nil else { return keys.heldBytes * 2 + count * 20 }
        return domains.reduce(count * 24) { $0 + count * ($1.type == .string ? 48 : 25) }
    }

    /// The keys of groups, which ascend.
    func keys(
        of groups: [Int], _ dictionaries: [DictionaryView?], _ pace: WorkPace
    ) throws(Failure) -> GroupKeys {
        guard strides != nil else {
            var table = GroupKeys()
            table.reserve(groups.count)
            for group in groups {
                try pace.spend(8)
                keys.withKey(group) { _ = table.intern($0) }
            }
            return table
        }
        let columns = zip(domains, dictionaries).map { CodedKeys.Column(type: $0.type, dictionary: $1) }
        return GroupKeys(CodedKeys(columns, try numbers(of: groups, pace)))
    }

    /// What the digits of groups stand for, see `CodedKeys`.
    private func numbers(of groups: [Int], _ pace: WorkPace) throws(Failure) -> [Int64] {
        let columns = domains.map { DigitKey($0) }
        var numbers: [Int64] = []
        numbers.reserveCapacity(groups.count * columns.count)
        for group in groups {
            try pace.spend(columns.count)
            var rest = group
            for column in columns {
                let digit: Int
                (rest, digit) = rest.quotientAndRemainder(dividingBy: column.digitCount)
                numbers.append(column.number(digit))
            }
        }
        return numbers
    }
}

/// Turns digits of one key back to what they stand for.
private struct DigitKey {
    let digitCount: Int
    private let bucket: TimeBucket?
    private let base: Int64
    private let scale: Int64
    private let count: Int

    init(_ domain: KeyDomain) {
        guard let dense = domain.dense, let digitCount = domain.digitCount else {
            preconditionFailure("all keys are dense")
        }
        (base, scale, count) = dense
        bucket = domain.bucket
        self.digitCount = digitCount
    }

    @inline(__always)
    func number(_ digit: Int) -> Int64 {
        guard digit < count else { return CodedKeys.null }
        let number = base &+ scale &* Int64(digit)
        return bucket?.start(of: number) ?? number
    }
}

/// Adds one key's digits, times its stride, to the ids.
private struct DigitWriter<ID: GroupID> {
    let vector: BlockVector
    let domain: KeyDomain
    let stride: Int
    let isFirst: Bool
    let ids: UnsafeMutablePointer<ID>
    let count: Int

    func write(remap: [UInt32]?) {
        guard let dense = domain.dense else { preconditionFailure("a dense domain") }
        if let remap {
            remap.withUnsafeBufferPointer { remap in
                forEachCode { ID(truncatingIfNeeded: Int(remap[Int(truncatingIfNeeded: $0)]) &* stride) }
            }
        } else if vector.bounds == .none {
            forEach { _ in 0 }
        } else {
            let offset = Int((vector.base &- dense.base) / dense.scale) &* stride
            let step = Int(vector.scale / dense.scale) &* stride
            if ID.digits(ids, vector.elements, count, step: step, offset: offset, adds: !isFirst) {
                // They are written.
            } else if case .integers(let integers) = vector.elements {
                let base = dense.base
                let stride = ID(truncatingIfNeeded: stride)
                forEach { ID(truncatingIfNeeded: integers[$0] &- base) &* stride }  // their scale is 1
            } else {
                let (step, offset) = (ID(truncatingIfNeeded: step), ID(truncatingIfNeeded: offset))
                forEachCode { ID(truncatingIfNeeded: $0) &* step &+ offset }
            }
        }
        markNulls(dense)
    }

    /// A row without a value has the digit of some row so far; it gets that of nulls.
    private func markNulls(_ dense: (base: Int64, scale: Int64, count: Int)) {
        guard vector.nulls.count > 0 else { return }
        let null = ID(truncatingIfNeeded: dense.count &* stride)
        // The digit that was added for a code of 0 is the same for all of them.
        let wrong = digitOfNull(dense)
        for index in 0..<vector.nulls.count { ids[vector.nulls[index]] &+= null &- wrong }
    }

    private func digitOfNull(_ dense: (base: Int64, scale: Int64, count: Int)) -> ID {
        if vector.bounds == .none { return 0 }
        if let bucket = domain.bucket {
            return ID(truncatingIfNeeded: Int(bucket.index(of: vector.base) &- dense.base) &* stride)
        }
        if case .integers = vector.elements {
            return ID(truncatingIfNeeded: 0 &- dense.base) &* ID(truncatingIfNeeded: stride)
        }
        return ID(truncatingIfNeeded: Int((vector.base &- dense.base) / dense.scale) &* stride)
    }

    @inline(__always)
    private func forEach(_ id: (Int) -> ID) {
        if isFirst {
            for at in 0..<count { ids[at] = id(at) }
        } else {
            for at in 0..<count { ids[at] &+= id(at) }
        }
    }

    @inline(__always)
    private func forEachCode(_ id: (UInt64) -> ID) {
        switch vector.elements {
        case .constant: forEach { _ in id(0) }
        case .bytes(let codes): forEach { id(UInt64(codes[$0])) }
        case .shorts(let codes): forEach { id(UInt64(codes[$0])) }
        case .words(let codes): forEach { id(UInt64(codes[$0])) }
        case .integers, .doubles: preconditionFailure("codes")
        }
    }
}

/// One key's digits: by remapping codes, or numbered as they come.
private struct DigitTable {
    private let domain: KeyDomain
    private var numbers = NumberTable()
    private var strings = ByteKeyTable()
    private var cached: (base: Int64, scale: Int64, limit: Int, remap: [UInt32])?
    private var cachedStrings: (dictionary: UnsafePointer<UInt8>, remap: [UInt32])?

    init(_ domain: KeyDomain) { self.domain = domain }

    var heldBytes: Int { numbers.memoryBytes + strings.heldBytes + (cachedStrings?.remap.count ?? 0) * 4 }

    func heldBytes(adding rows: Int, _ dictionary: DictionaryView?) -> Int {
        guard let dictionary else { return numbers.memoryBytes(adding: rows) + strings.heldBytes }
        if cachedStrings?.dictionary == dictionary.bytes { return heldBytes }
        return strings.heldBytes(adding: dictionary.count, keyBytes: dictionary.packedBytes) + dictionary.count * 4
    }

    mutating func forgetStrings() { cachedStrings = nil }

    /// Where a time is cut to a bucket: the dense digit by code.
    mutating func remap(for vector: BlockVector) -> [UInt32]? {
        guard let bucket = domain.bucket, let dense = domain.dense, case .keys(_, let high) = vector.bounds else {
            return nil
        }
        let limit: Int
        if case .constant = vector.elements { limit = 0 } else { limit = Int((high &- vector.base) / vector.scale) }
        if let cached, cached.base == vector.base, cached.scale == vector.scale, cached.limit == limit {
            return cached.remap
        }
        let remap = (0...limit).map { code in
            UInt32(bucket.index(of: vector.base &+ vector.scale &* Int64(code)) &- dense.base)
        }
        cached = (vector.base, vector.scale, limit, remap)
        return remap
    }

    /// Digits numbered as they come, all below 2^32. 0 stands for null.
    mutating func write(
        _ vector: BlockVector, _ dictionary: DictionaryView?, count: Int, into ids: UnsafeMutablePointer<UInt32>
    ) {
        if let dictionary {
            writeStrings(vector, dictionary, count, ids)
        } else if let bucket = domain.bucket {
            for at in 0..<count {
                ids[at] = 1 &+ UInt32(numbers.number(UInt64(bitPattern: bucket.index(of: vector.key(at: at)))))
            }
        } else {
            for at in 0..<count { ids[at] = 1 &+ UInt32(numbers.number(UInt64(bitPattern: vector.key(at: at)))) }
        }
        for index in 0..<vector.nulls.count { ids[vector.nulls[index]] = 0 }
    }

    private mutating func writeStrings(
        _ vector: BlockVector, _ dictionary: DictionaryView, _ count: Int, _ ids: UnsafeMutablePointer<UInt32>
    ) {
        guard dictionary.count > 0 else { return ids.update(repeating: 0, count: count) }
        if cachedStrings?.dictionary != dictionary.bytes {
            let remap = (0..<dictionary.count).map { 1 &+ UInt32(strings.intern(dictionary[$0])) }
            cachedStrings = (dictionary.bytes, remap)
        }
        cachedStrings!.remap.withUnsafeBufferPointer { remap in
            for at in 0..<count { ids[at] = remap[Int(truncatingIfNeeded: vector.key(at: at))] }
        }
    }
}
