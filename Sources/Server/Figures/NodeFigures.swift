// A node's figures as values: `stats` by name, where its memory is, what is read most, what scripts were called for, and what was slow.

package import Engine
package import Gather

/// From the same report as `stats` and `stats cacheismo`.
package struct NodeFigures: Sendable {
    let node: ClusterNode
    let statistics: MemcachedStatistics
    let configuration: SessionConfiguration

    package init(node: ClusterNode, statistics: MemcachedStatistics, configuration: SessionConfiguration) {
        self.node = node
        self.statistics = statistics
        self.configuration = configuration
    }

    private static let hotMax = 10

    var engine: Engine { node.cluster.engine }

    /// `{version, shards, stats, memory, hot, scripts, slow}`. Cost: a look at each shard, some 50 µs.
    package func callAsFunction() -> Value {
        return .object([
            "version": .string(CacheismoVersion.product), "shards": .int(Int64(engine.shards.count)),
            "stats": .map(stats.map { Value.Pair(.string($0.name), Self.number($0.text)) }), "memory": memory,
            "hot": .array(engine.hottest(limit: Self.hotMax).map(\.value)), "scripts": scripts, "slow": slow,
        ])
    }

    private var stats: [(name: String, text: String)] {
        let report = StatisticsReport(
            statistics: statistics, configuration: configuration, stores: engine.stores.all,
            crawls: engine.stores.crawls, own: node.router.ownStatistics, scripts: [], node: engine,
            now: node.cluster.environment.unixSeconds)
        var out = ReplyBuffer()
        for topic in ["", "cacheismo"] {
            Array(topic.utf8).withUnsafeBytes { report.write(arguments: $0, to: &out) }
        }
        return String(decoding: out.readable, as: UTF8.self).split(separator: "\r\n").compactMap { line in
            let words = line.split(separator: " ", maxSplits: 2)
            return words.count == 3 && words[0] == "STAT" ? (String(words[1]), String(words[2])) : nil
        }
    }

    private static func number(_ text: String) -> Value {
        if let number = Int64(text) { return .int(number) }
        return Double(text).map { .double($0) } ?? .string(text)
    }

    /// Bytes. The parts, `items` to `other`, add up to `rss`, unless more is held than is in memory.
    private var memory: Value {
        let table = MemoryTable(engine, statistics)
        let limits = [
            ("limit", statistics.memoryBytes ?? configuration.memoryBytes),
            ("frameLimit", engine.frames.resources.memory.limitBytes), ("pinnedLimit", engine.pinnedBytesMax),
        ]
        let parts = table.parts.map { ($0.name == "plan_cache" ? "planCache" : $0.name, $0.bytes) }
        return .map(
            (limits + parts + [("other", max(0, table.rest)), ("rss", table.rss)]).map {
                Value.Pair(.string($0.0), .int(Int64($0.1)))
            })
    }

    /// Those that took longest in all come first.
    private var scripts: Value {
        .array(
            engine.methodFigures.sorted { ($0.value.nanoseconds, $1.key.name) > ($1.value.nanoseconds, $0.key.name) }
                .map { name, method in
                    .object([
                        "method": .string(name.name), "calls": .int(Int64(clamping: method.calls)),
                        "errors": .int(Int64(clamping: method.errors)), "ms": .double(method.milliseconds),
                    ])
                })
    }

    private var slow: Value {
        .array(
            engine.configuration.slow.entries.map { entry in
                .object([
                    "what": .string(entry.what), "ms": .double(entry.milliseconds),
                    "at": .string(Timestamp.text(entry.unixMilliseconds * 1_000)),
                ])
            })
    }
}
