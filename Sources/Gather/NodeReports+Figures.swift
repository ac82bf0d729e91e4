// What `GET /v1/stats` and `node:stats` tell of this node, and `GET /v1/cluster` and `cluster:status` of all nodes.

import Coordination
package import Engine

extension NodeReports {
    /// `{node, stats, memory, scripts, slow}` of this node.
    package var stats: Value {
        let own = ownFigures
        return .object([
            "node": .string(cluster.selfName), "stats": own["stats"] ?? .null, "memory": own["memory"] ?? .null,
            "scripts": own["scripts"] ?? .array([]), "slow": own["slow"] ?? .array([]),
        ])
    }

    /// `{nodes, conflicts}`: the nodes as this one knows them, with the figures of those that answer within a second.
    package func clusterStatus() async -> Value {
        let told = await reports(about: "figures")
        let status = status
        var nodes: [Value] = []
        if case .array(let list)? = status["nodes"] {
            nodes = list.map { known in
                let name = known["name"]?.text ?? ""
                let own = name == cluster.selfName
                let figures = (try? told.first { $0.node == name }?.answer.get()) ?? .null
                return .object([
                    "name": .string(name), "address": .string(Self.address(known)),
                    "state": known["state"] ?? .string("unknown"),
                    "reason": known["reason"] ?? .string(""),
                    "version": own ? status["version"] ?? .null : figures["version"] ?? .null,
                    "epoch": own || known["state"] == .string("up") ? status["epoch"] ?? .null : .null,
                    "incarnation": known["incarnation"] ?? .null,
                    "shards": own ? status["shards"] ?? .null : figures["shards"] ?? .null,
                    "silentMs": known["silentMs"] ?? .null, "roundTripMs": roundTrip(name),
                    "memory": figures["memory"] ?? .null, "lostRows": known["lostRows"] ?? .map([]),
                    "stats": figures["stats"] ?? .null, "hot": figures["hot"] ?? .null,
                ])
            }
        }
        return .object(["nodes": .array(nodes), "conflicts": status["conflicts"] ?? .array([])])
    }

    /// In milliseconds; null where it is not known.
    private func roundTrip(_ name: String) -> Value {
        guard let peer = cluster.statuses.first(where: { $0.name == name }), let time = peer.roundTripNanoseconds
        else { return .null }
        return .double((Double(time) / 1_000).rounded() / 1_000)
    }

    private static func address(_ known: Value) -> String {
        guard case .int(let port)? = known["port"], let host = known["host"]?.text else { return "" }
        return HostPort(host: host, port: Int(port)).description
    }
}
