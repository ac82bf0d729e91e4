// The requests of one peer connection that wait for a reply: pure bookkeeping, time passed in.

package import Engine

/// Maps request ids to whoever waits. A reply is delivered once; one that comes after its deadline finds nobody.
package struct PendingRequests<Waiter> {
    private var waiting: [UInt64: (deadline: Deadline, sent: UInt64, waiter: Waiter)] = [:]
    private var nextID: UInt64 = 1
    private let countMax: Int

    package init(countMax: Int) { self.countMax = countMax }

    package var count: Int { waiting.count }

    /// The id for a new request; nil when too many wait already. `sent`: the clock's nanoseconds now.
    package mutating func add(deadline: Deadline, sent: UInt64 = 0, _ waiter: Waiter) -> UInt64? {
        guard waiting.count < countMax else { return nil }
        defer { nextID += 1 }
        waiting[nextID] = (deadline, sent, waiter)
        return nextID
    }

    /// Whoever waits for `id`, who then waits no longer.
    package mutating func take(_ id: UInt64) -> Waiter? { waiting.removeValue(forKey: id)?.waiter }

    /// Everyone whose deadline is at or before `now`, and when each had been sent.
    package mutating func takeExpired(now: Deadline) -> [(sent: UInt64, waiter: Waiter)] {
        let expired = waiting.filter { $0.value.deadline <= now }
        for id in expired.keys { waiting.removeValue(forKey: id) }
        return expired.sorted { $0.key < $1.key }.map { ($0.value.sent, $0.value.waiter) }
    }

    package mutating func takeAll() -> [Waiter] {
        defer { waiting.removeAll() }
        return waiting.sorted { $0.key < $1.key }.map(\.value.waiter)
    }

    package var earliestDeadline: Deadline? { waiting.values.map(\.deadline).min() }
}
