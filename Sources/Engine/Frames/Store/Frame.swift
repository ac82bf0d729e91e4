// A named table, spread over a node's shards.

import Synchronization

package final class Frame: Sendable {
    package let name: String
    /// Tells it from others of the name, now or later.
    package let id: String
    package let schema: FrameSchema
    /// One for each shard, in the shards' order.
    package let parts: [FramePart]
    package let resources: FrameResources
    /// One for each column of strings.
    let dictionaries: [SharedDictionary?]
    /// No part's.
    private let wholeID = FramePart.newID()
    private let dropped = Atomic<Bool>(false)
    /// Held while a load becomes visible and while a view is taken of all parts. Before any part's lock.
    private let loads = Mutex(FrameLoads())
    /// What the frame takes without a row, in the registry too.
    private let reservation: MemoryReservation

    /// Throws when the frame memory is full.
    init(
        name: String, id: String = "", schema: FrameSchema, shardCount: Int, resources: FrameResources
    ) throws(Failure) {
        reservation = MemoryReservation(resources.memory, isSchema: true)
        try reservation.grow(by: Self.bytes(schema: schema, shardCount: shardCount))
        self.name = name
        self.id = id
        self.schema = schema
        self.resources = resources
        let dictionaries = FramePart.dictionaries(for: schema, resources)
        self.dictionaries = dictionaries
        parts = (0..<shardCount).map { _ in
            FramePart(schema: schema, resources: resources, dictionaries: dictionaries)
        }
    }

    /// Some 3 KiB, and half of one for each column: names, types, dictionaries without strings, and the same in the registry.
    private static func bytes(schema: FrameSchema, shardCount: Int) -> Int {
        schema.columns.reduce(2_048 + shardCount * 512) { $0 + 512 + 4 * $1.name.utf8.count }
    }

    package var isDropped: Bool { dropped.load(ordering: .acquiring) }

    func markDropped() { dropped.store(true, ordering: .releasing) }

    /// Appends to the shard whose tail is fullest, so that chunks fill up one after the other and spread over the shards.
    package func append(_ batch: ColumnBatch) throws(Failure) {
        try requireLiving()
        try fullestTail().append(batch)
        // Dropped beside it: nobody will see the rows, so they are not said to be there.
        try requireLiving()
    }

    /// Drops whole chunks that are older than `limit`; see `FramePart.retire`. `column` is one of times, `spanMax` in
    /// microseconds.
    package func retire(column: String, before limit: Int64, spanMax: Int64 = .max) -> Int {
        guard let index = schema.index(of: column), schema.columns[index].type == .time else { return 0 }
        return parts.reduce(0) { $0 + $1.retire(column: index, before: limit, spanMax: spanMax) }
    }

    package var statistics: FrameStatistics {
        var sum = parts.reduce(FrameStatistics()) { $0 + $1.statistics }
        sum.storedBytes += dictionaries.reduce(0) { $0 + ($1?.memoryBytes ?? 0) }
        return sum
    }

    /// `{name, rows, chunks, bytes_raw, bytes_stored, columns: [{name, type}, …]}`
    package var info: Value {
        let sum = statistics
        return .object([
            "name": .string(name), "rows": .int(Int64(sum.rows)), "chunks": .int(Int64(sum.chunks)),
            "tail_rows": .int(Int64(sum.tailRows)), "bytes_raw": .int(Int64(sum.rawBytes)),
            "bytes_stored": .int(Int64(sum.storedBytes)), "columns": schema.value,
        ])
    }

    func requireLiving() throws(Failure) {
        guard !isDropped else { throw Failure(.miss, "frame '\(name)' was dropped meanwhile") }
    }

    private func fullestTail() -> FramePart {
        let ranked = parts.map { ($0, $0.statistics) }
        return ranked.max { ($0.1.tailRows, -$0.1.rows) < ($1.1.tailRows, -$1.1.rows) }!.0
    }

    /// All parts at one moment. Cost: microseconds for each shard; no row is copied.
    package func view() -> FrameView {
        loads.withLock { loads in
            FrameView(
                parts: parts.map { $0.snapshot() }, loads: loads.seen(now: resources.environment.uptimeNanoseconds),
                id: wholeID)
        }
    }

    // MARK: Loads

    /// Room, on `account`, for the rows that a load ends with, in the tail that would take them now.
    func makeRoom(for rest: ColumnBatch, on account: MemoryReservation) throws(Failure) {
        guard rest.rowCount > 0 else { return }
        try account.grow(by: fullestTail().bytesNeeded(for: rest))
    }

    /// From now on views name the load among those that may be visible elsewhere.
    func ready(_ load: UInt64) { loads.withLock { $0.ready(load) } }

    /// It will not be visible; harmless for one that is.
    func discarded(_ load: UInt64) {
        loads.withLock { $0.discarded(load, now: resources.environment.uptimeNanoseconds) }
    }

    /// Makes a load visible at one moment for views: whole chunks go to the shards that have fewest rows, the rest to a tail,
    /// without asking for memory. Cost: that of copying the rest, at most a sixteenth of a chunk, and of sealing the tail that it
    /// fills, without turns: whoever decides about the load holds locks.
    func take(chunks: [Chunk], rest: ColumnBatch, load: UInt64) throws(Failure) {
        try requireLiving()
        var rows = parts.map(\.statistics.rows)
        var shares = [[Chunk]](repeating: [], count: parts.count)
        for chunk in chunks {
            let index = rows.indices.min { (rows[$0], $0) < (rows[$1], $1) }!
            shares[index].append(chunk)
            rows[index] += chunk.rowCount
        }
        let tail = fullestTail()
        let full = loads.withLock { loads in
            for (part, share) in zip(parts, shares) where !share.isEmpty { part.adopt(share) }
            loads.committed(load, now: resources.environment.uptimeNanoseconds)
            return rest.rowCount > 0 ? tail.take(rest) : []
        }
        for view in full { tail.seal(view, givesWay: false) }
    }
}
