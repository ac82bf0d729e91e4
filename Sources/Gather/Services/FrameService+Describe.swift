// `get frame:describe:NAME`: what the columns of a frame hold, over all its rows on all nodes.

import Coordination
import Engine

extension FrameService {
    /// Columns that one run looks at: a plan has room for so many aggregates, and runs for so many tables of values.
    private static let columnsPerRun = 16
    /// Of a column with more different values than that, counted exactly so far, no most frequent ones are told.
    private static let countedValuesMax: Int64 = 65_536
    private static let topMax = 10

    /// `[{name, type, nulls, distinct, min, max, top: [{value, count}, …]}, …]`; `distinctError` where distinct is no exact
    /// count: by what share it may be off. Asked as jobs are, so that it is of all rows, or an error. Of a wide frame each 16
    /// columns are as of an instant of their own.
    static func describe(_ key: VirtualKey, _ deadline: Deadline, _ router: Router) async throws(Failure) -> Value {
        let name = try Self.name(key)
        let entry = try require(name, router.cluster)
        let schema = try FrameSchema(encoded: entry.schema)
        var reports: [ColumnReport] = []
        var rest = schema.columns[...]
        while !rest.isEmpty {
            let block = Array(rest.prefix(columnsPerRun))
            rest = rest.dropFirst(columnsPerRun)
            reports += try await describe(block, of: name, deadline, router)
        }
        return .array(reports.map(\.value))
    }

    private static func describe(
        _ columns: [FrameColumn], of frame: String, _ deadline: Deadline, _ router: Router
    ) async throws(Failure) -> [ColumnReport] {
        let figures = try await ask(
            columns.enumerated().flatMap { at, column in
                let name = LuaText.literal(column.name)
                return [
                    "c\(at) = count(\(name))", "a\(at) = min(\(name))", "z\(at) = max(\(name))",
                    "d\(at) = distinct(\(name))",
                ]
            }, of: frame, deadline, router)
        var reports = columns.enumerated().map { at, column in ColumnReport(column: column, at, figures) }
        let counted = reports.indices.filter { reports[$0].distinct <= countedValuesMax }
        guard !counted.isEmpty else { return reports }
        let tops = try await ask(
            counted.map { "t\($0) = topk(\(LuaText.literal(columns[$0].name)), \(topMax))" }, of: frame, deadline,
            router)
        for at in counted { reports[at].top = tops.result["t\(at)"] ?? .array([]) }
        return reports
    }

    /// The one row of aggregates without groups, and by what share they may be off.
    private static func ask(
        _ aggregates: [String], of frame: String, _ deadline: Deadline, _ router: Router
    ) async throws(Failure) -> ColumnReport.Figures {
        let source = """
            function map(shard)
                return shard:frame(\(LuaText.literal(frame))):agg { \((["rows = count()"] + aggregates).joined(separator: ", ")) }
            end
            """
        var request = JobRequest(name: "frame:describe:\(frame)", source: Array(source.utf8))
        request.listing = .none
        if deadline != .never {
            request.timeoutMilliseconds = min(
                request.timeoutMilliseconds, router.cluster.environment.remainingMilliseconds(until: deadline))
        }
        let envelope = await JobRunner(cluster: router.cluster).run(request, router: router)
        if let error = envelope.error { throw error }
        guard case .array(let rows) = envelope.result.value else { return ColumnReport.Figures() }
        return ColumnReport.Figures(
            result: rows.first ?? .null, relativeErrors: envelope.inexactness.relativeErrors)
    }
}

/// A text as a script has it.
enum LuaText {
    /// In quotes, whatever bytes it has.
    static func literal(_ text: String) -> String {
        let escaped = text.utf8.map { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"):
                String(UnicodeScalar(byte))
            default: "\\" + String(repeating: "0", count: byte < 10 ? 2 : byte < 100 ? 1 : 0) + String(byte)
            }
        }
        return "\"\(escaped.joined())\""
    }
}

/// What is told of a column.
private struct ColumnReport {
    /// An answer to aggregates.
    struct Figures {
        var result: Value = .null
        var relativeErrors: [String: Double] = [:]
    }

    let column: FrameColumn
    var nulls: Int64 = 0
    var distinct: Int64 = 0
    var distinctError: Double?
    var least: Value = .null
    var greatest: Value = .null
    /// Nil where the values are too many to be counted.
    var top: Value?

    /// `at`: the number that the column's aggregates have.
    init(column: FrameColumn, _ at: Int, _ figures: Figures) {
        self.column = column
        func count(_ name: String) -> Int64 {
            guard case .int(let count)? = figures.result[name] else { return 0 }
            return count
        }
        nulls = count("rows") - count("c\(at)")
        distinct = count("d\(at)")
        distinctError = figures.relativeErrors["d\(at)"]
        least = figures.result["a\(at)"] ?? .null
        greatest = figures.result["z\(at)"] ?? .null
    }

    var value: Value {
        var pairs: [Value.Pair] = []
        func add(_ name: String, _ value: Value) { pairs.append(Value.Pair(.string(name), value)) }
        add("name", .string(column.name))
        add("type", .string(column.type.name))
        add("nulls", .int(nulls))
        add("distinct", .int(distinct))
        if let distinctError { add("distinctError", .double(distinctError)) }
        add("min", least)
        add("max", greatest)
        if let top { add("top", top) }
        return .map(pairs)
    }
}
