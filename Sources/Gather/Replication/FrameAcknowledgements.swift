// The rows that every node has acknowledged of a frame, and how long they are kept.

package import Engine

/// The rows that nodes have acknowledged of one frame, by node and by run of its process. A node that lost its memory
/// comes back with another incarnation, so its old rows stay expected: nobody can mistake an empty node for a complete one.
package struct FrameAcknowledgements: Sendable, Equatable {
    package var frame: String
    package var id: UInt64
    package var rows: [String: [UInt64: Int]]
    /// Of these rows, those that were dropped for their age.
    package var retired: [String: [UInt64: Int]]

    package init(
        frame: String, id: UInt64, rows: [String: [UInt64: Int]] = [:], retired: [String: [UInt64: Int]] = [:]
    ) {
        self.frame = frame
        self.id = id
        self.rows = rows
        self.retired = retired
    }

    package var expectedRows: Int { Self.total(rows) - Self.total(retired) }

    private static func total(_ counts: [String: [UInt64: Int]]) -> Int {
        counts.values.reduce(0) { $1.values.reduce($0) { $0.clampedAdding($1) } }
    }

    /// Of one node, those of earlier runs of its process too.
    package func expectedRows(ofNode node: String) -> Int {
        (rows[node] ?? [:]).reduce(0) { $0.clampedAdding($1.value - (retired[node]?[$1.key] ?? 0)) }
    }

    /// The rows that a node had and that this run of it does not.
    package func lostRows(node: String, incarnation: UInt64) -> Int {
        let others = (rows[node] ?? [:]).filter { $0.key != incarnation }
        return others.reduce(0) { $0.clampedAdding($1.value - (retired[node]?[$1.key] ?? 0)) }
    }

    /// Counts only grow while a frame lives, so the larger one is the newer one.
    package mutating func merge(_ other: FrameAcknowledgements) {
        for (node, incarnations) in other.rows {
            rows[node, default: [:]].merge(incarnations) { max($0, $1) }
        }
        for (node, incarnations) in other.retired {
            retired[node, default: [:]].merge(incarnations) { max($0, $1) }
        }
    }

    package var value: Value {
        let nodes = rows.sorted { $0.key < $1.key }.flatMap { node, incarnations in
            incarnations.sorted { $0.key < $1.key }.map { incarnation, count in
                Value.array([
                    .string(node), .int(Int64(bitPattern: incarnation)), .int(Int64(count)),
                    .int(Int64(retired[node]?[incarnation] ?? 0)),
                ])
            }
        }
        return .object(["frame": .string(frame), "id": .int(Int64(bitPattern: id)), "rows": .array(nodes)])
    }

    package init?(value: Value) {
        guard let frame = value["frame"]?.text, case .int(let id)? = value["id"],
            case .array(let nodes)? = value["rows"]
        else { return nil }
        self.init(frame: frame, id: UInt64(bitPattern: id))
        for entry in nodes {
            guard case .array(let parts) = entry, parts.count == 4, let node = parts[0].text,
                case .int(let incarnation) = parts[1], case .int(let count) = parts[2],
                case .int(let gone) = parts[3]
            else { return nil }
            // Both are counts of rows, whatever another node has made of them: their difference can't overflow.
            rows[node, default: [:]][UInt64(bitPattern: incarnation)] = max(0, Int(count))
            if gone > 0 { retired[node, default: [:]][UInt64(bitPattern: incarnation)] = Int(gone) }
        }
    }
}

/// How long a frame's rows are kept.
package struct FrameRetention: Sendable, Equatable {
    /// 0 for ever.
    package var seconds: Int64
    /// Of times: what a row's age is told by.
    package var column: String
    /// Unix milliseconds: the later one stands.
    package var setAt: Int64

    var value: Value { .array([.int(seconds), .string(column), .int(setAt)]) }

    init?(value: Value) {
        guard case .array(let parts) = value, parts.count == 3, case .int(let seconds) = parts[0],
            let column = parts[1].text, case .int(let setAt) = parts[2]
        else { return nil }
        self.init(seconds: seconds, column: column, setAt: setAt)
    }

    package init(seconds: Int64, column: String, setAt: Int64) {
        self.seconds = seconds
        self.column = column
        self.setAt = setAt
    }

    /// Total, so that all nodes choose the same.
    func isNewer(than other: FrameRetention) -> Bool {
        (setAt, seconds, column) > (other.setAt, other.seconds, other.column)
    }
}
