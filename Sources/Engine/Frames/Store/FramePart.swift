// One shard's part of one frame: sealed chunks in order, and a tail that takes new rows.

import Synchronization

/// A run of rows that never changes.
package enum FramePiece: Sendable {
    case chunk(Chunk)
    case tail(TailView)

    package var rowCount: Int {
        switch self {
        case .chunk(let chunk): chunk.rowCount
        case .tail(let view): view.rowCount
        }
    }

    package func zone(_ column: Int) -> Zone {
        switch self {
        case .chunk(let chunk): chunk.zone(column)
        case .tail(let view): view.columns[column].zone
        }
    }

    /// Codes that some row has, where that is known.
    func presence(_ column: Int) -> CodePresence? {
        if case .chunk(let chunk) = self { chunk.presence(column) } else { nil }
    }

    /// Unique within the process, for ever, and so are the rows under it.
    var id: UInt64 {
        switch self {
        case .chunk(let chunk): chunk.id
        case .tail(let view): view.id
        }
    }

    var chunkID: UInt64? { if case .chunk(let chunk) = self { chunk.id } else { nil } }

    var isTail: Bool { if case .tail = self { true } else { false } }

    /// The column's codes are those of the dictionary that all chunks share.
    func sharesDictionary(_ column: Int) -> Bool {
        switch self {
        case .chunk(let chunk): chunk.sharesDictionary(column)
        case .tail(let view): view.columns[column].dictionary?.isShared ?? false
        }
    }

    func sharedDictionary(_ column: Int) -> DictionaryView? {
        switch self {
        case .chunk(let chunk): chunk.sharedDictionary(column)
        case .tail(let view): view.columns[column].dictionary.flatMap { $0.isShared ? $0 : nil }
        }
    }

    /// What keys are the least one plus a multiple of; 0 where there is only one, nil where the codes of other pieces mean
    /// something else.
    func codeScale(_ column: Int) -> Int64? {
        switch self {
        case .chunk(let chunk): chunk.codeScale(column)
        case .tail(let view):
            switch view.columns[column].type {
            case .double: nil
            case .string: sharesDictionary(column) ? 1 : nil
            default: 1
            }
        }
    }

    /// The column's values are codes, not numbers as they are.
    func hasCodes(_ column: Int) -> Bool {
        switch self {
        case .chunk(let chunk): chunk.hasCodes(column)
        case .tail(let view): view.columns[column].type == .string
        }
    }

    func view(_ column: Int, cache: ColumnCache) throws(Failure) -> ColumnView {
        switch self {
        case .chunk(let chunk): try chunk.view(column, cache: cache)
        case .tail(let view): view.columns[column]
        }
    }
}

/// The rows of a part, or of all parts of a frame, at one moment.
package struct FrameSnapshot: Sendable {
    package let schema: FrameSchema
    package let pieces: [FramePiece]
    package let cache: ColumnCache
    /// Where what plans find is kept, and under which part; nil for nowhere.
    let known: (partials: PartialCache, part: UInt64)?
    /// Of these parts, before this moment.
    let retiredRows: Int

    package init(schema: FrameSchema, pieces: [FramePiece], cache: ColumnCache) {
        self.init(schema: schema, pieces: pieces, cache: cache, known: nil, retiredRows: 0)
    }

    init(
        schema: FrameSchema, pieces: [FramePiece], cache: ColumnCache, known: (partials: PartialCache, part: UInt64)?,
        retiredRows: Int
    ) {
        self.retiredRows = retiredRows
        self.schema = schema
        self.pieces = pieces
        self.cache = cache
        self.known = known
    }

    package var rowCount: Int { pieces.reduce(0) { $0 + $1.rowCount } }

    /// Rows that there ever were: it only grows.
    var rowsEver: Int { rowCount + retiredRows }
}

package struct FrameStatistics: Sendable, Equatable {
    package var rows = 0
    package var chunks = 0
    package var tailRows = 0
    /// Text the rows came from.
    package var rawBytes = 0
    /// Memory the rows take.
    package var storedBytes = 0
    /// Rows that were dropped for their age.
    package var retiredRows = 0

    package static var none: Self { Self() }

    package static func + (a: Self, b: Self) -> Self {
        Self(
            rows: a.rows + b.rows, chunks: a.chunks + b.chunks, tailRows: a.tailRows + b.tailRows,
            rawBytes: a.rawBytes + b.rawBytes, storedBytes: a.storedBytes + b.storedBytes,
            retiredRows: a.retiredRows + b.retiredRows)
    }
}

