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
    /// How long the last evicted item had been stored; 0 where nothing was evicted.
    package var evictedAgeSeconds: UInt32 = 0
    /// When the oldest item was stored, by a look at the first item of each segment; 0 where there is none.
    package var oldestSecond: UInt32 = 0
    /// Misses of keys that a flush had taken; see `FlushedKeys`.
    package var flushedMisses: UInt64 = 0
    /// Expired items met by a reader, or a writer of the same key.
    package var expired: UInt64 = 0
    /// Expired items dropped with their segment.
    package var reclaimed: UInt64 = 0
    /// Of the evicted and of the expired, those that nobody had read since they were stored.
    package var evictedUnread: UInt64 = 0
    package var expiredUnread: UInt64 = 0
    /// Items moved to keep them while their segment was reclaimed.
    package var copies: UInt64 = 0
    /// Keys that came back soon after they had been dropped.
    package var ghostHits: UInt64 = 0
    /// What new items may take of the memory before they have proved themselves, at present.
    package var smallQuotaBytes = 0
    package var compressedItems = 0
    /// Of the values of the compressed items: as stored, and as the clients know them.
    package var compressedBytes = 0
    package var expandedBytes = 0
    /// Compressed items that were stored as they are again, as they are read very often.
    package var expansions: UInt64 = 0
    /// Size of the dictionary in use; 0 when there is none.
    package var dictionaryBytes = 0
    package var trainings = 0

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
        sum.evictedAgeSeconds = max(a.evictedAgeSeconds, b.evictedAgeSeconds)
        sum.oldestSecond =
            a.oldestSecond == 0 || b.oldestSecond == 0
            ? max(a.oldestSecond, b.oldestSecond) : min(a.oldestSecond, b.oldestSecond)
        sum.flushedMisses += b.flushedMisses
        sum.expired += b.expired
        sum.reclaimed += b.reclaimed
        sum.copies += b.copies
        sum.evictedUnread += b.evictedUnread
        sum.expiredUnread += b.expiredUnread
        sum.ghostHits += b.ghostHits
        sum.smallQuotaBytes += b.smallQuotaBytes
        sum.compressedItems += b.compressedItems
        sum.compressedBytes += b.compressedBytes
        sum.expandedBytes += b.expandedBytes
        sum.expansions += b.expansions
        sum.dictionaryBytes += b.dictionaryBytes
        sum.trainings += b.trainings
        return sum
    }
}

extension ItemStore {
    package var statistics: ItemStatistics {
        alone(0) { log, writer in
            var statistics = ItemStatistics()
            log.report(to: &statistics)
            writer.report(to: &statistics)
            return statistics
        }
    }
}
