// What jobs over frames may answer: which rows must be there, which may be, and that no load or append is seen in part.

import Coordination
import Engine
import Gather

/// Rows that were appended or loaded together: all of them are seen, or none.
final class RowBlock {
    enum State { case underWay, acknowledged, unclear, refused }

    let name: String
    let rows: Int
    let sent: UInt64
    let isLoad: Bool
    var ended: UInt64 = .max
    var state = State.underWay
    /// Where they are, as far as is known.
    var nodes: Set<String>
    /// Which frame of the name they are in, where that is certain.
    var frame: DefinitionID?
    /// Processes with rows of it that have ended since.
    private(set) var deaths = 0
    /// A node may have gone with rows of it before anybody else knew of them.
    private(set) var mayBeLost = false
    /// When a complete answer had it first: from then on it is there for good.
    var seen: UInt64 = .max

    init(_ name: String, rows: Int, sent: UInt64, nodes: Set<String>, isLoad: Bool = false) {
        self.name = name
        self.rows = rows
        self.sent = sent
        self.nodes = nodes
        self.isLoad = isLoad
    }

    /// A process with rows of it ended. Of a load each node learns how many rows the others have before it shows its own: one of them
    /// that ends is missed by the rest, however soon that is. `isMissed`: somebody who is left knows that there were rows.
    func lost(isMissed: Bool) {
        deaths += 1
        if isLoad, nodes.count > 1, deaths == 1 { return }
        if !isMissed { mayBeLost = true }
    }

    /// Nobody is left who knows that there were rows.
    func isForgotten() { mayBeLost = true }
}

/// Rows of one frame that went with a run of a node.
struct LostRows {
    let frame: DefinitionID
    let node: String
    let incarnation: UInt64
    let count: Int
    let blocks: [RowBlock]

    /// Whether a run of another node knows that these rows were there, so that no answer is complete without them.
    func isKnown(to run: NodeRunning) -> Bool {
        let known = run.cluster.readRegistry { $0.frame(frame)?.acknowledged.rows[node]?[incarnation] ?? 0 }
        return known >= count
    }
}

class FrameHistory {
    let name: String
    private(set) final var blocks: [String: RowBlock] = [:]
    /// Every node knows of it.
    final var isKnown = false
    /// Nobody is to use it any more.
    final var isDropped = false
    /// Nodes have gone when others could not know what they had: another frame is to be used.
    private(set) final var isDoubtful = false
    private var lostRows: [LostRows] = []

    init(_ name: String) { self.name = name }

    final func add(_ block: RowBlock) { blocks[block.name] = block }

    /// A process ended; `others` are left. `isCalm`: everybody had the time to hear of what it had.
    func lost(_ run: NodeRunning, isCalm: Bool, known: UInt64, others: [NodeRunning]) {
        let node = run.node.name
        for rows in lostRows where !others.contains(where: rows.isKnown) {
            for block in rows.blocks { block.isForgotten() }
        }
        let there = rows(of: run)
        for block in blocks.values where block.nodes.contains(node) {
            let mine = there.filter { block.frame == nil || $0.frame == block.frame }
            block.lost(isMissed: !mine.isEmpty && mine.allSatisfy { rows in others.contains(where: rows.isKnown) })
        }
        lostRows += there
        if !isCalm { isDoubtful = true }
    }

    /// All that a run has under the name.
    private func rows(of run: NodeRunning) -> [LostRows] {
        run.cluster.readRegistry { $0.frames.ids(named: name) }.compactMap { id in
            guard let count = run.cluster.frame(id)?.statistics.rows, count > 0 else { return nil }
            let mine = blocks.values.filter {
                $0.nodes.contains(run.node.name) && ($0.frame == nil || $0.frame == id)
            }
            return LostRows(
                frame: id, node: run.node.name, incarnation: run.cluster.incarnation, count: count, blocks: mine)
        }
    }

    /// Of a frame with one load and nothing else: whoever shows it knows how many rows each node has or had of it, and so misses one that
    /// ends. What is wrong with that; nil when nothing is.
    final func problem(withWhatIsKnownTo runs: [NodeRunning]) -> String? {
        let there = runs.flatMap { run in rows(of: run).map { (run.node.name, $0) } }
        for run in runs {
            let ids = run.cluster.readRegistry { $0.frames.ids(named: name) }
            guard ids.contains(where: { run.cluster.frame($0)?.view().loads.committed.isEmpty == false }) else {
                continue
            }
            let others = there.filter { $0.0 != run.node.name }.map(\.1) + lostRows
            if let rows = others.first(where: { $0.node != run.node.name && !$0.isKnown(to: run) }) {
                return "\(run.node.name) shows \(name), and knows nothing of \(rows.count) rows on \(rows.node)"
            }
        }
        return nil
    }

    /// Why a complete answer is wrong; nil when it is not. `counts`: rows by block.
    final func problem(with counts: [String: Int], expected: Int, scanned: Int, from begin: UInt64) -> String? {
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
        return problemWithFrames(of: counts, from: begin) ?? problemWithout(counts, from: begin)
    }

    /// Of rows that are there together.
    func problemWithFrames(of counts: [String: Int], from begin: UInt64) -> String? { nil }

    private func problemWithout(_ counts: [String: Int], from begin: UInt64) -> String? {
        for block in blocks.values.sorted(by: { $0.name < $1.name }) where counts[block.name] == nil {
            guard !block.mayBeLost, mustHave(block, beside: counts) else { continue }
            if block.state == .acknowledged, block.ended < begin {
                return "no rows of \(block.name), acknowledged before"
            }
            if block.seen < begin { return "no rows of \(block.name), which had been seen" }
        }
        return nil
    }

    /// Whether rows that are known to be in the frame have to be in an answer, which has these.
    func mustHave(_ block: RowBlock, beside counts: [String: Int]) -> Bool { true }

    /// Of a complete answer that was right.
    final func saw(_ counts: [String: Int], at time: UInt64) {
        for (name, count) in counts {
            if let block = blocks[name], count == block.rows { block.seen = min(block.seen, time) }
        }
    }
}
