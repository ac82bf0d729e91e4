// A frame on this node at one moment: the rows of all its shards, and which loads are among them.

/// The rows of all parts of a frame at one moment: of a load, all that this node holds of it or nothing.
package struct FrameView: Sendable {
    /// One for each shard, in the shards' order.
    package let parts: [FrameSnapshot]
    package let loads: FrameLoads.Seen
    /// Of the frame, where what plans find in all parts together is kept.
    let id: UInt64

    package var rowCount: Int { parts.reduce(0) { $0 + $1.rowCount } }

    /// All parts as one. Cost: some 10 ns a chunk.
    package var whole: FrameSnapshot {
        guard let first = parts.first, parts.count > 1 else { return parts[0] }
        return FrameSnapshot(
            schema: first.schema, pieces: parts.flatMap(\.pieces), cache: first.cache,
            known: first.known.map { ($0.partials, id) }, retiredRows: parts.reduce(0) { $0 + $1.retiredRows })
    }
}

/// The loads of one frame on this node that others may have at another moment: those that were committed lately, those that are
/// ready to be, and those that were ready and were discarded lately: a node that is gone by now may have shown them.
package struct FrameLoads: Sendable {
    /// What a view has of loads, by their numbers.
    package struct Seen: Sendable, Equatable {
        /// Those that are in it, and for how many milliseconds.
        package var committed: [UInt64: Int]
        /// Those that are or were ready here, and are not in it.
        package var pending: Set<UInt64>
        /// All loads that became visible in the last so many milliseconds are named.
        package var namedMilliseconds: Int

        package init(
            committed: [UInt64: Int] = [:], pending: Set<UInt64> = [],
            namedMilliseconds: Int = FrameLoads.namedMillisecondsMax
        ) {
            self.committed = committed
            self.pending = pending
            self.namedMilliseconds = namedMilliseconds
        }
    }

    /// Longer than any job takes.
    package static let namedMillisecondsMax = 690_000
    package static let namedMax = 4_096

    private typealias Ended = (load: UInt64, nanoseconds: UInt64)
    /// In the order of their commits.
    private var committed: [Ended] = []
    /// In the order of their ends.
    private var discarded: [Ended] = []
    private var pending: Set<UInt64> = []
    /// When the youngest of those that had to be forgotten ended, with younger ones kept.
    private var forgottenUntil: UInt64?

    package init() {}

    package mutating func ready(_ load: UInt64) { pending.insert(load) }

    /// Nothing of one that was not ready can be seen anywhere.
    package mutating func discarded(_ load: UInt64, now: UInt64) {
        guard pending.remove(load) != nil else { return }
        forget(until: Self.keep((load, now), in: &discarded))
    }

    package mutating func committed(_ load: UInt64, now: UInt64) {
        pending.remove(load)
        forget(until: Self.keep((load, now), in: &committed))
    }

    private mutating func forget(until nanoseconds: UInt64?) {
        if let nanoseconds { forgottenUntil = max(forgottenUntil ?? 0, nanoseconds) }
    }

    /// When the one ended that has to be forgotten for it, with younger ones kept.
    private static func keep(_ ended: Ended, in list: inout [Ended]) -> UInt64? {
        list.append(ended)
        if let first = list.first, milliseconds(first.nanoseconds, ended.nanoseconds) > namedMillisecondsMax {
            list.removeAll { milliseconds($0.nanoseconds, ended.nanoseconds) > namedMillisecondsMax }
        }
        return list.count > namedMax ? list.removeFirst().nanoseconds : nil
    }

    /// `now` is no earlier than the last end.
    package func seen(now: UInt64) -> Seen {
        var seen = Seen(pending: pending)
        for entry in committed {
            let age = Self.milliseconds(entry.nanoseconds, now)
            if age <= Self.namedMillisecondsMax { seen.committed[entry.load] = age }
        }
        for entry in discarded where Self.milliseconds(entry.nanoseconds, now) <= Self.namedMillisecondsMax {
            seen.pending.insert(entry.load)
        }
        if let forgottenUntil {
            seen.namedMilliseconds = min(seen.namedMilliseconds, Self.milliseconds(forgottenUntil, now))
        }
        return seen
    }

    private static func milliseconds(_ from: UInt64, _ to: UInt64) -> Int { Int((to &- min(from, to)) / 1_000_000) }
}
