// Who owns the partitions: nearly what the ring says of each key, every partition one node's, each node with its share.

import Coordination
import Engine
import Gather
import Testing

@Suite struct PartitionTableTests {
    private typealias Point = PartitionTable.Point

    @Test(
        "a client that looks on the ring itself is right but for a small part of the keys",
        arguments: [
            (3, 0.0055), (10, 0.0225), (25, 0.056),
        ])
    func agreesWithTheRing(nodes: Int, partMax: Double) {
        let ring = Ring(servers: (0..<nodes).map { RingServer(host: "10.0.0.\($0 + 1)", port: 11211) })
        let table = ring.table
        // Hashes at even distances: 64 in each partition.
        let count = 64 * PartitionTable.count
        var wrong = 0
        for number in 0..<count {
            let hash = UInt32(number) << 12 | 1 << 11
            if table[Int(hash >> 18)] != ring.server(forHash: hash) { wrong += 1 }
        }
        #expect(wrong > 0 && Double(wrong) / Double(count) < partMax, "\(Double(wrong) / Double(count))")
        let shares = table.partitionsPerNode(nodes: nodes)
        #expect(shares.reduce(0, +) == PartitionTable.count)
        // 160 points a node: shares of the ring are within a third of each other's mean.
        #expect(shares.allSatisfy { abs($0 - PartitionTable.count / nodes) < PartitionTable.count / nodes / 2 })
    }

    @Test("the node with most of a range has it, the first of two with equally much, and the ring goes around")
    func ranges() {
        let width: UInt32 = 1 << 18
        let table = PartitionTable(points: [
            // Partition 0: 100 hashes of node 1, all others of node 2.
            Point(hash: 99, node: 1), Point(hash: width - 1, node: 2),
            // Partition 1: half and half.
            Point(hash: width + width / 2 - 1, node: 3), Point(hash: 2 * width - 1, node: 0),
            // Partition 2: node 5 in two pieces has more than node 4 in one.
            Point(hash: 2 * width + 90_000, node: 5), Point(hash: 2 * width + 190_000, node: 4),
            Point(hash: 3 * width - 1, node: 5),
        ])
        #expect([table[0], table[1], table[2]] == [2, 0, 5])
        // Behind the last point all is the first one's.
        #expect((3..<PartitionTable.count).allSatisfy { table[$0] == 1 })
        #expect(PartitionTable(points: [Point(hash: 7, node: 0)]).partitionsPerNode(nodes: 1) == [PartitionTable.count])
        let last = PartitionTable(points: [Point(hash: 5, node: 0), Point(hash: .max, node: 1)])
        #expect(last[0] == 1 && last[PartitionTable.count - 1] == 1)
    }

    @Test("of points with one hash the first counts")
    func equalPoints() {
        let table = PartitionTable(points: [Point(hash: .max, node: 3), Point(hash: .max, node: 1)])
        #expect(table.partitionsPerNode(nodes: 4) == [0, 0, 0, PartitionTable.count])
    }

    @Test("a place says node and partition, and its hash leads to the partition's shard", arguments: [1, 2, 3, 7])
    func places(shards: Int) throws {
        let peers = "n1=127.0.0.1:11211,n2=127.0.0.1:11212,n3=127.0.0.1:11213"
        let view = TopologyView(try Topology(peers: peers, selfName: "n2"))
        var configuration = EngineConfiguration(shards: shards, memoryBytes: 16 << 20)
        configuration.placement = view.topology.placement
        let engine = Engine(configuration)
        let texts = (0..<500).map { Array("some:key:\($0)".utf8) }
        var places = [Place](repeating: Place(node: -1, partition: -1), count: texts.count)
        var keys: [UnsafeRawBufferPointer] = []
        // Copies that live as long as the test does.
        for text in texts {
            let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: text.count, alignment: 1)
            copy.copyBytes(from: text)
            keys.append(UnsafeRawBufferPointer(copy))
        }
        defer { for key in keys { key.deallocate() } }
        keys.withUnsafeBufferPointer { keys in
            places.withUnsafeMutableBufferPointer { view.findPlaces(of: keys, into: $0) }
        }
        for (key, place) in zip(keys, places) {
            #expect(place == view.place(of: key))
            #expect(place.partition == Int(md5(key).0 >> 18) && place.node == view.topology.table[place.partition])
            #expect(
                view.owns(partition: place.partition) == (place.node == 1) && view.isLocal(place) == (place.node == 1))
            #expect(Partition.number(ofHash: place.hash(of: key)) == place.partition)
            #expect(engine.stores.index(ofHash: place.hash(of: key)) == place.partition % shards)
            #expect(configuration.placement.hash(of: key) == place.hash(of: key))
            switch view.owner(of: key) {
            case .thisNode(let hash): #expect(place.node == 1 && hash == place.hash(of: key))
            case .another(let other): #expect(place.node != 1 && other == place)
            }
        }
        #expect(Set(places.map(\.node)) == [0, 1, 2])
    }

    @Test("a node that is alone goes by the keys' own hashes")
    func alone() {
        let view = TopologyView(.alone(name: "n1", host: "127.0.0.1", port: 11211))
        #expect(!view.topology.placement.isShared)
        for number in 0..<100 {
            Array("key:\(number)".utf8).withUnsafeBytes { key in
                guard case .thisNode(let hash) = view.owner(of: key) else { return #expect(Bool(false), "not its own") }
                #expect(hash == keyHash(key) && view.topology.placement.hash(of: key) == hash)
            }
        }
    }
}
