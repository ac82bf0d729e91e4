// The answers to `stats` and its arguments.

import Engine
import Glibc

struct StatisticsReport {
    let statistics: MemcachedStatistics
    let configuration: SessionConfiguration
    let stores: [ItemStore]
    let crawls: ExpiryCrawls
    /// Of the router: see `stats cacheismo`.
    let own: [(name: String, value: Int)]
    /// Of the router: see `stats scripts`.
    let scripts: [ScriptStatus]
    /// Of the router: see `stats memory`, `stats slow`.
    let node: Engine?
    let now: UInt32

    /// Answers `stats [arguments]`; what memcached does not know either answers `ERROR`.
    func write(arguments: UnsafeRawBufferPointer, to out: inout ReplyBuffer) {
        var words = WordCursor(line: arguments, at: 0)
        let topic = words.next().map { UnsafeRawBufferPointer(rebasing: arguments[$0]) }
        let detail = words.next().map { UnsafeRawBufferPointer(rebasing: arguments[$0]) }
        guard let topic else {
            writeGeneral(to: &out)
            return out.writeLine("END\r\n")
        }
        if writeTopic(topic, to: &out) {
            out.writeLine("END\r\n")
        } else if isWord(topic, "reset") {
            statistics.reset(items: totals)
            out.writeLine("RESET\r\n")
        } else if isWord(topic, "detail") {
            writeDetail(detail, to: &out)
        } else if isWord(topic, "cachedump") {
            writeKeys(detail, words.next().map { UnsafeRawBufferPointer(rebasing: arguments[$0]) }, to: &out)
        } else {
            out.writeLine("ERROR\r\n")
        }
    }

    /// A topic whose answer is a list; false when it is none.
    private func writeTopic(_ topic: UnsafeRawBufferPointer, to out: inout ReplyBuffer) -> Bool {
        if isWord(topic, "settings") {
            writeSettings(to: &out)
        } else if isWord(topic, "items") {
            writeItems(to: &out)
        } else if isWord(topic, "slabs") {
            writeSlabs(to: &out)
        } else if isWord(topic, "sizes") || isWord(topic, "sizes_enable") || isWord(topic, "sizes_disable") {
            out.writeStat("sizes_status", "disabled")
        } else if isWord(topic, "conns") {
            writeConnections(to: &out)
        } else if isWord(topic, "cacheismo") {
            writeOwn(to: &out)
        } else if isWord(topic, "scripts") {
            writeScripts(to: &out)
        } else if isWord(topic, "memory") {
            writeMemory(to: &out)
        } else if isWord(topic, "slow") {
            writeSlow(to: &out)
        } else {
            return false
        }
        return true
    }

    private func writeDetail(_ word: UnsafeRawBufferPointer?, to out: inout ReplyBuffer) {
        if let word, isWord(word, "on") || isWord(word, "off") {
            statistics.events.countPrefixes(isWord(word, "on"))
            out.writeLine("OK\r\n")
        } else if let word, isWord(word, "dump") {
            for (prefix, counts) in statistics.prefixes.all {
                out.writeLine("PREFIX ")
                out.writeBytes(prefix)
                out.writeString(
                    " get \(counts.gets) hit \(counts.hits) set \(counts.sets) del \(counts.deletes)\r\n")
            }
            out.writeLine("END\r\n")
        } else {
            out.writeLine("CLIENT_ERROR usage: stats detail on|off|dump\r\n")
        }
    }

    private var totals: ItemStatistics { stores.reduce(ItemStatistics()) { $0 + $1.statistics } }
    private var items: ItemStatistics { statistics.sinceReset(totals) }

