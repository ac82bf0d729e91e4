// Flushing a node: the items and objects of all its shards go at one instant, now or later; the last word counts.
//
// The stores drop their items by themselves at the first look at them from that second on, so that nothing stored later is
// lost to a late timer. Objects have no clock of their own: whoever serves clients calls `carryOutDue` with the second that
// was read anyway, and a timer stands by where nobody does.

import Synchronization

package final class NodeFlush: @unchecked Sendable {
    private let shards: [Shard]
    private let environment: any Environment
    /// Orders are taken one at a time, so that all shards follow the same one.
    private let order = Mutex(())
    /// Whether a timer is set; guarded by `order`.
    private var isWatched = false
    /// `UInt32.max` when there is none.
    private let due = Atomic<UInt32>(.max)

    init(shards: [Shard], environment: any Environment) {
        self.shards = shards
        self.environment = environment
    }

    /// Unix seconds of the flush to come; `UInt32.max` when there is none. Cost: a load.
    @inline(__always)
    package var dueSecond: UInt32 { due.load(ordering: .relaxed) }

    /// Everything stored up to `second` is gone: now where that has come, else once it comes. An order takes the place of the
    /// one before it, whatever either says. The completion is called once, on any thread or before this returns: when the
    /// flush is carried out, or noted where it is to come.
    package func flush(at second: UInt32, now: UInt32, completion: @escaping @Sendable () -> Void) {
        guard second <= now else {
            order.withLock { _ in note(second, now) }
            return completion()
        }
        order.withLock { _ in note(.max, now) }
        let waiting = Countdown(shards.count, completion)
        for shard in shards {
            // Under the gate, so that no object gets away from the live ones to the shelf, or back, in between.
            let items = shard.items
            shard.objects.removeAll {
                items.removeAll(now: now)
                waiting.arrive()
            }
        }
    }

    /// Drops what a flush to come was ordered for, where its second has come.
    @inline(__always)
    package func carryOutDue(now: UInt32) {
        if now >= dueSecond { carryOut(now) }
    }

    @inline(never)
    private func carryOut(_ now: UInt32) {
        order.withLock { _ in
            guard now >= dueSecond, dueSecond < .max else { return }
            due.store(.max, ordering: .relaxed)
            for shard in shards {
                let items = shard.items
                shard.objects.removeAll { items.flushIfOrdered(now: now) }
            }
        }
    }

    private func note(_ second: UInt32, _ now: UInt32) {
        due.store(second, ordering: .relaxed)
        for shard in shards { shard.items.orderFlush(at: second) }
        if second < .max, !isWatched {
            isWatched = true
            watch()
        }
    }

    /// Looks every second until nothing is to come any more: the flush may be put off or be sooner, and the clock be set.
    /// A second late at most; the second that the order named is the one that counts.
    private func watch() {
        environment.schedule(afterMilliseconds: 1_000) { [weak self] in self?.look() }
    }

    private func look() {
        carryOutDue(now: environment.unixSeconds)
        order.withLock { _ in
            isWatched = dueSecond < .max
            if isWatched { watch() }
        }
    }
}

/// Calls the completion when as many have arrived as were to come.
private final class Countdown: Sendable {
    private let left: Atomic<Int>
    private let completion: @Sendable () -> Void

    init(_ count: Int, _ completion: @escaping @Sendable () -> Void) {
        left = Atomic(count)
        self.completion = completion
    }

    func arrive() {
        if left.subtract(1, ordering: .acquiringAndReleasing).newValue == 0 { completion() }
    }
}
