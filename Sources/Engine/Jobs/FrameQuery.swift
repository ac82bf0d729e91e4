// The query that `shard:frame(name)` returns: Lua composes a plan step by step, Swift runs it at the last one.

/// A plan under construction. Every step returns a new query, so one may be the start of several.
final class FrameQuery: LuaHostObject {
    static let luaTypeName = "query"

    private struct Steps {
        var frame: String
        var computed: [ComputedColumn] = []
        var filters: [Filter] = []
        var anyFilters: [[Filter]] = []
        var keys: [GroupKey] = []
        /// What all of them take, about.
        var bytes = 0

        var filterCount: Int { filters.count + anyFilters.reduce(0) { $0 + $1.count } }
    }

    private let shard: ShardHandle
    private let steps: Steps
    /// Of a `slice` that was begun.
    private var slices: RowSlices?

    convenience init(shard: ShardHandle, frame: String) { self.init(shard, Steps(frame: frame)) }

    private init(_ shard: ShardHandle, _ steps: Steps) {
        self.shard = shard
        self.steps = steps
    }

    private func with(_ change: (inout Steps) throws(Failure) -> Void) throws(Failure) -> LuaResult {
        var steps = steps
        try change(&steps)
        // Refused where it is written, before a loop piles up what no plan may have.
        try Plan.checkCounts(filters: steps.filterCount, computed: steps.computed.count)
        try Plan.checkCounts(keys: steps.keys.count, aggregates: 0)
        steps.bytes += Self.stepBytes
        return .object(FrameQuery(shard, steps))
    }

    private static let stepBytes = 64

    var hostBytes: Int { LuaState.objectBytes + steps.frame.utf8.count + steps.bytes }

    private func execute(_ aggregates: [Aggregate], _ share: ScriptShare) throws(Failure) -> LuaResult {
        let plan = Plan(
            frame: steps.frame, computed: steps.computed, filters: steps.filters, anyFilters: steps.anyFilters,
            keys: steps.keys, aggregates: aggregates)
        return .object(try shard.execute(plan, share))
    }

    /// Of the slice that is under way.
    var leasedBytes: Int { slices?.leasedBytes ?? 0 }

    static var luaMethods: [String: LuaMethod] {
        [
            "where": LuaMethod(FrameQuery.self, LuaForm("where(column, op, value)", 2...4)) {
                query, arguments throws(Failure) in
                let filter = try FrameQuery.filter(try arguments.plain(in: "where"), of: "where")
                return try query.with { (steps: inout Steps) throws(Failure) in
                    steps.filters.append(filter)
                    steps.bytes += filter.hostBytes
                }
            },
            "where_any": LuaMethod(FrameQuery.self, LuaForm("where_any{ {column, op, value}, … }", 1)) {
                query, arguments throws(Failure) in
                let conditions = try FrameQuery.conditions(try arguments.plain(in: "where_any"))
                return try query.with { (steps: inout Steps) throws(Failure) in
                    steps.anyFilters.append(conditions)
                    steps.bytes += conditions.reduce(0) { $0 + $1.hostBytes }
                }
            },
            "with": LuaMethod(FrameQuery.self, LuaForm("with(name, expression)", 2)) {
                query, arguments throws(Failure) in
                let words = try arguments.plain(in: "with")
                guard let name = words[0].text, let text = words[1].text else {
                    throw Failure(.scriptError, "with(name, expression) takes a name and arithmetic as text")
                }
                return try query.with { (steps: inout Steps) throws(Failure) in
                    steps.computed.append(ComputedColumn(name, text))
                    steps.bytes += name.utf8.count + text.utf8.count
                }
            },
            "group": LuaMethod(FrameQuery.self, LuaForm("group(key, …)", atLeast: 1)) {
                query, arguments throws(Failure) in
                var keys: [GroupKey] = []
                for argument in arguments {
                    if let bucket = argument.object(as: BucketCall.self) {
                        keys.append(bucket.key)
                    } else if let name = argument.plain?.text {
                        keys.append(.column(name))
                    } else {
                        throw Failure(.scriptError, "group(key, …) takes column names and bucket(column, width)")
                    }
                }
                return try query.with { (steps: inout Steps) throws(Failure) in
                    steps.keys += keys
                    steps.bytes += keys.reduce(0) { $0 + $1.hostBytes }
                }
            },
            "agg": LuaMethod(FrameQuery.self, LuaForm("agg{ name = count(), … }", 1)) {
                query, arguments, pace throws(Failure) in
                try query.execute(try AggregateCall.list(arguments), pace.share)
            },
            "count": LuaMethod(FrameQuery.self, LuaForm("count()", 0)) { query, _, pace throws(Failure) in
                try query.execute([Aggregate("count", .count)], pace.share)
            },
            "rows": LuaMethod(FrameQuery.self, rowsForm) { query, arguments, pace throws(Failure) in
                let (columns, limit) = try FrameQuery.rowsArguments(arguments)
                let plan = Plan(
                    frame: query.steps.frame, computed: query.steps.computed, filters: query.steps.filters,
                    anyFilters: query.steps.anyFilters, output: .rows(columns: columns, limit: limit))
                return .object(try query.shard.execute(plan, pace.share))
            },
            "slice": LuaMethod(FrameQuery.self, LuaForm("slice({column, …}, cursor)", 1...2)) {
                query, arguments, pace throws(Failure) in
                try query.slice(try arguments.plain(in: "slice"), pace)
            },
        ]
    }

