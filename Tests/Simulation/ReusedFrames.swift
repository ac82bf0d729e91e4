// Names of frames that are dropped and used again, on any node, on both sides of cuts: whose rows an answer may have.

import Coordination
import Engine
import Gather

/// One `frame:drop` of a name.
final class FrameDrop {
    let node: String
    let sent: UInt64
    var ended: UInt64 = .max
    var isAcknowledged = false
    /// It did nothing.
    var isRefused = false
    /// The frame that it dropped for certain.
    var dropped: DefinitionID?
    /// Those that it may have dropped.
    var candidates: Set<DefinitionID>
    /// Its node may have gone before any other knew of it.
    private(set) var mayBeLost = false

    init(node: String, sent: UInt64, candidates: Set<DefinitionID>) {
        self.node = node
        self.sent = sent
        self.candidates = candidates
    }

    func lost(isCalm: Bool, known: UInt64) {
        if !isCalm || !isAcknowledged || ended > known { mayBeLost = true }
    }

    /// On its node for as long as that runs, and in the end on all.
    func isCertain(of frame: DefinitionID) -> Bool { isAcknowledged && !mayBeLost && dropped == frame }
}

/// A name under which there is one frame after the other, and more than one at times.
final class ReusedFrameHistory: FrameHistory {
    private(set) var drops: [FrameDrop] = []
    /// Every frame of the name that a node was seen to have.
    private(set) var known: Set<DefinitionID> = []

    func note(_ frames: [DefinitionID]) { known.formUnion(frames) }

    func begin(_ drop: FrameDrop) { drops.append(drop) }

    override func lost(_ run: NodeRunning, isCalm: Bool, known: UInt64, others: [NodeRunning]) {
        super.lost(run, isCalm: isCalm, known: known, others: others)
        for drop in drops where drop.node == run.node.name { drop.lost(isCalm: isCalm, known: known) }
    }

    private func frames(of counts: [String: Int]) -> Set<DefinitionID> {
        Set(counts.keys.compactMap { blocks[$0]?.frame })
    }

    override func problemWithFrames(of counts: [String: Int], from begin: UInt64) -> String? {
        let frames = frames(of: counts)
        if frames.count > 1 { return "rows of \(frames.count) frames of the name" }
        guard let frame = frames.first else { return nil }
        let before = drops.contains { $0.isCertain(of: frame) && $0.ended < begin }
        return before ? "rows of \(frame), which was dropped before" : nil
    }

    /// Nobody drops a frame but who says so.
    func mayBeDropped(_ frame: DefinitionID) -> Bool {
        drops.contains { !$0.isRefused && $0.candidates.contains(frame) }
    }

    /// Rows of a frame are there as long as it is, whatever became of others of the name.
    override func mustHave(_ block: RowBlock, beside counts: [String: Int]) -> Bool {
        guard let frame = block.frame else { return false }
        return frames(of: counts).contains(frame) || !mayBeDropped(frame)
    }

    /// Why a node can't know these frames of the name in the end; nil when it can.
    func problem(withLiving frames: [DefinitionID]) -> String? {
        for frame in frames where drops.contains(where: { $0.isCertain(of: frame) }) {
            return "\(frame) is there, which was dropped"
        }
        let safe = blocks.values.filter { $0.state == .acknowledged && !$0.mayBeLost && $0.deaths == 0 }
        for block in safe.sorted(by: { $0.name < $1.name }) {
            guard let frame = block.frame, !frames.contains(frame), !mayBeDropped(frame) else { continue }
            return "\(frame) is gone, which nobody has dropped, and \(block.name) with it"
        }
        return nil
    }
}

extension Simulation {
    func reusedFrame() -> ReusedFrameHistory { reusedFrames[chance.below(reusedFrames.count)] }

    /// Of a name, those that a node knows of.
    func frameIDs(_ name: String, _ run: NodeRunning) -> [DefinitionID] {
        let found = run.cluster.readRegistry { $0.frames.ids(named: name) }
        reusedFrames.first { $0.name == name }?.note(found)
        return found
    }

    func dropReused(_ client: Client, _ run: NodeRunning, _ done: @escaping () -> Void) {
        let frame = reusedFrame()
        let before = frameIDs(frame.name, run)
        // A drop of what is not there is refused.
        guard before.count > 0 || chance.chance(10) else { return done() }
        drop(frame, before, before.count > 1 ? before[chance.below(before.count)] : nil, client, run, done)
    }

    func dropAllButOne(_ frame: ReusedFrameHistory, _ client: Client, _ run: NodeRunning) {
        let frames = frameIDs(frame.name, run)
        for id in frames.dropFirst() { drop(frame, frames, id, client, run) {} }
    }

    /// `chosen`: of those that its node has before, where that is said.
    private func drop(
        _ frame: ReusedFrameHistory, _ before: [DefinitionID], _ chosen: DefinitionID?, _ client: Client,
        _ run: NodeRunning, _ done: @escaping () -> Void
    ) {
        let number = asked("drop \(frame.name)")
        let drop = FrameDrop(
            node: run.node.name, sent: world.time, candidates: chosen.map { [$0] } ?? Set(before))
        frame.begin(drop)
        let key = "frame:drop:\(frame.name)" + (chosen.map { ":\($0)" } ?? "")
        client.send("get \(key)\r\n", to: run) { [unowned self] reply in
            drop.ended = world.time
            if case .values(let values) = reply, values[key] != nil { drop.isAcknowledged = true }
            wasAnswered(number, "drop", drop.isAcknowledged)
            ended(drop, of: frame, run, before, chosen)
            done()
        }
    }

    private func ended(
        _ drop: FrameDrop, of frame: ReusedFrameHistory, _ run: NodeRunning, _ before: [DefinitionID],
        _ chosen: DefinitionID?
    ) {
        // Of a run that has ended meanwhile nothing is known any more.
        guard run.isAlive else {
            drop.isAcknowledged = false
            if chosen == nil { drop.candidates.formUnion(frame.known) }
            return
        }
        let after = frameIDs(frame.name, run)
        // What it learned of while the drop was on its way may be what was dropped.
        let gone = run.cluster.readRegistry { registry in frame.known.filter { registry.isDropped(frame: $0) } }
        if chosen == nil { drop.candidates.formUnion(gone) }
        guard drop.isAcknowledged else { return }
        let meant = chosen ?? (before.count == 1 ? before[0] : nil)
        if let meant, after.contains(meant) { return violate("\(meant) is there at \(run.node.name) after its drop") }
        drop.dropped = meant
    }

    /// Which frame of the name rows that were just acknowledged went into, where that is certain.
    func frameTaken(_ name: String, _ run: NodeRunning, before: [DefinitionID]) -> DefinitionID? {
        let after = frameIDs(name, run)
        return after.count == 1 && (before.isEmpty || before == after) ? after[0] : nil
    }

    /// Everybody has heard of everything.
    func checkReusedFrames() {
        for frame in reusedFrames {
            for run in aliveRuns {
                if let problem = frame.problem(withLiving: frameIDs(frame.name, run)) {
                    violate("\(frame.name) at \(run.node.name): \(problem)")
                }
                ask(frame, at: run, requires: "all")
            }
        }
    }
}
