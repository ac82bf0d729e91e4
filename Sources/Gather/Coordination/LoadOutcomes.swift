// What became of the loads that a node had a part in, so that who is in doubt can be told.

/// Bounded: of older ones only is known until when they ended.
package struct LoadOutcomes: Sendable {
    package static let countMax = 65_536

    private var isCommitted: [UInt64: Bool] = [:]
    /// In the order in which they ended; the first `forgotten` are no longer kept.
    private var order: [(load: UInt64, at: Instant)] = []
    private var forgotten = 0
    private let limit: Int

    package init(limit: Int = countMax) { self.limit = limit }

    package mutating func note(_ load: UInt64, committed: Bool, now: Instant) {
        guard isCommitted[load] == nil else { return }
        isCommitted[load] = committed
        order.append((load, now))
        guard order.count - forgotten > limit else { return }
        isCommitted[order[forgotten].load] = nil
        forgotten += 1
        // The last of them says until when.
        guard forgotten > limit else { return }
        order.removeFirst(forgotten - 1)
        forgotten = 1
    }

    /// `milliseconds`: how long ago the load began, where it is asked about.
    package func state(of load: UInt64, begunMilliseconds milliseconds: Int, now: Instant) -> LoadState {
        if let isCommitted = isCommitted[load] { return isCommitted ? .committed : .aborted }
        guard forgotten > 0 else { return .unknown }
        // Clocks go at rates that are up to 5 % off, either way.
        let age = now.milliseconds(since: order[forgotten - 1].at)
        return age > milliseconds + milliseconds / 8 + 1_000 ? .unknown : .forgotten
    }
}
