// Work on all stores of a node in the background, when somebody asks for it: dropping what has expired, and changing the
// memory they have.

import Synchronization

/// What the search for expired items has done so far.
package final class ExpiryCrawls: Sendable {
    private let running = Atomic<Bool>(false)
    private let startCount = Atomic<Int>(0)
    private let checkedCount = Atomic<Int>(0)
    private let reclaimedCount = Atomic<Int>(0)

    package var isRunning: Bool { running.load(ordering: .acquiring) }
    package var starts: Int { startCount.load(ordering: .relaxed) }
    /// Items looked at, and dropped.
    package var checked: Int { checkedCount.load(ordering: .relaxed) }
    package var reclaimed: Int { reclaimedCount.load(ordering: .relaxed) }

    /// False while one is under way.
    fileprivate func begin() -> Bool {
        guard running.compareExchange(expected: false, desired: true, ordering: .acquiringAndReleasing).exchanged else {
            return false
        }
        startCount.wrappingAdd(1, ordering: .relaxed)
        return true
    }

    fileprivate func note(checked: Int, reclaimed: Int) {
        checkedCount.wrappingAdd(checked, ordering: .relaxed)
        reclaimedCount.wrappingAdd(reclaimed, ordering: .relaxed)
    }

    fileprivate func end() { running.store(false, ordering: .releasing) }
}

extension ItemStores {
    private var environment: any Environment { all[0].configuration.environment }

    /// Starts to drop everything whose time is over at `now`, a segment at a time under its store's lock; false while that
    /// is under way already. Cost: a look at each item that may expire, on a thread of its own.
    package func crawlExpired(now: UInt32) -> Bool {
        let crawls = crawls
        guard crawls.begin() else { return false }
        let stores = all
        environment.runInBackground {
            for store in stores {
                var number: UInt32 = 1
                while let (checked, reclaimed) = store.sweep(segment: number, now: now) {
                    crawls.note(checked: checked, reclaimed: reclaimed)
                    number += 1
                }
            }
            crawls.end()
        }
        return true
    }

    /// Gives the stores, all together, another memory limit. What has to go for a lower one goes in the background, a few
    /// segments at a time under their store's lock; until then nothing more is taken.
    package func resize(memoryBytes: Int, now: UInt32) {
        let stores = all
        for store in stores { store.resize(memoryBytes: memoryBytes / count) }
        environment.runInBackground {
            for store in stores { while store.shrinkFurther(now: now) {} }
        }
    }
}

extension ItemStore {
    /// How many items of a segment were looked at, and how many of them dropped; nil behind the last segment.
    fileprivate func sweep(segment number: UInt32, now: UInt32) -> (checked: Int, dropped: Int)? {
        alone(now) { log, _ in log.sweep(segment: number, now: now) }
    }

    fileprivate func resize(memoryBytes: Int) { alone(0) { log, _ in log.resize(memoryBytes: memoryBytes) } }

    /// False once the store is within its limit, or can't get there.
    fileprivate func shrinkFurther(now: UInt32) -> Bool {
        alone(now) { log, _ in log.shrink(rounds: 8, now: now) }
    }
}