    /// `stats cachedump class limit`, a list for people: it ends at 2 MiB, as in memcached.
    private func writeKeys(
        _ number: UnsafeRawBufferPointer?, _ limit: UnsafeRawBufferPointer?, to out: inout ReplyBuffer
    ) {
        guard configuration.allowsDump else {
            return out.writeLine("CLIENT_ERROR stats cachedump not allowed\r\n")
        }
        guard let number, let limit else { return out.writeLine("CLIENT_ERROR bad command line\r\n") }
        guard let number = unsignedNumber(number, 0..<number.count), let limit = unsignedNumber(limit, 0..<limit.count)
        else { return out.writeLine("CLIENT_ERROR bad command line format\r\n") }
        guard number < 64 else { return out.writeLine("CLIENT_ERROR Illegal slab id\r\n") }
        var list = ShortKeyList(itemsMax: limit == 0 ? .max : Int(clamping: limit))
        if number == 1 { for store in stores { list.write(store, to: &out, now: now) } }
        out.writeLine("END\r\n")
    }

    private func writeGeneral(to out: inout ReplyBuffer) {
        let items = items
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
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
        out.writeStat("get_flushed", items.flushedMisses)
        out.writeStat("connection_structures", statistics.currentConnections)
        out.writeStat("limit_maxbytes", statistics.memoryBytes ?? configuration.memoryBytes)
        out.writeStat("accepting_conns", 1)
        out.writeStat("threads", configuration.threads)
        out.writeStat("hash_bytes", items.indexBytes)
        out.writeStat("bytes", items.liveBytes)
        out.writeStat("curr_items", items.items)
        out.writeStat("total_items", items.totalItems)
        out.writeStat("evictions", items.evictions)
        out.writeStat("reclaimed", items.reclaimed)
        out.writeStat("expired_unfetched", items.expiredUnread)
        out.writeStat("evicted_unfetched", items.evictedUnread)
        out.writeStat("lru_crawler_running", crawls.isRunning ? 1 : 0)
        out.writeStat("lru_crawler_starts", crawls.starts)
        out.writeStat("crawler_reclaimed", crawls.reclaimed)
        out.writeStat("crawler_items_checked", crawls.checked)
        let watches = statistics.events.watches.figures
        out.writeStat("log_watchers", watches.watchers)
        out.writeStat("log_watcher_sent", watches.sent)
        out.writeStat("log_watcher_skipped", watches.skipped)
        for name in Self.never { out.writeStat(name, 0) }
    }

    /// What happens to slabs, LRU lists, listeners and log watchers, none of which there are; monitoring tools read them.
    private static let never = [
        "listen_disabled_num", "time_in_listen_disabled_us", "conn_yields",
        "hash_is_expanding", "slab_reassign_running", "slabs_moved", "slab_global_page_pool",
        "log_worker_dropped", "log_worker_written", "malloc_fails",
        "response_obj_oom", "direct_reclaims", "evicted_active", "lru_bumps_dropped", "lru_maintainer_juggles",
        "lrutail_reflocked", "moves_to_cold", "moves_to_warm", "moves_within_lru", "slab_reassign_rescues",
        "slab_reassign_chunk_rescues", "slab_reassign_evictions_nomem", "slab_reassign_inline_reclaim",
        "slab_reassign_busy_items", "slab_reassign_busy_deletes", "round_robin_fallback",
    ]

