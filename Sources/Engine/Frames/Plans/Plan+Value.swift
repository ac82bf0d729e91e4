// A plan's form on the wire: a map of plain values.

extension Plan {
    /// `{frame, with: [[name, text], …], where: [[column, op, value…], …], any: [[filter, …], …], group: [name or [name,
    /// width], …], agg: [[name, function, column?, number?, by?, edges?], …]}`, or with `rows: [name, …], limit` in place of group and
    /// agg. `with` and `any` only where there are some.
    package var value: Value {
        var pairs: [Value.Pair] = [
            .init(.string("frame"), .string(frame)), .init(.string("where"), .array(filters.map(\.value))),
        ]
        if !computed.isEmpty {
            let columns = computed.map { Value.array([.string($0.name), .string($0.text)]) }
            pairs.append(.init(.string("with"), .array(columns)))
        }
        if !anyFilters.isEmpty {
            pairs.append(.init(.string("any"), .array(anyFilters.map { .array($0.map(\.value)) })))
        }
        switch output {
        case .groups(let keys, let aggregates):
            pairs.append(.init(.string("group"), .array(keys.map(\.value))))
            pairs.append(.init(.string("agg"), .array(aggregates.map(\.value))))
        case .rows(let columns, let limit):
            pairs.append(.init(.string("rows"), .array(columns.map { .string($0) })))
            pairs.append(.init(.string("limit"), .int(Int64(limit))))
        }
        return .map(pairs)
    }

    package init(value: Value) throws(Failure) {
        guard let frame = value["frame"]?.text else { throw Failure(.scriptError, "a plan names its frame") }
        var filters: [Filter] = []
        for filter in try Self.list(value, "where") { filters.append(try Filter(value: filter)) }
        var anyFilters: [[Filter]] = []
        for clause in try Self.list(value, "any") {
            guard case .array(let elements) = clause else { throw Failure(.scriptError, "a plan's 'any' is lists") }
            var conditions: [Filter] = []
            for element in elements { conditions.append(try Filter(value: element)) }
            anyFilters.append(conditions)
        }
        var computed: [ComputedColumn] = []
        for column in try Self.list(value, "with") {
            guard case .array(let parts) = column, parts.count == 2, let name = parts[0].text, let text = parts[1].text
            else { throw Failure(.scriptError, "a plan's 'with' is {name, expression}") }
            computed.append(ComputedColumn(name, text))
        }
        self.init(
            frame: frame, computed: computed, filters: filters, anyFilters: anyFilters,
            output: try PlanOutput(value: value))
    }

    fileprivate static func list(_ value: Value, _ key: String) throws(Failure) -> [Value] {
        switch value[key] {
        case nil, .null?: return []
        case .array(let elements)?: return elements
        // An empty Lua table may come as a map.
        case .map(let pairs)? where pairs.isEmpty: return []
        default: throw Failure(.scriptError, "a plan's '\(key)' is a list")
        }
    }

    fileprivate static func names(_ value: Value, _ key: String) throws(Failure) -> [String] {
        var names: [String] = []
        for element in try list(value, key) {
            guard let name = element.text else { throw Failure(.scriptError, "a plan's '\(key)' is a list of names") }
            names.append(name)
        }
        return names
    }
}

extension PlanOutput {
    fileprivate init(value: Value) throws(Failure) {
        if value["rows"] != nil {
            guard case .int(let limit)? = value["limit"], let limit = Int(exactly: limit) else {
                throw Failure(.scriptError, "rows need a limit")
            }
            self = .rows(columns: try Plan.names(value, "rows"), limit: limit)
            return
        }
        var aggregates: [Aggregate] = []
        for aggregate in try Plan.list(value, "agg") { aggregates.append(try Aggregate(value: aggregate)) }
        var keys: [GroupKey] = []
        for key in try Plan.list(value, "group") { keys.append(try GroupKey(value: key)) }
        self = .groups(keys: keys, aggregates: aggregates.sorted { $0.name < $1.name })
    }
}

extension GroupKey {
    fileprivate var value: Value {
        switch self {
        case .column(let name): .string(name)
        case .bucket(let name, let width): .array([.string(name), .string(width)])
        }
    }

    fileprivate init(value: Value) throws(Failure) {
        if let name = value.text {
            self = .column(name)
        } else if case .array(let parts) = value, parts.count == 2, let name = parts[0].text, let width = parts[1].text
        {
            self = .bucket(name, width: width)
        } else {
            throw Failure(.scriptError, "a plan's 'group' is a list of names")
        }
    }
}

extension Filter {
    fileprivate var value: Value { .array([.string(column), .string(op.rawValue)] + values) }

    fileprivate init(value: Value) throws(Failure) {
        guard case .array(let parts) = value, parts.count >= 2, let column = parts[0].text, let name = parts[1].text
        else { throw Failure(.scriptError, "a filter is {column, op, value…}") }
        guard let op = FilterOperator(rawValue: name) else {
            let known = FilterOperator.allCases.map(\.rawValue).joined(separator: " ")
            throw Failure(.scriptError, "unknown operator '\(name)' on column '\(column)'; operators are \(known)")
        }
        self.init(column: column, op: op, values: Array(parts[2...]))
    }
}

extension Aggregate {
    fileprivate var value: Value {
        var parts: [Value] = [
            .string(name), .string(function.rawValue), column.map { .string($0) } ?? .null,
            number.map { .double($0) } ?? .null, by.map { .string($0) } ?? .null, .array(edges),
        ]
        if edges.isEmpty { parts.removeLast() }
        while parts.last == .null { parts.removeLast() }
        return .array(parts)
    }

    fileprivate init(value: Value) throws(Failure) {
        guard case .array(let parts) = value, (2...6).contains(parts.count), let name = parts[0].text,
            let functionName = parts[1].text
        else { throw Failure(.scriptError, "an aggregate is {name, function, column}") }
        guard let function = AggregateFunction(rawValue: functionName) else {
            let known = AggregateFunction.allCases.map(\.rawValue).joined(separator: ", ")
            throw Failure(.scriptError, "unknown aggregate '\(functionName)'; there are \(known)")
        }
        func part(_ index: Int) -> Value { index < parts.count ? parts[index] : .null }
        var number: Double?
        var edges: [Value] = []
        switch part(3) {
        case .null: break
        case .double(let given): number = given
        default: throw Failure(.scriptError, "an aggregate's fourth part is a number")
        }
        switch part(5) {
        case .null: break
        case .array(let given): edges = given
        default: throw Failure(.scriptError, "an aggregate's sixth part is a list")
        }
        self.init(name, function, part(2).text, number: number, by: part(4).text, edges: edges)
    }
}
