// The answers to `stats` and its arguments.

import Engine
import NIOCore

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

struct StatisticsReport {
    let statistics: MemcachedStatistics
    let configuration: SessionConfiguration
    let stores: [ItemStore]
    let now: UInt32

    /// Answers `stats [argument]`; what memcached does not know either answers `ERROR`.
    func write(argument: UnsafeRawBufferPointer, to out: inout ByteBuffer) {
        if argument.isEmpty {
            writeGeneral(to: &out)
        } else if isWord(argument, "settings") {
            writeSettings(to: &out)
        } else if isWord(argument, "items") {
            writeItems(to: &out)
        } else if isWord(argument, "slabs") {
            writeSlabs(to: &out)
        } else if isWord(argument, "sizes") {
            out.writeStat("sizes_status", "disabled")
        } else if isWord(argument, "conns") {
            writeConnections(to: &out)
        } else if isWord(argument, "cacheismo") {
            writeOwn(to: &out)
        } else if isWord(argument, "reset") {
            statistics.reset()
            out.writeLine("RESET\r\n")
            return
        } else if isWord(argument, "detail") {
            out.writeLine("CLIENT_ERROR usage: stats detail on|off|dump\r\n")
            return
        } else if isWord(argument, "cachedump") {
            out.writeLine("CLIENT_ERROR bad command line\r\n")
            return
        } else {
            out.writeLine("ERROR\r\n")
            return
        }
        out.writeLine("END\r\n")
    }

    private var items: ItemStatistics { stores.reduce(ItemStatistics()) { $0 + $1.statistics } }

    private func writeGeneral(to out: inout ByteBuffer) {
        let items = items
        var usage = rusage()
        #if canImport(Darwin) || canImport(Musl)
            getrusage(RUSAGE_SELF, &usage)
        #else
            getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        #endif
        out.writeStat("pid", getpid())
        out.writeStat("uptime", (monotonicNanoseconds() - statistics.startedNanoseconds) / 1_000_000_000)
        out.writeStat("time", now)
        out.writeStat("version", CacheismoVersion.memcached)
        out.writeStat("pointer_size", Int.bitWidth)
        out.writeStat("rusage_user", Self.seconds(usage.ru_utime))
        out.writeStat("rusage_system", Self.seconds(usage.ru_stime))
        out.writeStat("max_connections", configuration.connectionsMax)
        out.writeStat("curr_connections", statistics.currentConnections)
        out.writeStat("total_connections", statistics.totalConnections)
        out.writeStat("rejected_connections", statistics.rejectedConnections)
        for (name, counter) in Self.counters { out.writeStat(name, statistics[counter]) }
        out.writeStat("get_expired", items.expired)
        out.writeStat("limit_maxbytes", configuration.memoryBytes)
        out.writeStat("accepting_conns", 1)
        out.writeStat("threads", configuration.threads)
        out.writeStat("hash_bytes", items.indexBytes)
        out.writeStat("bytes", items.liveBytes)
        out.writeStat("curr_items", items.items)
        out.writeStat("total_items", items.totalItems)
        out.writeStat("evictions", items.evictions)
        out.writeStat("reclaimed", items.reclaimed)
    }

    private static let counters: [(String, SessionCounter)] = [
        ("cmd_get", .cmdGet), ("cmd_set", .cmdSet), ("cmd_flush", .cmdFlush), ("cmd_touch", .cmdTouch),
        ("get_hits", .getHits), ("get_misses", .getMisses), ("delete_misses", .deleteMisses),
        ("delete_hits", .deleteHits), ("incr_misses", .incrMisses), ("incr_hits", .incrHits),
        ("decr_misses", .decrMisses), ("decr_hits", .decrHits), ("cas_misses", .casMisses), ("cas_hits", .casHits),
        ("cas_badval", .casBadval), ("touch_hits", .touchHits), ("touch_misses", .touchMisses),
        ("store_too_large", .storeTooLarge), ("store_no_memory", .storeNoMemory), ("bytes_read", .bytesRead),
        ("bytes_written", .bytesWritten),
    ]

