// `get frame:retain:NAME:30d[:COLUMN]`: how long a frame's rows are kept.

import Coordination
import Engine

extension FrameService {
    /// Answers `{frame, seconds, column, rows}`, the rows that this node dropped at once; `off` in place of a duration keeps
    /// everything. Without a column it is the frame's only one of times.
    static func retain(_ key: VirtualKey, _ cluster: Cluster) async throws(Failure) -> Value {
        let name = String(decoding: key.object, as: UTF8.self)
        let words = key.arguments.map { String(decoding: $0, as: UTF8.self) }
        let entry = try require(name, cluster)
        guard (1...2).contains(words.count), let seconds = seconds(words[0]) else {
            throw Failure(
                .scriptError,
                "frame:retain:\(name):AGE[:COLUMN] takes how long rows are kept, as in 90s, 15m, 12h, 30d or 8w, or off"
            )
        }
        let column = try timeColumn(words.count > 1 ? words[1] : nil, try FrameSchema(encoded: entry.schema), name)
        cluster.changeRegistry { $0.retain(entry.id, seconds: seconds, column: column) }
        await cluster.publish()
        let rows = cluster.retire(now: cluster.environment.unixMilliseconds)
        return .object([
            "frame": .string(name), "seconds": .int(seconds), "column": .string(column), "rows": .int(Int64(rows)),
        ])
    }

    private static func seconds(_ text: String) -> Int64? {
        if text == "off" { return 0 }
        let units: [Character: Int64] = ["s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800]
        guard let unit = text.last.flatMap({ units[$0] }), let number = Int64(text.dropLast()),
            (1...1_000_000_000).contains(number)
        else { return nil }
        return number * unit
    }

    private static func timeColumn(
        _ given: String?, _ schema: FrameSchema, _ name: String
    ) throws(Failure) -> String {
        let times = schema.columns.filter { $0.type == .time }.map(\.name)
        if let given {
            guard times.contains(given) else {
                throw Failure(.wrongType, "frame '\(name)' has no column of times '\(given)'; \(listing(times))")
            }
            return given
        }
        guard times.count == 1 else {
            throw Failure(.wrongType, "name the column that a row's age is told by: frame '\(name)' \(listing(times))")
        }
        return times[0]
    }

    private static func listing(_ times: [String]) -> String {
        times.isEmpty ? "has no times" : "has times in \(times.joined(separator: ", "))"
    }
}
