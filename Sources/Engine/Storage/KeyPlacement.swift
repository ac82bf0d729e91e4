// How this node's keys get their partitions: by their own hashes where it is alone, else as the cluster says.

/// Cost: a copy of it retains nothing but the function that it was given.
package struct KeyPlacement: Sendable {
    /// Which partition a key is in, from 0 to below `Partition.count`; the same on all nodes.
    package typealias PartitionOfKey = @Sendable (UnsafeRawBufferPointer) -> Int

    private let partitionOfKey: PartitionOfKey?

    /// `partitionOfKey` nil: nobody else has to know, and the key's own hash will do.
    package init(_ partitionOfKey: PartitionOfKey? = nil) { self.partitionOfKey = partitionOfKey }

    /// Whether all nodes agree about it.
    package var isShared: Bool { partitionOfKey != nil }

    /// The hash that finds a key's shard, and the key in it.
    package func hash(of key: UnsafeRawBufferPointer) -> UInt64 {
        guard let partitionOfKey else { return keyHash(key) }
        return Partition.hash(of: key, in: partitionOfKey(key))
    }
}
