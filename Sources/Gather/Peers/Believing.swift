// What a node believes of another one's word about rows: of itself everything, of others only that there are rows.

package import Coordination
package import Engine

extension FrameAcknowledgements {
    /// More rows than any cluster holds; sums of a thousand nodes' counts stay within 64 bits.
    package static let rowsMax = 1 << 48

    /// Whether these can be counts at all.
    package var isSane: Bool {
        for (node, incarnations) in rows {
            for (incarnation, count) in incarnations {
                guard (0...Self.rowsMax).contains(count),
                    (0...count).contains(retired[node]?[incarnation] ?? 0)
                else { return false }
            }
        }
        return true
    }
}

/// Who says something about rows, and whom it may be about.
///
/// A count is believed from the node that it is about, for the run of it that speaks. What others say of a node that is
/// there is not listened to: it speaks for itself, every second. Of a run that is over others may say that it had rows,
/// since nobody else can tell a node that came later; that can only make an answer incomplete. That rows are gone for their
/// age is never believed of another's run: it would make an answer complete that is not.
package struct Belief: Sendable {
    package let speaker: Counterpart
    package let selfName: String
    package let selfIncarnation: UInt64
    package let nodes: Set<String>
    /// The run of a node that is there now, as far as it has greeted this one.
    package let living: [String: UInt64]

    package init(
        speaker: Counterpart, selfName: String, selfIncarnation: UInt64, nodes: Set<String>, living: [String: UInt64]
    ) {
        self.speaker = speaker
        self.selfName = selfName
        self.selfIncarnation = selfIncarnation
        self.nodes = nodes
        self.living = living
    }

    private enum Verdict { case all, rowsOnly, nothing }

    private func verdict(_ node: String, _ incarnation: UInt64) -> Verdict {
        if speaker == .node(name: node, incarnation: incarnation) { return .all }
        if node == selfName { return incarnation == selfIncarnation ? .nothing : .rowsOnly }
        return living[node] == incarnation ? .nothing : .rowsOnly
    }

    /// What of it is believed; nil when a count is none, or is about a node that is not in the list.
    package func restricted(_ said: FrameAcknowledgements) -> FrameAcknowledgements? {
        guard said.isSane, nodes.isSuperset(of: said.rows.keys) else { return nil }
        var believed = FrameAcknowledgements(frame: said.frame, id: said.id)
        for (node, incarnations) in said.rows {
            for (incarnation, count) in incarnations {
                let verdict = verdict(node, incarnation)
                guard verdict != .nothing else { continue }
                believed.rows[node, default: [:]][incarnation] = count
                if verdict == .all, let retired = said.retired[node]?[incarnation] {
                    believed.retired[node, default: [:]][incarnation] = retired
                }
            }
        }
        return believed
    }

    /// The same of all frames of a registry, as it travels. Nil as above, or when it is no registry.
    package func restricted(registry value: Value) -> Value? {
        guard case .map(let pairs) = value, case .array(let frames)? = value["frames"] else { return nil }
        var restricted: [Value] = []
        for frame in frames {
            guard case .map(let fields) = frame, let counts = frame["rows"].flatMap(FrameAcknowledgements.init(value:)),
                let believed = self.restricted(counts)
            else { return nil }
            restricted.append(
                .map(fields.map { $0.key == .string("rows") ? Value.Pair($0.key, believed.value) : $0 }))
        }
        return .map(pairs.map { $0.key == .string("frames") ? Value.Pair($0.key, .array(restricted)) : $0 })
    }
}

extension Belief {
    init(speaker: Counterpart, identity: PeerIdentity, statuses: [PeerStatus]) {
        var living: [String: UInt64] = [:]
        for status in statuses { living[status.name] = status.incarnation }
        self.init(
            speaker: speaker, selfName: identity.name, selfIncarnation: identity.incarnation,
            nodes: identity.others.union([identity.name]), living: living)
    }
}
