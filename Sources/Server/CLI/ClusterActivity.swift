// What the nodes of a cluster do at a moment, and between two: the rows that `top` shows.

package import Engine
package import Gather

/// One look at all nodes.
package struct ClusterActivity: Sendable {
    package struct Node: Sendable {
        package var name: String
        package var address: HostPort
        /// When it answered, on this process's clock.
        package var nanoseconds: UInt64
        /// `{figures, runs, maps}`, or why there is no answer.
        package var answer: Result<Value, Failure>
        package var isRefused = false

        package init(name: String, address: HostPort, nanoseconds: UInt64, answer: Result<Value, Failure>) {
            self.name = name
            self.address = address
            self.nanoseconds = nanoseconds
            self.answer = answer
        }

        fileprivate var state: String {
            guard case .failure = answer else { return "up" }
            return isRefused ? "refused" : "down"
        }

        fileprivate var told: Value? { try? answer.get() }

        fileprivate func figure(_ group: String, _ name: String) -> Double? {
            switch told?["figures"]?[group]?[name] {
            case .int(let number)?: Double(number)
            case .double(let number)?: number
            default: nil
            }
        }
    }

    package var nodes: [Node]

    package init(nodes: [Node]) { self.nodes = nodes }

    /// All of them are up.
    package var isWhole: Bool { nodes.allSatisfy { $0.state == "up" } }

    /// A line for each that is not up.
    package var reasons: [String] {
        nodes.compactMap { node in
            guard case .failure(let failure) = node.answer else { return nil }
            return "\(node.name) is \(node.state): \(failure.message)"
        }
    }

    // MARK: Rates

    /// What happens on each node in a second, since `before`; null where that is not known.
    package func rows(since before: ClusterActivity?) -> [Value] {
        nodes.map { node in
            let earlier = before?.nodes.first { $0.name == node.name }
            func rate(_ figures: String...) -> Double? {
                guard let earlier, node.nanoseconds > earlier.nanoseconds,
                    // Another run of the process has begun to count anew.
                    node.figure("stats", "pid") == earlier.figure("stats", "pid")
                else { return nil }
                var sum = 0.0
                for name in figures {
                    guard let now = node.figure("stats", name), let then = earlier.figure("stats", name), now >= then
                    else { return nil }
                    sum += now - then
                }
                return sum * 1e9 / Double(node.nanoseconds - earlier.nanoseconds)
            }
            let hits = rate("get_hits")
            let found = rate("get_hits", "get_misses")
            return .object([
                "node": .string(node.name), "state": .string(node.state),
                "getsPerSecond": Self.whole(rate("cmd_get")),
                "hitPercent": Self.tenths(found.flatMap { found in found > 0 ? (hits ?? 0) / found * 100 : nil }),
                "setsPerSecond": Self.whole(rate("cmd_set")), "callsPerSecond": Self.whole(rate("virtual_calls")),
                "cpuPercent": Self.tenths(rate("rusage_user", "rusage_system").map { $0 * 100 }),
                "memoryPercent": Self.share(node.figure("memory", "items"), of: node.figure("memory", "limit")),
                "framesPercent": Self.share(node.figure("memory", "frames"), of: node.figure("memory", "frameLimit")),
                "rssBytes": Self.whole(node.figure("memory", "rss")),
                "connections": Self.whole(node.figure("stats", "curr_connections")),
                "items": Self.whole(node.figure("stats", "curr_items")),
                "forwardsPerSecond": Self.whole(rate("forwards")),
                "evictionsPerSecond": Self.whole(rate("evictions")),
            ])
        }
    }

    private static func whole(_ number: Double?) -> Value { number.map { .int(Int64($0.rounded())) } ?? .null }

    private static func tenths(_ number: Double?) -> Value {
        number.map { .double(($0 * 10).rounded() / 10) } ?? .null
    }

    private static func share(_ part: Double?, of whole: Double?) -> Value {
        guard let part, let whole, whole > 0 else { return .null }
        return tenths(part / whole * 100)
    }

    // MARK: Keys and jobs

    /// The keys that are read most, the hottest first, with their reads a second since `before`.
    package func hotKeys(since before: ClusterActivity?, limit: Int) -> [Value] {
        var found: [(value: Value, order: Double)] = []
        for node in nodes {
            let earlier = before?.nodes.first { $0.name == node.name }
            let then = Dictionary(
                earlier.map(Self.hot)?.map { ($0.key, $0.count) } ?? [], uniquingKeysWith: { first, _ in first })
            let seconds = earlier.map { Double(node.nanoseconds &- $0.nanoseconds) / 1e9 } ?? 0
            for (key, count) in Self.hot(of: node) {
                let rate = then[key].flatMap { count >= $0 && seconds > 0 ? (count - $0) / seconds : nil }
                let row = Value.object([
                    "key": key, "node": .string(node.name), "reads": Self.whole(count),
                    "readsPerSecond": Self.whole(rate),
                ])
                found.append((row, count))
            }
        }
        return found.sorted { $0.order > $1.order }.prefix(limit).map(\.value)
    }

    private static func hot(of node: Node) -> [(key: Value, count: Double)] {
        guard case .array(let list)? = node.told?["figures"]?["hot"] else { return [] }
        return list.compactMap { hot in
            guard let key = hot["key"], case .int(let count)? = hot["count"] else { return nil }
            return (key, Double(count))
        }
    }

    /// Those under way, in the order they began, each with the rows that it is done with on all nodes.
    package var jobs: [Value] {
        var done: [String: (rows: Int64, expected: Int64)] = [:]
        for map in nodes.flatMap({ Self.list($0.told?["maps"]) }) {
            guard let id = map["id"]?.text, case .int(let rows)? = map["rows"],
                case .int(let expected)? = map["expected"]
            else { continue }
            let sum = done[id] ?? (0, 0)
            done[id] = (sum.rows.clampedAdding(rows), sum.expected.clampedAdding(expected))
        }
        let runs = nodes.flatMap { Self.list($0.told?["runs"]) }.filter { $0["state"]?.text == "running" }
        return runs.sorted { ($0["started"]?.text ?? "") < ($1["started"]?.text ?? "") }.map { run in
            let rows = done[run["id"]?.text ?? ""]
            return .object([
                "id": run["id"] ?? .null, "job": run["job"] ?? .null, "node": run["node"] ?? .null,
                "ms": Self.whole(Self.number(run["ms"])), "rows": rows.map { .int($0.rows) } ?? .null,
                "expected": rows.map { .int($0.expected) } ?? .null,
            ])
        }
    }

    private static func list(_ value: Value?) -> [Value] {
        guard case .array(let list)? = value else { return [] }
        return list
    }

    private static func number(_ value: Value?) -> Double? {
        switch value {
        case .double(let number)?: number
        case .int(let number)?: Double(number)
        default: nil
        }
    }

    // MARK: For machines

    /// `{nodes, hotKeys, jobs}`
    package func value(since before: ClusterActivity?) -> Value {
        .object([
            "nodes": .array(
                zip(nodes, rows(since: before)).map { node, row in
                    guard case .map(var pairs) = row else { return row }
                    pairs.insert(Value.Pair(.string("address"), .string(node.address.description)), at: 1)
                    if case .failure(let failure) = node.answer {
                        pairs.append(Value.Pair(.string("reason"), .string(failure.message)))
                    }
                    return .map(pairs)
                }),
            "hotKeys": .array(hotKeys(since: before, limit: 100)), "jobs": .array(jobs),
        ])
    }
}
