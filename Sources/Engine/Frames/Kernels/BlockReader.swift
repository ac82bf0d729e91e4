// Brings the columns of one block of a piece into the processor's cache: unpacked, and reduced to the selected rows.

// Unsafe: reads chunks through their views' pointers, within the block's rows, and writes its own buffers.

import CKernels

/// One for each thread of a scan. Usage: `begin(piece)`, then for each block `move`, `select`, `vector`.
final class BlockReader {
    /// What is known of one column, all of it trivial to copy: no references are counted while blocks are read, which
    /// threads that count the same ones would wait for.
    private struct Slot {
        /// Of the frame; nil for a computed column.
        let column: Int?
        let unpacked: UnsafeMutableRawPointer
        let selected: UnsafeMutableRawPointer
        let allNulls: UnsafeMutableRawPointer
        let selectedNulls: UnsafeMutableRawPointer
        /// Of the current piece.
        var isLoaded = false
        var values = ColumnView.Values.codes(.constant, base: 0, scale: 1)
        var nullStore = NullStore.none
        var bounds = Zone.Bounds.none
        var sharesDictionary = false
        /// Listed nulls before the block that comes next.
        var nullsPassed = 0
        /// The run that the last block ended in.
        var run = 0
        /// Of all rows, their nulls left out.
        var codes: BlockVector?
        var nulls: BlockPositions?
        /// Packed codes of the next block, as far as they have not been asked for.
        var ahead: UnsafeRawPointer?
        var aheadBytes = 0
        var prefetchBytes = 0
        /// Of the selected rows.
        var vector: BlockVector?
    }

