// `shard` in a job's map, and the query builder that `shard:frame(name)` returns: Lua composes a plan, Swift runs it.

/// `shard:frame(name)`.
final class ShardHandle: LuaHostObject {
    static let luaTypeName = "shard"

    let index: Int
    let frames: FrameCatalog
    let coverage: ScanCoverage
    let deadline: Deadline

    init(index: Int, frames: FrameCatalog, coverage: ScanCoverage, deadline: Deadline) {
        self.index = index
        self.frames = frames
        self.coverage = coverage
        self.deadline = deadline
    }

    static var luaMethods: [String: LuaMethod] {
        [
            "frame": LuaMethod(ShardHandle.self) { shard, arguments throws(Failure) in
                guard let name = arguments.first?.plain?.text else {
                    throw Failure(.scriptError, "shard:frame(name) takes the frame's name")
                }
                _ = try shard.frames.require(name)
                shard.coverage.note(frame: name)
                return .object(FrameQuery(shard: shard, frame: name))
            }
        ]
    }

    /// Runs a plan on this shard's part of its frame.
    func execute(_ plan: Plan) throws(Failure) -> PartialHandle {
        let frame = try frames.require(plan.frame)
        let compiled = try CompiledPlan(plan, schema: frame.schema)
        let snapshot = frame.parts[index].snapshot()
        let (partial, scanned) = try PlanExecutor.execute(
            compiled, on: snapshot, control: ScanControl(deadline: deadline))
        coverage.add(
            frame: plan.frame, shard: index, rows: scanned.rowsCovered, chunksScanned: scanned.chunksScanned,
            chunksPruned: scanned.chunksPruned)
        return PartialHandle(partial)
    }
}

/// A plan under construction. Every step returns a new query, so one may be the start of several.
final class FrameQuery: LuaHostObject {
    static let luaTypeName = "query"

    private let shard: ShardHandle
    private let frame: String
    private let filters: [Filter]
    private let keys: [String]

    init(shard: ShardHandle, frame: String, filters: [Filter] = [], keys: [String] = []) {
        self.shard = shard
        self.frame = frame
        self.filters = filters
        self.keys = keys
    }

    static var luaMethods: [String: LuaMethod] {
        [
            "where": LuaMethod(FrameQuery.self) { query, arguments throws(Failure) in
                let filter = try FrameQuery.filter(try arguments.plain(in: "where"))
                return .object(
                    FrameQuery(
                        shard: query.shard, frame: query.frame, filters: query.filters + [filter], keys: query.keys))
            },
            "group": LuaMethod(FrameQuery.self) { query, arguments throws(Failure) in
                var keys: [String] = []
                for argument in try arguments.plain(in: "group") {
                    guard let key = argument.text else {
                        throw Failure(.scriptError, "group(key, …) takes column names")
                    }
                    keys.append(key)
                }
                return .object(
                    FrameQuery(
                        shard: query.shard, frame: query.frame, filters: query.filters, keys: query.keys + keys))
            },
            "agg": LuaMethod(FrameQuery.self) { query, arguments throws(Failure) in
                let aggregates = try AggregateCall.list(arguments)
                return .object(
                    try query.shard.execute(
                        Plan(frame: query.frame, filters: query.filters, group: query.keys, aggregates: aggregates)))
            },
            "count": LuaMethod(FrameQuery.self) { query, _ throws(Failure) in
                .object(
                    try query.shard.execute(
                        Plan(
                            frame: query.frame, filters: query.filters, group: query.keys,
                            aggregates: [Aggregate("count", .count)])))
            },
            "rows": LuaMethod(FrameQuery.self) { query, arguments throws(Failure) in
                let (columns, limit) = try FrameQuery.rowsArguments(arguments)
                return .object(
                    try query.shard.execute(
                        Plan(frame: query.frame, filters: query.filters, rows: columns, limit: limit)))
            },
        ]
    }

    /// `where(column, op, value)`: `in` takes a list, `between` two values or a list of two, `isnull` and `notnull` none.
    private static func filter(_ arguments: [Value]) throws(Failure) -> Filter {
        guard arguments.count >= 2, let column = arguments[0].text, let symbol = arguments[1].text else {
            throw Failure(.scriptError, "where(column, op, value) takes a column's name, an operator and a value")
        }
        guard let op = FilterOperator(rawValue: symbol) else {
            let known = FilterOperator.allCases.map(\.rawValue).joined(separator: " ")
            throw Failure(.scriptError, "where: '\(symbol)' is no operator; there are \(known)")
        }
        var values = Array(arguments.dropFirst(2))
        if values.count == 1, case .array(let list) = values[0] { values = list }
        return Filter(column: column, op: op, values: values)
    }

    /// `rows{"a", "b", limit=100}`: the list is the columns.
    private static func rowsArguments(_ arguments: [LuaValue]) throws(Failure) -> ([String], Int) {
        var columns: [String] = []
        var limit = 100
        switch arguments.first?.plain {
        case .array(let names)?: columns = names.compactMap(\.text)
        case .map(let pairs)?:
            for pair in pairs {
                if pair.key.text == "limit", case .int(let count) = pair.value {
                    limit = Int(clamping: count)
                } else if case .int = pair.key, let name = pair.value.text {
                    columns.append(name)
                }
            }
        default: break
        }
        guard !columns.isEmpty, limit > 0 else {
            throw Failure(.scriptError, "rows{\"column\", …, limit=100} takes column names and a limit above 0")
        }
        return (columns, limit)
    }
}

/// `count()`, `sum("x")` and so on: what goes into agg{…}.
final class AggregateCall: LuaHostObject {
    static let luaTypeName = "aggregate"
    static var luaMethods: [String: LuaMethod] { [:] }

    private let function: AggregateFunction
    private let column: String?

    private init(_ function: AggregateFunction, _ column: String?) {
        self.function = function
        self.column = column
    }

    static func register(in state: LuaState) {
        for function in AggregateFunction.allCases {
            let name = function.rawValue
            state.register(name) { arguments throws(Failure) in
                let column = arguments.first?.plain?.text
                guard column != nil || (function == .count && arguments.isEmpty) else {
                    throw Failure(.scriptError, "\(name)(column) takes a column's name")
                }
                return .object(AggregateCall(function, column))
            }
        }
    }

    /// The table of agg{ name = count(), … }.
    static func list(_ arguments: [LuaValue]) throws(Failure) -> [Aggregate] {
        guard case .table(let pairs)? = arguments.first else {
            throw Failure(.scriptError, "agg{ name = count(), … } takes a table of aggregates")
        }
        var aggregates: [Aggregate] = []
        for (key, value) in pairs {
            guard let name = key.text, let call = value.object(as: AggregateCall.self) else {
                throw Failure(
                    .scriptError, "agg{…}: '\(String(decoding: key.answer, as: UTF8.self))' is no name = aggregate")
            }
            aggregates.append(Aggregate(name, call.function, call.column))
        }
        return aggregates
    }
}