    /// `slice({column, …}, cursor)`: some thousand rows, and the cursor to go on with, nil at the end. All slices are of the
    /// moment of the first one.
    private func slice(_ arguments: [Value], _ pace: WorkPace) throws(Failure) -> LuaResult {
        guard case .array(let list)? = arguments.first, case let columns = list.compactMap(\.text), !columns.isEmpty,
            columns.count == list.count
        else { throw Failure(.scriptError, "slice({column, …}, cursor) takes a list of columns") }
        let cursor = try SliceCursor.number(arguments, 1, of: "slice")
        if cursor == nil {
            let plan = Plan(
                frame: steps.frame, computed: steps.computed, filters: steps.filters, anyFilters: steps.anyFilters,
                output: .rows(columns: columns, limit: Plan.rowsMax))
            slices = try RowSlices(plan, shard)
        }
        guard let slices, slices.position == cursor ?? 0 else {
            throw Failure(.scriptError, "slice: begin without a cursor, and go on with the one that came last")
        }
        let (rows, next) = try slices.next(pace)
        return .leased([rows.value, next.map { .int(Int64($0)) } ?? .null], rows.lease)
    }

    /// `where_any{ {column, op, value}, … }`.
    private static func conditions(_ arguments: [Value]) throws(Failure) -> [Filter] {
        guard case .array(let list)? = arguments.first, !list.isEmpty else {
            throw Failure(.scriptError, "where_any{ {column, op, value}, … } takes a list of conditions")
        }
        var conditions: [Filter] = []
        for element in list {
            guard case .array(let parts) = element else {
                throw Failure(.scriptError, "where_any{ {column, op, value}, … }: a condition is a list")
            }
            conditions.append(try filter(parts, of: "where_any"))
        }
        return conditions
    }

    /// `where(column, op, value)`: `in` takes a list, `between` two values or a list of two, `isnull` and `notnull` none.
    private static func filter(_ arguments: [Value], of method: String) throws(Failure) -> Filter {
        guard arguments.count >= 2, let column = arguments[0].text, let symbol = arguments[1].text else {
            throw Failure(.scriptError, "\(method)(column, op, value) takes a column's name, an operator and a value")
        }
        guard let op = FilterOperator(rawValue: symbol) else {
            let known = FilterOperator.allCases.map(\.rawValue).joined(separator: " ")
            throw Failure(.scriptError, "\(method): '\(symbol)' is no operator; there are \(known)")
        }
        var values = Array(arguments.dropFirst(2))
        switch (op, values.first) {
        case (.isIn, .array(let list)?) where values.count == 1: values = list
        case (.isIn, _):
            throw Failure(
                .scriptError, "\(method)(\"\(column)\", \"in\", {value, …}) takes a list of values, as in {1, 2}")
        case (.between, .array(let list)?) where values.count == 1: values = list
        default: break
        }
        let filter = Filter(column: column, op: op, values: values)
        try filter.checkValueCount()
        return filter
    }

    /// `rows{"a", "b", limit = 100}`: the list is the columns.
    private static func rowsArguments(_ arguments: [LuaValue]) throws(Failure) -> ([String], Int) {
        var columns: [Value] = []
        var limit = Value.int(100)
        switch arguments.first?.plain {
        case .array(let names)?: columns = names
        case .map(let pairs)?:
            for pair in pairs {
                if pair.key.text == "limit" {
                    limit = pair.value
                } else if case .int(Int64(columns.count + 1)) = pair.key {
                    columns.append(pair.value)
                } else {
                    let name = String(decoding: pair.key.answer.prefix(60), as: UTF8.self)
                    throw Failure(.scriptError, "\(rowsForm.text) takes column names and a limit, not '\(name)'")
                }
            }
        default: break
        }
        let names = columns.compactMap(\.text)
        guard !names.isEmpty, names.count == columns.count, let count = limit.wholeNumber, count > 0 else {
            throw Failure(.scriptError, "\(rowsForm.text) takes column names and a whole limit above 0")
        }
        return (names, Int(count))
    }

    private static let rowsForm = LuaForm("rows{\"column\", …, limit = 100}", 1)
}

extension Value {
    /// A number without a fraction, integer or double, cut to 64 bits; nil for anything else.
    var wholeNumber: Int64? {
        switch self {
        case .int(let number): number
        case .double(let number) where number == number.rounded(): Int64(exactly: number) ?? (number < 0 ? .min : .max)
        default: nil
        }
    }
}

// MARK: - What host objects hold

extension Value {
    /// What it takes in memory, about.
    var hostBytes: Int {
        switch self {
        case .null, .bool, .int, .double: 16
        case .bytes(let bytes): 48 + bytes.count
        case .array(let list): list.reduce(48) { $0 + $1.hostBytes }
        case .map(let pairs): pairs.reduce(48) { $0 + $1.key.hostBytes + $1.value.hostBytes }
        }
    }
}

extension Filter {
    var hostBytes: Int { values.reduce(128 + column.utf8.count) { $0 + $1.hostBytes } }
}

extension GroupKey {
    var hostBytes: Int {
        switch self {
        case .column(let name): 64 + name.utf8.count
        case .bucket(let name, let width): 64 + name.utf8.count + width.utf8.count
        }
    }
}
