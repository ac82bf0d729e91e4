// The keys of a partial's groups: as bytes in a hash table, or, as a scan leaves them, as numbers in order.

// Unsafe: merges numbers within the bounds of both arrays, into one that holds them all.

/// Keys by group, none twice.
struct GroupKeys: Sendable {
    /// Keys as `WireWriter` writes scalars, one after the other. Empty while there are codes.
    private var table = ByteKeyTable()
    private(set) var coded: CodedKeys?

    init() {}

    init(_ coded: CodedKeys) {
        self.coded = coded
        if !coded.pays { settle() }
    }

    var count: Int { coded?.count ?? table.count }

    /// What the keys take as bytes; at most, where they are codes.
    var keyBytes: Int { coded?.keyBytes ?? table.bytes.count }

    /// Memory held, about, in bytes.
    var memoryBytes: Int { coded?.memoryBytes ?? table.memoryBytes }

    /// Calls `body` with the key of one group. Where keys are codes its bytes are put together first.
    func withKey<R>(_ group: Int, _ body: (UnsafeBufferPointer<UInt8>) -> R) -> R {
        guard let coded else { return table.withKey(group, body) }
        var key = WireWriter()
        coded.append(group, to: &key)
        return key.withBytes(body)
    }

    /// Calls `body` with one key after the other.
    func forEach(_ body: (UnsafeBufferPointer<UInt8>) -> Void) {
        guard let coded else { return (0..<table.count).forEach { table.withKey($0, body) } }
        var key = WireWriter()
        for group in 0..<coded.count {
            key.removeAll()
            coded.append(group, to: &key)
            key.withBytes(body)
        }
    }

    /// Makes room for so many keys.
    mutating func reserve(_ count: Int) {
        settle()
        table.reserve(count)
    }

    /// The group of this key, a new one if there is none.
    mutating func intern(_ key: UnsafeBufferPointer<UInt8>) -> Int {
        settle()
        return table.intern(key)
    }

    /// Forgets the groups from `count` on.
    mutating func truncate(to count: Int) {
        settle()
        table.truncate(to: count)
    }

    /// Turns codes to bytes.
    private mutating func settle() {
        guard coded != nil else { return }
        let keys = self
        coded = nil
        table.reserve(keys.count)
        keys.forEach { _ = table.intern($0) }
    }

    /// Where the keys of both went, by their groups before.
    struct Places {
        /// Nil where they stayed.
        var mine: [Int]?
        var theirs: [Int]
    }

    /// Takes in another's keys. When there are more than `countMax`, or of more than `bytesMax` bytes, it stops there; the
    /// places are right only for those that were taken.
    mutating func formUnion(
        _ other: GroupKeys, countMax: Int, bytesMax: Int, _ pace: WorkPace
    ) throws(Failure) -> (places: Places, isWhole: Bool) {
        if let places = try mergeCodes(other, countMax: countMax, bytesMax: bytesMax, pace) { return (places, true) }
        settle()
        var theirs = other
        theirs.settle()
        try pace.spend((count + theirs.count) / 16)
        // Shards number the same groups in the same order, mostly.
        if table.hasSameKeys(as: theirs.table) { return (Places(theirs: Array(0..<count)), true) }
        var places = Places(theirs: [])
        places.theirs.reserveCapacity(theirs.count)
        for index in 0..<theirs.count {
            try pace.spend(8)
            let before = table.count
            let found = table.intern(index, of: theirs.table)
            if found == before, table.count > countMax || table.bytes.count > bytesMax {
                table.truncate(to: before)
                return (places, false)
            }
            places.theirs.append(found)
        }
        return (places, true)
    }

    /// Nil, and nothing is changed, where that does not go by codes.
    private mutating func mergeCodes(
        _ other: GroupKeys, countMax: Int, bytesMax: Int, _ pace: WorkPace
    ) throws(Failure) -> Places? {
        guard let theirs = other.coded else { return nil }
        if count == 0 {
            guard theirs.count <= countMax else { return nil }
            self = other
            return Places(theirs: Array(0..<count))
        }
        guard let mine = coded, mine.canMerge(theirs), mine.keyBytes + theirs.keyBytes <= bytesMax else { return nil }
        let (merged, places) = try mine.merged(with: theirs, pace)
        guard merged.count <= countMax else { return nil }
        coded = merged
        return places
    }
}

/// Keys as numbers, in order: partials that know the same codes are merged by going through both.
struct CodedKeys: Sendable {
    struct Column: Sendable {
        let type: ColumnType
        /// Of strings: the shared one that numbers are codes of; nil when there are no values.
        var dictionary: DictionaryView?
    }

    private var columns: [Column]
    /// Column after column of one group, then the next group. Codes of strings, else keys. Groups ascend by their last
    /// column, then the one before it.
    private var numbers: [Int64]
    /// What the keys would take as bytes, at most.
    private(set) var keyBytes: Int

    /// Stands for no value, and comes last.
    static let null = Int64.max

    /// `numbers` as above.
    init(_ columns: [Column], _ numbers: [Int64]) {
        self.columns = columns
        self.numbers = numbers
        keyBytes = Self.keyBytes(columns, numbers)
    }

