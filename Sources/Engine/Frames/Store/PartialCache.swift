// What plans found in sealed chunks, kept: a dashboard that asks again pays only for rows that came since.

import Synchronization

/// Two entries for a plan and a frame, or a part of one: the merged partial of the chunks that there were, and that of all rows,
/// for who asks again before any came. Chunks and views of tails are immutable and their ids unique, so that an entry is right
/// for as long as all of its chunks are there, whatever others there are by now. Least recently used goes
/// first; all of it goes when frames need the memory.
package final class PartialCache: Sendable {
    struct Key: Hashable, Sendable {
        let plan: Plan
        /// Of a part, or of a frame's parts together.
        let part: UInt64
        /// With the tail as it was.
        var isWhole = false
    }

    fileprivate struct Entry: Sendable {
        /// Ascending.
        let chunks: [UInt64]
        var partial: Partial
        let bytes: Int
        var lastUse: UInt64
        /// Of the jobs that have it under way: they share one, as they share the partial.
        weak var lease: MemoryLease?
    }

    fileprivate struct State: Sendable {
        var entries: [Key: Entry] = [:]
        var clock: UInt64 = 0
        var bytes = 0
        /// Every use in its order, from `firstUse` on; one that is not its entry's last any more means nothing.
        var uses: [(key: Key, clock: UInt64)] = []
        var firstUse = 0
    }

    package let limitBytes: Int
    private let memory: FrameMemory
    private let keeper = Mutex(0)
    private let state = Mutex(State())

    package init(memory: FrameMemory, limitBytes: Int = 64 << 20) {
        self.limitBytes = limitBytes
        self.memory = memory
        keeper.withLock { $0 = memory.addKeeper { [weak self] in self?.removeAll() } }
    }

    package var usedBytes: Int { state.withLock { $0.bytes } }

    /// The partial of those of these chunks that are known, and which they are, ascending: on a lease, as it may outlive its place
    /// here. `chunks` are ascending. Throws when there is no memory for that.
    func find(
        _ key: Key, chunks: [UInt64], share: ScriptShare
    ) throws(Failure) -> (partial: Partial, chunks: [UInt64])? {
        let known = state.withLock { state -> (Entry, MemoryLease?)? in
            guard let entry = state.entry(key, chunks) else { return nil }
            state.use(key)
            return (entry, entry.lease)
        }
        guard let (entry, lease) = known else { return nil }
        var partial = entry.partial
        partial.lease = lease
        if lease == nil {
            let lease = try share.lease(entry.bytes, for: "a result that is known")
            partial.lease = lease
            state.withLock { state in
                if state.entries[key]?.chunks == entry.chunks { state.entries[key]?.lease = lease }
            }
        }
        return (partial, entry.chunks)
    }

    /// How many of these chunks, which are ascending, are known.
    func count(_ key: Key, chunks: [UInt64]) -> Int { state.withLock { $0.entry(key, chunks)?.chunks.count ?? 0 } }

    func insert(_ partial: Partial, for key: Key, chunks: [UInt64]) {
        let bytes = partial.memoryBytes + chunks.count * 8 + key.plan.memoryBytes
        guard bytes <= limitBytes / 4, memory.hasRoom(for: bytes) else { return }
        state.withLock { state in
            state.remove(key)
            while state.bytes + bytes > limitBytes, state.removeOldest() {}
            var entry = Entry(chunks: chunks, partial: partial, bytes: bytes, lastUse: 0, lease: partial.lease)
            entry.partial.lease = nil
            state.entries[key] = entry
            state.bytes += bytes
            state.use(key)
            note(state.bytes)
        }
    }

    private func note(_ bytes: Int) { memory.set(derivedBytes: bytes, of: keeper.withLock { $0 }) }

    package func removeAll() {
        state.withLock { state in
            state.entries = [:]
            state.uses = []
            state.firstUse = 0
            state.bytes = 0
            note(0)
        }
    }
}

extension PartialCache.State {
    /// What is known of these chunks, if it is of no others.
    fileprivate func entry(_ key: PartialCache.Key, _ chunks: [UInt64]) -> PartialCache.Entry? {
        guard let entry = entries[key], entry.chunks.count <= chunks.count else { return nil }
        var rest = chunks[...]
        for chunk in entry.chunks {
            rest = rest.drop { $0 < chunk }
            guard rest.popFirst() == chunk else { return nil }
        }
        return entry
    }

    /// The entry is the one used last.
    fileprivate mutating func use(_ key: PartialCache.Key) {
        clock += 1
        entries[key]?.lastUse = clock
        uses.append((key, clock))
        // What means nothing any more is dropped once it is most of the list.
        guard uses.count > 64 + 4 * entries.count else { return }
        uses = uses[firstUse...].filter { entries[$0.key]?.lastUse == $0.clock }
        firstUse = 0
    }

    /// False when there is none.
    fileprivate mutating func removeOldest() -> Bool {
        while firstUse < uses.count {
            let (key, clock) = uses[firstUse]
            firstUse += 1
            if entries[key]?.lastUse == clock {
                remove(key)
                return true
            }
        }
        return false
    }

    fileprivate mutating func remove(_ key: PartialCache.Key) {
        guard let entry = entries.removeValue(forKey: key) else { return }
        bytes -= entry.bytes
    }
}

extension Plan {
    /// What a plan takes that is kept, roughly: its filters may list many values.
    fileprivate var memoryBytes: Int {
        let lists = (filters + anyFilters.flatMap(\.self)).reduce(0) { sum, filter in
            filter.values.reduce(sum + 128) { sum, value in
                if case .bytes(let text) = value { sum + 64 + text.count } else { sum + 24 }
            }
        }
        let edges: Int =
            if case .groups(let keys, let aggregates) = output {
                aggregates.reduce(256 * keys.count) { $0 + 256 + 24 * $1.edges.count }
            } else { 0 }
        return 2_048 + lists + edges + computed.reduce(0) { $0 + 128 + $1.text.utf8.count }
    }
}
