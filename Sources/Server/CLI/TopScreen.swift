// What `top` draws: the nodes, what is hot, the jobs under way, in as many lines and columns as there are.

import Engine

package struct TopScreen: Sendable {
    private let title: String
    private let sections: [(title: String, rows: [Value], nothing: String)]
    private let reasons: [String]

    /// `before`: an earlier look, a second ago. `time`: of day, as people read it.
    package init(_ activity: ClusterActivity, since before: ClusterActivity?, time: String) {
        let up = activity.nodes.count - activity.reasons.count
        title = "cacheismo  \(up) of \(Counted.noun(activity.nodes.count, "node")) up  \(time)"
        reasons = activity.reasons
        sections = [
            ("", Self.named(activity.rows(since: before)), ""),
            ("Hot keys", Self.named(activity.hotKeys(since: before, limit: Self.hotKeysMax)), "no key was read yet"),
            ("Jobs under way", Self.named(activity.jobs), "none"),
        ]
    }

    /// Columns of the tables, where they are to be narrower than what machines call them.
    private static let names: [String: String] = [
        "getsPerSecond": "gets/s", "hitPercent": "hit%", "setsPerSecond": "sets/s", "callsPerSecond": "calls/s",
        "cpuPercent": "cpu%", "memoryPercent": "mem%", "framesPercent": "frames%", "rssBytes": "rss MiB",
        "connections": "conns", "forwardsPerSecond": "fwd/s", "evictionsPerSecond": "evict/s",
        "readsPerSecond": "reads/s", "expected": "of",
    ]

    private static func named(_ rows: [Value]) -> [Value] {
        rows.map { row in
            guard case .map(let pairs) = row else { return row }
            return .map(
                pairs.map { pair in
                    var value = pair.value
                    if pair.key.text == "rssBytes", case .int(let bytes) = value { value = .int(bytes >> 20) }
                    let name = pair.key.text ?? ""
                    return Value.Pair(.string(names[name] ?? name), value)
                })
        }
    }

    private static let hotKeysMax = 10

    /// Everything, for who has no terminal.
    package var text: String { lines.joined(separator: "\n") }

    private var lines: [String] {
        var lines = [title]
        for section in sections {
            lines.append("")
            if !section.title.isEmpty { lines.append(section.title) }
            lines += Table(.array(section.rows), fractionDigits: 1)?.lines ?? [section.nothing]
        }
        if !reasons.isEmpty { lines += [""] + reasons }
        return lines
    }

    /// What fits, each line as wide as the terminal at most; the last one says how to end.
    package func lines(rows: Int, columns: Int, help: String) -> [String] {
        let room = max(0, rows - 1)
        var shown = lines.prefix(room).map { String($0.prefix(columns)) }
        shown += Array(repeating: "", count: room - shown.count)
        return shown + [String(help.prefix(columns))]
    }
}
