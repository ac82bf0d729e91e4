// A load in progress: its rows are staged, invisible to queries, until it commits or is aborted.

import Synchronization

/// Thread-safe. Staged rows are sealed and compressed as they come and count against the frame memory; dropping the last
/// reference to an uncommitted load discards them.
package final class FrameLoad: Sendable {
    private enum Stage: Sendable { case open, closed }

    package let frame: Frame
    private let staging: FramePart
    /// Held while rows are staged: stages of one load run one after the other.
    private let stage = Mutex(Stage.open)

    private let id: UInt64
    private static let nextID = Atomic<UInt64>(1)

    init(frame: Frame) {
        self.frame = frame
        id = Self.nextID.wrappingAdd(1, ordering: .relaxed).oldValue
        for dictionary in frame.dictionaries { dictionary?.beginLoad(id) }
        staging = FramePart(
            schema: frame.schema, resources: frame.resources, dictionaries: frame.dictionaries, load: id)
    }

    deinit { endOfStrings(stay: false) }

    /// Harmless when they are over already.
    private func endOfStrings(stay: Bool) {
        for dictionary in frame.dictionaries { dictionary?.endLoad(id, stays: stay) }
    }

    package var stagedRows: Int { staging.statistics.rows }

    /// Adds rows. Throws when the frame memory is full (the load may then be aborted or committed without them).
    package func stage(_ batch: ColumnBatch) throws(Failure) {
        try whileOpen { () throws(Failure) in try staging.append(batch) }
    }

    /// Makes all staged rows visible and answers their number. When it throws, none is, and the load is still open.
    package func commit() throws(Failure) -> Int {
        try whileOpen { () throws(Failure) in
            let snapshot = staging.snapshot()
            let copied = MemoryReservation(frame.resources.memory)
            var chunks: [Chunk] = []
            var rest = ColumnBatch(schema: frame.schema)
            for piece in snapshot.pieces {
                switch piece {
                case .chunk(let chunk): chunks.append(chunk)
                case .tail(let view) where view.rowCount >= frame.resources.chunkRowsMin:
                    chunks.append(ColumnEncoder.seal(view, memory: frame.resources.memory))
                case .tail(let view):
                    // Twice, until it is one of the frame's tails.
                    try copied.grow(by: ColumnBatch.bytes(rows: view.rowCount, schema: frame.schema))
                    rest = ColumnBatch(view, schema: frame.schema)
                }
            }
            try frame.take(chunks: chunks, rest: rest)
            endOfStrings(stay: true)
            return snapshot.rowCount
        } closing: {
            true
        }
    }

    /// Discards what was staged, and the strings that only it has brought. Harmless after a commit.
    package func abort() {
        stage.withLock { $0 = .closed }
        endOfStrings(stay: false)
    }

    private func whileOpen<T>(
        _ body: () throws(Failure) -> T, closing: () -> Bool = { false }
    ) throws(Failure) -> T {
        let result = stage.withLock { stage -> Result<T, Failure> in
            guard case .open = stage else {
                return .failure(Failure(.cancelled, "the load into frame '\(frame.name)' is over"))
            }
            do throws(Failure) {
                let value = try body()
                if closing() { stage = .closed }
                return .success(value)
            } catch { return .failure(error) }
        }
        return try result.get()
    }
}
