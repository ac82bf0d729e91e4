// The requests of one peer connection that wait for a reply: pure bookkeeping, time passed in.

package import Engine

/// Maps request ids to whoever waits. A reply is delivered once; one that comes after its deadline finds nobody.
package struct PendingRequests<Waiter> {
    private struct Entry {
        let deadline: Deadline
        let sent: UInt64
        var commands: Int
        let waiter: Waiter
    }

    private var waiting: [UInt64: Entry] = [:]
    private var commands = 0
    private var nextID: UInt64 = 1
    private let countMax: Int

    package init(countMax: Int) { self.countMax = countMax }

    package var count: Int { waiting.count }

    /// The id for a new request; nil when too many wait already. `sent`: the clock's nanoseconds now. `commands`: as how many
    /// it counts.
    package mutating func add(deadline: Deadline, sent: UInt64 = 0, commands: Int = 1, _ waiter: Waiter) -> UInt64? {
        guard self.commands < countMax else { return nil }
        defer { nextID += 1 }
        waiting[nextID] = Entry(deadline: deadline, sent: sent, commands: commands, waiter: waiter)
        self.commands += commands
        return nextID
    }

    /// Counts a request as so many commands more. False, and it does not, where there is none or too many wait already.
    package mutating func extend(_ id: UInt64, commands: Int) -> Bool {
        guard self.commands < countMax, waiting[id] != nil else { return false }
        waiting[id]?.commands += commands
        self.commands += commands
        return true
    }

    /// Whoever waits for `id`, and goes on to.
    package func find(_ id: UInt64) -> Waiter? { waiting[id]?.waiter }

    /// Whoever waits for `id`, who then waits no longer.
    package mutating func take(_ id: UInt64) -> Waiter? {
        guard let entry = waiting.removeValue(forKey: id) else { return nil }
        commands -= entry.commands
        return entry.waiter
    }

    /// Everyone whose deadline is at or before `now`, and when each had been sent.
    package mutating func takeExpired(now: Deadline) -> [(sent: UInt64, waiter: Waiter)] {
        let expired = waiting.filter { $0.value.deadline <= now }
        for id in expired.keys { _ = take(id) }
        return expired.sorted { $0.key < $1.key }.map { ($0.value.sent, $0.value.waiter) }
    }

    package mutating func takeAll() -> [Waiter] {
        defer {
            waiting.removeAll()
            commands = 0
        }
        return waiting.sorted { $0.key < $1.key }.map(\.value.waiter)
    }

    package var earliestDeadline: Deadline? { waiting.values.map(\.deadline).min() }
}