    private static let counters: [(String, SessionCounter)] = [
        ("cmd_get", .cmdGet), ("cmd_set", .cmdSet), ("cmd_flush", .cmdFlush), ("cmd_touch", .cmdTouch),
        ("cmd_meta", .cmdMeta), ("auth_cmds", .authCommands), ("auth_errors", .authErrors),
        ("idle_kicks", .idleKicks),
        ("get_hits", .getHits), ("get_misses", .getMisses), ("delete_misses", .deleteMisses),
        ("delete_hits", .deleteHits), ("incr_misses", .incrMisses), ("incr_hits", .incrHits),
        ("decr_misses", .decrMisses), ("decr_hits", .decrHits), ("cas_misses", .casMisses), ("cas_hits", .casHits),
        ("cas_badval", .casBadval), ("touch_hits", .touchHits), ("touch_misses", .touchMisses),
        ("store_too_large", .storeTooLarge), ("store_no_memory", .storeNoMemory), ("bytes_read", .bytesRead),
        ("bytes_written", .bytesWritten), ("read_buf_oom", .buffersRefused),
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

    private func writeSettings(to out: inout ReplyBuffer) {
        out.writeStat("maxbytes", statistics.memoryBytes ?? configuration.memoryBytes)
        out.writeStat("maxconns", configuration.connectionsMax)
        out.writeStat("tcpport", configuration.port)
        out.writeStat("udpport", 0)
        out.writeStat("inter", configuration.address)
        out.writeStat("verbosity", configuration.verbosity)
        out.writeStat("evictions", configuration.evicts ? "on" : "off")
        out.writeStat("shutdown_command", configuration.allowsShutdown ? "yes" : "no")
        out.writeStat("num_threads", configuration.threads)
        out.writeStat("cas_enabled", configuration.hidesUniques ? "no" : "yes")
        let hasUsers = configuration.credentials != nil
        out.writeStat("auth_enabled_sasl", hasUsers && configuration.wireProtocol != .text ? "yes" : "no")
        out.writeStat("auth_enabled_ascii", hasUsers && configuration.wireProtocol != .binary ? "yes" : "no")
        out.writeStat("binding_protocol", configuration.wireProtocol.settingName)
        out.writeStat("item_size_max", configuration.itemBytesMax)
        out.writeStat("flush_enabled", configuration.allowsFlush ? "yes" : "no")
        out.writeStat("idle_timeout", configuration.idleTimeoutSeconds)
        out.writeStat("domain_socket", configuration.unixSocketPath ?? "NULL")
        out.writeStat("umask", String(configuration.unixSocketMode, radix: 8))
        out.writeStat("stat_key_prefix", String(decoding: [configuration.prefixDelimiter], as: UTF8.self))
        out.writeStat("detail_enabled", statistics.prefixes.isEnabled ? "yes" : "no")
        out.writeStat("tcp_backlog", configuration.backlog)
        out.writeStat("maxconns_fast", "yes")
        out.writeStat("slab_automove", 0)
        out.writeStat("lru_crawler", statistics.allowsCrawls ? "yes" : "no")
        for name in ["slab_reassign", "lru_maintainer_thread", "lru_segmented"] { out.writeStat(name, "no") }
        out.writeStat("dump_enabled", configuration.allowsDump ? "yes" : "no")
        out.writeStat("watch_enabled", configuration.allowsWatch ? "yes" : "no")
        for name in ["track_sizes", "inline_ascii_response", "ssl_enabled"] {
            out.writeStat(name, "no")
        }
    }

    /// There are no size classes: all items are reported as one class.
    private func writeItems(to out: inout ReplyBuffer) {
        let items = items
        guard items.items > 0 else { return }
        out.writeStat("items:1:number", items.items)
        out.writeStat("items:1:age", items.oldestSecond > 0 && now > items.oldestSecond ? now - items.oldestSecond : 0)
        out.writeStat("items:1:mem_requested", items.liveBytes)
        out.writeStat("items:1:evicted", items.evictions)
        out.writeStat("items:1:evicted_time", items.evictedAgeSeconds)
        out.writeStat("items:1:evicted_unfetched", items.evictedUnread)
        out.writeStat("items:1:expired_unfetched", items.expiredUnread)
        out.writeStat("items:1:outofmemory", statistics[.storeNoMemory])
        out.writeStat("items:1:reclaimed", items.reclaimed)
        out.writeStat("items:1:crawler_reclaimed", crawls.reclaimed)
        out.writeStat("items:1:crawler_items_checked", crawls.checked)
        for name in Self.neverOfItems { out.writeStat("items:1:\(name)", 0) }
    }

    private static let neverOfItems = [
        "tailrepairs", "evicted_active", "lrutail_reflocked",
        "moves_to_cold", "moves_to_warm", "moves_within_lru", "direct_reclaims",
    ]

    private func writeSlabs(to out: inout ReplyBuffer) {
        let items = items
        if items.items > 0 {
            // There are no chunks: an item's own size on average, so that tools that multiply come out right.
            let itemBytes = max(1, (items.liveBytes + items.items - 1) / items.items)
            let perPage = max(1, items.segmentBytes / itemBytes)
            let chunks = max(items.items, items.segments * perPage)
            out.writeStat("1:chunk_size", itemBytes)
            out.writeStat("1:chunks_per_page", perPage)
            out.writeStat("1:total_chunks", chunks)
            out.writeStat("1:free_chunks", chunks - items.items)
            out.writeStat("1:free_chunks_end", 0)
            out.writeStat("1:used_chunks", items.items)
            out.writeStat("1:mem_requested", items.liveBytes)
            out.writeStat("1:total_pages", items.segments)
            for (name, counter) in Self.slabCounters { out.writeStat("1:\(name)", statistics[counter]) }
        }
        out.writeStat("active_slabs", items.items > 0 ? 1 : 0)
        out.writeStat("total_malloced", items.usedBytes)
    }

    private static let slabCounters: [(String, SessionCounter)] = [
        ("get_hits", .getHits), ("cmd_set", .cmdSet), ("delete_hits", .deleteHits), ("incr_hits", .incrHits),
        ("decr_hits", .decrHits), ("cas_hits", .casHits), ("cas_badval", .casBadval), ("touch_hits", .touchHits),
    ]

    private func writeConnections(to out: inout ReplyBuffer) {
        for (number, connection) in statistics.connections {
            out.writeStat("\(number):addr", connection.address)
            let doing = connection.activity.doing
            if doing != .listening { out.writeStat("\(number):listen_addr", connection.listener) }
            out.writeStat("\(number):state", doing.name)
            out.writeStat("\(number):secs_since_last_cmd", connection.activity.silentSeconds(now: now))
            if doing != .listening { out.writeStat("\(number):secs_connected", now &- connection.since) }
        }
    }

    /// What adds up to the last of them, in bytes.
    private func writeMemory(to out: inout ReplyBuffer) {
        guard let node else { return }
        let table = MemoryTable(node, statistics)
        for (name, bytes) in table.parts { out.writeStat(name, bytes) }
        out.writeStat("rest", table.rest)
        out.writeStat("rss", table.rss)
    }

    /// Methods and jobs that took long, the last one first.
    private func writeSlow(to out: inout ReplyBuffer) {
        for (at, slow) in (node?.configuration.slow.entries ?? []).enumerated() {
            // An object's name may have any bytes; what ends a line is no part of one.
            let what = String(slow.what.map { $0.isNewline ? "_" : $0 })
            out.writeStat(
                "\(at)", "\(what) ms=\(slow.milliseconds) at=\(Timestamp.text(slow.unixMilliseconds * 1_000))")
        }
    }

    /// For each method that was called how often, how often it failed and how long it took in all; then for each file of the
    /// scripts folder its types, the version in use, and what is wrong with a newer one.
    private func writeScripts(to out: inout ReplyBuffer) {
        for (name, method) in (node?.methodFigures ?? [:]).sorted(by: { $0.key.name < $1.key.name }) {
            out.writeStat(name.name, "calls=\(method.calls) errors=\(method.errors) ms=\(method.milliseconds)")
        }
        for script in scripts {
            out.writeStat("\(script.file):types", script.types.joined(separator: ","))
            if let version = script.version { out.writeStat("\(script.file):version", String(version, radix: 16)) }
            if let failure = script.failure { out.writeStat("\(script.file):error", failure.message) }
        }
    }

    private func writeOwn(to out: inout ReplyBuffer) {
        let items = items
        out.writeStat("version", CacheismoVersion.product)
        out.writeStat("shards", stores.count)
        out.writeStat("virtual_calls", statistics[.virtualCalls])
        out.writeStat("virtual_errors", statistics[.virtualErrors])
        out.writeStat("forwards", statistics[.forwards])
        out.writeStat("forward_errors", statistics[.forwardErrors])
        out.writeStat("slow_reader_kicks", statistics[.slowReaderKicks])
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
        for (name, value) in own { out.writeStat(name, value) }
        for (at, store) in stores.enumerated() {
            let shard = store.statistics
            out.writeStat("shard:\(at):items", shard.items)
            out.writeStat("shard:\(at):item_bytes", shard.liveBytes)
            out.writeStat("shard:\(at):used_bytes", shard.usedBytes)
            out.writeStat("shard:\(at):limit_bytes", shard.limitBytes)
            out.writeStat("shard:\(at):evictions", shard.evictions)
        }
    }
}
