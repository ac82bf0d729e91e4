// What `cluster status` asks of a node: itself, and what it knows of the others.

import Coordination
package import Engine

extension NodeReports {
    /// `{self, epoch, version, incarnation, shards, scripts, conflicts, nodes}`; `epoch`, `incarnation` and hashes as text in
    /// hexadecimal digits.
    package var status: Value {
        let registry = cluster.currentRegistry()
        let frames = registry.frames.ids.compactMap { registry.frame($0)?.acknowledged }
        return .object([
            "self": .string(cluster.selfName), "epoch": Self.hexadecimal(cluster.topology.epoch),
            "version": .string(version), "incarnation": Self.hexadecimal(cluster.incarnation),
            "shards": .int(Int64(cluster.engine.shards.count)),
            "scripts": .array(
                cluster.engine.catalog.statuses.map { script in
                    .object([
                        "file": .string(script.file), "version": script.version.map(Self.hexadecimal) ?? .null,
                        "error": script.failure.map { .string($0.message) } ?? .null,
                    ])
                }),
            "conflicts": registry.conflictsValue,
            "nodes": .array(cluster.topology.nodes.indices.map { describe($0, frames) }),
        ])
    }

    /// By frame, the rows that nodes had and that they lost when they were started anew, as far as this one knows.
    package var lostRows: [String: Int] {
        let registry = cluster.currentRegistry()
        let frames = registry.frames.ids.compactMap { registry.frame($0)?.acknowledged }
        return cluster.topology.nodes.indices.reduce(into: [:]) { all, index in
            all.merge(lostRows(ofNode: index, frames)) { $0.clampedAdding($1) }
        }
    }

    private func lostRows(ofNode index: Int, _ frames: [FrameAcknowledgements]) -> [String: Int] {
        let isSelf = index == cluster.topology.selfIndex
        guard let incarnation = isSelf ? cluster.incarnation : cluster.statuses[index].incarnation else { return [:] }
        // Of several frames of one name, those of all.
        var lost: [String: Int] = [:]
        for frame in frames {
            let rows = frame.lostRows(node: cluster.topology.nodes[index].name, incarnation: incarnation)
            if rows > 0 { lost[frame.frame] = (lost[frame.frame] ?? 0).clampedAdding(rows) }
        }
        return lost
    }

    private func describe(_ index: Int, _ frames: [FrameAcknowledgements]) -> Value {
        let node = cluster.topology.nodes[index]
        let isSelf = index == cluster.topology.selfIndex
        let status = cluster.statuses[index]
        let (state, reason) = isSelf ? ("up", "") : Self.words(status.state)
        let incarnation = isSelf ? cluster.incarnation : status.incarnation
        let silent = isSelf ? 0 : status.silentMilliseconds(now: cluster.environment.now)
        let lost = lostRows(ofNode: index, frames)
        return .object([
            "name": .string(node.name), "host": .string(node.host), "port": .int(Int64(node.port)),
            "state": .string(state), "reason": .string(reason),
            "incarnation": incarnation.map(Self.hexadecimal) ?? .null,
            "silentMs": silent.map { .int(Int64($0)) } ?? .null,
            "lostRows": .map(
                lost.sorted { $0.key < $1.key }.map { Value.Pair(.string($0.key), .int(Int64($0.value))) }),
        ])
    }

    private static func words(_ state: PeerPresence.State) -> (state: String, reason: String) {
        switch state {
        case .unknown: ("unknown", "")
        case .up: ("up", "")
        case .down(let why): ("down", why)
        case .refused(let why): ("refused", why)
        }
    }

    private static func hexadecimal(_ number: UInt64) -> Value { .string(String(number, radix: 16)) }
}
