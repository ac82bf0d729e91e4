// A node's unit of ownership and of script atomicity: its items, its objects, its part of every frame.

package final class Shard: Sendable {
    package let index: Int
    package let items: ItemStore

    init(index: Int, items: ItemStoreConfiguration) {
        self.index = index
        self.items = ItemStore(items)
    }
}
