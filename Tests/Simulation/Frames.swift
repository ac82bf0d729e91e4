// What jobs over frames may answer: which rows must be there, which may be, and that no load or append is seen in part.

import Engine

/// Rows that were appended or loaded together: all of them are seen, or none.
final class RowBlock {
    enum State { case underWay, acknowledged, unclear, refused }

    let name: String
    let rows: Int
    let sent: UInt64
    var ended: UInt64 = .max
    var state = State.underWay
    /// Where they are, as far as is known.
    var nodes: Set<String>
    /// A node may have gone with rows of it before anybody else knew of them.
    var mayBeLost = false
    /// When a complete answer had it first: from then on it is there for good.
    var seen: UInt64 = .max

    init(_ name: String, rows: Int, sent: UInt64, nodes: Set<String>) {
        self.name = name
        self.rows = rows
        self.sent = sent
        self.nodes = nodes
    }
}

final class FrameHistory {
    let name: String
    private(set) var blocks: [String: RowBlock] = [:]
    /// Every node knows of it.
    var isKnown = false
    /// Nobody is to use it any more.
    var isDropped = false
    /// Nodes have gone when others could not know what they had.
    var isDoubtful = false

    init(_ name: String) { self.name = name }

    func add(_ block: RowBlock) { blocks[block.name] = block }

    /// A process ended. `isCalm`: everybody had the time to hear of what it had before `known`.
    func lost(_ node: String, isCalm: Bool, known: UInt64) {
        for block in blocks.values where block.nodes.contains(node) {
            if !isCalm || block.state != .acknowledged || block.ended > known { block.mayBeLost = true }
        }
        if !isCalm { isDoubtful = true }
    }

    /// Why a complete answer is wrong; nil when it is not. `counts`: rows by block.
    func problem(
        with counts: [String: Int], expected: Int, scanned: Int, from begin: UInt64
    ) -> String? {
        let sum = counts.values.reduce(0, +)
        if expected != scanned || scanned != sum {
            return "expected \(expected), scanned \(scanned), and \(sum) in the result"
        }
        for (name, count) in counts.sorted(by: { $0.key < $1.key }) {
            guard let block = blocks[name] else { return "\(count) rows of \(name), which nobody has sent" }
            if count > block.rows { return "\(count) rows of \(name), which has \(block.rows)" }
            if block.state == .refused { return "\(count) rows of \(name), which was refused" }
            if count < block.rows, !block.mayBeLost { return "\(count) of \(block.rows) rows of \(name)" }
        }
        for block in blocks.values.sorted(by: { $0.name < $1.name }) where counts[block.name] == nil {
            guard !block.mayBeLost, !isDoubtful else { continue }
            if block.state == .acknowledged, block.ended < begin {
                return "no rows of \(block.name), acknowledged before"
            }
            if block.seen < begin { return "no rows of \(block.name), which had been seen" }
        }
        return nil
    }

    /// Of a complete answer that was right.
    func saw(_ counts: [String: Int], at time: UInt64) {
        for (name, count) in counts {
            if let block = blocks[name], count == block.rows { block.seen = min(block.seen, time) }
        }
    }
}
