// The states of topk: how often each value occurs, exact while they are few, else without the rarest ones and with a bound
// of what that may hide (Agarwal and others, "Mergeable summaries", PODS 2012).

/// Values of one group by their bytes (numbers: eight, little-endian keys), with counts.
package struct FrequencyTable: Sendable {
    /// Beyond so many values, or bytes of them, the rarer half is dropped.
    package static let valuesMax = 1 << 20
    static let bytesMax = 64 << 20

    private(set) var values = ByteKeyTable()
    private(set) var counts: [Int64] = []
    /// A value occurs at least as often as counted, and at most so much oftener; one that is not here at most so often.
    private(set) var hiddenMax: Int64 = 0
    /// A count was beyond 64 bits.
    private var isBeyond = false
    private let limit: Int

    init(limit: Int = valuesMax) { self.limit = limit }

    /// One without values.
    static let emptyBytes = MemoryLayout<FrequencyTable>.stride + 192
    var memoryBytes: Int { Self.emptyBytes + values.heldBytes + counts.capacity * 8 }

    /// Of a second round: what is no candidate was not counted, which its bounds are not known of here.
    mutating func markPartial() { hiddenMax = max(hiddenMax, 1) }

    /// What is not here occurs less often than anything that matters.
    mutating func markExact() { hiddenMax = 0 }

    mutating func add(_ value: UnsafeBufferPointer<UInt8>, _ count: Int64) {
        let index = values.intern(value)
        if index == counts.count {
            counts.append(count)
            if counts.count > limit || values.bytes.count > Self.bytesMax { dropRarerHalf() }
        } else {
            counts[index] = sum(counts[index], count)
        }
    }

    private mutating func sum(_ a: Int64, _ b: Int64) -> Int64 {
        let (sum, isBeyond) = a.addingReportingOverflow(b)
        if isBeyond { self.isBeyond = true }
        return isBeyond ? .max : sum
    }

    mutating func add(_ key: Int64, _ count: Int64) {
        withUnsafeBytes(of: key.littleEndian) { add($0.bindMemory(to: UInt8.self), count) }
    }

    mutating func combine(_ other: FrequencyTable, _ pace: WorkPace) throws(Failure) {
        hiddenMax = sum(hiddenMax, other.hiddenMax)
        try pace.spend(8)
        try pace.inPieces(other.counts.count, units: 8) { range in
            for index in range { other.values.withKey(index) { add($0, other.counts[index]) } }
        }
        if isBeyond { throw Failure.countBeyond64Bits }
    }

    /// Takes the median count off every value and forgets those that nothing is left of.
    private mutating func dropRarerHalf() {
        let threshold = counts.sorted()[counts.count / 2]
        var kept = ByteKeyTable()
        var keptCounts: [Int64] = []
        for index in counts.indices where counts[index] > threshold {
            _ = values[index].withUnsafeBufferPointer { kept.intern($0) }
            keptCounts.append(counts[index] - threshold)
        }
        (values, counts) = (kept, keptCounts)
        hiddenMax = sum(hiddenMax, threshold)
    }

    /// The most frequent values, by their places; of equal counts the lesser values.
    func top(_ limit: Int, isText: Bool) -> [Int] {
        var places = Array(counts.indices)
        if places.count > limit * 8 {
            // Most are out of the question: only those that reach the count of the last place are put in order.
            let least = counts.sorted(by: >)[limit - 1]
            places.removeAll { counts[$0] < least }
        }
        places.sort { a, b in
            if counts[a] != counts[b] { return counts[a] > counts[b] }
            return isText ? values[a].lexicographicallyPrecedes(values[b]) : key(a) < key(b)
        }
        return Array(places.prefix(limit))
    }

    func key(_ place: Int) -> Int64 {
        Int64(littleEndian: values[place].withUnsafeBytes { $0.loadUnaligned(as: Int64.self) })
    }

    func encode(to out: inout WireWriter) {
        out.append(hiddenMax)
        out.append(UInt32(counts.count))
        for index in counts.indices {
            values.withKey(index) { out.append(counted: $0) }
            out.append(counts[index])
        }
    }

    init(_ reader: inout WireReader, isText: Bool) throws(WireDamage) {
        limit = Self.valuesMax
        hiddenMax = try reader.rowCount()
        let count = try reader.count(bytesEach: 12)
        guard count <= Self.valuesMax else { throw WireDamage() }
        for index in 0..<count {
            let value = try reader.counted()
            guard isText || value.count == 8, value.withUnsafeBufferPointer({ values.intern($0) }) == index else {
                throw WireDamage()
            }
            counts.append(try reader.rowCount())
        }
    }
}

struct FrequencyStates: AggregateStates {
    let top: Int
    /// Rather fails than answers approximately.
    private let isExact: Bool
    private let type: ColumnType
    private let name: String
    private(set) var tables: [FrequencyTable]

    init(top: Int, isExact: Bool, type: ColumnType, name: String, tables: [FrequencyTable] = []) {
        self.top = top
        self.isExact = isExact
        self.type = type
        self.name = name
        self.tables = tables
    }

    var count: Int { tables.count }

    mutating func grow(to count: Int) {
        tables.append(contentsOf: repeatElement(FrequencyTable(), count: count - tables.count))
    }

    mutating func combine(_ other: any AggregateStates, groups: [Int], _ pace: WorkPace) throws(Failure) {
        guard let other = other as? Self else { preconditionFailure("states of one shape") }
        for (index, group) in groups.enumerated() { try tables[group].combine(other.tables[index], pace) }
    }

    var memoryBytes: Int { tables.reduce(0) { $0 + $1.memoryBytes } }

    /// Takes a second round's counts as exact, if what was not counted, at most `otherMax` times each, cannot be among the
    /// first.
    mutating func settle(_ group: Int, otherMax: Int64) -> Bool {
        let counts = tables[group].counts
        guard otherMax == 0 || (counts.count >= top && counts.sorted(by: >)[top - 1] > otherMax) else { return false }
        tables[group].markExact()
        return true
    }

    /// A list of `{value, count}`; counts that are not exact are too low, by `relativeError` of themselves at most.
    func finish(_ group: Int) throws(Failure) -> Scalar {
        let table = tables[group]
        guard !isExact || table.hiddenMax == 0 else {
            throw Failure(
                .budgetExceeded,
                "'\(name)': more than \(FrequencyTable.valuesMax) different values, which only the end of a job can count exactly; "
                    + "filter, or ask for topk, which is approximate"
            )
        }
        let rows = table.top(top, isText: type == .string).map { place in
            Value.object(["value": value(table, place).value, "count": .int(table.counts[place])])
        }
        return .structured(.array(rows))
    }

    private func value(_ table: FrequencyTable, _ place: Int) -> Scalar {
        switch type {
        case .string: .string(Array(table.values[place]))
        case .double: .double(Double(totalKey: table.key(place)))
        case .bool: .bool(table.key(place) != 0)
        case .time: .time(table.key(place))
        case .int: .int(table.key(place))
        }
    }

    var relativeError: Double? {
        var worst: Double?
        for table in tables where table.hiddenMax > 0 {
            let least = table.top(top, isText: type == .string).last.map { table.counts[$0] } ?? 1
            worst = max(worst ?? 0, Double(table.hiddenMax) / Double(max(least, 1)))
        }
        return worst
    }

    func encode(_ group: Int, to out: inout WireWriter) { tables[group].encode(to: &out) }

    mutating func decodeNext(_ reader: inout WireReader) throws(WireDamage) {
        tables.append(try FrequencyTable(&reader, isText: type == .string))
    }
}
