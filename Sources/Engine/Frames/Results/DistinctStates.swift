// The states of distinct: the values themselves while they are few, else a HyperLogLog (Flajolet and others, 2007).

/// Different values of one group, by their bytes.
struct DistinctSet: Sendable {
    /// More than this go into registers.
    static let exactMax = 65_536
    private static let registerBits = 14
    /// What a register holds at most: all bits of a hash behind those of its place are zero.
    private static let registerMax = 64 - registerBits + 1
    /// A little more than three standard errors of a count by registers (1.04 / 128): 99.7 % of counts are off by less.
    static let relativeError = 0.025

    private var values = ByteKeyTable()
    /// Instead of `values`, while all come from one dictionary.
    private(set) var codes: CodeSet?
    private(set) var registers: [UInt8]?

    init(_ codes: CodeSet) {
        self.codes = codes
        if codes.count > Self.exactMax { collapse() }
    }

    mutating func insert(_ value: UnsafeBufferPointer<UInt8>) {
        if codes != nil { forgetCodes() }
        if registers != nil {
            note(value)
        } else {
            _ = values.intern(value)
            if values.count > Self.exactMax { collapse() }
        }
    }

    mutating func insert(_ key: Int64) {
        withUnsafeBytes(of: key.littleEndian) { insert($0.bindMemory(to: UInt8.self)) }
    }

    mutating func combine(_ other: DistinctSet) {
        if let theirs = other.registers {
            collapse()
            for index in theirs.indices { registers![index] = max(registers![index], theirs[index]) }
        } else if let theirs = other.codes {
            combine(theirs)
        } else if let mine = codes {
            // To look strings up in their table is less than to make one.
            self = other
            combine(mine)
        } else if !values.hasSameKeys(as: other.values) {  // the same where one order gave both
            for index in 0..<other.values.count { insert(index, of: other.values) }
        }
    }

    private mutating func combine(_ other: CodeSet) {
        if registers == nil, codes == nil, values.count == 0 {
            codes = other
        } else if codes?.formUnion(other) == true {
            if other.dictionary.count > Self.exactMax, codes!.count > Self.exactMax { collapse() }
        } else {
            other.forEach { insert($0) }
        }
    }

    /// A value of another set, whose hash is known.
    private mutating func insert(_ index: Int, of others: ByteKeyTable) {
        guard registers == nil else { return others.withKey(index) { note($0) } }
        _ = values.intern(index, of: others)
        if values.count > Self.exactMax { collapse() }
    }

    /// Turns codes to the strings they stand for.
    private mutating func forgetCodes() {
        guard let codes = codes.take() else { return }
        values.reserve(codes.count)
        codes.forEach { _ = values.intern($0) }
    }

    private mutating func collapse() {
        guard registers == nil else { return }
        registers = Array(repeating: 0, count: 1 << Self.registerBits)
        codes?.forEach { note($0) }
        codes = nil
        for index in 0..<values.count { values.withKey(index) { note($0) } }
        values = ByteKeyTable()
    }

    private mutating func note(_ value: UnsafeBufferPointer<UInt8>) {
        let hash = Self.hash(value)
        let index = Int(hash >> UInt64(64 - Self.registerBits))
        let rest = hash << UInt64(Self.registerBits) | 1 << UInt64(Self.registerBits - 1)
        registers![index] = max(registers![index], UInt8(rest.leadingZeroBitCount + 1))
    }

    /// The same on every node: FNV-1a, then mixed.
    private static func hash(_ value: UnsafeBufferPointer<UInt8>) -> UInt64 {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in value { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
        hash = (hash ^ (hash >> 30)) &* 0xBF58_476D_1CE4_E5B9
        hash = (hash ^ (hash >> 27)) &* 0x94D0_49BB_1331_11EB
        return hash ^ (hash >> 31)
    }

    /// What there is to go through.
    var size: Int { registers?.count ?? codes.map { $0.memoryBytes / 8 } ?? values.count }

    /// One without values.
    static let emptyBytes = MemoryLayout<DistinctSet>.stride + 192

    private var exactCount: Int { codes?.count ?? values.count }

    /// Without the dictionary of codes.
    var memoryBytes: Int {
        Self.emptyBytes + values.heldBytes + (codes?.memoryBytes ?? 0) + (registers?.count ?? 0)
    }

    /// Exact, or an estimate.
    var count: Int64 {
        registers.map { RegisterEstimate.count($0, greatest: Self.registerMax) } ?? Int64(exactCount)
    }

    func encode(to out: inout WireWriter) {
        out.append(UInt8(registers == nil ? 0 : 1))
        if let registers {
            out.append(counted: registers)
        } else {
            out.append(UInt32(exactCount))
            codes?.forEach { out.append(counted: $0) }
            for index in 0..<values.count { values.withKey(index) { out.append(counted: $0) } }
        }
    }

    init() {}

    init(_ reader: inout WireReader) throws(WireDamage) {
        switch try reader.number(UInt8.self) {
        case 0:
            let count = try reader.count(bytesEach: 4)
            guard count <= Self.exactMax else { throw WireDamage() }
            values.reserve(count)
            do {
                try reader.forEachCounted(count) { value in
                    let before = values.count
                    guard values.intern(value) == before else { throw WireDamage() }
                }
            } catch { throw WireDamage() }
        case 1:
            let bytes = Array(try reader.counted())
            guard bytes.count == 1 << Self.registerBits, bytes.allSatisfy({ $0 <= Self.registerMax }) else {
                throw WireDamage()
            }
            registers = bytes
        default: throw WireDamage()
        }
    }
}

struct DistinctStates: AggregateStates {
    private var sets: [DistinctSet]

    init(sets: [DistinctSet] = []) { self.sets = sets }

    var count: Int { sets.count }

    mutating func grow(to count: Int) {
        sets.append(contentsOf: repeatElement(DistinctSet(), count: count - sets.count))
    }

    mutating func combine(_ other: any AggregateStates, groups: [Int], _ pace: WorkPace) throws(Failure) {
        guard let other = other as? Self else { preconditionFailure("states of one shape") }
        for (index, group) in groups.enumerated() {
            try pace.spend(8 + other.sets[index].size * 8)
            sets[group].combine(other.sets[index])
        }
    }

    /// A dictionary, if they have any, is mostly the same one.
    var memoryBytes: Int {
        let dictionary = sets.lazy.compactMap(\.codes).first?.dictionary.packedBytes ?? 0
        return sets.reduce(dictionary) { $0 + $1.memoryBytes }
    }

    func finish(_ group: Int) -> Scalar { .int(sets[group].count) }

    /// Of 99.7 % of counts.
    var relativeError: Double? { sets.contains { $0.registers != nil } ? DistinctSet.relativeError : nil }

    func encode(_ group: Int, to out: inout WireWriter) { sets[group].encode(to: &out) }

    mutating func decodeNext(_ reader: inout WireReader) throws(WireDamage) { sets.append(try DistinctSet(&reader)) }
}
