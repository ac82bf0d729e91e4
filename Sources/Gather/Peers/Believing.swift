// What a node believes of another one's word about rows: of itself everything, of others only that there are rows.

package import Coordination

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

    /// The same of all that news says of rows. Nil as above.
    package func restricted(_ said: RegistryNews) -> RegistryNews? {
        var believed = said
        believed.acknowledged = said.acknowledged.compactMap(restricted)
        guard believed.acknowledged.count == said.acknowledged.count else { return nil }
        return believed
    }
}

extension Belief {
    init(speaker: Counterpart, identity: PeerIdentity, statuses: [PeerStatus]) {
        self.init(speaker: speaker, identity: identity, living: Self.living(statuses))
    }

    private init(speaker: Counterpart, identity: PeerIdentity, living: [String: UInt64]) {
        self.init(
            speaker: speaker, selfName: identity.name, selfIncarnation: identity.incarnation,
            nodes: identity.others.union([identity.name]), living: living)
    }

    private static func living(_ statuses: [PeerStatus]) -> [String: UInt64] {
        var living: [String: UInt64] = [:]
        for status in statuses { living[status.name] = status.incarnation }
        return living
    }

    /// What is believed of what the nodes that have answered a question say of rows. Only once all of them have: what one says of
    /// another's run that is over counts as soon as a later run of that one has answered, whichever of the two was first.
    package static func ofAnswers(
        _ answers: [(speaker: NodeRun, said: [FrameAcknowledgements])], identity: PeerIdentity, statuses: [PeerStatus]
    ) -> [FrameAcknowledgements] {
        var living = living(statuses)
        for (speaker, _) in answers { living[speaker.name] = speaker.incarnation }
        return answers.flatMap { speaker, said in
            let belief = Belief(
                speaker: .node(name: speaker.name, incarnation: speaker.incarnation), identity: identity, living: living
            )
            return said.compactMap { belief.restricted($0) }
        }
    }
}
