// What the nodes that have a part in a load say to each other about it, as it travels.

import Coordination
import Engine

extension NodeRun {
    var value: Value { .array([.string(name), .int(Int64(bitPattern: incarnation))]) }

    init?(value: Value) {
        guard case .array(let parts) = value, parts.count >= 2, let name = parts[0].text,
            case .int(let incarnation) = parts[1]
        else { return nil }
        self.init(name: name, incarnation: UInt64(bitPattern: incarnation))
    }
}

/// All rows that one run of a node will ever have had of a frame, once a load is visible.
typealias ParticipantCount = (run: NodeRun, count: Int)

extension FrameAcknowledgements {
    /// The same, of all runs that are known, in the order of names and incarnations.
    var counts: [ParticipantCount] {
        rows.sorted { $0.key < $1.key }.flatMap { name, runs in
            runs.sorted { $0.key < $1.key }.map { (NodeRun(name: name, incarnation: $0.key), $0.value) }
        }
    }
}

enum LoadMessage {
    static func number(_ argument: Value) throws(Failure) -> UInt64 {
        guard case .int(let load)? = argument["load"] else { throw ClusterNode.malformed }
        return UInt64(bitPattern: load)
    }

    static func value(_ load: UInt64) -> Value { .int(Int64(bitPattern: load)) }

    /// A list of runs in this field.
    static func runs(_ argument: Value, _ field: String) throws(Failure) -> [NodeRun] {
        guard case .array(let list)? = argument[field] else { throw ClusterNode.malformed }
        let runs = list.compactMap(NodeRun.init(value:))
        guard runs.count == list.count else { throw ClusterNode.malformed }
        return runs
    }

    static func value(_ runs: some Sequence<NodeRun>) -> Value {
        .array(runs.sorted { ($0.name, $0.incarnation) < ($1.name, $1.incarnation) }.map(\.value))
    }

    /// `[[name, incarnation, rows], …]`: what each participant will ever have had of the frame.
    static func counts(_ argument: Value) throws(Failure) -> [ParticipantCount] {
        guard case .array(let list)? = argument["counts"] else { throw ClusterNode.malformed }
        var counts: [ParticipantCount] = []
        for element in list {
            guard let run = NodeRun(value: element), case .array(let parts) = element, parts.count == 3,
                case .int(let count) = parts[2], (0...Int64(FrameAcknowledgements.rowsMax)).contains(count)
            else { throw ClusterNode.malformed }
            counts.append((run, Int(count)))
        }
        return counts
    }

    static func value(_ counts: [ParticipantCount]) -> Value {
        .array(
            counts.map {
                .array([.string($0.run.name), .int(Int64(bitPattern: $0.run.incarnation)), .int(Int64($0.count))])
            })
    }
}
