// A node's unit of ownership and of script atomicity: its items, its objects, its part of every frame.

package final class Shard: Sendable {
    package let index: Int
    package let items: ItemStore
    package let objects: ObjectHost
    let environment: any Environment

    init(
        index: Int, items: ItemStoreConfiguration, types: ObjectTypes, objects: ObjectHostConfiguration,
        compute: ComputePool
    ) {
        self.index = index
        environment = items.environment
        self.items = ItemStore(items)
        self.objects = ObjectHost(types: types, shelf: self.items, compute: compute, configuration: objects)
    }
}
