// A node that is alone and has no network, and how tests ask it as peers and commands do.

import Coordination
import Engine
import Gather
import Logging

/// - Parameter adjust: what its engine is to have beside little memory.
func loneNode(_ adjust: (inout EngineConfiguration) -> Void = { _ in }) -> ClusterNode {
    var configuration = EngineConfiguration(memoryBytes: 8 << 20)
    adjust(&configuration)
    return ClusterNode(
        cluster: Cluster(
            engine: Engine(configuration), topology: Topology.alone(name: "n", host: "127.0.0.1", port: 11211),
            loops: [],
            logger: Logger(label: "test")))
}

extension ClusterNode {
    /// As whoever asked reads it.
    func ask(_ request: PeerRequest, _ connection: PeerConnection = PeerConnection(.client)) async -> PeerReply {
        let reply = await withCheckedContinuation { continuation in
            handle(request, from: connection) { continuation.resume(returning: $0) }
        }
        guard case .packed(let bytes) = reply, let value = Value(messagePack: bytes) else { return reply }
        return .value(value)
    }

    func control(_ verb: ControlVerb, _ argument: Value) async -> PeerReply {
        await ask(.control(verb: verb, argument: argument))
    }
}
