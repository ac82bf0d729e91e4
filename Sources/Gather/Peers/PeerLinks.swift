// The links to the other nodes that belong to one event loop, so that a forwarded request never changes threads.

package import Coordination
package import Engine

package final class PeerLinks: @unchecked Sendable {
    private let links: [PeerLink?]
    // On the loop's thread, where accesses don't overlap.
    @exclusivity(unchecked) private var pool = ForwardBatchPool()

    /// One link a node of the topology, none to this node itself. Connections are made when they are first needed.
    /// `statuses`: what is known of each node, shared with the links of other loops.
    package init(
        loop: any PeerLoop, purpose: PeerHello.Purpose, topology: Topology, identity: PeerIdentity,
        statuses: [PeerStatus],
        believe: @escaping @Sendable (MapAnswer, Counterpart) -> Bool
    ) {
        links = topology.nodes.enumerated().map { index, node in
            guard index != topology.selfIndex else { return nil }
            return PeerLink(
                loop: loop, name: node.name, host: node.host, port: node.port, caller: .node(identity),
                purpose: purpose, status: statuses[index], believe: believe)
        }
    }

    package func send(
        _ request: PeerRequest, to node: Int, deadline: Deadline, completion: @escaping PeerCompletion
    ) {
        guard let link = links[node] else { preconditionFailure("a node sends nothing to itself") }
        link.send(request, deadline: deadline, completion: completion)
    }

    /// An empty batch for a node, on the loop's thread.
    package func batch(to node: Int, sink: any ForwardSink) -> ForwardBatch { pool.batch(to: node, sink: sink) }

    package func send(_ batch: ForwardBatch, deadline: Deadline) {
        guard let link = links[batch.node] else { preconditionFailure("a node sends nothing to itself") }
        link.send(batch, deadline: deadline)
    }

    package func close() {
        for link in links { link?.close() }
    }
}
