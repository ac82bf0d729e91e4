// What objects and scripts need of an item store beside the commands: a look without a trace, keys by prefix, and memory
// lent to live objects.
//
// Unsafe: keys are read where they lie, under the lock.

import Synchronization

extension ItemStore {
    /// Whether there is an item of this key. Counts as no use of it.
    package func holds(key: UnsafeRawBufferPointer, hash: UInt64, now: UInt32) -> Bool {
        lock.withLock {
            flushIfDue(now)
            return log.find(key, hash: hash, now: now) != nil
        }
    }

    /// Takes `bytes` of the store's memory away, for what is kept beside it; at most three quarters. What was lent before
    /// is replaced by this. Cost: what has to be evicted to make the room.
    package func lend(bytes: Int, now: UInt32) {
        lock.withLock { log.lend(bytes: bytes, now: now) }
    }

    /// Drops items, the least used first, until that many bytes less are in use; all of them when that is not enough.
    package func evict(bytes: Int, now: UInt32) {
        lock.withLock {
            guard bytes < log.counts.liveBytes else { return log.removeAll() }
            let target = log.counts.liveBytes - bytes
            var rounds = 4096
            while log.counts.liveBytes > target, rounds > 0, log.evicts, log.makeRoom(now: now) { rounds -= 1 }
        }
    }

    /// Keys that begin with `prefix`, in no order, at most `limit` of them. See `slice`.
    package func keys(prefix: [UInt8], limit: Int, now: UInt32) -> [[UInt8]] {
        slice(prefix: prefix, from: 0, count: limit, now: now) {}.items.prefix(limit).map(\.key)
    }
}

/// What is known of an item without reading its value.
package struct ItemSummary: Sendable {
    package let key: [UInt8]
    /// Memory it takes, header and padding included, compressed where it is.
    package let bytes: Int
    /// An instant in unix seconds; 0 for never.
    package let expiry: UInt32
}

extension ItemStore {
    /// The items whose keys begin with `prefix`, in slices: from the table `cursor` on (0 at first) until at least `count`
    /// are found, and the cursor to go on with; nil at the end. An item that is there from the first slice to the last is met
    /// once. Holds the lock for a table, some thousand items, at a time, and calls `check` in between. Counts as no use.
    package func slice<E>(
        prefix: [UInt8], from cursor: Int, count: Int, now: UInt32, check: () throws(E) -> Void
    ) throws(E) -> (items: [ItemSummary], next: Int?) {
        var items: [ItemSummary] = []
        var number = cursor
        while true {
            try check()
            let isOver = lock.withLock { () -> Bool in
                flushIfDue(now)
                guard (0..<log.index.tableCount).contains(number) else { return true }
                log.index.forEachPlace(inTable: number) { place in
                    let item = log.item(at: place)
                    guard !item.isExpired(at: now), item.key.starts(with: prefix) else { return }
                    items.append(ItemSummary(key: Array(item.key), bytes: item.strideBytes, expiry: item.expiry))
                }
                number += 1
                return number == log.index.tableCount
            }
            if isOver { return (items, nil) }
            if items.count >= count { return (items, number) }
        }
    }
}

extension ItemLog {
    func lend(bytes: Int, now: UInt32) {
        lentBytes = min(max(bytes, 0), fullBytes / 4 * 3)
        smallQuotaBytes = min(smallQuotaBytes, max(memoryBytes / 2, pool.segmentBytes))
        // Every round makes progress or ends; a store that never evicts keeps what it has.
        var rounds = 4096
        while usedBytes > memoryBytes, rounds > 0, evicts, makeRoom(now: now) { rounds -= 1 }
    }
}
