// Where a key lives, as `cluster owner` asks.

import Coordination
import Engine

extension ClusterNode {
    /// `{key, kind, by, node, partition, shard}`: whether the key is an `item`, or names an `object`, or a `service` that each node
    /// answers itself; by which part of the key it is placed; on which node; and on which of its shards, which only that node knows.
    func whereabouts(of key: [UInt8]) throws(Failure) -> Value {
        if let refusal = Key.refusal(ofBytes: key) { throw refusal }
        guard let (kind, routingKey) = router.placing(of: key) else {
            return .object(["key": .bytes(key), "kind": .string("service")])
        }
        let view = cluster.view
        let (place, hash) = routingKey.withUnsafeBytes { bytes in
            let place =
                view.isAlone
                ? view.place(inPartition: Partition.number(ofHash: keyHash(bytes))) : view.place(of: bytes)
            return (place, place.hash(of: bytes))
        }
        let isHere = view.isAlone || view.isLocal(place)
        return .object([
            "key": .bytes(key), "kind": .string(kind), "by": .bytes(routingKey),
            "node": .string(view.topology.nodes[place.node].name), "partition": .int(Int64(place.partition)),
            "shard": isHere ? .int(Int64(cluster.engine.shard(forHash: hash).index)) : .null,
        ])
    }
}
