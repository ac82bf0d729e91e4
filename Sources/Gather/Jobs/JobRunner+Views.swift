// Which rows an answer should have, and whether its nodes' parts are of one view.

import Coordination
import Engine
import Synchronization

extension JobRunner {
    /// A node that answered, and whose answer can't be used.
    struct Loss {
        var node: Int
        var failure: Failure
    }

    // MARK: One view

    /// Asks those nodes again whose answers lack loads that others have, until all have the same; what came of it, and the nodes
    /// that are still of another view. `started`: before the first node was asked, in nanoseconds.
    func inOneView(
        _ outcome: Gathered<NodeAnswer>, _ gatherer: Gatherer<NodeAnswer>, _ inclusions: LoadInclusions,
        since started: UInt64
    ) async -> (Gathered<NodeAnswer>, [Loss]) {
        var (outcome, views) = (outcome, LoadViews())
        for (node, found) in outcome.answers { views.answered(node: node, found.answer.loads.mapValues(\.view)) }
        func milliseconds() -> Int { Int((cluster.environment.uptimeNanoseconds - started) / 1_000_000) + 1 }
        for _ in 0..<LoadViews.roundsMax {
            let missing = views.missing(startedMilliseconds: milliseconds())
            guard !missing.isEmpty else { break }
            let untold = await tellCounts(before: missing, outcome)
            let asked = missing.keys.filter { !untold.contains($0) }.sorted()
            for node in asked { inclusions.set(views.include(missing[node] ?? [], node: node), of: node) }
            let again = await gatherer.outcome(ofAskingAgain: asked)
            outcome.answers.removeAll { missing[$0.node] != nil }
            outcome.answers += again.answers
            outcome.failures += again.failures + untold.map { ($0, Self.otherView) }
            for (node, found) in again.answers { views.answered(node: node, found.answer.loads.mapValues(\.view)) }
            for node in again.failures.map(\.node) + untold { views.failed(node: node) }
        }
        let torn = views.missing(startedMilliseconds: milliseconds()).keys
        let unsure = Set(torn).union(views.forgetful(startedMilliseconds: milliseconds()))
        return (outcome, unsure.sorted().map { Loss(node: $0, failure: Self.otherView) })
    }

    private static let tellMilliseconds = 500

    /// Before nodes show loads because others do, somebody else than those others has to know how many rows these have: a coordinator that
    /// ends before it has told its commit would not be missed. Of what other nodes show this one knows from now on; of what it shows
    /// itself those that are asked are told. Answers those of them that were not reached.
    private func tellCounts(before missing: [Int: Set<UInt64>], _ outcome: Gathered<NodeAnswer>) async -> [Int] {
        _ = try? known(of: outcome)
        guard let own = cluster.topology.selfIndex,
            let answer = outcome.answers.first(where: { $0.node == own })?.answer.answer
        else { return [] }
        let shown = Set(answer.loads.values.flatMap(\.committed.keys))
        let others = missing.filter { $0.key != own && !shown.isDisjoint(with: $0.value) }
        guard !others.isEmpty else { return [] }
        let failures = await cluster.publish(
            by: cluster.environment.deadline(afterMilliseconds: Self.tellMilliseconds))
        return failures.map(\.node).filter { others[$0] != nil }
    }

    private static let otherView = Failure(
        .incompleteData, "loads came in, or ended, faster than all nodes could be asked for the same ones; ask again")

    // MARK: Coverage

    /// Throws where nodes have looked at different frames of one name: some have not heard yet of one that was made anew, or on
    /// the other side of a cut.
    func checkFrames(of outcome: Gathered<NodeAnswer>) async throws(Failure) {
        var seen: [String: (id: DefinitionID, node: Int)] = [:]
        for (node, found) in outcome.answers {
            for frame in found.answer.frames {
                guard let other = seen[frame.frame], other.id != frame.id else {
                    seen[frame.frame] = (frame.id, node)
                    continue
                }
                await cluster.publish()  // and so learns of both
                _ = try FrameService.require(frame.frame, cluster)
                let names = [other.node, node].map { cluster.topology.nodes[$0].name }
                throw Failure(
                    .incompleteData,
                    "\(names.joined(separator: " and ")) had different frames \(frame.frame), as one was made anew; ask again"
                )
            }
        }
    }

    /// Takes in what the nodes say of acknowledged rows; all that is known now of the frames that they looked at. Throws where one was
    /// dropped meanwhile: with it went what is known of rows that nodes have lost.
    private func known(of outcome: Gathered<NodeAnswer>) throws(Failure) -> [FrameAcknowledgements] {
        let said = Belief.ofAnswers(
            outcome.answers.map { node, found in
                (
                    .init(name: cluster.topology.nodes[node].name, incarnation: found.answer.incarnation),
                    found.answer.frames
                )
            },
            identity: cluster.identity, statuses: cluster.statuses)
        let known = cluster.changeRegistry { registry in registry.acknowledgements(with: said) }
        let ids = Set(known.map(\.id))
        if let dropped = said.first(where: { !ids.contains($0.id) }) { throw FrameService.dropped(dropped.frame) }
        return known
    }

    /// Sets the expected rows: of a node that answered those of its own view and those that an earlier run of it had, of
    /// the others those that they are known to have acknowledged. Returns the nodes that lost rows. Throws where a frame was dropped.
    func checkCoverage(
        of outcome: Gathered<NodeAnswer>, in envelope: inout Envelope
    ) throws(Failure) -> [Loss] {
        let known = try known(of: outcome)
        var losses: [Loss] = []
        var expected = 0
        for (node, found) in outcome.answers {
            let name = cluster.topology.nodes[node].name
            expected = expected.clampedAdding(found.answer.rowsScanned)
            for frame in known {
                let lost = frame.lostRows(node: name, incarnation: found.answer.incarnation)
                guard lost > 0 else { continue }
                expected = expected.clampedAdding(lost)
                let failure = Failure(
                    .incompleteData,
                    "\(name) was restarted and lost \(lost) rows of frame \(frame.frame): "
                        + "drop it (get frame:drop:\(frame.frame)) and load it again",
                    about: .named(name))
                losses.append(Loss(node: node, failure: failure))
            }
        }
        for (node, _) in outcome.failures {
            let name = cluster.topology.nodes[node].name
            expected = known.reduce(expected) { $0.clampedAdding($1.expectedRows(ofNode: name)) }
        }
        envelope.rowsExpected = expected
        return losses
    }
}

/// The loads that nodes which are asked again are to have in their views.
final class LoadInclusions: Sendable {
    private let byNode: Mutex<[Set<UInt64>]>

    init(count: Int) { byNode = Mutex(Array(repeating: [], count: count)) }

    func set(_ loads: Set<UInt64>, of node: Int) { byNode.withLock { $0[node] = loads } }
    func of(_ node: Int) -> Set<UInt64> { byNode.withLock { $0[node] } }
}
