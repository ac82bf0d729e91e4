// A plan's form on the wire: a map of plain values.

extension Plan {
    /// `{frame, where: [[column, op, value…], …], group: [name, …], agg: [[name, function, column?], …]}`, or with
    /// `rows: [name, …], limit` in place of group and agg.
    package var value: Value {
        var pairs: [Value.Pair] = [
            .init(.string("frame"), .string(frame)), .init(.string("where"), .array(filters.map(\.value))),
        ]
        switch output {
        case .groups(let keys, let aggregates):
            pairs.append(.init(.string("group"), .array(keys.map { .string($0.name) })))
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
        if value["rows"] != nil {
            guard case .int(let limit)? = value["limit"], let limit = Int(exactly: limit) else {
                throw Failure(.scriptError, "rows need a limit")
            }
            self.init(frame: frame, filters: filters, rows: try Self.names(value, "rows"), limit: limit)
        } else {
            var aggregates: [Aggregate] = []
            for aggregate in try Self.list(value, "agg") { aggregates.append(try Aggregate(value: aggregate)) }
            self.init(frame: frame, filters: filters, group: try Self.names(value, "group"), aggregates: aggregates)
        }
    }

    private static func list(_ value: Value, _ key: String) throws(Failure) -> [Value] {
        switch value[key] {
        case nil, .null?: return []
        case .array(let elements)?: return elements
        // An empty Lua table may come as a map.
        case .map(let pairs)? where pairs.isEmpty: return []
        default: throw Failure(.scriptError, "a plan's '\(key)' is a list")
        }
    }

    private static func names(_ value: Value, _ key: String) throws(Failure) -> [String] {
        var names: [String] = []
        for element in try list(value, key) {
            guard let name = element.text else { throw Failure(.scriptError, "a plan's '\(key)' is a list of names") }
            names.append(name)
        }
        return names
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
        .array([.string(name), .string(function.rawValue)] + (column.map { [.string($0)] } ?? []))
    }

    fileprivate init(value: Value) throws(Failure) {
        guard case .array(let parts) = value, (2...3).contains(parts.count), let name = parts[0].text,
            let functionName = parts[1].text
        else { throw Failure(.scriptError, "an aggregate is {name, function, column}") }
        guard let function = AggregateFunction(rawValue: functionName) else {
            let known = AggregateFunction.allCases.map(\.rawValue).joined(separator: ", ")
            throw Failure(.scriptError, "unknown aggregate '\(functionName)'; there are \(known)")
        }
        self.init(name, function, parts.count == 3 ? parts[2].text : nil)
    }
}
