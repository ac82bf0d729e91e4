// Flushing a node: the items and objects of all its shards go at one instant, now or later; the last word counts.
//
// The stores drop their items by themselves at the first look at them from that second on, so that nothing stored later is
// lost to a late timer. Objects have no clock of their own: whoever serves clients calls `carryOutDue` with the second that
// was read anyway, and one timer stands by where nobody does.

import Dispatch
import Synchronization

package final class NodeFlush: @unchecked Sendable {
    private let shards: [Shard]
    /// Orders are taken one at a time, so that all shards follow the same one.
    private let order = Mutex(())
    /// Guarded by `order`; made for the first flush that is to come.
    private var timer: (any DispatchSourceTimer)?
    /// `UInt32.max` when there is none.
    private let due = Atomic<UInt32>(.max)

    init(shards: [Shard]) { self.shards = shards }

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
        guard second < .max else { return }
        let timer = self.timer ?? makeTimer()
        self.timer = timer
        // From the caller's second on, which is the one that counts; up to a second later than whoever looks at the clock.
        timer.schedule(
            wallDeadline: .now() + .seconds(Int(second - now)), repeating: .seconds(1), leeway: .milliseconds(1))
    }

    private func makeTimer() -> any DispatchSourceTimer {
        let timer = DispatchSource.makeTimerSource(queue: .global())
        timer.setEventHandler { [weak self] in self?.timerFired() }
        timer.resume()
        return timer
    }

    /// Every second from the flush on until it is carried out: the clock may have been set back.
    private func timerFired() {
        carryOutDue(now: UInt32(clamping: unixMilliseconds() / 1000))
        order.withLock { _ in
            if dueSecond == .max { timer?.schedule(deadline: .distantFuture) }
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
