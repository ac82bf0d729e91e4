// The objects of one type on one shard, ordered by a number that a method of the type answers.

/// What a method of an index says of its object.
struct IndexedValue: Equatable {
    var value: Double
    /// The instant from which the value is another one by time alone, in unix seconds; 0 for never.
    var until: UInt32 = 0
    /// What it is from then on.
    var after = 0.0
}

/// Knows names and numbers, nothing of objects. Cost of a change: two searches by halving, less than 1 µs. Memory: see
/// `bytes`.
struct ObjectIndex {
    private struct Entry {
        let name: [UInt8]
        var value: IndexedValue
        /// The name's first bytes, in the order of names.
        let prefix: UInt64

        init(name: [UInt8], value: IndexedValue) {
            self.name = name
            self.value = value
            var prefix: UInt64 = 0
            for at in 0..<8 { prefix = prefix << 8 | (at < name.count ? UInt64(name[at]) : 0) }
            self.prefix = prefix
        }
    }

    /// An element of one of the orders: the entry's number.
    private struct Key {
        let number: Double
        /// Decides between equal numbers, mostly: without a look at the entries.
        let prefix: UInt64
        let entry: Int32
    }

    /// How far the index is to be trusted.
    enum Readiness: Equatable {
        /// All objects that belong into it are in it, some that are gone perhaps too.
        case complete
        /// Objects that were there before the index are still to be looked at.
        case incomplete
        /// There was no memory for all of them: it is empty.
        case full
    }

    private(set) var readiness: Readiness
    private var entries: [Entry?] = []
    private var free: [Int32] = []
    private var numbers: [[UInt8]: Int32] = [:]
    private var byValue = OrderedBlocks<Key>()
    private var byTime = OrderedBlocks<Key>()
    private var nameBytes = 0

    init(readiness: Readiness) { self.readiness = readiness }

    var count: Int { byValue.count }

    /// What it takes, roughly: an entry, a slot of the table by name, the name with its header, a place in the order.
    var bytes: Int { entries.count * 170 + nameBytes + byTime.count * 36 }

    // MARK: Changes

    /// The object has this value now; nil: it does not belong into the index.
    mutating func set(_ name: [UInt8], _ value: IndexedValue?) {
        guard readiness != .full else { return }
        guard let number = numbers[name], let entry = entries[Int(number)] else {
            if let value { add(name, value) }
            return
        }
        if entry.value == value { return }
        withdraw(number, entry, unless: value)
        guard let value else { return forget(name, number) }
        entries[Int(number)]?.value = value
        place(number, value, unless: entry.value)
    }

    mutating func remove(_ name: [UInt8]) { set(name, nil) }

    mutating func removeAll() {
        let kept = readiness
        self = ObjectIndex(readiness: kept == .incomplete ? .incomplete : .complete)
    }

    mutating func giveUp() { self = ObjectIndex(readiness: .full) }

    /// All objects that were there before it have been looked at.
    mutating func complete() { readiness = .complete }

    /// Values that became others by `now`, at most so many of them; false when there are more.
    mutating func passTime(to now: UInt32, limit: Int) -> Bool {
        for _ in 0..<limit {
            guard let first = byTime.first, first.number <= Double(now), let entry = entries[Int(first.entry)] else {
                return true
            }
            set(entry.name, IndexedValue(value: entry.value.after))
        }
        return byTime.first.map { $0.number > Double(now) } ?? true
    }

    private mutating func add(_ name: [UInt8], _ value: IndexedValue) {
        let number: Int32
        if let last = free.popLast() {
            number = last
            entries[Int(number)] = Entry(name: name, value: value)
        } else {
            number = Int32(entries.count)
            entries.append(Entry(name: name, value: value))
        }
        numbers[name] = number
        nameBytes += name.count
        place(number, value, unless: nil)
    }

    private mutating func forget(_ name: [UInt8], _ number: Int32) {
        numbers[name] = nil
        entries[Int(number)] = nil
        nameBytes -= name.count
        free.append(number)
    }

    /// Into the orders in which it does not stand already, at the same place.
    private mutating func place(_ number: Int32, _ value: IndexedValue, unless other: IndexedValue?) {
        guard let prefix = entries[Int(number)]?.prefix else { return }
        if value.value != other?.value {
            byValue.insert(Key(number: value.value, prefix: prefix, entry: number), by: precedesByValue)
        }
        if value.until != 0, value.until != other?.until {
            byTime.insert(Key(number: Double(value.until), prefix: 0, entry: number), by: Self.precedesByTime)
        }
    }

    private mutating func withdraw(_ number: Int32, _ entry: Entry, unless other: IndexedValue?) {
        let value = entry.value
        if value.value != other?.value {
            byValue.remove(Key(number: value.value, prefix: entry.prefix, entry: number), by: precedesByValue)
        }
        if value.until != 0, value.until != other?.until {
            byTime.remove(Key(number: Double(value.until), prefix: 0, entry: number), by: Self.precedesByTime)
        }
    }

    // MARK: Questions

    func contains(_ name: [UInt8]) -> Bool { numbers[name] != nil }

    /// From the greatest value down, of equal ones by name; until `body` says false.
    func forEachFromGreatest(_ body: (_ name: [UInt8], _ value: Double) -> Bool) {
        byValue.forEachFromLast { key in entries[Int(key.entry)].map { body($0.name, key.number) } ?? true }
    }

    func count(from least: Double) -> Int { byValue.count { $0.number < least } }

    /// The names of some entries, in no order, and where to go on; nil at the end. Those that are there all the time are
    /// met once.
    func names(from start: Int, limit: Int) -> (names: [[UInt8]], next: Int?) {
        let end = min(entries.count, start + limit)
        guard start < end else { return ([], nil) }
        return (entries[start..<end].compactMap { $0?.name }, end < entries.count ? end : nil)
    }

    // MARK: Order

    /// The last one in the order is the first one in an answer: the greatest value, and of equal ones the first name.
    private var precedesByValue: OrderedBlocks<Key>.Order {
        let entries = entries
        return { one, other in
            if one.number != other.number { return one.number < other.number }
            if one.prefix != other.prefix { return one.prefix > other.prefix }
            guard one.entry != other.entry, let name = entries[Int(one.entry)]?.name,
                let otherName = entries[Int(other.entry)]?.name
            else { return false }
            return otherName.lexicographicallyPrecedes(name)
        }
    }

    private static func precedesByTime(_ one: Key, _ other: Key) -> Bool {
        one.number != other.number ? one.number < other.number : one.entry < other.entry
    }

    /// For tests.
    func checkInvariants() {
        byValue.checkInvariants(by: precedesByValue)
        byTime.checkInvariants(by: Self.precedesByTime)
        precondition(numbers.count == byValue.count && byTime.count <= byValue.count)
        precondition(entries.count == numbers.count + free.count)
        for (name, number) in numbers { precondition(entries[Int(number)]?.name == name) }
    }
}
