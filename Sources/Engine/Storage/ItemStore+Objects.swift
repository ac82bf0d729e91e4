// What objects and scripts need of an item store beside the commands: a look without a trace, keys by prefix, and memory
// lent to live objects.
//
// Unsafe: keys are read where they lie, under the lock.

import Synchronization

extension ItemStore {
    /// Whether there is an item of this key. Counts as no use of it.
    package func holds(key: UnsafeRawBufferPointer, hash: UInt64, now: UInt32) -> Bool {
        alone(now) { log, _ in log.find(key, hash: hash, now: now) != nil }
    }

    /// Takes `bytes` of the store's memory away, for what is kept beside it; at most three quarters. What was lent before
    /// is replaced by this. Cost: what has to be evicted to make the room.
    package func lend(bytes: Int, now: UInt32) {
        alone(now) { log, _ in log.lend(bytes: bytes, now: now) }
    }

    /// Drops items, the least used first, until that many bytes less are in use; all of them when that is not enough.
    package func evict(bytes: Int, now: UInt32) {
        alone(now) { log, _ in log.evict(bytes: bytes, now: now) }
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
    package let expiry: Expiry
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
            let isOver = alone(now) { log, _ -> Bool in
                let isThere = log.forEachItem(inTable: number) { item in
                    guard !item.isExpired(at: now), item.key.starts(with: prefix) else { return }
                    items.append(ItemSummary(key: Array(item.key), bytes: item.strideBytes, expiry: item.expiry))
                }
                number += 1
                return !isThere || number == log.tableCount
            }
            if isOver { return (items, nil) }
            if items.count >= count { return (items, number) }
        }
    }
}
