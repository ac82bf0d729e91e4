// Codes of a fixed number of bits in blocks of 8,192 rows, laid out so that unpacking is plain vector arithmetic.

// Unsafe: reads and writes raw blocks; callers give memory of `packedBytes` and of a block's rows rounded up to lanes.

/// A block's rows are cut into as many planes as a lane has bits (8, 16 or 32, the narrowest that holds a code). Row `r`
/// of `L` lanes a plane lies in plane `r / L`, lane `r % L`; the codes of one lane follow each other in that lane's words.
/// So neighbouring rows are neighbouring lanes, and a whole plane is unpacked with one shift and one mask. Codes as wide
/// as a lane lie there as in a plain array.
enum BitPacking {
    static let blockRows = 8192

    /// The bits of the lane that codes of `bits` bits are packed and unpacked in.
    static func laneBits(_ bits: Int) -> Int { bits <= 8 ? 8 : bits <= 16 ? 16 : 32 }

    static func lanes(rowCount: Int, bits: Int) -> Int { (rowCount + laneBits(bits) - 1) / laneBits(bits) }

    /// Of one block of at most 8,192 rows.
    static func blockBytes(rowCount: Int, bits: Int) -> Int {
        // Each lane holds its planes' codes in `bits` words of its own width.
        lanes(rowCount: rowCount, bits: bits) * bits * (laneBits(bits) / 8)
    }

    /// Of a column of any number of rows.
    static func packedBytes(rowCount: Int, bits: Int) -> Int {
        let (full, rest) = rowCount.quotientAndRemainder(dividingBy: blockRows)
        return full * blockBytes(rowCount: blockRows, bits: bits) + blockBytes(rowCount: rest, bits: bits)
    }

    /// The bits that codes up to `maximum` take, at least 1.
    static func bits(upTo maximum: UInt32) -> Int { max(1, 32 - maximum.leadingZeroBitCount) }

    // MARK: Packing

    /// Packs all rows, block by block. Codes are below 2^bits.
    static func pack(_ codes: UnsafePointer<UInt32>, rowCount: Int, bits: Int, into target: UnsafeMutableRawPointer) {
        target.initializeMemory(as: UInt8.self, repeating: 0, count: packedBytes(rowCount: rowCount, bits: bits))
        var start = 0
        var out = target
        while start < rowCount {
            let rows = min(blockRows, rowCount - start)
            switch laneBits(bits) {
            case 8: packBlock(codes + start, rows, bits, out.assumingMemoryBound(to: UInt8.self))
            case 16: packBlock(codes + start, rows, bits, out.assumingMemoryBound(to: UInt16.self))
            default: packBlock(codes + start, rows, bits, out.assumingMemoryBound(to: UInt32.self))
            }
            out += blockBytes(rowCount: rows, bits: bits)
            start += rows
        }
    }

    @inline(__always)
    private static func packBlock<Lane: FixedWidthInteger & UnsignedInteger>(
        _ codes: UnsafePointer<UInt32>, _ rows: Int, _ bits: Int, _ words: UnsafeMutablePointer<Lane>
    ) {
        let lanes = Self.lanes(rowCount: rows, bits: bits)
        var row = 0
        for plane in 0..<Lane.bitWidth {
            let (word, shift) = (plane &* bits).quotientAndRemainder(dividingBy: Lane.bitWidth)
            let low = words + word &* lanes
            let down = Lane(truncatingIfNeeded: Lane.bitWidth &- shift)
            for lane in 0..<min(lanes, rows &- row) {
                let code = Lane(truncatingIfNeeded: codes[row &+ lane])
                low[lane] |= code &<< Lane(truncatingIfNeeded: shift)
                if shift &+ bits > Lane.bitWidth { low[lanes &+ lane] |= code &>> down }
            }
            row &+= lanes
            if row >= rows { return }
        }
    }

    // MARK: Unpacking

    // Blocks are unpacked by `ck_unpack8`, `ck_unpack16` and `ck_unpack32`.

    /// One code of a column of `rowCount` rows. For row-at-a-time uses.
    static func code(at row: Int, of words: UnsafeRawPointer, rowCount: Int, bits: Int) -> UInt32 {
        let block = row / blockRows
        let rows = min(blockRows, rowCount - block * blockRows)
        let start = words + block * blockBytes(rowCount: blockRows, bits: bits)
        let lanes = Self.lanes(rowCount: rows, bits: bits)
        let (plane, lane) = (row % blockRows).quotientAndRemainder(dividingBy: lanes)
        let laneBits = Self.laneBits(bits)
        let (word, shift) = (plane * bits).quotientAndRemainder(dividingBy: laneBits)
        func load(_ index: Int) -> UInt64 {
            switch laneBits {
            case 8: UInt64(start.assumingMemoryBound(to: UInt8.self)[index])
            case 16: UInt64(start.assumingMemoryBound(to: UInt16.self)[index])
            default: UInt64(start.assumingMemoryBound(to: UInt32.self)[index])
            }
        }
        var joined = load(word * lanes + lane)
        if shift + bits > laneBits { joined |= load((word + 1) * lanes + lane) << UInt64(laneBits) }
        return UInt32(truncatingIfNeeded: (joined >> UInt64(shift)) & ((1 << UInt64(bits)) - 1))
    }
}
