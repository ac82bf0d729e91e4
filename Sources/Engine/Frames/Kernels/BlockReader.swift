// Brings the columns of one block of a piece into the processor's cache: unpacked, and reduced to the selected rows.

// Unsafe: reads chunks through their views' pointers, within the block's rows, and writes its own buffers.

/// One for each thread of a scan. Usage: `begin(piece)`, then for each block `move`, `select`, `vector`.
final class BlockReader {
    private final class Slot {
        let unpacked = BlockBuffer()
        let selected = BlockBuffer()
        let allNulls = BlockBuffer()
        let selectedNulls = BlockBuffer()
        var view: ColumnView?
        var whole: BlockVector?
        var vector: BlockVector?
        /// The run that the last block ended in.
        var run = 0
    }

    let sources: [ScanColumn]
    private let types: [ColumnType]
    private let slots: [Slot]
    private let nullMap = BlockBuffer()
    private var piece: FramePiece?
    private let cache: ColumnCache
    private lazy var evaluator = ExpressionEvaluator()

    private(set) var start = 0
    private(set) var rowCount = 0
    /// Of the selected rows; nil for all.
    private(set) var selection: BlockPositions?

    init(sources: [ScanColumn], types: [ColumnType], cache: ColumnCache) {
        self.sources = sources
        self.types = types
        self.cache = cache
        slots = sources.map { _ in Slot() }
        nullMap.raw.initializeMemory(as: UInt8.self, repeating: 0, count: BitPacking.blockRows)
    }

    /// Rows in the selection.
    var count: Int { selection?.count ?? rowCount }

    func begin(_ piece: FramePiece) {
        self.piece = piece
        for slot in slots {
            slot.view = nil
            slot.run = 0
        }
    }

    /// Goes to the block that begins at row `start`, with all rows selected.
    func move(to start: Int, rowCount: Int) {
        self.start = start
        self.rowCount = rowCount
        selection = nil
        for slot in slots {
            slot.whole = nil
            slot.vector = nil
        }
    }

    func select(_ positions: BlockPositions?) {
        selection = positions
        for slot in slots { slot.vector = nil }
    }

    /// The zone of a slot in this piece; nothing is known of a computed column.
    func zone(_ slot: Int) -> Zone? {
        guard case .stored(let column) = sources[slot], let piece else { return nil }
        return piece.zone(column)
    }

    func isDouble(_ slot: Int) -> Bool { types[slot] == .double }

    /// The first `limit` selected rows as scalars. For row-at-a-time uses.
    func scalars(_ index: Int, limit: Int) throws(Failure) -> [Scalar] {
        guard case .computed = sources[index] else {
            _ = try whole(index)
            let view = slots[index].view!
            return (0..<limit).map { at in view.scalar(at: start + (selection.map { $0[at] } ?? at)) }
        }
        let vector = try vector(index)
        guard case .doubles(let doubles) = vector.elements else { preconditionFailure("computed columns are doubles") }
        var scalars = (0..<limit).map { Scalar.double(doubles[$0]) }
        for null in 0..<vector.nulls.count where vector.nulls[null] < limit { scalars[vector.nulls[null]] = .null }
        return scalars
    }

    /// The selected rows of a slot's column.
    func vector(_ index: Int) throws(Failure) -> BlockVector {
        let slot = slots[index]
        if let vector = slot.vector { return vector }
        let vector: BlockVector
        if case .computed(let program) = sources[index] {
            vector = try evaluator.evaluate(
                program, count: count, reader: self, into: slot.selected, slot.selectedNulls)
        } else {
            let whole = try whole(index)
            vector = selection.map { compact(whole, $0, slot) } ?? whole
        }
        slot.vector = vector
        return vector
    }

    /// All rows of a slot's column. Of a computed column only while all rows are selected.
    func whole(_ index: Int) throws(Failure) -> BlockVector {
        let slot = slots[index]
        if let whole = slot.whole { return whole }
        guard case .stored(let column) = sources[index], let piece else { return try vector(index) }
        let view: ColumnView
        if let known = slot.view { view = known } else { view = try piece.view(column, cache: cache) }
        slot.view = view
        let whole = unpack(view, slot)
        slot.whole = whole
        return whole
    }

    // MARK: Unpacking

    private func unpack(_ view: ColumnView, _ slot: Slot) -> BlockVector {
        var vector = BlockVector(
            elements: .constant, nulls: nulls(view, slot), bounds: view.zone.bounds, dictionary: view.dictionary)
        switch view.values {
        case .integers(let integers): vector.elements = .integers(integers + start)
        case .doubles(let doubles): vector.elements = .doubles(doubles + start)
        case .codes(let store, let base, let scale):
            vector.base = base
            vector.scale = scale
            switch store {
            case .constant: break
            case .packed(let bits, let words):
                vector.elements = unpack(words, bits: bits, rowsInPiece: view.rowCount, into: slot.unpacked)
            case .runs(let ends, let codes, let count):
                expand(ends, codes, count, slot, &vector)
            }
        }
        return vector
    }

