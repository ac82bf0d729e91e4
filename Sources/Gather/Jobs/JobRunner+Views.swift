// Which rows an answer should have, and whether its nodes' parts are of one view.

import Coordination
import Engine

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
        _ outcome: Scatter<NodeAnswer>.Outcome, _ map: MapRequest, since started: UInt64, _ deadline: Deadline
    ) async -> (Scatter<NodeAnswer>.Outcome, [Loss]) {
        var (outcome, views) = (outcome, LoadViews())
        for (node, found) in outcome.answers { views.answered(node: node, found.answer.loads.mapValues(\.view)) }
        func milliseconds() -> Int { Int((cluster.environment.uptimeNanoseconds - started) / 1_000_000) + 1 }
        for _ in 0..<LoadViews.roundsMax {
            let missing = views.missing(startedMilliseconds: milliseconds())
            guard !missing.isEmpty else { break }
            for (node, result) in await askAgain(missing, &views, map, deadline) {
                guard let index = outcome.answers.firstIndex(where: { $0.node == node }) else { continue }
                switch result {
                case .success(let answer):
                    outcome.answers[index].answer = answer
                    views.answered(node: node, answer.answer.loads.mapValues(\.view))
                case .failure(let failure):
                    outcome.answers.remove(at: index)
                    outcome.failures.append((node, failure))
                    views.failed(node: node)
                }
            }
        }
        let torn = views.missing(startedMilliseconds: milliseconds()).keys
        let unsure = Set(torn).union(views.forgetful(startedMilliseconds: milliseconds()))
        return (outcome, unsure.sorted().map { Loss(node: $0, failure: Self.otherView) })
    }

    private static let otherView = Failure(
        .incompleteData, "loads came in faster than all nodes could be asked for the same ones; ask again")

    private func askAgain(
        _ missing: [Int: Set<UInt64>], _ views: inout LoadViews, _ map: MapRequest, _ deadline: Deadline
    ) async -> [(node: Int, result: Result<NodeAnswer, Failure>)] {
        let nodes = missing.keys.sorted()
        let includes = nodes.map { views.include(missing[$0] ?? [], node: $0) }
        let again: Scatter<NodeAnswer>.Outcome = await ScatterDriver.run(
            nodes: nodes.count, require: .any, deadline: deadline, cluster.alarms
        ) { index, deliver in
            var request = map
            request.deadlineMilliseconds = UInt32(max(1, cluster.environment.remainingMilliseconds(until: deadline)))
            request.include = includes[index]
            ask(nodes[index], request, deadline, deliver)
        }
        return again.answers.map { (nodes[$0.node], .success($0.answer)) }
            + again.failures.map { (nodes[$0.node], .failure($0.failure)) }
    }

    // MARK: Coverage

    /// Throws where nodes have looked at different frames of one name: some have not heard yet of one that was made anew, or on
    /// the other side of a cut.
    func checkFrames(of outcome: Scatter<NodeAnswer>.Outcome) async throws(Failure) {
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

    /// Sets the expected rows: of a node that answered those of its own view and those that an earlier run of it had, of
    /// the others those that they are known to have acknowledged. Returns the nodes that lost rows.
    func checkCoverage(of outcome: Scatter<NodeAnswer>.Outcome, in envelope: inout Envelope) -> [Loss] {
        let known = cluster.changeRegistry { registry in
            registry.acknowledgements(with: outcome.answers.flatMap(\.answer.answer.frames))
        }
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
                        + "drop it (get frame:drop:\(frame.frame)) and load it again")
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
