// A load in progress: its rows are staged, invisible to queries, until it commits or is aborted.

import Synchronization

/// Thread-safe. Staged rows are sealed and compressed as they come and count against the frame memory; dropping the last
/// reference to an uncommitted load discards them.
package final class FrameLoad: Sendable {
    private enum Stage: Sendable {
        case open
        case ready(ReadyRows)
        case committed(rows: Int)
        case aborted
    }

    /// What a commit has but to put into place.
    private struct ReadyRows: Sendable {
        var chunks: [Chunk] = []
        /// Too few for a chunk: they go on in one of the frame's tails.
        var rest: ColumnBatch
        var rowCount: Int
        /// Of the rest, which is there twice until it is in a tail.
        let account: MemoryReservation
    }

    package let frame: Frame
    /// Names the load on all nodes.
    package let number: UInt64
    private let staging: FramePart
    /// Held while rows are staged, not while they are sealed: stages of one load run one after the other.
    private let stage = Mutex(Stage.open)

    private let id: UInt64
    private static let nextID = Atomic<UInt64>(1)

    init(frame: Frame, number: UInt64) {
        self.frame = frame
        self.number = number
        id = Self.nextID.wrappingAdd(1, ordering: .relaxed).oldValue
        for dictionary in frame.dictionaries { dictionary?.beginLoad(id) }
        staging = FramePart(
            schema: frame.schema, resources: frame.resources, dictionaries: frame.dictionaries, load: id)
    }

    deinit {
        frame.discarded(number)
        endOfStrings(stay: false)
    }

    /// Harmless when they are over already.
    private func endOfStrings(stay: Bool) {
        for dictionary in frame.dictionaries { dictionary?.endLoad(id, stays: stay) }
    }

    package var stagedRows: Int { staging.statistics.rows }

    /// Adds rows. Throws when the frame memory is full (the load may then be aborted or committed without them), and once the
    /// load is ready or over.
    package func stage(_ batch: ColumnBatch) throws(Failure) {
        let full = try change { stage throws(Failure) in
            guard case .open = stage else { throw over }
            return try staging.store(batch)
        }
        // Others have their turns meanwhile, and may want the load.
        for view in full { staging.seal(view) }
    }

    /// Does all of a commit that can fail or takes long, and answers the rows; no more can be staged. When it throws, the load
    /// is as it was.
    @discardableResult
    package func prepare() throws(Failure) -> Int {
        if stage.withLock({ if case .open = $0 { true } else { false } }) {
            staging.sealTails(ofRows: frame.resources.chunkRowsMin)
        }
        return try change { stage throws(Failure) in try prepare(&stage).rowCount }
    }

    private func prepare(_ stage: inout Stage) throws(Failure) -> ReadyRows {
        if case .ready(let ready) = stage { return ready }
        guard case .open = stage else { throw over }
        try frame.requireLiving()
        let snapshot = staging.snapshot()
        let account = MemoryReservation(frame.resources.memory)
        var ready = ReadyRows(
            rest: ColumnBatch(schema: frame.schema), rowCount: snapshot.rowCount, account: account)
        for piece in snapshot.pieces {
            switch piece {
            case .chunk(let chunk): ready.chunks.append(chunk)
            case .tail(let view) where view.rowCount >= frame.resources.chunkRowsMin:
                ready.chunks.append(ColumnEncoder.seal(view, memory: frame.resources.memory, WorkPace()))
            case .tail(let view):
                try account.grow(by: ColumnBatch.bytes(rows: view.rowCount, schema: frame.schema))
                ready.rest = ColumnBatch(view, schema: frame.schema)
                try frame.makeRoom(for: ready.rest, on: account)
            }
        }
        stage = .ready(ready)
        frame.ready(number)
        return ready
    }

    /// Makes all staged rows visible at one moment and answers their number, any number of times. When it throws, none is; a load
    /// that was prepared fails only if its frame was dropped. Cost once it is prepared: under a millisecond.
    package func commit() throws(Failure) -> Int {
        try change { stage throws(Failure) in
            if case .committed(let rows) = stage { return rows }
            let ready = try prepare(&stage)
            ready.account.shrink(by: ready.account.bytes)
            try frame.take(chunks: ready.chunks, rest: ready.rest, load: number)
            stage = .committed(rows: ready.rowCount)
            endOfStrings(stay: true)
            return ready.rowCount
        }
    }

    /// Discards what was staged, and the strings that only it has brought. Harmless after a commit.
    package func abort() {
        let isAborted = stage.withLock { stage in
            if case .committed = stage { return false }
            stage = .aborted
            return true
        }
        guard isAborted else { return }
        frame.discarded(number)
        endOfStrings(stay: false)
    }

    private var over: Failure { Failure(.cancelled, "the load into frame '\(frame.name)' is over") }

    private func change<T>(_ body: (inout Stage) throws(Failure) -> T) throws(Failure) -> T {
        let result = stage.withLock { stage -> Result<T, Failure> in
            do throws(Failure) { return .success(try body(&stage)) } catch { return .failure(error) }
        }
        return try result.get()
    }
}
