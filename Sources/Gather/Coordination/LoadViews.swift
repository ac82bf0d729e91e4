// Whether the answers of several nodes are of one view: each load is in all of them or in none.

/// What each node's answer says of loads, and who must be asked again to have the same ones as the others.
///
/// A load becomes visible on one node after the other, and jobs look at nodes one after the other. Where one answer has a load
/// that another lacks, it was decided: the other node is asked again, with that load. It is ready there and becomes visible at
/// once, or it has become so meanwhile, or the node had no part in it. Only where the node that has shown it is gone by now may
/// others have it ready and not follow, or have discarded it: then they go on lacking it, and no answer has both.
package struct LoadViews: Sendable {
    /// Of one frame on one node.
    package struct Seen: Sendable, Equatable {
        /// Loads that the answer has, by the milliseconds since they became visible.
        package var committed: [UInt64: Int]
        /// Loads that are or were ready there, and are not in the answer.
        package var pending: Set<UInt64>
        /// How far back all that became visible are named.
        package var namedMilliseconds: Int

        package init(committed: [UInt64: Int] = [:], pending: Set<UInt64> = [], namedMilliseconds: Int = .max) {
            self.committed = committed
            self.pending = pending
            self.namedMilliseconds = namedMilliseconds
        }
    }

    /// How often a node is asked again at most.
    package static let roundsMax = 4

    /// By node, then by frame.
    private var answers: [Int: [String: Seen]] = [:]
    /// By node, the loads that it was asked for.
    private var included: [Int: Set<UInt64>] = [:]

    package init() {}

    /// An answer, in place of an earlier one of that node.
    package mutating func answered(node: Int, _ frames: [String: Seen]) { answers[node] = frames }

    package mutating func failed(node: Int) { answers[node] = nil }

    /// What to ask the node for when it is asked again: everything that it ever was asked for.
    package mutating func include(_ loads: Set<UInt64>, node: Int) -> Set<UInt64> {
        included[node, default: []].formUnion(loads)
        return included[node] ?? []
    }

    /// By node, the loads that its answer lacks and another one has; empty when all are of one view. A load that became
    /// visible before the first node was asked, `milliseconds` ago, is lacked only where it is or was ready: elsewhere it is
    /// long there, or never was to be.
    package func missing(startedMilliseconds milliseconds: Int) -> [Int: Set<UInt64>] {
        let since = Self.withDrift(milliseconds)
        var missing: [Int: Set<UInt64>] = [:]
        for (frame, committed) in committedByFrame {
            for (node, frames) in answers {
                guard let seen = frames[frame] else { continue }
                let lacking = committed.filter { load, age in
                    guard seen.committed[load] == nil else { return false }
                    return seen.pending.contains(load) || age <= since && included[node]?.contains(load) != true
                }
                if !lacking.isEmpty { missing[node, default: []].formUnion(lacking.keys) }
            }
        }
        return missing
    }

    /// Nodes that can't name all the loads that became visible since the first one was asked.
    package func forgetful(startedMilliseconds milliseconds: Int) -> [Int] {
        answers.filter { _, frames in
            frames.values.contains { $0.namedMilliseconds < Self.withDrift(milliseconds) }
        }.map(\.key).sorted()
    }

    /// By frame, the loads that some answer has, by the least time for which one has it.
    private var committedByFrame: [String: [UInt64: Int]] {
        var all: [String: [UInt64: Int]] = [:]
        for frames in answers.values {
            for (frame, seen) in frames { all[frame, default: [:]].merge(seen.committed) { min($0, $1) } }
        }
        return all
    }

    /// The nodes' clocks go at rates that are up to 5 % off, either way; times are cut to milliseconds.
    private static func withDrift(_ milliseconds: Int) -> Int { milliseconds + milliseconds / 8 + 2 }
}
