// Which nodes there are, which of them this one is, and which partitions each owns.

package import Coordination
package import Engine

/// A node by name, address and share.
package struct Node: Sendable, Hashable {
    /// Letters, digits, `.`, `_` and `-`.
    package let name: String
    package let place: HostPort
    /// Its share of the keys, relative to the other nodes' weights.
    package let weight: Int

    package init(name: String, host: String, port: Int, weight: Int = 1) {
        self.name = name
        place = HostPort(host: host, port: port)
        self.weight = weight
    }

    package var host: String { place.host }
    package var port: Int { place.port }
    /// `host:port`, an IPv6 address in brackets: what clients connect to.
    package var address: String { place.description }
}

/// The nodes, in the order of their names, and who of them owns which part of the keys. Two nodes that were given the same nodes, in
/// whatever order, agree on every index, every owner and the epoch.
package struct Topology: Sendable {
    package let nodes: [Node]
    /// This process's node; nil for one that only looks, as a command-line client does.
    package let selfIndex: Int?
    /// Which of `nodes` owns each partition. It comes of the ring over them, in the same order: libmemcached's points do not
    /// depend on the order of servers, but for two servers that share a point (see `Ring`).
    package let table: PartitionTable
    /// Equal where names, addresses and weights are equal; stable between processes and versions.
    package let epoch: UInt64

    /// Throws (reason `wrong_type`, a message that names the thing and the remedy) when there are no nodes or too many,
    /// two share a name or an address, `selfName` is none of them, or one's weight is too small to own anything.
    package init(nodes: [Node], selfName: String? = nil) throws(Failure) {
        try Self.checkNoNodeIsTwice(nodes)
        let sorted = nodes.sorted { $0.name < $1.name }
        let selfIndex = sorted.firstIndex { $0.name == selfName }
        if let selfName, selfIndex == nil {
            let names = sorted.map(\.name).joined(separator: ", ")
            throw Failure(
                .wrongType, "this node's name, '\(selfName)', is not among the peers (\(names)): add it to them")
        }
        let ring = Ring(servers: sorted.map { RingServer(host: $0.host, port: $0.port, weight: $0.weight) })
        let table = ring.table
        if let starved = table.partitionsPerNode(nodes: sorted.count).firstIndex(of: 0) {
            throw Failure(
                .wrongType, "node '\(sorted[starved].name)' would own no key: raise its weight beside the others'")
        }
        self.nodes = sorted
        self.selfIndex = selfIndex
        self.table = table
        epoch = Self.epoch(of: sorted)
    }

    /// A node without peers.
    package static func alone(name: String, host: String, port: Int) -> Topology {
        do throws(Failure) {
            return try Topology(nodes: [Node(name: name, host: host, port: port)], selfName: name)
        } catch {
            preconditionFailure("a single node is a topology: \(error)")
        }
    }

    /// This process's name in the list; `-` for one that is no node.
    package var selfName: String { selfIndex.map { nodes[$0].name } ?? "-" }

    /// Whether this is all there is: no key is anyone else's.
    package var isAlone: Bool { nodes.count == 1 }

    /// The index of the node with this name or address (`host:port`); nil where there is none.
    package func index(of nameOrAddress: String) -> Int? {
        nodes.firstIndex { $0.name == nameOrAddress } ?? nodes.firstIndex { $0.address == nameOrAddress }
    }

    private static let nodesMax = 1024

    private static func checkNoNodeIsTwice(_ nodes: [Node]) throws(Failure) {
        guard !nodes.isEmpty else { throw Failure(.wrongType, "no peers: give at least one as NAME=HOST:PORT") }
        guard nodes.count <= nodesMax else {
            throw Failure(.wrongType, "\(nodes.count) peers are more than a cluster takes (\(nodesMax))")
        }
        var names: Set<String> = []
        var nameAtAddress: [String: String] = [:]
        for node in nodes {
            guard names.insert(node.name).inserted else {
                throw Failure(.wrongType, "two peers are named '\(node.name)': give each a name of its own")
            }
            if let other = nameAtAddress.updateValue(node.name, forKey: node.address) {
                throw Failure(
                    .wrongType,
                    "peers '\(other)' and '\(node.name)' have the same address, \(node.address): give each its own")
            }
        }
    }

    /// The first half of the MD5 of the definition's text, a line a node.
    private static func epoch(of nodes: [Node]) -> UInt64 {
        var text = nodes.map { "\($0.name)=\($0.address)*\($0.weight)\n" }.joined()
        let words = text.withUTF8 { md5(UnsafeRawBufferPointer($0)) }
        return UInt64(words.1) << 32 | UInt64(words.0)
    }
}
