// `/metrics`: which name stands for which of the node's counters, the same ones that `stats` tells.

import Coordination
import Engine
import Gather
import Glibc

extension NodeFigures {
    /// Cost: a look at each shard and each frame, and the text of up to some thousand lines.
    package var metrics: [UInt8] {
        var text = MetricsText()
        writeProcess(&text)
        writeCommands(&text)
        writeItems(&text)
        writeConnections(&text)
        writeMemory(&text)
        writeJobs(&text)
        writeFrames(&text)
        writeScripts(&text)
        writePeers(&text)
        return text.bytes
    }

    // MARK: By the names that memcached's exporter has

    private func writeProcess(_ text: inout MetricsText) {
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }
        text.single("memcached_up", .gauge, "Whether the node answers.", 1)
        text.family("memcached_version", .gauge, "The version, as a label.")
        text.sample(["version": CacheismoVersion.product], 1)
        let uptime = (monotonicNanoseconds() - statistics.startedNanoseconds) / 1_000_000_000
        text.single("memcached_uptime_seconds", .gauge, "Since the start.", uptime)
        text.family("memcached_process_user_cpu_seconds_total", .counter, "Processor time of the process itself.")
        text.sample(seconds: seconds(usage.ru_utime))
        text.family("memcached_process_system_cpu_seconds_total", .counter, "Processor time of the system for it.")
        text.sample(seconds: seconds(usage.ru_stime))
    }

    private func writeCommands(_ text: inout MetricsText) {
        text.family(
            "memcached_commands_total", .counter, "Commands of clients, over memcached's protocol and over HTTP.")
        func write(_ command: String, _ status: String, _ value: UInt64) {
            text.sample(["command": command, "status": status], value)
        }
        let cas = [statistics[.casHits], statistics[.casMisses], statistics[.casBadval]]
        let sets = statistics[.cmdSet]
        write("get", "hit", statistics[.getHits])
        write("get", "miss", statistics[.getMisses])
        // As memcached's exporter tells them apart.
        write("set", "hit", sets - min(sets, cas.reduce(0, &+)))
        write("cas", "hit", cas[0])
        write("cas", "miss", cas[1])
        write("cas", "badval", cas[2])
        write("delete", "hit", statistics[.deleteHits])
        write("delete", "miss", statistics[.deleteMisses])
        write("incr", "hit", statistics[.incrHits])
        write("incr", "miss", statistics[.incrMisses])
        write("decr", "hit", statistics[.decrHits])
        write("decr", "miss", statistics[.decrMisses])
        write("touch", "hit", statistics[.touchHits])
        write("touch", "miss", statistics[.touchMisses])
        write("flush", "hit", statistics[.cmdFlush])
    }

    private func writeItems(_ text: inout MetricsText) {
        let items = statistics.sinceReset(engine.stores.all.reduce(ItemStatistics()) { $0 + $1.statistics })
        text.single("memcached_current_items", .gauge, "Items there are.", items.items)
        text.single("memcached_items_total", .counter, "Items stored.", items.totalItems)
        text.single("memcached_current_bytes", .gauge, "Headers, keys and values of the items.", items.liveBytes)
        let limit = statistics.memoryBytes ?? configuration.memoryBytes
        text.single("memcached_limit_bytes", .gauge, "What -m says, for items and objects.", limit)
        text.single("memcached_items_evicted_total", .counter, "Items dropped to make room.", items.evictions)
        text.single("memcached_items_reclaimed_total", .counter, "Items that had expired.", items.reclaimed)
    }

    private func writeConnections(_ text: inout MetricsText) {
        text.single(
            "memcached_current_connections", .gauge, "Connections of memcached's port.",
            statistics.currentConnections)
        text.single("memcached_max_connections", .gauge, "What -c says.", configuration.connectionsMax)
        text.single(
            "memcached_connections_total", .counter, "Connections that were taken.", statistics.totalConnections)
        text.single("memcached_read_bytes_total", .counter, "Bytes from clients.", statistics[.bytesRead])
        text.single("memcached_written_bytes_total", .counter, "Bytes to clients.", statistics[.bytesWritten])
        text.single(
            "cacheismo_slow_reader_kicks_total", .counter, "Clients cut off, as they took nothing for 30 seconds.",
            statistics[.slowReaderKicks])
        text.single(
            "cacheismo_failed_logins_total", .counter, "Wrong names and passwords, over all protocols.",
            node.access.desk?.failureCount ?? 0)
    }

    // MARK: Ours

    private func writeMemory(_ text: inout MetricsText) {
        let table = MemoryTable(engine, statistics)
        text.family(
            "cacheismo_memory_bytes", .gauge, "Where the memory of the process is; the parts add up to its RSS.")
        for (name, bytes) in table.parts { text.sample(["part": name], bytes) }
        text.sample(["part": "rest"], table.rest)
        text.single("cacheismo_resident_memory_bytes", .gauge, "What of the process is in memory.", table.rss)
        text.single("cacheismo_pinned_bytes", .gauge, "Objects that are never evicted.", table.pinned)
        text.single("cacheismo_pinned_limit_bytes", .gauge, "What those may take.", engine.pinnedBytesMax)
        let states = engine.shards.reduce(0) { $0 + $1.objects.statistics.memoryBytes }
        text.single(
            "cacheismo_script_memory_bytes", .gauge, "What Lua holds: objects and types of all shards, and jobs.",
            states + engine.jobStates.memory.usedBytes)
        text.single("cacheismo_plan_cache_bytes", .gauge, "Kept of frames only to save work.", table.planCache)
    }

    private func writeJobs(_ text: inout MetricsText) {
        let jobs = node.cluster.jobs.figures.snapshot
        text.family("cacheismo_job_runs_total", .counter, "Runs that this node coordinated.")
        let outcomes = jobs.runs.map {
            (status: $0.key.status.rawValue, reason: $0.key.reason?.rawValue ?? "", $0.value)
        }
        for (status, reason, count) in outcomes.sorted(by: { ($0.status, $0.reason) < ($1.status, $1.reason) }) {
            text.sample(["status": status, "reason": reason], count)
        }
        text.family("cacheismo_job_duration_seconds", .histogram, "How long they took.")
        text.histogram(
            [:], bounds: jobs.durations.bounds, counts: jobs.durations.counts, nanoseconds: jobs.durations.nanoseconds)
        text.single(
            "cacheismo_rows_scanned_total", .counter, "Rows that maps of this node covered.", jobs.rowsScanned)
        text.family(
            "cacheismo_chunks_total", .counter, "Chunks that they met: read, ruled out by their bounds, or known.")
        text.sample(["how": "scanned"], jobs.chunksScanned)
        text.sample(["how": "pruned"], jobs.chunksPruned)
        text.sample(["how": "cached"], jobs.chunksCached)
    }

    /// More would make a flood of series.
    private static let labelsMax = 100
    private static let other = "other"

    private func writeFrames(_ text: inout MetricsText) {
        var frames: [String: FrameStatistics] = [:]
        for frame in engine.frames.frames {
            frames[frame.name] = (frames[frame.name] ?? FrameStatistics.none) + frame.statistics
        }
        let ranked = frames.sorted { ($0.value.storedBytes, $1.key) > ($1.value.storedBytes, $0.key) }
        let named = ranked.prefix(Self.labelsMax)
        let rest = ranked.dropFirst(Self.labelsMax).reduce(FrameStatistics.none) { $0 + $1.value }
        var told = named.map { ($0.key, $0.value) }
        if let at = told.firstIndex(where: { $0.0 == Self.other }) {
            told[at].1 = told[at].1 + rest
        } else if ranked.count > named.count {
            told.append((Self.other, rest))
        }
        text.family("cacheismo_frame_rows", .gauge, "Rows of this node.")
        for (name, sum) in told { text.sample(["frame": name], sum.rows) }
        text.family("cacheismo_frame_bytes", .gauge, "What they take.")
        for (name, sum) in told { text.sample(["frame": name], sum.storedBytes) }
        text.single(
            "cacheismo_frame_memory_limit_bytes", .gauge, "What --frame-memory says.",
            engine.frames.resources.memory.limitBytes)
        text.family("cacheismo_rows_lost", .gauge, "Rows that restarted nodes had, as far as this one knows.")
        let names = Set(named.map(\.key))
        var lost = Dictionary(uniqueKeysWithValues: names.map { ($0, 0) })
        for (name, rows) in node.reports.lostRows {
            // A frame may be lost as a whole.
            let label = names.contains(name) || lost.count < Self.labelsMax ? name : Self.other
            lost[label, default: 0] += rows
        }
        for (name, rows) in lost.sorted(by: { $0.key < $1.key }) { text.sample(["frame": name], rows) }
    }

    private func writeScripts(_ text: inout MetricsText) {
        let methods = engine.methodFigures
        let types = engine.typeFigures
        var calls: [String: UInt64] = [:]
        for (name, method) in methods { calls[name.type, default: 0] += method.calls }
        let used = types.filter { $0.value.live > 0 || calls[$0.key] != nil }
        let ranked = used.keys.sorted { (calls[$0] ?? 0, $1) > (calls[$1] ?? 0, $0) }
        let named = Set(ranked.prefix(Self.labelsMax))
        func label(_ type: String) -> String { named.contains(type) ? type : Self.other }

        let told = Dictionary(used.map { (label($0.key), $0.value) }, uniquingKeysWith: +).sorted { $0.key < $1.key }
        text.family("cacheismo_objects", .gauge, "Live objects; those that were shelved are items.")
        for (type, figures) in told { text.sample(["type": type], figures.live) }
        text.family("cacheismo_method_duration_seconds", .histogram, "How long methods ran.")
        for (type, figures) in told where figures.durations.count > 0 {
            let times = figures.durations
            text.histogram(["type": type], bounds: times.bounds, counts: times.counts, nanoseconds: times.nanoseconds)
        }
        text.family("cacheismo_method_calls_total", .counter, "Methods of this node's objects that were called.")
        let counted = Dictionary(
            methods.map { name, method in
                let isNamed = named.contains(name.type)
                return ([label(name.type), isNamed ? name.method : Self.other], method)
            }, uniquingKeysWith: +)
        for (name, method) in counted.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }) {
            func write(_ status: String, _ count: UInt64) {
                text.sample(["type": name[0], "method": name[1], "status": status], count)
            }
            write("ok", method.calls - min(method.calls, method.misses &+ method.errors))
            write("miss", method.misses)
            write("error", method.errors)
        }
        text.single("cacheismo_gate_waiting", .gauge, "Calls that wait for a shard's scripts.", engine.callsWaiting)
    }

    private func writePeers(_ text: inout MetricsText) {
        let peers = node.cluster.otherNodes.map { node.cluster.statuses[$0] }
        text.family("cacheismo_peer_up", .gauge, "Whether a peer answers this node.")
        for peer in peers { text.sample(["peer": peer.name], peer.state == .up ? 1 : 0) }
        text.family("cacheismo_peer_round_trip_seconds", .gauge, "There and back, on the average of the last few.")
        for peer in peers {
            guard let nanoseconds = peer.roundTripNanoseconds else { continue }
            text.sample(["peer": peer.name], seconds: MetricsText.seconds(nanoseconds))
        }
        text.family("cacheismo_forwarded_total", .counter, "Commands and calls of methods that it was sent.")
        for peer in peers { text.sample(["peer": peer.name], peer.forwarded) }
    }
}
