// What a shard's store holds and has done so far.

import Synchronization

package struct ItemStatistics: Sendable, Equatable {
    package var items = 0
    /// Items stored since the start.
    package var totalItems: UInt64 = 0
    /// Header, key and value of the items there are.
    package var liveBytes = 0
    /// Mapped for segments and allocated for the index.
    package var usedBytes = 0
    package var limitBytes = 0
    package var indexBytes = 0
    package var segments = 0
    package var segmentBytes = 0
    /// Live items dropped to make room.
    package var evictions: UInt64 = 0
    /// Expired items met by a reader, or a writer of the same key.
    package var expired: UInt64 = 0
    /// Expired items dropped with their segment.
    package var reclaimed: UInt64 = 0
    /// Of the evicted and of the expired, those that nobody had read since they were stored.
    package var evictedUnread: UInt64 = 0
    package var expiredUnread: UInt64 = 0
    /// Items moved to keep them while their segment was reclaimed.
    package var copies: UInt64 = 0

    package init() {}

    package static func + (a: Self, b: Self) -> Self {
        var sum = a
        sum.items += b.items
        sum.totalItems += b.totalItems
        sum.liveBytes += b.liveBytes
        sum.usedBytes += b.usedBytes
        sum.limitBytes += b.limitBytes
        sum.indexBytes += b.indexBytes
        sum.segments += b.segments
        sum.segmentBytes = max(a.segmentBytes, b.segmentBytes)
        sum.evictions += b.evictions
        sum.expired += b.expired
        sum.reclaimed += b.reclaimed
        sum.copies += b.copies
        sum.evictedUnread += b.evictedUnread
        sum.expiredUnread += b.expiredUnread
        return sum
    }
}

extension ItemStore {
    package var statistics: ItemStatistics {
        lock.withLock { _ in
            var statistics = ItemStatistics()
            statistics.items = log.counts.items
            statistics.totalItems = totalItems
            statistics.liveBytes = log.counts.liveBytes
            statistics.usedBytes = log.usedBytes
            statistics.limitBytes = log.memoryBytes
            statistics.indexBytes = log.index.memoryBytes
            statistics.segments = log.pool.segmentCount
            statistics.segmentBytes = log.pool.segmentBytes
            statistics.evictions = log.counts.evictions
            statistics.expired = log.counts.expired
            statistics.reclaimed = log.counts.reclaimed
            statistics.copies = log.counts.copies
            statistics.evictedUnread = log.counts.evictedUnread
            statistics.expiredUnread = log.counts.expiredUnread
            return statistics
        }
    }
}
