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
        var known: [DefinitionID: FrameAcknowledgements] = [:]
        for (node, found) in outcome.answers { views.answered(node: node, found.answer.loads.mapValues(\.view)) }
        func milliseconds() -> Int { Int((cluster.environment.uptimeNanoseconds - started) / 1_000_000) + 1 }
        for _ in 0..<LoadViews.roundsMax {
            let missing = views.missing(startedMilliseconds: milliseconds())
            guard !missing.isEmpty else { break }
            // A node that shows a load because others do has to know first how many rows these have, those too that this one can't
            // reach: one that ends before it has said so itself would not be missed.
            for (_, found) in outcome.answers {
                for frame in found.answer.frames { known[frame.id, default: frame].merge(frame) }
            }
            let asked = missing.keys.sorted()
            for node in asked {
                let counts = known.values.sorted { $0.id < $1.id }
                inclusions.set(views.include(missing[node] ?? [], node: node), counts, of: node)
            }
            let again = await gatherer.outcome(ofAskingAgain: asked)
            outcome.answers.removeAll { missing[$0.node] != nil }
            outcome.answers += again.answers
            outcome.failures += again.failures
            for (node, found) in again.answers { views.answered(node: node, found.answer.loads.mapValues(\.view)) }
            for node in again.failures.map(\.node) { views.failed(node: node) }
        }
        let torn = views.missing(startedMilliseconds: milliseconds()).keys
        let unsure = Set(torn).union(views.forgetful(startedMilliseconds: milliseconds()))
        return (outcome, unsure.sorted().map { Loss(node: $0, failure: Self.otherView) })
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

/// The loads that nodes which are asked again are to have in their views, and what they have to know before they show them.
final class LoadInclusions: Sendable {
    struct Inclusion: Sendable {
        var loads: Set<UInt64> = []
        var counts: [FrameAcknowledgements] = []
    }

    private let byNode: Mutex<[Inclusion]>

    init(count: Int) { byNode = Mutex(Array(repeating: Inclusion(), count: count)) }

    func set(_ loads: Set<UInt64>, _ counts: [FrameAcknowledgements], of node: Int) {
        byNode.withLock { $0[node] = Inclusion(loads: loads, counts: counts) }
    }

    func of(_ node: Int) -> Inclusion { byNode.withLock { $0[node] } }
}
