// The local group of every selected row: codes and offsets combined by arithmetic while their domain is small, numbered
// by a hash table where it is not.

// Unsafe: reads a view's pointers at selected rows, writes ids for each of them.

/// Builds ids column by column. Ids of one column are its codes, offsets from its minimum, or numbers given by a hash
/// table; ids of several are combined as digits of a number, renumbered whenever that number could pass 32 bits.
struct GroupKernel {
    let selection: Selection
    let scratch: ScanScratch

    /// Answers the number of ids: all are below it.
    func number(_ columns: [ColumnView]) -> Int {
        var domain = 1
        for (index, column) in columns.enumerated() {
            let target = index == 0 ? scratch.ids : scratch.columnIDs
            let columnDomain = write(column, to: target)
            if index == 0 {
                domain = columnDomain
            } else {
                domain = combine(domain, columnDomain)
            }
        }
        // Arrays by group longer than the rows would cost more than a table.
        return domain > max(1024, 2 * selection.count) ? renumber(scratch.ids) : domain
    }

    /// ids = ids * columnDomain + columnIDs; both domains are below 2^32.
    private func combine(_ first: Int, _ second: Int) -> Int {
        var (domain, columnDomain) = (first, second)
        let limit = Int(UInt32.max)
        if domain * columnDomain > limit { domain = renumber(scratch.ids) }
        if domain * columnDomain > limit { columnDomain = renumber(scratch.columnIDs) }
        let scale = UInt32(truncatingIfNeeded: columnDomain)
        let (ids, columnIDs) = (scratch.ids, scratch.columnIDs)
        for at in 0..<selection.count { ids[at] = ids[at] &* scale &+ columnIDs[at] }
        return domain * columnDomain
    }

    @inline(__always)
    private func forEachRow(_ body: (_ at: Int, _ row: Int) -> Void) {
        if let rows = selection.rows {
            for at in 0..<selection.count { body(at, Int(rows[at])) }
        } else {
            for at in 0..<selection.count { body(at, at) }
        }
    }

    // MARK: One column

    private func write(_ column: ColumnView, to ids: UnsafeMutablePointer<UInt32>) -> Int {
        switch column.values {
        case .strings(let strings):
            switch strings.width {
            case .one: copy(strings.codes.assumingMemoryBound(to: UInt8.self), ids)
            case .two: copy(strings.codes.assumingMemoryBound(to: UInt16.self), ids)
            case .four, .eight: copy(strings.codes.assumingMemoryBound(to: UInt32.self), ids)
            }
            return markNulls(column, ids, domain: max(strings.dictionary.count, 1))
        case .doubles(let doubles):
            return hash(column, ids) { doubles.pointer[$0].orderedKey }
        case .integers(let integers):
            guard case .keys(let low, let high) = column.zone.bounds else {
                ids.update(repeating: 0, count: selection.count)  // nothing but nulls
                return 1
            }
            let span = UInt64(bitPattern: high &- low)
            guard span < 1 << 31 else { return hash(column, ids) { integers.value(at: $0) } }
            write(integers, low: low, to: ids)
            return markNulls(column, ids, domain: Int(span) + 1)
        }
    }

    private func write(_ integers: IntegerValues, low: Int64, to ids: UnsafeMutablePointer<UInt32>) {
        switch integers.width {
        case .one: copy(integers.pointer.assumingMemoryBound(to: UInt8.self), ids)
        case .two: copy(integers.pointer.assumingMemoryBound(to: UInt16.self), ids)
        case .four: copy(integers.pointer.assumingMemoryBound(to: UInt32.self), ids)
        case .eight:
            let values = integers.pointer.assumingMemoryBound(to: Int64.self)
            forEachRow { at, row in ids[at] = UInt32(truncatingIfNeeded: values[row] &- low) }
        }
    }

    private func copy<C: FixedWidthInteger & UnsignedInteger>(
        _ codes: UnsafePointer<C>, _ ids: UnsafeMutablePointer<UInt32>
    ) {
        forEachRow { at, row in ids[at] = UInt32(truncatingIfNeeded: codes[row]) }
    }

    /// Nulls are a group of their own, after all others.
    private func markNulls(_ column: ColumnView, _ ids: UnsafeMutablePointer<UInt32>, domain: Int) -> Int {
        guard let validity = column.validity else { return domain }
        let null = UInt32(truncatingIfNeeded: domain)
        forEachRow { at, row in
            if !validity[row] { ids[at] = null }
        }
        return domain + 1
    }

    // MARK: Numbering by hash

    private func hash(_ column: ColumnView, _ ids: UnsafeMutablePointer<UInt32>, _ key: (Int) -> Int64) -> Int {
        var table = LocalKeyTable(rowCount: selection.count)
        var null: UInt32?
        forEachRow { at, row in
            if column.isValid(row) {
                ids[at] = table.number(UInt64(bitPattern: key(row)))
            } else if let null {
                ids[at] = null
            } else {
                null = table.numberForNull()
                ids[at] = null!
            }
        }
        return max(table.count, 1)
    }

    private func renumber(_ ids: UnsafeMutablePointer<UInt32>) -> Int {
        var table = LocalKeyTable(rowCount: selection.count)
        for at in 0..<selection.count { ids[at] = table.number(UInt64(ids[at])) }
        return max(table.count, 1)
    }
}

/// Numbers 64-bit keys in the order they come.
private struct LocalKeyTable {
    private var keys: [UInt64]
    /// Number + 1; 0 is free.
    private var numbers: [UInt32]
    private let mask: Int
    private(set) var count = 0

    init(rowCount: Int) {
        var capacity = 64
        while capacity < rowCount * 2 { capacity *= 2 }
        keys = Array(repeating: 0, count: capacity)
        numbers = Array(repeating: 0, count: capacity)
        mask = capacity - 1
    }

    mutating func number(_ key: UInt64) -> UInt32 {
        let mixed = (key ^ (key &>> 32)) &* 0x9E37_79B9_7F4A_7C15
        var slot = Int(truncatingIfNeeded: mixed &>> 32) & mask
        while numbers[slot] != 0 {
            if keys[slot] == key { return numbers[slot] &- 1 }
            slot = (slot &+ 1) & mask
        }
        keys[slot] = key
        count &+= 1
        numbers[slot] = UInt32(truncatingIfNeeded: count)
        return numbers[slot] &- 1
    }

    mutating func numberForNull() -> UInt32 {
        count &+= 1
        return UInt32(truncatingIfNeeded: count) &- 1
    }
}
