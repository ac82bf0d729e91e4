// Where the memory of the process is: parts that are known, and what is left of what the system says it has.

import CLinux
import Engine
import Glibc

/// In bytes.
struct MemoryTable: Sendable {
    /// Segments of the store, its index and what else it needs.
    var items = 0
    /// Objects that are live, and their indexes; those that were shelved are items.
    var objects = 0
    /// Objects that are never evicted.
    var pinned = 0
    /// Lua: types and handlers, and jobs under way.
    var scripts = 0
    /// Rows, and what frames take without any.
    var frames = 0
    /// What is kept of frames only to save work: results of plans, columns that were unpacked.
    var planCache = 0
    /// Of compressed values.
    var dictionaries = 0
    /// Clients', with what was half sent or not read.
    var connections = 0
    /// Of the program and the libraries, as far as it is in memory, with their data.
    var code = 0
    /// What was freed in small pieces and is still the process's. The system may have a part of it back, which only it knows: this
    /// is at most what is not known otherwise.
    var allocator = 0
    var rss = 0

    /// What an idle connection takes: see docs/memcached.md.
    static let connectionBytes = 1_200

    init(_ engine: Engine, _ statistics: MemcachedStatistics) {
        for shard in engine.shards {
            let store = shard.items.statistics
            dictionaries += store.dictionaryBytes
            items += store.usedBytes - store.dictionaryBytes
            let own = shard.objects.statistics
            pinned += own.pinnedBytes
            scripts += own.scriptBytes
            objects += max(0, own.memoryBytes - own.scriptBytes - own.pinnedBytes) + own.tableBytes + own.indexBytes
        }
        scripts += engine.jobStates.memory.usedBytes
        let memory = engine.frames.resources.memory
        frames = memory.usedBytes + memory.schemaBytes
        planCache = memory.derivedBytes
        connections = statistics.currentConnections * Self.connectionBytes + statistics.bufferedBytes
        (rss, code) = Self.resident
        code += linux_own_data_bytes()
        allocator = max(0, min(linux_free_heap_bytes(), rest))
    }

    /// By the names that `stats memory` has for them.
    var parts: [(name: String, bytes: Int)] {
        [
            ("items", items), ("objects", objects), ("pinned", pinned), ("scripts", scripts), ("frames", frames),
            ("plan_cache", planCache), ("dictionaries", dictionaries), ("connections", connections), ("code", code),
            ("allocator", allocator),
        ]
    }

    /// Stacks, buffers, and what is small. Below 0 where more was taken than is in memory: the system
    /// gives pages when they are first written to.
    var rest: Int { rss - parts.reduce(0) { $0 + $1.bytes } }

    /// What of the process is in memory now, and how much of that is files.
    private static var resident: (all: Int, files: Int) {
        guard let file = fopen("/proc/self/statm", "r") else { return (0, 0) }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 256)
        guard fgets(&line, Int32(line.count), file) != nil else { return (0, 0) }
        let words = String(decoding: line.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
            .split(separator: " ").map { Int($0) ?? 0 }
        let pageBytes = sysconf(Int32(_SC_PAGESIZE))
        return words.count > 2 ? (words[1] * pageBytes, words[2] * pageBytes) : (0, 0)
    }
}
