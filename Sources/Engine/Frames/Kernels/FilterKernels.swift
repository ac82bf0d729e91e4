// Filters over a column's encoded values: each clears the mask of the rows that do not pass.

// Unsafe: reads a view's pointers and writes a mask, both below the view's row count.

struct FilterKernel {
    let view: ColumnView
    let mask: UnsafeMutablePointer<UInt8>

    func apply(_ predicate: Predicate) {
        switch predicate {
        case .never: mask.update(repeating: 0, count: view.rowCount)
        case .isNull: keepNulls()
        case .notNull: dropNulls()
        case .interval(let low, let high):
            keep(low, high, inverted: false)
            dropNulls()
        case .outside(let low, let high):
            keep(low, high, inverted: true)
            dropNulls()
        case .members(let keys):
            keep(members: keys)
            dropNulls()
        case .text(let text):
            keep(text)
            dropNulls()
        }
    }

    private func dropNulls() {
        guard let validity = view.validity else { return }
        for row in 0..<view.rowCount {
            mask[row] &= UInt8(truncatingIfNeeded: validity.words[row &>> 6] &>> UInt64(row & 63) & 1)
        }
    }

    private func keepNulls() {
        guard let validity = view.validity else {
            mask.update(repeating: 0, count: view.rowCount)
            return
        }
        for row in 0..<view.rowCount {
            mask[row] &= UInt8(truncatingIfNeeded: ~(validity.words[row &>> 6] &>> UInt64(row & 63)) & 1)
        }
    }

    @inline(__always)
    private func keep(_ passes: (Int) -> Bool) {
        for row in 0..<view.rowCount { mask[row] &= passes(row) ? 1 : 0 }
    }

    // MARK: Intervals

    private func keep(_ low: Int64, _ high: Int64, inverted: Bool) {
        switch view.values {
        case .doubles(let doubles):
            let values = doubles.pointer
            keep { (values[$0].orderedKey >= low && values[$0].orderedKey <= high) != inverted }
        case .integers(let integers):
            switch integers.width {
            case .one: keepOffsets(integers, UInt8.self, low, high, inverted)
            case .two: keepOffsets(integers, UInt16.self, low, high, inverted)
            case .four: keepOffsets(integers, UInt32.self, low, high, inverted)
            case .eight:
                let values = integers.pointer.assumingMemoryBound(to: Int64.self)
                keep { (values[$0] >= low && values[$0] <= high) != inverted }
            }
        case .strings: preconditionFailure("strings are tested as text")
        }
    }

    /// Compares offsets in their own width: the interval is moved by the base and cut to what offsets can be.
    private func keepOffsets<O: FixedWidthInteger & UnsignedInteger>(
        _ integers: IntegerValues, _: O.Type, _ low: Int64, _ high: Int64, _ inverted: Bool
    ) {
        let lowest = max(Int128(low) - Int128(integers.base), 0)
        let highest = min(Int128(high) - Int128(integers.base), Int128(O.max))
        guard lowest <= highest else {
            if !inverted { mask.update(repeating: 0, count: view.rowCount) }
            return
        }
        let offsets = integers.pointer.assumingMemoryBound(to: O.self)
        let start = O(lowest)
        let span = O(highest) - start
        // Below `start` the subtraction wraps to more than any span.
        if inverted { keep { offsets[$0] &- start > span } } else { keep { offsets[$0] &- start <= span } }
    }

    // MARK: Sets and strings

    private func keep(members keys: [Int64]) {
        switch view.values {
        case .doubles(let doubles): keep { Self.contains(keys, doubles.pointer[$0].orderedKey) }
        case .integers(let integers): keep { Self.contains(keys, integers.value(at: $0)) }
        case .strings: preconditionFailure("strings are tested as text")
        }
    }

    private static func contains(_ keys: [Int64], _ key: Int64) -> Bool {
        var (low, high) = (0, keys.count)
        while low < high {
            let middle = (low + high) / 2
            if keys[middle] < key { low = middle + 1 } else { high = middle }
        }
        return low < keys.count && keys[low] == key
    }

    /// Tests each string of the dictionary once, then looks rows up by code.
    private func keep(_ text: TextPredicate) {
        guard case .strings(let strings) = view.values else { preconditionFailure("text tests need strings") }
        let dictionary = strings.dictionary
        guard dictionary.count > 0 else {
            mask.update(repeating: 0, count: view.rowCount)
            return
        }
        let verdicts = (0..<dictionary.count).map { text.holds(dictionary[$0]) ? UInt8(1) : 0 }
        verdicts.withUnsafeBufferPointer { verdicts in
            switch strings.width {
            case .one:
                let codes = strings.codes.assumingMemoryBound(to: UInt8.self)
                keep { verdicts[Int(codes[$0])] != 0 }
            case .two:
                let codes = strings.codes.assumingMemoryBound(to: UInt16.self)
                keep { verdicts[Int(codes[$0])] != 0 }
            case .four, .eight:
                let codes = strings.codes.assumingMemoryBound(to: UInt32.self)
                keep { verdicts[Int(codes[$0])] != 0 }
            }
        }
    }
}

extension ScanScratch {
    /// Marks all rows as passing.
    func beginMask(rowCount: Int) {
        mask.update(repeating: 1, count: rowCount)
        (mask + rowCount).update(repeating: 0, count: 8)
    }

    /// The rows whose mask is still 1.
    func select(rowCount: Int) -> Selection {
        var count = 0
        var row = 0
        while row < rowCount {
            let word = UnsafeRawPointer(mask + row).loadUnaligned(as: UInt64.self)
            if word == 0 {
                row &+= 8
                continue
            }
            for at in row..<min(row &+ 8, rowCount) {
                rows[count] = UInt32(truncatingIfNeeded: at)
                count &+= Int(mask[at])
            }
            row &+= 8
        }
        return Selection(count: count, rows: count == rowCount ? nil : UnsafePointer(rows))
    }
}
