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
    func intern<R>(_ body: (inout ByteKeyTable) -> R) -> R {
        state.withLock { state in
            let before = state.table.memoryBytes
            let result = body(&state.table)
            let after = state.table.memoryBytes
            if after != before { reservation.force(after - before) }
            return result
        }
    }

    /// The strings so far. Cost: a copy of them when some were added since the last one.
    func view() -> DictionaryView {
        state.withLock { state in
            if let snapshot = state.snapshot, snapshot.count == state.table.count { return snapshot }
            let view = DictionaryView(packing: state.table)
            reservation.force(view.packedBytes)
            if let old = state.snapshot { reservation.shrink(by: old.packedBytes) }
            state.snapshot = view
            return view
        }
    }

    /// The code of a string, or nil when no row has it.
    func code(of text: [UInt8]) -> Int? { state.withLock { $0.table.find(text) } }
}
