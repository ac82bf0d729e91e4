// The strings of one column of one frame, numbered in the order they came, shared by all of a node's shards.

// Unsafe: entries lie in memory that never moves; a snapshot reads only entries that were there when it was taken.

import Synchronization

/// Append-only, so that a code means the same string in every chunk: rows group and compare by code, and what a filter
/// says of a string is found out once for each plan. Beyond a bound of strings the column goes on with a dictionary for
/// each chunk.
package final class SharedDictionary: Sendable {
    /// A column with more strings than this is not made of few values; chunks sealed later have their own dictionaries.
    package static let countMax = 1 << 18
    static let bytesMax = 64 << 20

    private struct State: Sendable {
        var table = ByteKeyTable()
        var snapshot: DictionaryView?
        var staging: Staging?
        /// Another one once codes come to mean something else.
        var series = SharedDictionary.nextSeries.wrappingAdd(1, ordering: .relaxed).oldValue
    }
    private static let nextSeries = Atomic<UInt64>(1)

    /// A load under way, whose strings can be taken back while they are the last ones and nobody else's.
    private struct Staging: Sendable {
        let load: UInt64
        /// Strings before its first one.
        var start: Int
        var isShared = false
    }
    private let state = Mutex(State())
    private let countMax: Int
    private let reservation: MemoryReservation

    init(memory: FrameMemory, countMax: Int = SharedDictionary.countMax) {
        self.countMax = countMax
        reservation = MemoryReservation(memory)
    }

    package var count: Int { state.withLock { $0.table.count } }
    var memoryBytes: Int { reservation.bytes }

    /// False once there are so many strings that new chunks should have dictionaries of their own.
    var acceptsMore: Bool {
        state.withLock { $0.table.count < countMax && $0.table.bytes.count < Self.bytesMax }
    }

    /// Calls `body` with the table, to add strings to it. Readers of earlier snapshots are not disturbed.
    /// `load` is the one that adds them, nil for rows that stay.
    func intern<R>(for load: UInt64?, _ body: (inout ByteKeyTable) -> R) -> R {
        state.withLock { state in
            let (before, count) = (state.table.memoryBytes, state.table.count)
            let result = body(&state.table)
            let after = state.table.memoryBytes
            if after != before { reservation.force(after - before) }
            if let staging = state.staging, staging.load != load {
                // Rows that stay may have strings that the load has brought, or that come after them.
                if count > staging.start { state.staging?.isShared = true }
                state.staging?.start = state.table.count
            }
            return result
        }
    }

    // MARK: Loads

    /// From now on strings of this load can be taken back. Of two loads at a time neither can.
    func beginLoad(_ load: UInt64) {
        state.withLock { state in
            if state.staging == nil {
                state.staging = Staging(load: load, start: state.table.count)
            } else {
                state.staging?.isShared = true
            }
        }
    }

    /// The load is over. If it is not to stay, the strings that only it has brought go, where they are the last ones.
    func endLoad(_ load: UInt64, stays: Bool) {
        state.withLock { state in
            guard let staging = state.staging, staging.load == load else { return }
            state.staging = nil
            guard !stays, !staging.isShared, staging.start < state.table.count else { return }
            let before = state.table.memoryBytes
            state.table = state.table.prefix(staging.start)
            reservation.shrink(by: before - state.table.memoryBytes)
            // As many strings may come to be others.
            if let snapshot = state.snapshot { reservation.shrink(by: snapshot.packedBytes) }
            state.snapshot = nil
            state.series = Self.nextSeries.wrappingAdd(1, ordering: .relaxed).oldValue
        }
    }

    /// The strings so far. Cost: a copy of them when some were added since the last one.
    func view() -> DictionaryView {
        state.withLock { state in
            if let snapshot = state.snapshot, snapshot.count == state.table.count { return snapshot }
            let view = DictionaryView(packing: state.table, series: state.series)
            reservation.force(view.packedBytes)
            if let old = state.snapshot { reservation.shrink(by: old.packedBytes) }
            state.snapshot = view
            return view
        }
    }

    /// The code of a string, or nil when no row has it.
    func code(of text: [UInt8]) -> Int? { state.withLock { $0.table.find(text) } }
}
