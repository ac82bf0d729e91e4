// The item stores of all shards of a node, each found by a key's hash.

/// As many as there are shards. Good for as long as one copy of it lives.
package struct ItemStores: Sendable {
    private let table: UncountedTable<ItemStore>
    /// 2³² by their number, rounded up: what makes a remainder of two multiplications (Lemire, Kaser, Kurz: "Faster remainder
    /// by direct computation", 2019).
    private let reciprocal: UInt64
    package let crawls = ExpiryCrawls()

    package init(_ stores: [ItemStore]) {
        table = UncountedTable(stores)
        reciprocal = UInt64(UInt32.max) / UInt64(stores.count) + 1
    }

    package var count: Int { table.count }
    package var all: [ItemStore] { table.all }

    package subscript(hash: UInt64) -> ItemStore { table.all[index(ofHash: hash)] }

    /// The store, or shard, of keys with this hash: the remainder of their partition by the number of stores.
    @inline(__always)
    package func index(ofHash hash: UInt64) -> Int {
        let fraction = reciprocal &* UInt64(truncatingIfNeeded: Partition.number(ofHash: hash)) & UInt64(UInt32.max)
        return Int(truncatingIfNeeded: (fraction &* UInt64(truncatingIfNeeded: count)) >> 32)
    }

    /// See `ItemStore.read`.
    @discardableResult
    package func read(
        key: UnsafeRawBufferPointer, hash: UInt64, now: UInt32, _ body: (ItemView) -> Void
    ) -> Bool {
        table.with(index(ofHash: hash)) { $0.read(key: key, hash: hash, now: now, body) }
    }

    /// See `ItemStore.store`.
    package func store(
        _ verb: StoreVerb, key: UnsafeRawBufferPointer, hash: UInt64, flags: UInt32, expiry: Expiry, cas: UInt64,
        value: UnsafeRawBufferPointer, now: UInt32
    ) -> ItemOutcome {
        table.with(index(ofHash: hash)) {
            $0.store(
                verb, key: key, hash: hash, flags: flags, expiry: expiry, cas: cas, value: value, now: now)
        }
    }

    /// Starts to bring what reading or writing these keys will look at into the processor's cache, so that the waits for
    /// memory overlap. Worth it from two keys on; about 16 at a time are enough.
    package func prefetch(_ hashes: UnsafeBufferPointer<UInt64>) {
        // All slots first: while the last ones are asked for, the first ones arrive, and no lock is held meanwhile.
        for at in 0..<count {
            table.with(at) { $0.prefetchSlots(hashes) { index(ofHash: $0) == at } }
        }
        for at in 0..<count {
            table.with(at) { $0.prefetchItems(hashes) { index(ofHash: $0) == at } }
        }
    }
}
