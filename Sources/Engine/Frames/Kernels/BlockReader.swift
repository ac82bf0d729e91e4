// Brings the columns of one block of a piece into the processor's cache: unpacked, and reduced to the selected rows.

// Unsafe: reads chunks through their views' pointers, within the block's rows, and writes its own buffers.

import CKernels

/// One for each thread of a scan. Usage: `begin(piece)`, then for each block `move`, `select`, `vector`.
final class BlockReader {
    private final class Slot {
        let unpacked = BlockBuffer()
        let selected = BlockBuffer()
        let allNulls = BlockBuffer()
        let selectedNulls = BlockBuffer()
        /// Of the current piece; it keeps alive what the next three are parts of, which cost nothing to copy.
        var view: ColumnView?
        var values = ColumnView.Values.codes(.constant, base: 0, scale: 1)
        var nullStore = NullStore.none
        var bounds = Zone.Bounds.none
        /// Listed nulls before the block that comes next.
        var nullsPassed = 0
        /// Of all rows, their nulls left out.
        var codes: BlockVector?
        var nulls: BlockPositions?
        /// Of the selected rows.
        var vector: BlockVector?
        /// The run that the last block ended in.
        var run = 0
    }

    let sources: [ScanColumn]
    private let types: [ColumnType]
    private let slots: [Slot]
    private var piece: FramePiece?
    private let cache: ColumnCache
    private lazy var evaluator = ExpressionEvaluator()

    private(set) var start = 0
    private(set) var rowCount = 0
    /// Nil for all rows.
    private var selection: BlockSelection?

    init(sources: [ScanColumn], types: [ColumnType], cache: ColumnCache) {
        self.sources = sources
        self.types = types
        self.cache = cache
        slots = sources.map { _ in Slot() }
    }

    /// Rows in the selection.
    var count: Int { selection?.count ?? rowCount }

    func begin(_ piece: FramePiece) {
        self.piece = piece
        for slot in slots {
            slot.view = nil
            slot.run = 0
            slot.nullsPassed = 0
        }
    }

    /// Goes to the block that begins at row `start`, with all rows selected.
    func move(to start: Int, rowCount: Int) {
        self.start = start
        self.rowCount = rowCount
        selection = nil
        for slot in slots {
            slot.codes = nil
            slot.nulls = nil
            slot.vector = nil
        }
    }

    /// `selection` stays valid until the next `move`.
    func select(_ selection: BlockSelection) {
        self.selection = selection
        for slot in slots { slot.vector = nil }
    }

    /// The zone of a slot in this piece; nothing is known of a computed column.
    func zone(_ slot: Int) -> Zone? {
        guard case .stored(let column) = sources[slot], let piece else { return nil }
        return piece.zone(column)
    }

    func isDouble(_ slot: Int) -> Bool { types[slot] == .double }

    /// Of a column of strings, whose keys are codes of it: this piece's.
    func dictionary(_ index: Int) throws(Failure) -> DictionaryView? {
        guard case .stored(let column) = sources[index] else { return nil }
        try load(column, slots[index])
        return slots[index].view?.dictionary
    }

    /// The first `limit` selected rows as scalars. For row-at-a-time uses.
    func scalars(_ index: Int, limit: Int) throws(Failure) -> [Scalar] {
        if case .stored(let column) = sources[index] {
            try load(column, slots[index])
            guard let view = slots[index].view else { preconditionFailure("a piece has begun") }
            return (0..<limit).map { at in view.scalar(at: start + row(at)) }
        }
        let vector = try vector(index)
        guard case .doubles(let doubles) = vector.elements else { preconditionFailure("computed columns are doubles") }
        var scalars = (0..<limit).map { Scalar.double(doubles[$0]) }
        for null in 0..<vector.nulls.count where vector.nulls[null] < limit { scalars[vector.nulls[null]] = .null }
        return scalars
    }

    /// The row of the block that is the selection's row `at`, found word by word.
    private func row(_ at: Int) -> Int {
        guard let selection else { return at }
        var (word, left) = (0, at)
        while selection.bits[word].nonzeroBitCount <= left {
            left -= selection.bits[word].nonzeroBitCount
            word += 1
        }
        var bits = selection.bits[word]
        for _ in 0..<left { bits &= bits &- 1 }
        return word * 64 + bits.trailingZeroBitCount
    }

    // MARK: Vectors

    /// The selected rows of a slot's column.
    func vector(_ index: Int) throws(Failure) -> BlockVector {
        let slot = slots[index]
        if let vector = slot.vector { return vector }
        let vector: BlockVector
        if case .computed(let program) = sources[index] {
            vector = try evaluator.evaluate(
                program, count: count, reader: self, into: slot.selected, slot.selectedNulls)
        } else {
            var whole = try codes(index)
            whole.nulls = try nulls(index)
            vector = selection.map { select(whole, $0, slot) } ?? whole
        }
        slot.vector = vector
        return vector
    }

