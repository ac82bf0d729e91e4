// Which node each partition belongs to: the one that has most of its range on the ring.

/// A table of owners that every node works out alike, so that routing a key is a look-up.
///
/// Keys are cut into as many ranges of their hashes on the ring. A client that looks for the owner on the ring itself is
/// right but for the keys in the smaller part of a range that several nodes share.
package struct PartitionTable: Sendable, Equatable {
    package static let bits: UInt32 = 14
    package static let count = 1 << Int(bits)

    /// The index of the node that owns each partition.
    package let owners: [UInt16]

    /// A point of the ring, and the index of the node that it belongs to, as are the hashes between it and the point before.
    package struct Point: Sendable {
        package let hash: UInt32
        package let node: Int

        package init(hash: UInt32, node: Int) {
            self.hash = hash
            self.node = node
        }
    }

    /// `points`: in the order of their hashes, at least one, of which the first of equal ones counts. Of nodes that have equally
    /// much of a range, the first gets it. Cost: about 1 ns a partition, and as much a point.
    package init(points: [Point]) {
        precondition(!points.isEmpty, "a ring has a point")
        let width = UInt64(1) << UInt64(32 - Self.bits)
        var at = 0
        owners = (0..<UInt64(Self.count)).map { partition in
            let end = (partition + 1) * width
            var start = partition * width
            var shares: [(node: Int, width: UInt64)] = []
            while start < end {
                // Behind the last point the ring begins anew.
                let point = at < points.count ? points[at] : points[0]
                let reach = at < points.count ? UInt64(point.hash) + 1 : end
                let stop = min(reach, end)
                if stop > start {
                    if let known = shares.firstIndex(where: { $0.node == point.node }) {
                        shares[known].width += stop - start
                    } else {
                        shares.append((point.node, stop - start))
                    }
                    start = stop
                }
                if reach <= end { at += 1 }
            }
            let most = shares.reduce(0) { max($0, $1.width) }
            let owner = shares.filter { $0.width == most }.map(\.node).min() ?? 0
            return UInt16(owner)
        }
    }

    /// The index of the node that owns a partition.
    @inline(__always)
    package subscript(partition: Int) -> Int { Int(owners[partition]) }

    /// How many partitions each of so many nodes owns.
    package func partitionsPerNode(nodes: Int) -> [Int] {
        owners.reduce(into: Array(repeating: 0, count: nodes)) { $0[Int($1)] += 1 }
    }
}
