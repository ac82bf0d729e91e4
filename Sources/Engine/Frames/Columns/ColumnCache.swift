// The node's decompressed columns of chunks, the most recently used ones, within a bound of bytes.

import Synchronization

/// Least recently used goes first. Entries are shared with the queries that read them: eviction never invalidates a view.
package final class ColumnCache: Sendable {
    struct Key: Hashable, Sendable {
        let chunk: UInt64
        let column: Int
    }

    /// Entries form a ring by indices, from most to least recently used, through the sentinel at 0.
    fileprivate struct Entry: Sendable {
        var key: Key
        var bytes: ColumnBytes?
        var newer: Int
        var older: Int
    }

    fileprivate struct State: Sendable {
        var positions: [Key: Int] = [:]
        var entries = [Entry(key: Key(chunk: 0, column: 0), bytes: nil, newer: 0, older: 0)]
        var free: [Int] = []
        var usedBytes = 0
        var hits = 0
        var misses = 0
        /// The account that the bytes are on, as what is kept only to save work.
        var account: (memory: FrameMemory, keeper: Int)?
    }

    package let limitBytes: Int
    /// Unix seconds: what columns are told to be in use by.
    let clock: @Sendable () -> UInt32
    private let state = Mutex(State())

    package init(
        limitBytes: Int = 256 << 20, clock: @escaping @Sendable () -> UInt32 = { SystemEnvironment().unixSeconds }
    ) {
        self.limitBytes = limitBytes
        self.clock = clock
    }

    /// From now on the bytes count as derived ones of this memory, and go when it is needed.
    func account(in memory: FrameMemory) {
        let keeper = memory.addKeeper { [weak self] in self?.removeAll() }
        state.withLock { $0.account = (memory, keeper) }
    }

    package func removeAll() {
        state.withLock { state in
            while state.usedBytes > 0 { state.removeOldest() }
            state.note()
        }
    }

    package var usedBytes: Int { state.withLock { $0.usedBytes } }
    package var hits: Int { state.withLock { $0.hits } }
    package var misses: Int { state.withLock { $0.misses } }

    func find(_ key: Key) -> ColumnBytes? {
        state.withLock { state -> ColumnBytes? in
            guard let position = state.positions[key] else {
                state.misses += 1
                return nil
            }
            state.hits += 1
            state.unlink(position)
            state.linkNewest(position)
            return state.entries[position].bytes
        }
    }

    /// Keeps `bytes` unless they alone exceed the bound.
    func insert(_ bytes: ColumnBytes, for key: Key) {
        state.withLock { state in
            guard bytes.count <= limitBytes, state.positions[key] == nil else { return }
            guard state.account?.memory.hasRoom(for: bytes.count) ?? true else { return }
            while state.usedBytes + bytes.count > limitBytes { state.removeOldest() }
            state.add(bytes, key)
            state.note()
        }
    }
}

extension ColumnCache.State {
    fileprivate func note() {
        if let account { account.memory.set(derivedBytes: usedBytes, of: account.keeper) }
    }

    fileprivate mutating func unlink(_ position: Int) {
        let (newer, older) = (entries[position].newer, entries[position].older)
        entries[newer].older = older
        entries[older].newer = newer
    }

    fileprivate mutating func linkNewest(_ position: Int) {
        let oldNewest = entries[0].older
        entries[position].newer = 0
        entries[position].older = oldNewest
        entries[oldNewest].newer = position
        entries[0].older = position
    }

    fileprivate mutating func removeOldest() {
        let position = entries[0].newer
        precondition(position != 0, "bytes in use without an entry")
        unlink(position)
        positions[entries[position].key] = nil
        usedBytes -= entries[position].bytes?.count ?? 0
        entries[position].bytes = nil
        free.append(position)
    }

    fileprivate mutating func add(_ bytes: ColumnBytes, _ key: ColumnCache.Key) {
        let entry = ColumnCache.Entry(key: key, bytes: bytes, newer: 0, older: 0)
        let position = free.popLast() ?? entries.count
        if position == entries.count { entries.append(entry) } else { entries[position] = entry }
        positions[key] = position
        usedBytes += bytes.count
        linkNewest(position)
    }
}