    /// All rows of a slot's column; of a stored one without saying which are nulls. Of a computed column only while all rows
    /// are selected.
    func codes(_ index: Int) throws(Failure) -> BlockVector {
        let slot = slots[index]
        if let codes = slot.codes { return codes }
        guard case .stored(let column) = sources[index] else { return try vector(index) }
        try load(column, slot)
        let codes = unpack(slot)
        slot.codes = codes
        return codes
    }

    /// The nulls among all rows of a slot's column, likewise.
    func nulls(_ index: Int) throws(Failure) -> BlockPositions {
        let slot = slots[index]
        if let nulls = slot.nulls { return nulls }
        guard case .stored(let column) = sources[index] else { return try vector(index).nulls }
        try load(column, slot)
        let nulls = findNulls(slot)
        slot.nulls = nulls
        return nulls
    }

    private func load(_ column: Int, _ slot: Slot) throws(Failure) {
        guard slot.view == nil, let piece else { return }
        let view = try piece.view(column, cache: cache)
        slot.view = view
        slot.values = view.values
        slot.nullStore = view.nulls
        slot.bounds = view.zone.bounds
    }

    // MARK: Unpacking

    private func unpack(_ slot: Slot) -> BlockVector {
        var vector = BlockVector(elements: .constant, bounds: slot.bounds)
        switch slot.values {
        case .integers(let integers): vector.elements = .integers(integers + start)
        case .doubles(let doubles): vector.elements = .doubles(doubles + start)
        case .codes(let store, let base, let scale):
            vector.base = base
            vector.scale = scale
            switch store {
            case .constant: break
            case .packed(let bits, let words):
                vector.elements = unpack(words, bits: bits, into: slot.unpacked)
            case .runs(let ends, let codes, let count):
                expand(ends, codes, count, slot, &vector)
            }
        }
        return vector
    }

    private func unpack(_ words: UnsafeRawPointer, bits: Int, into buffer: BlockBuffer) -> BlockVector.Elements {
        let block =
            words + start / BitPacking.blockRows * BitPacking.blockBytes(rowCount: BitPacking.blockRows, bits: bits)
        let lanes = BitPacking.lanes(rowCount: rowCount, bits: bits)
        switch BitPacking.laneBits(bits) {
        case 8:
            let words = block.assumingMemoryBound(to: UInt8.self)
            guard bits < 8 else { return .bytes(words) }
            ck_unpack8(words, lanes, Int32(bits), buffer.pointer())
            return .bytes(buffer.pointer())
        case 16:
            let words = block.assumingMemoryBound(to: UInt16.self)
            guard bits < 16 else { return .shorts(words) }
            ck_unpack16(words, lanes, Int32(bits), buffer.pointer())
            return .shorts(buffer.pointer())
        default:
            let words = block.assumingMemoryBound(to: UInt32.self)
            guard bits < 32 else { return .words(words) }
            ck_unpack32(words, lanes, Int32(bits), buffer.pointer())
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

    private func findNulls(_ slot: Slot) -> BlockPositions {
        let out = slot.allNulls.pointer(UInt16.self)
        var count = 0
        switch slot.nullStore {
        case .none: return .none
        case .list(let rows, let listed):
            var first = slot.nullsPassed
            // Blocks come in order, but some are passed over.
            if first < listed, Int(rows[first]) < start { first = NullStore.position(of: start, in: rows, listed) }
            count = ck_narrow_rows(rows + first, listed - first, UInt32(start), UInt32(rowCount), out)
            slot.nullsPassed = first + count
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

    private func select(_ whole: BlockVector, _ selection: BlockSelection, _ slot: Slot) -> BlockVector {
        var vector = whole
        let (bits, buffer) = (selection.bits, slot.selected)
        switch whole.elements {
        case .constant: break
        case .bytes(let codes):
            ck_select8(codes, rowCount, bits, buffer.pointer())
            vector.elements = .bytes(buffer.pointer())
        case .shorts(let codes):
            ck_select16(codes, rowCount, bits, buffer.pointer())
            vector.elements = .shorts(buffer.pointer())
        case .words(let codes):
            ck_select32(codes, rowCount, bits, buffer.pointer())
            vector.elements = .words(buffer.pointer())
        case .integers(let integers):
            select(UnsafeRawPointer(integers), bits, buffer)
            vector.elements = .integers(buffer.pointer())
        case .doubles(let doubles):
            select(UnsafeRawPointer(doubles), bits, buffer)
            vector.elements = .doubles(buffer.pointer())
        }
        vector.nulls = select(nulls: whole.nulls, bits, slot.selectedNulls)
        return vector
    }

    private func select(_ numbers: UnsafeRawPointer, _ bits: UnsafePointer<UInt64>, _ buffer: BlockBuffer) {
        ck_select64(numbers.assumingMemoryBound(to: UInt64.self), rowCount, bits, buffer.pointer())
    }

    private func select(
        nulls: BlockPositions, _ bits: UnsafePointer<UInt64>, _ buffer: BlockBuffer
    ) -> BlockPositions {
        guard nulls.count > 0, let rows = nulls.start else { return .none }
        let count = ck_select_rows(rows, nulls.count, rowCount, bits, buffer.pointer())
        return count == 0 ? .none : BlockPositions(start: UnsafePointer(buffer.pointer()), count: count)
    }
}
