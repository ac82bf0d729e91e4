// A plan checked and resolved against a schema: names become column indices, filters predicates.

package struct CompiledPlan: Sendable {
    struct ColumnFilter: Sendable {
        let column: Int
        let predicate: Predicate
    }

    enum Output: Sendable {
        /// Group key columns, and for each aggregate of the shape its input column.
        case groups(keys: [Int], inputs: [Int?])
        case rows(columns: [Int], limit: Int)
    }

    package let plan: Plan
    package let shape: PartialShape
    let filters: [ColumnFilter]
    let output: Output

    /// Throws a failure that names what does not fit, and lists what exists.
    package init(_ plan: Plan, schema: FrameSchema) throws(Failure) {
        guard plan.filters.count <= Plan.filtersMax else {
            throw Failure(.budgetExceeded, "\(plan.filters.count) filters; a plan has at most \(Plan.filtersMax)")
        }
        var filters: [ColumnFilter] = []
        for filter in plan.filters {
            let index = try Self.index(filter.column, schema, plan.frame)
            filters.append(ColumnFilter(column: index, predicate: try filter.compiled(for: schema.columns[index])))
        }
        self.plan = plan
        self.filters = filters
        (shape, output) = try Self.resolve(plan, schema)
    }

    private static func resolve(_ plan: Plan, _ schema: FrameSchema) throws(Failure) -> (PartialShape, Output) {
        switch plan.output {
        case .rows(let names, let limit):
            guard (0...Plan.rowsMax).contains(limit) else {
                throw Failure(.budgetExceeded, "rows: limit \(limit) is not between 0 and \(Plan.rowsMax)")
            }
            var columns: [Int] = []
            for name in names { columns.append(try index(name, schema, plan.frame)) }
            try checkNames(names)
            guard !names.isEmpty else { throw Failure(.scriptError, "rows: name at least one column") }
            return (
                .rows(columns: columns.map { schema.columns[$0] }, limit: limit), .rows(columns: columns, limit: limit)
            )
        case .groups(let keys, let aggregates):
            guard keys.count <= Plan.keysMax, aggregates.count <= Plan.aggregatesMax else {
                throw Failure(.budgetExceeded, "at most \(Plan.keysMax) keys and \(Plan.aggregatesMax) aggregates")
            }
            try checkNames(keys.map(\.name) + aggregates.map(\.name))
            guard !keys.isEmpty || !aggregates.isEmpty else {
                throw Failure(.scriptError, "a plan without group keys needs an aggregate, such as count()")
            }
            var columns: [Int] = []
            for key in keys { columns.append(try index(key.name, schema, plan.frame)) }
            var inputs: [Int?] = []
            var shapes: [AggregateShape] = []
            for aggregate in aggregates {
                let input = try Self.input(aggregate, schema, plan.frame)
                inputs.append(input)
                shapes.append(
                    AggregateShape(
                        name: aggregate.name, function: aggregate.function, input: input.map { schema.columns[$0].type }
                    ))
            }
            return (
                .groups(keys: columns.map { schema.columns[$0] }, aggregates: shapes),
                .groups(keys: columns, inputs: inputs)
            )
        }
    }

    private static func index(_ name: String, _ schema: FrameSchema, _ frame: String) throws(Failure) -> Int {
        guard let index = schema.index(of: name) else {
            throw Failure(.scriptError, "frame '\(frame)' has no column '\(name)'; there are \(schema.listing)")
        }
        return index
    }

    private static func input(_ aggregate: Aggregate, _ schema: FrameSchema, _ frame: String) throws(Failure) -> Int? {
        guard let name = aggregate.column else {
            guard aggregate.function == .count else {
                throw Failure(.scriptError, "\(aggregate.function.rawValue)() of '\(aggregate.name)' needs a column")
            }
            return nil
        }
        let index = try index(name, schema, frame)
        guard AggregateShape.accepts(aggregate.function, schema.columns[index].type) else {
            throw Failure(
                .wrongType,
                "\(aggregate.function.rawValue)('\(name)') needs a column of numbers; it is "
                    + schema.columns[index].type.name)
        }
        return index
    }

    private static func checkNames(_ names: [String]) throws(Failure) {
        var seen: Set<String> = []
        for name in names {
            guard !name.isEmpty, name.utf8.count <= FrameSchema.columnNameBytesMax else {
                throw Failure(.scriptError, "a result's column needs a name of 1 to 255 bytes")
            }
            guard seen.insert(name).inserted else {
                throw Failure(.scriptError, "the result would have two columns named '\(name)'")
            }
        }
    }
}

extension Plan {
    package func validate(against schema: FrameSchema) throws(Failure) { _ = try CompiledPlan(self, schema: schema) }
}