/// What all frames of a node share.
package struct FrameResources: Sendable {
    package static let chunkRowsMax = 65_536

    package let memory: FrameMemory
    package let cache: ColumnCache
    package let partials: PartialCache
    /// Rows at which a tail is sealed; at most 65,536, which kernels rely on. Smaller only in tests.
    package let chunkRows: Int
    /// Rows at the end of a load that become a chunk of their own: a tail is scanned apart, and takes eight times the memory,
    /// but many small chunks are slow too.
    var chunkRowsMin: Int { max(1, chunkRows / 16) }
    /// Strings of a column beyond which new chunks get dictionaries of their own.
    package let sharedStringsMax: Int
    /// Columns that nobody has read for so long are compressed.
    package let coldSeconds: UInt32
    package let environment: any Environment

    package init(
        memory: FrameMemory = FrameMemory(), cache: ColumnCache = ColumnCache(), chunkRows: Int = chunkRowsMax,
        sharedStringsMax: Int = SharedDictionary.countMax, coldSeconds: UInt32 = 600, partialBytes: Int = 64 << 20,
        environment: any Environment = SystemEnvironment()
    ) {
        self.environment = environment
        self.coldSeconds = coldSeconds
        cache.account(in: memory)
        precondition((1...Self.chunkRowsMax).contains(chunkRows))
        self.memory = memory
        self.cache = cache
        partials = PartialCache(memory: memory, limitBytes: partialBytes)
        self.chunkRows = chunkRows
        self.sharedStringsMax = sharedStringsMax
    }
}

