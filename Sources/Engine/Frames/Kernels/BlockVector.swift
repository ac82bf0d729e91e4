// One column's values of the selected rows of a block: what kernels loop over.

// Unsafe: points into a chunk or a scan's scratch, valid until the scan goes on to its next block.

/// Dense: row `i` of the selection is element `i`. A row without a value holds a code of 0, or the number 0.
struct BlockVector {
    enum Elements {
        /// Every row has the key `base`.
        case constant
        /// The key is base + scale * code.
        case bytes(UnsafePointer<UInt8>)
        case shorts(UnsafePointer<UInt16>)
        case words(UnsafePointer<UInt32>)
        /// 64-bit integers as they are; base is 0 and scale 1.
        case integers(UnsafePointer<Int64>)
        case doubles(UnsafePointer<Double>)

        /// Those from `start` on.
        @inline(__always)
        func from(_ start: Int) -> Elements {
            switch self {
            case .constant: .constant
            case .bytes(let codes): .bytes(codes + start)
            case .shorts(let codes): .shorts(codes + start)
            case .words(let codes): .words(codes + start)
            case .integers(let integers): .integers(integers + start)
            case .doubles(let doubles): .doubles(doubles + start)
            }
        }
    }
    var elements: Elements
    var base: Int64 = 0
    var scale: Int64 = 1
    /// The elements without a value, ascending.
    var nulls = BlockPositions.none
    /// Bounds of the keys in the whole piece.
    var bounds = Zone.Bounds.keys(.min, .max)

    /// The key of one element: the integer, the string's code, the `orderedKey` of a double.
    @inline(__always)
    func key(at index: Int) -> Int64 {
        switch elements {
        case .constant: base
        case .bytes(let codes): base &+ scale &* Int64(codes[index])
        case .shorts(let codes): base &+ scale &* Int64(codes[index])
        case .words(let codes): base &+ scale &* Int64(codes[index])
        case .integers(let integers): integers[index]
        case .doubles(let doubles): doubles[index].orderedKey
        }
    }

    /// Calls `body` for some rows at a time, and asks for some of the next block between.
    @inline(__always)
    static func inParts(_ count: Int, _ reader: BlockReader, _ body: (_ start: Int, _ count: Int) -> Void) {
        var start = 0
        while start < count {
            reader.prefetch()
            let rows = min(BlockReader.rowsPerPrefetch, count &- start)
            body(start, rows)
            start &+= rows
        }
    }

    /// The greatest code that elements can have.
    var codeLimit: Int {
        switch elements {
        case .constant: 0
        case .bytes: Int(UInt8.max)
        case .shorts: Int(UInt16.max)
        case .words: Int(UInt32.max)
        case .integers, .doubles: Int.max
        }
    }
}

/// Ascending positions within a block.
struct BlockPositions {
    let start: UnsafePointer<UInt16>?
    let count: Int

    static var none: BlockPositions { BlockPositions(start: nil, count: 0) }

    @inline(__always)
    subscript(index: Int) -> Int { Int(start.unsafelyUnwrapped[index]) }

    /// Calls `body` for the runs of positions below `limit` that are not listed.
    @inline(__always)
    func forEachGap(below limit: Int, _ body: (Range<Int>) -> Void) {
        var from = 0
        for index in 0..<count {
            let position = self[index]
            if position > from { body(from..<position) }
            from = position &+ 1
        }
        if from < limit { body(from..<limit) }
    }
}

/// Some rows of a block, in order.
struct BlockSelection {
    /// A word for 64 rows, lowest bit first; 0 beyond the block's rows.
    let bits: UnsafePointer<UInt64>
    /// Rows whose bits are set.
    let count: Int
}
