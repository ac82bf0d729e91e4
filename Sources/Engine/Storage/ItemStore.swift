// One shard's items.
package struct ItemStoreConfiguration: Sendable {
    /// Memory for items, overhead included, in bytes.
    package var memoryBytes: Int
    /// Key, value and header of one item may take this much, in bytes (memcached's -I).
    package var itemBytesMax: Int
    /// Off (memcached's -M): a full store answers `outOfMemory` instead of evicting.
    package var evicts: Bool

    package init(memoryBytes: Int = 64 << 20, itemBytesMax: Int = 1 << 20, evicts: Bool = true) {
        self.memoryBytes = memoryBytes
        self.itemBytesMax = itemBytesMax
        self.evicts = evicts
    }
}

package final class ItemStore: @unchecked Sendable {
    package init(_ configuration: ItemStoreConfiguration) {}
    package func execute(_ command: ItemCommand, key: UnsafeRawBufferPointer, hash: UInt64, now: UInt32) -> ItemOutcome
    { .miss }
}
