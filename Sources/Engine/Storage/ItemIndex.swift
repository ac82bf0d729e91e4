// Where the items are: a hash index of 8-byte entries that grows in small steps, about 10 bytes an item.
//
// Unsafe: owns its tables' memory.
//
//   entry   +-- tag 22 --+---- segment 24 ----+-- offset 18, in units of 4 bytes --+      0: empty slot
//
// The index is split into many small tables, so that growing one stalls nobody. Within a table the entries lie in the
// order of their tags, each at its home slot (tag * slots >> 22) or right behind it in one run. Everything that moves
// entries — insertion, removal, growing by an eighth, shrinking — needs only the tags, never the items. A lookup ends at
// the first larger tag, so a miss is no dearer than a hit.

import CLinux

/// The place of an item: a segment and a byte offset (a multiple of 4, below 1 MiB) in it.
struct ItemPlace: Equatable {
    var segment: UInt32
    var offset: Int
}

struct ItemIndex: ~Copyable {
    static let tagBits: UInt64 = 22
    static let offsetBits: UInt64 = 18
    static let segmentMax: UInt32 = 1 << 24 - 1

    /// One found or free slot.
    struct Slot {
        var table: Int
        var position: Int
    }

    private struct Table {
        var entries: UnsafeMutablePointer<UInt64>
        /// Home slots; entries past them live in the overflow behind.
        var slots: Int
        /// Slots and overflow; the last one is always empty and ends every run.
        var capacity: Int
        var count: Int
    }

    private let tables: UnsafeMutablePointer<Table>
    let tableCount: Int
    private(set) var count = 0
    private(set) var memoryBytes: Int

    /// `tableCount` is a power of two; about one for 4,096 expected items.
    init(tableCount: Int) {
        precondition(tableCount > 0 && tableCount & (tableCount - 1) == 0)
        self.tableCount = tableCount
        tables = .allocate(capacity: tableCount)
        memoryBytes = tableCount * MemoryLayout<Table>.stride
        for at in 0..<tableCount {
            tables.advanced(by: at).initialize(to: Self.emptyTable(slots: 8, capacity: 16))
            memoryBytes += 16 * 8
        }
    }

    deinit {
        for at in 0..<tableCount { tables[at].entries.deallocate() }
        tables.deallocate()
    }

    // MARK: Entries

    @inline(__always)
    static func tag(ofHash hash: UInt64) -> UInt64 { mixed(hash) >> (64 - tagBits) }

    /// A multiplication spreads what tells keys apart over all bits again.
    @inline(__always)
    private static func mixed(_ hash: UInt64) -> UInt64 { Partition.withinShard(hash) &* 0x9E37_79B9_7F4A_7C15 }

    @inline(__always)
    static func entry(tag: UInt64, place: ItemPlace) -> UInt64 {
        tag << (64 - tagBits) | UInt64(place.segment) << offsetBits
            | UInt64(truncatingIfNeeded: place.offset >> 2)
    }

    @inline(__always)
    private static func place(ofEntry entry: UInt64) -> ItemPlace {
        ItemPlace(
            segment: UInt32(truncatingIfNeeded: entry >> offsetBits) & segmentMax,
            offset: Int(truncatingIfNeeded: entry & (1 << offsetBits - 1)) << 2)
    }

    @inline(__always)
    private func tableNumber(_ hash: UInt64) -> Int {
        Int(truncatingIfNeeded: Self.mixed(hash) >> 20) & (tableCount &- 1)
    }

    @inline(__always)
    private static func home(_ tag: UInt64, _ slots: Int) -> Int {
        Int(truncatingIfNeeded: (tag &* UInt64(truncatingIfNeeded: slots)) >> tagBits)
    }

    // MARK: Finding

    /// The slot of the entry with this hash whose place satisfies `matches`. Cost: one or two cache lines.
    @inline(__always)
    func find(hash: UInt64, _ matches: (ItemPlace) -> Bool) -> (slot: Slot, place: ItemPlace)? {
        let number = tableNumber(hash)
        let tag = Self.tag(ofHash: hash)
        let entries = tables[number].entries
        var position = Self.home(tag, tables[number].slots)
        while true {
            let entry = entries[position]
            let found = entry >> (64 - Self.tagBits)
            if entry == 0 || found > tag { return nil }
            if found == tag {
                let place = Self.place(ofEntry: entry)
                if matches(place) { return (Slot(table: number, position: position), place) }
            }
            position &+= 1
        }
    }

    /// Starts to bring in the cache line of the slot where a search for this hash begins.
    @inline(__always)
    func prefetch(hash: UInt64) {
        let number = tableNumber(hash)
        let home = Self.home(Self.tag(ofHash: hash), tables[number].slots)
        linux_prefetch(tables[number].entries + home)
    }

    // MARK: Changing

    /// Points the slot's item to another place.
    mutating func move(_ slot: Slot, hash: UInt64, to place: ItemPlace) {
        tables[slot.table].entries[slot.position] = Self.entry(tag: Self.tag(ofHash: hash), place: place)
    }

    /// Adds an item that is not in the index.
    mutating func insert(hash: UInt64, _ place: ItemPlace) {
        precondition(place.segment > 0 && place.segment <= Self.segmentMax)
        let number = tableNumber(hash)
        let tag = Self.tag(ofHash: hash)
        if (tables[number].count + 1) * 8 > tables[number].slots * 7 {
            rebuild(number, slots: tables[number].slots * 9 / 8 + 8)
        }
        while !insert(Self.entry(tag: tag, place: place), tag: tag, into: number) {
            // The run reaches the end of the overflow: more of it, whatever the load.
            rebuild(number, slots: tables[number].slots, overflow: tables[number].capacity - tables[number].slots + 16)
        }
        tables[number].count += 1
        count += 1
    }