    private func unpack(
        _ words: UnsafeRawPointer, bits: Int, rowsInPiece: Int, into buffer: BlockBuffer
    ) -> BlockVector.Elements {
        let block =
            words + start / BitPacking.blockRows * BitPacking.blockBytes(rowCount: BitPacking.blockRows, bits: bits)
        switch BitPacking.laneBits(bits) {
        case 8:
            let lanes = block.assumingMemoryBound(to: UInt8.self)
            guard bits < 8 else { return .bytes(lanes) }
            BitPacking.unpackBlock(lanes, rowCount: rowCount, bits: bits, into: buffer.pointer(UInt8.self))
            return .bytes(buffer.pointer())
        case 16:
            let lanes = block.assumingMemoryBound(to: UInt16.self)
            guard bits < 16 else { return .shorts(lanes) }
            BitPacking.unpackBlock(lanes, rowCount: rowCount, bits: bits, into: buffer.pointer(UInt16.self))
            return .shorts(buffer.pointer())
        default:
            let lanes = block.assumingMemoryBound(to: UInt32.self)
            guard bits < 32 else { return .words(lanes) }
            BitPacking.unpackBlock(lanes, rowCount: rowCount, bits: bits, into: buffer.pointer(UInt32.self))
            return .words(buffer.pointer())
        }
    }

    /// A block within one run is a constant; others are written out.
    private func expand(
        _ ends: UnsafePointer<UInt32>, _ codes: UnsafePointer<UInt32>, _ count: Int, _ slot: Slot,
        _ vector: inout BlockVector
    ) {
        if slot.run > 0, slot.run >= count || Int(ends[slot.run - 1]) > start { slot.run = 0 }
        while Int(ends[slot.run]) <= start { slot.run += 1 }
        if Int(ends[slot.run]) >= start + rowCount {
            vector.base &+= vector.scale &* Int64(codes[slot.run])
            return
        }
        var largest = UInt64.max
        if case .keys(let low, let high) = vector.bounds { largest = UInt64(bitPattern: high &- low) }
        switch largest / UInt64(vector.scale) {
        case ...0xFF: vector.elements = .bytes(write(ends, codes, slot))
        case ...0xFFFF: vector.elements = .shorts(write(ends, codes, slot))
        default: vector.elements = .words(write(ends, codes, slot))
        }
    }

    private func write<C: FixedWidthInteger & UnsignedInteger & BitwiseCopyable>(
        _ ends: UnsafePointer<UInt32>, _ codes: UnsafePointer<UInt32>, _ slot: Slot
    ) -> UnsafePointer<C> {
        let out = slot.unpacked.pointer(C.self)
        var row = start
        while row < start + rowCount {
            let end = min(Int(ends[slot.run]), start + rowCount)
            (out + (row - start)).update(repeating: C(truncatingIfNeeded: codes[slot.run]), count: end - row)
            row = end
            if Int(ends[slot.run]) <= row, row < start + rowCount { slot.run += 1 }
        }
        return UnsafePointer(out)
    }

    private func nulls(_ view: ColumnView, _ slot: Slot) -> BlockPositions {
        let out = slot.allNulls.pointer(UInt16.self)
        var count = 0
        switch view.nulls {
        case .none: return .none
        case .list(let rows, let listed):
            var at = NullStore.position(of: start, in: rows, listed)
            while at < listed, Int(rows[at]) < start + rowCount {
                out[count] = UInt16(truncatingIfNeeded: Int(rows[at]) &- start)
                count &+= 1
                at &+= 1
            }
        case .validity(let words):
            var row = 0
            while row < rowCount {  // a block begins at a whole word
                var missing = ~words[(start &+ row) &>> 6]
                if rowCount &- row < 64 { missing &= 1 &<< UInt64(rowCount &- row) &- 1 }
                while missing != 0 {
                    out[count] = UInt16(truncatingIfNeeded: row &+ missing.trailingZeroBitCount)
                    count &+= 1
                    missing &= missing &- 1
                }
                row &+= 64
            }
        }
        return count == 0 ? .none : BlockPositions(start: UnsafePointer(out), count: count)
    }

    // MARK: Selecting

    private func compact(_ whole: BlockVector, _ selection: BlockPositions, _ slot: Slot) -> BlockVector {
        var vector = whole
        switch whole.elements {
        case .constant: break
        case .bytes(let codes): vector.elements = .bytes(gather(codes, selection, slot.selected))
        case .shorts(let codes): vector.elements = .shorts(gather(codes, selection, slot.selected))
        case .words(let codes): vector.elements = .words(gather(codes, selection, slot.selected))
        case .integers(let integers): vector.elements = .integers(gather(integers, selection, slot.selected))
        case .doubles(let doubles): vector.elements = .doubles(gather(doubles, selection, slot.selected))
        }
        vector.nulls = compact(nulls: whole.nulls, selection, slot.selectedNulls)
        return vector
    }

    private func gather<T: BitwiseCopyable>(
        _ source: UnsafePointer<T>, _ selection: BlockPositions, _ buffer: BlockBuffer
    ) -> UnsafePointer<T> {
        let out = buffer.pointer(T.self)
        guard let rows = selection.start else { return UnsafePointer(out) }
        for at in 0..<selection.count { out[at] = source[Int(rows[at])] }
        return UnsafePointer(out)
    }

    private func compact(nulls: BlockPositions, _ selection: BlockPositions, _ buffer: BlockBuffer) -> BlockPositions {
        guard nulls.count > 0, let rows = selection.start else { return .none }
        let map = nullMap.pointer(UInt8.self)
        for index in 0..<nulls.count { map[nulls[index]] = 1 }
        let out = buffer.pointer(UInt16.self)
        var count = 0
        for at in 0..<selection.count {
            out[count] = UInt16(truncatingIfNeeded: at)
            count &+= Int(map[Int(rows[at])])
        }
        for index in 0..<nulls.count { map[nulls[index]] = 0 }
        return count == 0 ? .none : BlockPositions(start: UnsafePointer(out), count: count)
    }
}