    let sources: [ScanColumn]
    private let types: [ColumnType]
    private let slots: UnsafeMutablePointer<Slot>
    /// What `slots` point to.
    private let buffers: [BlockBuffer]
    /// Keep alive what slots know of the current piece.
    private var views: [ColumnView?]
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
        views = Array(repeating: nil, count: sources.count)
        let buffers = (0..<sources.count * 4).map { _ in BlockBuffer() }
        self.buffers = buffers
        slots = .allocate(capacity: sources.count)
        for (index, source) in sources.enumerated() {
            var column: Int?
            if case .stored(let stored) = source { column = stored }
            let own = buffers[index * 4..<index * 4 + 4].map(\.raw)
            (slots + index).initialize(
                to: Slot(column: column, unpacked: own[0], selected: own[1], allNulls: own[2], selectedNulls: own[3]))
        }
    }

    deinit { slots.deallocate() }

    /// Rows in the selection.
    var count: Int { selection?.count ?? rowCount }

    func begin(_ piece: FramePiece) {
        self.piece = piece
        for index in sources.indices {
            views[index] = nil
            slots[index].isLoaded = false
            slots[index].run = 0
            slots[index].nullsPassed = 0
        }
    }

    /// Goes to the block that begins at row `start`, with all rows selected.
    func move(to start: Int, rowCount: Int) {
        self.start = start
        self.rowCount = rowCount
        selection = nil
        for index in sources.indices {
            slots[index].codes = nil
            slots[index].nulls = nil
            slots[index].vector = nil
            slots[index].aheadBytes = 0
        }
    }

    /// Rows after which loops that hardly wait for memory themselves are to ask for some of the next block.
    static let rowsPerPrefetch = 1024

    /// Asks for an eighth of what will be unpacked of the next block, so that it comes while this one is reckoned with.
    func prefetch() {
        for index in sources.indices where slots[index].aheadBytes > 0 {
            guard let ahead = slots[index].ahead else { continue }
            let bytes = min(slots[index].aheadBytes, slots[index].prefetchBytes)
            ck_prefetch(ahead, bytes)
            slots[index].ahead = ahead + bytes
            slots[index].aheadBytes -= bytes
        }
    }

    /// `selection` stays valid until the next `move`.
    func select(_ selection: BlockSelection) {
        self.selection = selection
        for index in sources.indices { slots[index].vector = nil }
    }

    /// The zone of a slot in this piece; nothing is known of a computed column.
    func zone(_ slot: Int) -> Zone? {
        guard case .stored(let column) = sources[slot], let piece else { return nil }
        return piece.zone(column)
    }

    /// Codes that rows of a slot have in this piece, where that is known.
    func presence(_ slot: Int) -> CodePresence? {
        guard case .stored(let column) = sources[slot], let piece else { return nil }
        return piece.presence(column)
    }

    func isDouble(_ slot: Int) -> Bool { types[slot] == .double }

    /// Of a column of strings, whose keys are codes of it: this piece's.
    func dictionary(_ index: Int) throws(Failure) -> DictionaryView? {
        guard let column = slots[index].column else { return nil }
        try load(column, index)
        return views[index]?.dictionary
    }

    /// Whether it is the one that chunks share.
    func sharesDictionary(_ index: Int) throws(Failure) -> Bool {
        guard let column = slots[index].column else { return false }
        try load(column, index)
        return slots[index].sharesDictionary
    }

    /// Some of the selected rows as scalars. For row-at-a-time uses.
    func scalars(_ index: Int, _ range: Range<Int>) throws(Failure) -> [Scalar] {
        if let column = slots[index].column {
            try load(column, index)
            guard let view = views[index] else { preconditionFailure("a piece has begun") }
            return range.map { at in view.scalar(at: start + row(at)) }
        }
        let vector = try vector(index)
        guard case .doubles(let doubles) = vector.elements else { preconditionFailure("computed columns are doubles") }
        var scalars = range.map { Scalar.double(doubles[$0]) }
        for null in 0..<vector.nulls.count where range.contains(vector.nulls[null]) {
            scalars[vector.nulls[null] - range.lowerBound] = .null
        }
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
        if let vector = slots[index].vector { return vector }
        let vector: BlockVector
        if slots[index].column == nil {
            vector = try evaluate(index)
        } else {
            var whole = try codes(index)
            whole.nulls = try nulls(index)
            vector = selection.map { select(whole, $0, slots + index) } ?? whole
        }
        slots[index].vector = vector
        return vector
    }

    private func evaluate(_ index: Int) throws(Failure) -> BlockVector {
        guard case .computed(let program) = sources[index] else { preconditionFailure("a computed column") }
        return try evaluator.evaluate(
            program, count: count, reader: self, into: slots[index].selected.assumingMemoryBound(to: Double.self),
            slots[index].selectedNulls.assumingMemoryBound(to: UInt16.self))
    }

    /// All rows of a slot's column; of a stored one without saying which are nulls. Of a computed column only while all rows
    /// are selected.
    func codes(_ index: Int) throws(Failure) -> BlockVector {
        if let codes = slots[index].codes { return codes }
        guard let column = slots[index].column else { return try vector(index) }
        try load(column, index)
        let codes = unpack(slots + index)
        slots[index].codes = codes
        return codes
    }

    /// The nulls among all rows of a slot's column, likewise.
    func nulls(_ index: Int) throws(Failure) -> BlockPositions {
        if let nulls = slots[index].nulls { return nulls }
        guard let column = slots[index].column else { return try vector(index).nulls }
        try load(column, index)
        let nulls = findNulls(slots + index)
        slots[index].nulls = nulls
        return nulls
    }

    @inline(__always)
    private func load(_ column: Int, _ index: Int) throws(Failure) {
        if !slots[index].isLoaded { try loadPiece(column, index) }
    }

    @inline(never)
    private func loadPiece(_ column: Int, _ index: Int) throws(Failure) {
        guard let piece else { preconditionFailure("a piece has begun") }
        let view = try piece.view(column, cache: cache)
        slots[index].isLoaded = true
        slots[index].values = view.values
        slots[index].nullStore = view.nulls
        slots[index].bounds = view.zone.bounds
        slots[index].sharesDictionary = view.dictionary?.isShared ?? false
        views[index] = view
    }

    // MARK: Unpacking

    private func unpack(_ slot: UnsafeMutablePointer<Slot>) -> BlockVector {
        var vector = BlockVector(elements: .constant, bounds: slot.pointee.bounds)
        switch slot.pointee.values {
        case .integers(let integers): vector.elements = .integers(integers + start)
        case .doubles(let doubles): vector.elements = .doubles(doubles + start)
        case .codes(let store, let base, let scale):
            vector.base = base
            vector.scale = scale
            switch store {
            case .constant: break
            case .packed(let bits, let words):
                vector.elements = unpack(words, bits: bits, into: slot.pointee.unpacked)
                lookAhead(words, bits: bits, slot)
            case .runs(let ends, let codes, let count):
                expand(ends, codes, count, slot, &vector)
            }
        }
        return vector
    }

    private func unpack(_ words: UnsafeRawPointer, bits: Int, into buffer: UnsafeMutableRawPointer)
        -> BlockVector.Elements
    {
        let block =
            words + start / BitPacking.blockRows * BitPacking.blockBytes(rowCount: BitPacking.blockRows, bits: bits)
        let lanes = BitPacking.lanes(rowCount: rowCount, bits: bits)
        switch BitPacking.laneBits(bits) {
        case 8:
            let words = block.assumingMemoryBound(to: UInt8.self)
            guard bits < 8 else { return .bytes(words) }
            let out = buffer.assumingMemoryBound(to: UInt8.self)
            ck_unpack8(words, lanes, Int32(bits), out)
            return .bytes(out)
        case 16:
            let words = block.assumingMemoryBound(to: UInt16.self)
            guard bits < 16 else { return .shorts(words) }
            let out = buffer.assumingMemoryBound(to: UInt16.self)
            ck_unpack16(words, lanes, Int32(bits), out)
            return .shorts(out)
        default:
            let words = block.assumingMemoryBound(to: UInt32.self)
            guard bits < 32 else { return .words(words) }
            let out = buffer.assumingMemoryBound(to: UInt32.self)
            ck_unpack32(words, lanes, Int32(bits), out)
            return .words(out)
        }
    }

    private func lookAhead(_ words: UnsafeRawPointer, bits: Int, _ slot: UnsafeMutablePointer<Slot>) {
        let next = start + BitPacking.blockRows
        guard let piece, next + BitPacking.blockRows <= piece.rowCount else { return }
        let bytes = BitPacking.blockBytes(rowCount: BitPacking.blockRows, bits: bits)
        slot.pointee.ahead = words + next / BitPacking.blockRows * bytes
        slot.pointee.aheadBytes = bytes
        slot.pointee.prefetchBytes = (bytes / 8 + 63) & ~63
    }

    /// A block within one run is a constant; others are written out.
    private func expand(
        _ ends: UnsafePointer<UInt32>, _ codes: UnsafePointer<UInt32>, _ count: Int,
        _ slot: UnsafeMutablePointer<Slot>, _ vector: inout BlockVector
    ) {
        if slot.pointee.run > 0, slot.pointee.run >= count || Int(ends[slot.pointee.run - 1]) > start {
            slot.pointee.run = 0
        }
        while Int(ends[slot.pointee.run]) <= start { slot.pointee.run += 1 }
        if Int(ends[slot.pointee.run]) >= start + rowCount {
            vector.base &+= vector.scale &* Int64(codes[slot.pointee.run])
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
        _ ends: UnsafePointer<UInt32>, _ codes: UnsafePointer<UInt32>,
        _ slot: UnsafeMutablePointer<Slot>
    ) -> UnsafePointer<C> {
        let out = slot.pointee.unpacked.assumingMemoryBound(to: C.self)
        var row = start
        while row < start + rowCount {
            let end = min(Int(ends[slot.pointee.run]), start + rowCount)
            (out + (row - start)).update(repeating: C(truncatingIfNeeded: codes[slot.pointee.run]), count: end - row)
            row = end
            if Int(ends[slot.pointee.run]) <= row, row < start + rowCount { slot.pointee.run += 1 }
        }
        return UnsafePointer(out)
    }

    private func findNulls(_ slot: UnsafeMutablePointer<Slot>) -> BlockPositions {
        let out = slot.pointee.allNulls.assumingMemoryBound(to: UInt16.self)
        var count = 0
        switch slot.pointee.nullStore {
        case .none: return .none
        case .list(let rows, let listed):
            var first = slot.pointee.nullsPassed
            // Blocks come in order, but some are passed over.
            if first < listed, Int(rows[first]) < start { first = NullStore.position(of: start, in: rows, listed) }
            count = ck_narrow_rows(rows + first, listed - first, UInt32(start), UInt32(rowCount), out)
            slot.pointee.nullsPassed = first + count
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

    private func select(
        _ whole: BlockVector, _ selection: BlockSelection, _ slot: UnsafeMutablePointer<Slot>
    ) -> BlockVector {
        var vector = whole
        let (bits, selected) = (selection.bits, slot.pointee.selected)
        switch whole.elements {
        case .constant: break
        case .bytes(let codes):
            let out = selected.assumingMemoryBound(to: UInt8.self)
            ck_select8(codes, rowCount, bits, out)
            vector.elements = .bytes(out)
        case .shorts(let codes):
            let out = selected.assumingMemoryBound(to: UInt16.self)
            ck_select16(codes, rowCount, bits, out)
            vector.elements = .shorts(out)
        case .words(let codes):
            let out = selected.assumingMemoryBound(to: UInt32.self)
            ck_select32(codes, rowCount, bits, out)
            vector.elements = .words(out)
        case .integers(let integers):
            select(UnsafeRawPointer(integers), bits, selected)
            vector.elements = .integers(selected.assumingMemoryBound(to: Int64.self))
        case .doubles(let doubles):
            select(UnsafeRawPointer(doubles), bits, selected)
            vector.elements = .doubles(selected.assumingMemoryBound(to: Double.self))
        }
        let out = slot.pointee.selectedNulls.assumingMemoryBound(to: UInt16.self)
        vector.nulls = select(nulls: whole.nulls, bits, out)
        return vector
    }

    private func select(_ numbers: UnsafeRawPointer, _ bits: UnsafePointer<UInt64>, _ out: UnsafeMutableRawPointer) {
        ck_select64(
            numbers.assumingMemoryBound(to: UInt64.self), rowCount, bits, out.assumingMemoryBound(to: UInt64.self))
    }

    private func select(
        nulls: BlockPositions, _ bits: UnsafePointer<UInt64>, _ out: UnsafeMutablePointer<UInt16>
    ) -> BlockPositions {
        guard nulls.count > 0, let rows = nulls.start else { return .none }
        let count = ck_select_rows(rows, nulls.count, rowCount, bits, out)
        return count == 0 ? .none : BlockPositions(start: out, count: count)
    }
}
