// What a round of a job comes to, and the second one that topk_exact may need.

import Coordination
import Engine

/// The nodes' partials as one.
struct ReducedRound: Sendable {
    var partial: JobPartial
    /// By node, see `MapAnswer.rowsEver`.
    private var rowsEver: [UInt64: Int] = [:]
    /// Those that were looked at.
    private var frames: Set<DefinitionID> = []

    /// The coordinator's own script merges: it has run nothing yet but its top level.
    init(_ answers: [NodeAnswer], _ script: JobScript, job: String) throws(Failure) {
        var partials: [JobPartial] = []
        for answer in answers {
            rowsEver[answer.answer.incarnation] = answer.answer.rowsEver
            frames.formUnion(answer.answer.frames.map(\.id))
            if let partial = answer.partial { partials.append(partial) }
        }
        guard !partials.isEmpty else {
            throw Failure(.miss, "job \(job) found no data: its map returned nothing on any shard")
        }
        partial = try script.reduce(partials)
    }

    /// Rows that came since an earlier round, at most; nil when other nodes have answered, or a frame was made anew.
    func rows(since earlier: ReducedRound) -> Int64? {
        guard rowsEver.keys == earlier.rowsEver.keys, frames == earlier.frames else { return nil }
        return rowsEver.reduce(0) { sum, node in
            // Counts of rows, none of them below zero.
            sum.clampedAdding(Int64(max(0, node.value - (earlier.rowsEver[node.key] ?? 0))))
        }
    }
}

extension JobRunner {
    /// Rows that come in while the rounds are under way may make another pair of them necessary.
    private static let attemptsMax = 3

    /// The reduced partial, with a second round where `topk_exact` asks for one.
    func settled(
        _ map: MapRequest, _ script: JobScript, require requirement: Requirement, deadline: Deadline, _ log: JobLog,
        envelope: inout Envelope
    ) async throws(Failure) -> ReducedRound {
        let blank = envelope
        var map = map
        for _ in 0..<Self.attemptsMax {
            envelope = blank
            map.deadlineMilliseconds = UInt32(mapMilliseconds(of: deadline))
            let first = try await round(map, script, require: requirement, log, envelope: &envelope)
            guard case .aggregate(let partial) = first.partial, let rest = try partial.secondRound() else {
                return first
            }
            var second = map
            second.candidates = rest.candidates.encoded()
            second.deadlineMilliseconds = UInt32(mapMilliseconds(of: deadline))
            envelope = blank
            var found = try await round(second, script, require: requirement, log, envelope: &envelope)
            guard case .aggregate(var exact) = found.partial, let rows = found.rows(since: first) else { continue }
            if exact.settle(rest, rowsSince: rows) {
                found.partial = .aggregate(exact)
                return found
            }
        }
        throw Failure(
            .budgetExceeded,
            "job \(map.name): rows come in faster than topk_exact can count; ask again, or for topk, which is approximate",
            fault: .server)
    }
}
