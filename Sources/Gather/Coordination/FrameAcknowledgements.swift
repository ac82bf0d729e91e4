// The rows that every node has acknowledged of a frame, and how long they are kept.

/// The rows that nodes have acknowledged of one frame, by node and by run of its process. A node that lost its memory
/// comes back with another incarnation, so its old rows stay expected: nobody can mistake an empty node for a complete one.
package struct FrameAcknowledgements: Sendable, Equatable {
    package var frame: String
    package var id: DefinitionID
    package var rows: [String: [UInt64: Int]]
    /// Of these rows, those that were dropped for their age.
    package var retired: [String: [UInt64: Int]]

    package init(
        frame: String, id: DefinitionID, rows: [String: [UInt64: Int]] = [:], retired: [String: [UInt64: Int]] = [:]
    ) {
        self.frame = frame
        self.id = id
        self.rows = rows
        self.retired = retired
    }

    package var isEmpty: Bool { rows.isEmpty && retired.isEmpty }

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
}

/// How long a frame's rows are kept.
package struct FrameRetention: Sendable, Equatable {
    /// 0 for ever.
    package var seconds: Int64
    /// Of times: what a row's age is told by.
    package var column: String
    /// One more than that of the word that it replaces, so that whoever saw a word has the later one; no clock.
    package var revision: UInt64
    /// The run that said so: of two words of one revision that of the greater run stands, on all nodes.
    package var run: UInt64

    package init(seconds: Int64, column: String, revision: UInt64, run: UInt64) {
        self.seconds = seconds
        self.column = column
        self.revision = revision
        self.run = run
    }

    /// Total, so that all nodes choose the same.
    func isNewer(than other: FrameRetention) -> Bool {
        (revision, run, seconds, column) > (other.revision, other.run, other.seconds, other.column)
    }
}

extension Int {
    /// The sum, or the end of the range that it lies beyond: the numbers may be another node's.
    func clampedAdding(_ other: Int) -> Int {
        let (sum, isTooLarge) = addingReportingOverflow(other)
        guard isTooLarge else { return sum }
        return other < 0 ? .min : .max
    }
}