    /// With six digits of a fraction, as memcached prints them.
    private static func seconds(_ time: timeval) -> String {
        let fraction = String(time.tv_usec)
        return "\(time.tv_sec)." + String(repeating: "0", count: max(0, 6 - fraction.count)) + fraction
    }

    /// How many times smaller the stored form is, to a hundredth; 1.00 for nothing.
    private static func ratio(_ raw: Int, _ stored: Int) -> String {
        let hundredths = stored > 0 ? raw * 100 / stored : 100
        return "\(hundredths / 100)." + (hundredths % 100 < 10 ? "0" : "") + "\(hundredths % 100)"
    }

    private func writeSettings(to out: inout ByteBuffer) {
        out.writeStat("maxbytes", configuration.memoryBytes)
        out.writeStat("maxconns", configuration.connectionsMax)
        out.writeStat("tcpport", configuration.port)
        out.writeStat("udpport", 0)
        out.writeStat("inter", configuration.address)
        out.writeStat("verbosity", configuration.verbosity)
        out.writeStat("evictions", configuration.evicts ? "on" : "off")
        out.writeStat("shutdown_command", configuration.allowsShutdown ? "yes" : "no")
        out.writeStat("num_threads", configuration.threads)
        out.writeStat("cas_enabled", "yes")
        out.writeStat("auth_enabled_sasl", "no")
        out.writeStat("auth_enabled_ascii", "no")
        out.writeStat("binding_protocol", "ascii")
        out.writeStat("item_size_max", configuration.itemBytesMax)
        out.writeStat("flush_enabled", configuration.allowsFlush ? "yes" : "no")
        out.writeStat("idle_timeout", configuration.idleTimeoutSeconds)
    }

    /// There are no size classes: all items are reported as one class.
    private func writeItems(to out: inout ByteBuffer) {
        let items = items
        guard items.items > 0 else { return }
        out.writeStat("items:1:number", items.items)
        out.writeStat("items:1:mem_requested", items.liveBytes)
        out.writeStat("items:1:evicted", items.evictions)
        out.writeStat("items:1:outofmemory", statistics[.storeNoMemory])
        out.writeStat("items:1:reclaimed", items.reclaimed)
    }

    private func writeSlabs(to out: inout ByteBuffer) {
        let items = items
        out.writeStat("active_slabs", 0)
        out.writeStat("total_malloced", items.usedBytes)
    }

    private func writeConnections(to out: inout ByteBuffer) {
        for (number, connection) in statistics.connections {
            out.writeStat("\(number):addr", connection.address)
            out.writeStat("\(number):listen_addr", connection.listener)
            out.writeStat("\(number):secs_connected", now &- connection.since)
        }
    }

    private func writeOwn(to out: inout ByteBuffer) {
        let items = items
        out.writeStat("version", CacheismoVersion.product)
        out.writeStat("shards", stores.count)
        out.writeStat("virtual_calls", statistics[.virtualCalls])
        out.writeStat("virtual_errors", statistics[.virtualErrors])
        out.writeStat("forwards", statistics[.forwards])
        out.writeStat("forward_errors", statistics[.forwardErrors])
        out.writeStat("store_used_bytes", items.usedBytes)
        out.writeStat("store_limit_bytes", items.limitBytes)
        out.writeStat("index_bytes", items.indexBytes)
        out.writeStat("segments", items.segments)
        out.writeStat("segment_bytes", items.segmentBytes)
        out.writeStat("items_copied", items.copies)
        out.writeStat("ghost_hits", items.ghostHits)
        out.writeStat("small_queue_limit_bytes", items.smallQuotaBytes)
        out.writeStat("compressed_items", items.compressedItems)
        out.writeStat("compressed_bytes", items.compressedBytes)
        out.writeStat("compressed_bytes_expanded", items.expandedBytes)
        out.writeStat("compression_saved_bytes", items.expandedBytes - items.compressedBytes)
        out.writeStat("compression_ratio", Self.ratio(items.expandedBytes, items.compressedBytes))
        out.writeStat("hot_items_expanded", items.expansions)
        out.writeStat("dictionary_bytes", items.dictionaryBytes)
        out.writeStat("dictionary_trainings", items.trainings)
    }
}