    private func insert(_ entry: UInt64, tag: UInt64, into number: Int) -> Bool {
        let entries = tables[number].entries
        var position = Self.home(tag, tables[number].slots)
        while entries[position] != 0, entries[position] >> (64 - Self.tagBits) <= tag { position &+= 1 }
        var end = position
        while entries[end] != 0 { end &+= 1 }
        guard end < tables[number].capacity - 1 else { return false }
        (entries + position + 1).update(from: entries + position, count: end - position)
        entries[position] = entry
        return true
    }

    mutating func remove(_ slot: Slot) {
        let entries = tables[slot.table].entries
        let slots = tables[slot.table].slots
        var hole = slot.position
        while true {
            let next = entries[hole &+ 1]
            if next == 0 || Self.home(next >> (64 - Self.tagBits), slots) == hole &+ 1 { break }
            entries[hole] = next
            hole &+= 1
        }
        entries[hole] = 0
        tables[slot.table].count -= 1
        count -= 1
        let left = tables[slot.table].count
        if slots > 64, left * 5 < slots * 2 { rebuild(slot.table, slots: left * 5 / 4 + 8) }
    }

    mutating func removeAll() {
        for number in 0..<tableCount {
            count -= tables[number].count
            tables[number].count = 0
            tables[number].entries.update(repeating: 0, count: tables[number].capacity)
            if tables[number].slots > 64 { rebuild(number, slots: 8) }
        }
    }

    /// Lays the table's entries out anew over `slots` home slots. Cost: a walk over one small table.
    private mutating func rebuild(_ number: Int, slots: Int, overflow: Int? = nil) {
        let old = tables[number]
        var next = 0
        for position in 0..<old.capacity where old.entries[position] != 0 {
            next = max(next, Self.home(old.entries[position] >> (64 - Self.tagBits), slots)) + 1
        }
        let capacity = max(slots + (overflow ?? max(8, slots / 32)), next + 8)
        let new = Self.emptyTable(slots: slots, capacity: capacity)
        next = 0
        for position in 0..<old.capacity where old.entries[position] != 0 {
            let at = max(next, Self.home(old.entries[position] >> (64 - Self.tagBits), slots))
            new.entries[at] = old.entries[position]
            next = at + 1
        }
        old.entries.deallocate()
        tables[number] = new
        tables[number].count = old.count
        memoryBytes += (capacity - old.capacity) * 8
    }

    private static func emptyTable(slots: Int, capacity: Int) -> Table {
        let entries = UnsafeMutablePointer<UInt64>.allocate(capacity: capacity)
        entries.initialize(repeating: 0, count: capacity)
        return Table(entries: entries, slots: slots, capacity: capacity, count: 0)
    }

    // MARK: Walking

    /// Calls `body` with the places of about `count` entries, from `tag` of `table` on: entries of one tag stay together.
    /// Returns where to go on, nil at the end.
    func walk(table: Int, tag: UInt64, count: Int, _ body: (ItemPlace) -> Void) -> (table: Int, tag: UInt64)? {
        let entries = tables[table].entries
        var seen = 0
        var lastTag = tag
        for position in Self.home(tag, tables[table].slots)..<tables[table].capacity where entries[position] != 0 {
            let found = entries[position] >> (64 - Self.tagBits)
            // At the first home slot there may still be entries of smaller tags.
            guard found >= tag else { continue }
            if seen >= count, found != lastTag { return (table, found) }
            body(Self.place(ofEntry: entries[position]))
            (seen, lastTag) = (seen + 1, found)
        }
        return table + 1 < tableCount ? (table + 1, 0) : nil
    }

    /// The places of one table's entries. A key stays in its table for good, so that walking the tables one by one, with
    /// changes in between, meets every item that was there throughout exactly once.
    func forEachPlace(inTable number: Int, _ body: (ItemPlace) -> Void) {
        let table = tables[number]
        for position in 0..<table.capacity where table.entries[position] != 0 {
            body(Self.place(ofEntry: table.entries[position]))
        }
    }

    // MARK: Tests

    /// Calls `body` with each entry's tag and place, after checking the order and the runs of each table.
    func forEachChecked(_ body: (_ tag: UInt64, _ place: ItemPlace) -> Void) {
        var total = 0
        for number in 0..<tableCount {
            let table = tables[number]
            precondition(table.entries[table.capacity - 1] == 0, "a table's last slot is in use")
            var found = 0
            var lastTag: UInt64 = 0
            for position in 0..<table.capacity where table.entries[position] != 0 {
                let tag = table.entries[position] >> (64 - Self.tagBits)
                precondition(tag >= lastTag, "a table's tags are out of order")
                lastTag = tag
                let home = Self.home(tag, table.slots)
                precondition(home <= position, "an entry lies before its home")
                precondition((home...position).allSatisfy { table.entries[$0] != 0 }, "a run has a hole")
                found += 1
                body(tag, Self.place(ofEntry: table.entries[position]))
            }
            precondition(found == table.count, "a table's count is wrong")
            total += found
        }
        precondition(total == count, "the index's count is wrong")
    }
}