    var count: Int { numbers.count / columns.count }

    /// They take less memory, with their dictionaries, than the strings would.
    var pays: Bool { columns.allSatisfy { $0.dictionary.map { count >= $0.codesMin } ?? true } }

    var memoryBytes: Int {
        columns.reduce(numbers.count * 8) { $0 + ($1.dictionary?.packedBytes ?? 0) }
    }

    private static func keyBytes(_ columns: [Column], _ numbers: [Int64]) -> Int {
        var sum = 0
        for (place, column) in columns.enumerated() {
            guard column.type == .string, let strings = column.dictionary?.strings else {
                sum += numbers.count / columns.count * 9
                continue
            }
            for at in stride(from: place, to: numbers.count, by: columns.count) {
                sum += numbers[at] == null ? 1 : 5 + strings[Int(numbers[at])].count
            }
        }
        return sum
    }

    /// Writes the key of a group, a scalar for each column.
    func append(_ group: Int, to key: inout WireWriter) {
        for (index, column) in columns.enumerated() {
            let number = numbers[group &* columns.count &+ index]
            if number == Self.null {
                key.append(.null)
            } else {
                key.append(key: number, column.type, column.dictionary)
            }
        }
    }

    func scalar(_ group: Int, _ column: Int) -> Scalar {
        let number = numbers[group &* columns.count &+ column]
        if number == Self.null { return .null }
        switch columns[column].type {
        case .int: return .int(number)
        case .time: return .time(number)
        case .double: return .double(Double(totalKey: number))
        case .bool: return .bool(number != 0)
        case .string: return .string(columns[column].dictionary.map { Array($0[Int(number)]) } ?? [])
        }
    }

    /// As `Partial.keyRank`.
    func rank(_ group: Int) -> UInt64 {
        let number = numbers[group &* columns.count]
        if number == Self.null { return .max }
        guard columns[0].type == .string else { return UInt64(bitPattern: number) ^ 1 << 63 }
        return columns[0].dictionary.map { UInt64(rankOf: $0[Int(number)]) } ?? 0
    }

    /// As `Partial.keyPrecedes`.
    func precedes(_ a: Int, _ b: Int) -> Bool {
        for index in columns.indices {
            let (x, y) = (numbers[a &* columns.count &+ index], numbers[b &* columns.count &+ index])
            if x == y { continue }
            guard columns[index].type == .string, x != Self.null, y != Self.null,
                let strings = columns[index].dictionary?.strings
            else { return x < y }
            return strings[Int(x)].lexicographicallyPrecedes(strings[Int(y)])
        }
        return false
    }

    /// Whether numbers mean the same in both.
    func canMerge(_ other: CodedKeys) -> Bool {
        columns.elementsEqual(other.columns) { mine, theirs in
            guard mine.type == theirs.type else { return false }
            guard let a = mine.dictionary, let b = theirs.dictionary else {
                return mine.dictionary == nil && theirs.dictionary == nil
            }
            return a.hasCodes(of: b)
        }
    }

    func merged(with other: CodedKeys, _ pace: WorkPace) throws(Failure) -> (CodedKeys, GroupKeys.Places) {
        try pace.spend((numbers.count + other.numbers.count) / 16)
        if numbers == other.numbers { return (self, GroupKeys.Places(theirs: Array(0..<count))) }
        var sum = self
        for (index, column) in other.columns.enumerated() {
            if let theirs = column.dictionary, theirs.count > sum.columns[index].dictionary?.count ?? 0 {
                sum.columns[index].dictionary = theirs
            }
        }
        var (mine, theirs): ([Int], [Int]) = ([], [])
        mine.reserveCapacity(count)
        theirs.reserveCapacity(other.count)
        let width = columns.count
        sum.numbers = Array(unsafeUninitializedCapacity: numbers.count + other.numbers.count) { merged, filled in
            numbers.withUnsafeBufferPointer { a in
                other.numbers.withUnsafeBufferPointer { b in
                    var (i, j) = (0, 0)
                    while (i < a.count || j < b.count) && pace.goesOn(2) {
                        let order = i == a.count ? 1 : j == b.count ? -1 : Self.compare(a, i, b, j, width)
                        for column in 0..<width {
                            merged[filled &+ column] = order <= 0 ? a[i &+ column] : b[j &+ column]
                        }
                        if order <= 0 {
                            mine.append(filled / width)
                            i += width
                        }
                        if order >= 0 {
                            theirs.append(filled / width)
                            j += width
                        }
                        filled += width
                    }
                }
            }
        }
        try pace.check()
        sum.keyBytes += other.keyBytes
        return (sum, GroupKeys.Places(mine: sum.count == count ? nil : mine, theirs: theirs))
    }

    /// By the last column, then the one before it.
    @inline(__always)
    private static func compare(
        _ a: UnsafeBufferPointer<Int64>, _ i: Int, _ b: UnsafeBufferPointer<Int64>, _ j: Int, _ width: Int
    ) -> Int {
        var column = width &- 1
        while column >= 0 {
            let (x, y) = (a[i &+ column], b[j &+ column])
            if x != y { return x < y ? -1 : 1 }
            column &-= 1
        }
        return 0
    }
}
