// A frame on this node at one moment: the rows of all its shards, and which loads are among them.

/// The rows of all parts of a frame at one moment: of a load, all that this node holds of it or nothing.
package struct FrameView: Sendable {
    /// One for each shard, in the shards' order.
    package let parts: [FrameSnapshot]
    package let loads: FrameLoads.Seen

    package var rowCount: Int { parts.reduce(0) { $0 + $1.rowCount } }
}

/// The loads of one frame on this node that others may have at another moment: those that were committed lately, and those
/// that are ready to be.
package struct FrameLoads: Sendable {
    /// What a view has of loads, by their numbers.
    package struct Seen: Sendable, Equatable {
        /// Those that are in it, and for how many milliseconds.
        package var committed: [UInt64: Int]
        /// Those that are ready here, and not in it.
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

    /// In the order of their commits.
    private var committed: [(load: UInt64, nanoseconds: UInt64)] = []
    private var pending: Set<UInt64> = []
    /// When the youngest of those that had to be forgotten was committed, with younger ones kept.
    private var forgottenUntil: UInt64?

    package init() {}

    package mutating func ready(_ load: UInt64) { pending.insert(load) }

    package mutating func ended(_ load: UInt64) { pending.remove(load) }

    package mutating func committed(_ load: UInt64, now: UInt64) {
        pending.remove(load)
        committed.append((load, now))
        if let first = committed.first, Self.milliseconds(first.nanoseconds, now) > Self.namedMillisecondsMax {
            committed.removeAll { Self.milliseconds($0.nanoseconds, now) > Self.namedMillisecondsMax }
        }
        if committed.count > Self.namedMax { forgottenUntil = committed.removeFirst().nanoseconds }
    }

    /// `now` is no earlier than at the last commit.
    package func seen(now: UInt64) -> Seen {
        var seen = Seen(pending: pending)
        for entry in committed {
            let age = Self.milliseconds(entry.nanoseconds, now)
            if age <= Self.namedMillisecondsMax { seen.committed[entry.load] = age }
        }
        if let forgottenUntil {
            seen.namedMilliseconds = min(seen.namedMilliseconds, Self.milliseconds(forgottenUntil, now))
        }
        return seen
    }

    private static func milliseconds(_ from: UInt64, _ to: UInt64) -> Int { Int((to &- min(from, to)) / 1_000_000) }
}