/// Thread-safe. An append is visible to the next snapshot, whole.
package final class FramePart: Sendable {
    struct State: Sendable {
        var pieces: [FramePiece] = []
        var tail: Tail?
        var retiredRows = 0
    }

    package let schema: FrameSchema
    let resources: FrameResources
    private let dictionaries: [SharedDictionary?]
    /// Their memory is this part's to report.
    private let ownsDictionaries: Bool
    private let load: UInt64?
    private let id: UInt64
    private static let nextID = Atomic<UInt64>(1)
    let state = Mutex(State())

    /// `dictionaries`, one for each column of strings, are shared by all parts of a frame; a part alone makes its own. `load`
    /// is the one that stages its rows here.
    package init(
        schema: FrameSchema, resources: FrameResources, dictionaries: [SharedDictionary?]? = nil, load: UInt64? = nil
    ) {
        self.load = load
        self.schema = schema
        self.resources = resources
        self.dictionaries = dictionaries ?? Self.dictionaries(for: schema, resources)
        ownsDictionaries = dictionaries == nil
        id = Self.newID()
    }

    /// Unique within the process, for ever: what is found in a part, or in several, may be kept under it.
    static func newID() -> UInt64 { nextID.wrappingAdd(1, ordering: .relaxed).oldValue }

    static func dictionaries(for schema: FrameSchema, _ resources: FrameResources) -> [SharedDictionary?] {
        schema.columns.map { column in
            guard column.type == .string else { return nil }
            return SharedDictionary(memory: resources.memory, countMax: resources.sharedStringsMax)
        }
    }

    /// Takes all rows, or none when the frame memory is full. A tail that fills up is sealed by this call, outside the
    /// lock: queries see its rows at all times.
    package func append(_ batch: ColumnBatch) throws(Failure) {
        for view in try store(batch) { seal(view) }
    }

    /// The same without sealing; answers the tails that are full now, which the caller seals, once it holds no lock.
    func store(_ batch: ColumnBatch) throws(Failure) -> [TailView] {
        precondition(batch.schema == schema, "a batch is parsed with the frame's schema")
        guard batch.rowCount > 0 else { return [] }
        let result = state.withLock { state -> Result<[TailView], Failure> in
            // On the account before it is made; what the tail takes in the end is on its own.
            let incoming = MemoryReservation(resources.memory)
            do throws(Failure) {
                try incoming.grow(
                    by: Tail.bytesNeeded(for: batch, after: state.tail, capacity: resources.chunkRows))
            } catch {
                return .failure(error)
            }
            return .success(take(batch, &state))
        }
        return try result.get()
    }

    /// Ends the tail if it has so many rows, and seals it and whatever else is not sealed.
    func sealTails(ofRows rowsMin: Int) {
        let views = state.withLock { state -> [TailView] in
            if let tail = state.tail, tail.rowCount >= rowsMin {
                var ended = tail
                state.pieces.append(.tail(ended.view()))
                state.tail = nil
            }
            return state.pieces.compactMap { if case .tail(let view) = $0 { view } else { nil } }
        }
        for view in views { seal(view) }
    }

    /// What a batch would take on the account of memory, at most, as the tail is now.
    func bytesNeeded(for batch: ColumnBatch) -> Int {
        state.withLock { Tail.bytesNeeded(for: batch, after: $0.tail, capacity: resources.chunkRows) }
    }

    /// Takes rows that there is room for; answers the tails that are full now, which the caller seals.
    func take(_ batch: ColumnBatch) -> [TailView] { state.withLock { take(batch, &$0) } }

    /// Takes chunks as they are.
    func adopt(_ chunks: [Chunk]) {
        state.withLock { $0.pieces.append(contentsOf: chunks.map { .chunk($0) }) }
    }

    /// Compresses columns that have gone cold, at most so many, in place: queries under way keep the chunks that they have.
    /// Answers how many it tried.
    func compressCold(limit: Int) -> Int {
        let now = resources.cache.clock()
        var left = limit
        for case .chunk(let chunk) in state.withLock({ $0.pieces }) where left > 0 {
            let cold = chunk.coldColumns(now: now, seconds: resources.coldSeconds, limit: left)
            guard !cold.isEmpty else { continue }
            left -= cold.count
            guard let smaller = chunk.compressing(cold) else { continue }
            state.withLock { state in
                guard let index = state.pieces.firstIndex(where: { $0.chunkID == chunk.id }) else { return }
                state.pieces[index] = .chunk(smaller)
            }
        }
        return limit - left
    }

    /// The rows so far, immutable. Cost: microseconds; no row is copied.
    package func snapshot() -> FrameSnapshot {
        let (pieces, retired) = state.withLock { state -> ([FramePiece], Int) in
            guard let view = state.tail?.view(), view.rowCount > 0 else { return (state.pieces, state.retiredRows) }
            return (state.pieces + [.tail(view)], state.retiredRows)
        }
        return FrameSnapshot(
            schema: schema, pieces: pieces, cache: resources.cache, known: (resources.partials, id),
            retiredRows: retired)
    }

    package var statistics: FrameStatistics {
        state.withLock { state in
            var sum = state.pieces.reduce(FrameStatistics()) { $0 + $1.statistics }
            sum.retiredRows = state.retiredRows
            if let tail = state.tail {
                sum.rows += tail.rowCount
                sum.tailRows = tail.rowCount
                sum.rawBytes += tail.rawBytes
                sum.storedBytes += tail.reservation.bytes
            }
            if ownsDictionaries { sum.storedBytes += dictionaries.reduce(0) { $0 + ($1?.memoryBytes ?? 0) } }
            return sum
        }
    }

    // MARK: Sealing

    func take(_ batch: ColumnBatch, _ state: inout State) -> [TailView] {
        var full: [TailView] = []
        var row = 0
        while row < batch.rowCount {
            var tail =
                state.tail.take()
                ?? Tail(
                    schema: schema, dictionaries: dictionaries, capacity: resources.chunkRows,
                    memory: resources.memory, load: load)
            var codes = [[UInt32]](repeating: [], count: schema.columns.count)
            let taken = tail.append(batch, from: row, codes: &codes)
            row += taken
            if tail.isFull {
                let view = tail.view()
                state.pieces.append(.tail(view))
                full.append(view)
            } else {
                state.tail = tail
            }
        }
        return full
    }

    /// Others have their turns meanwhile, so that no lock may be held, unless `givesWay` is false.
    func seal(_ view: TailView, givesWay: Bool = true) {
        let chunk = ColumnEncoder.seal(view, memory: resources.memory, givesWay ? .givingWay() : WorkPace())
        state.withLock { state in
            guard let index = state.pieces.firstIndex(where: { $0.isTail(view) }) else { return }
            state.pieces[index] = .chunk(chunk)
        }
    }
}

extension FramePiece {
    fileprivate func isTail(_ other: TailView) -> Bool {
        guard case .tail(let view) = self else { return false }
        return view === other
    }

    fileprivate var statistics: FrameStatistics {
        switch self {
        case .chunk(let chunk):
            FrameStatistics(
                rows: chunk.rowCount, chunks: 1, rawBytes: chunk.rawBytes, storedBytes: chunk.storedBytes)
        case .tail(let view):
            FrameStatistics(
                rows: view.rowCount, chunks: 1, rawBytes: view.rawBytes, storedBytes: view.reservation.bytes)
        }
    }
}
