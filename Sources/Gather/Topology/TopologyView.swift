// The one place that says where a key lives, as long as one list of nodes is good.
//
// Unsafe pointers: keys come as they lie in the request's bytes.

import Coordination
package import Engine

/// Where a key lives: its node, by its index in the topology, and its partition, which says the node's shard.
package struct Place: Sendable, Equatable {
    package let node: Int
    package let partition: Int

    package init(node: Int, partition: Int) {
        self.node = node
        self.partition = partition
    }

    /// The hash that finds the key in its node's stores.
    @inline(__always)
    package func hash(of key: UnsafeRawBufferPointer) -> UInt64 { Partition.hash(of: key, in: partition) }
}

/// A topology and what follows of it. Nothing in it changes: where the nodes do, another view takes its place, with another
/// epoch, and what was found in this one is told apart by that.
package struct TopologyView: Sendable {
    package let topology: Topology
    /// By partition, as in the topology's table.
    private let owners: [UInt16]
    /// There is no other node: all keys are this one's, and their own hashes say their partitions.
    package let isAlone: Bool
    /// -1 for a process that is no node.
    private let selfIndex: Int

    package init(_ topology: Topology) {
        self.topology = topology
        owners = topology.table.owners
        isAlone = topology.isAlone
        selfIndex = topology.selfIndex ?? -1
    }

    package var epoch: UInt64 { topology.epoch }

    @inline(__always)
    package func isLocal(_ place: Place) -> Bool { place.node == selfIndex }

    @inline(__always)
    package func owns(partition: Int) -> Bool { Int(owners[partition]) == selfIndex }

    /// Where a key is. Cost: an MD5, about 0.15 µs for keys of up to 55 bytes, and a look into a table; allocates nothing.
    package func place(of key: UnsafeRawBufferPointer) -> Place { place(inPartition: Ring.partition(of: key)) }

    /// Where the keys of a partition are.
    @inline(__always)
    package func place(inPartition partition: Int) -> Place {
        Place(node: Int(owners[partition]), partition: partition)
    }

    /// Where several keys are, into as many `places`. Cost: about 25 ns a key where they come in eights and have up to 55 bytes;
    /// allocates nothing.
    package func findPlaces(
        of keys: UnsafeBufferPointer<UnsafeRawBufferPointer>, into places: UnsafeMutableBufferPointer<Place>
    ) {
        Ring.forEachHash(of: keys) { places[$0] = place(inPartition: Ring.partition(ofHash: $1)) }
    }

    /// Whose a key is. Cost: a hash; in a cluster also that of `place(of:)`.
    @inline(__always)
    package func owner(of key: UnsafeRawBufferPointer) -> Owner { owner(of: key, hash: keyHash(key)) }

    /// `hash`: the key's own.
    @inline(__always)
    package func owner(of key: UnsafeRawBufferPointer, hash: UInt64) -> Owner {
        guard !isAlone else { return .thisNode(hash: hash) }
        let place = place(of: key)
        return isLocal(place) ? .thisNode(hash: Partition.hash(hash, in: place.partition)) : .another(place)
    }
}

/// Whose a key is.
package enum Owner {
    /// `hash`: what finds it in this node's stores.
    case thisNode(hash: UInt64)
    case another(Place)
}

extension Topology {
    /// How this node's stores have to be told where keys are.
    package var placement: KeyPlacement {
        isAlone ? KeyPlacement() : KeyPlacement { Ring.partition(of: $0) }
    }
}
