// A plan checked and resolved against a schema: names become slots, filters predicates, expressions programs.

/// Where the values of a slot come from.
enum ScanColumn: Sendable {
    /// A column of the frame.
    case stored(Int)
    case computed(ExpressionProgram)
}

package struct CompiledPlan: Sendable {
    struct SlotFilter: Sendable {
        let slot: Int
        let predicate: Predicate
    }

    struct Key: Sendable {
        let slot: Int
        let bucket: TimeBucket?
    }

    /// The slots that an aggregate reads.
    struct Input: Sendable {
        var slot: Int?
        var by: Int?
    }

    enum Output: Sendable {
        /// Group keys, and for each aggregate of the shape its input.
        case groups(keys: [Key], inputs: [Input])
        case rows(slots: [Int], limit: Int)
    }

    package let plan: Plan
    package let shape: PartialShape
    /// What a scan reads, each once; slots are indices in it.
    let sources: [ScanColumn]
    let types: [ColumnType]
    /// All must hold; a clause holds when one of its filters does.
    let clauses: [[SlotFilter]]
    let output: Output

    /// Throws a failure that names what does not fit, and lists what exists.
    package init(_ plan: Plan, schema: FrameSchema) throws(Failure) {
        let filterCount = plan.filters.count + plan.anyFilters.reduce(0) { $0 + $1.count }
        try Plan.checkCounts(filters: filterCount, computed: plan.computed.count)
        var resolver = try SlotResolver(plan, schema)
        var clauses: [[SlotFilter]] = []
        for filter in plan.filters { clauses.append([try resolver.compile(filter)]) }
        for conditions in plan.anyFilters {
            var clause: [SlotFilter] = []
            for filter in conditions { clause.append(try resolver.compile(filter)) }
            clauses.append(clause.isEmpty ? [SlotFilter(slot: 0, predicate: .never)] : clause)
        }
        (shape, output) = try resolver.resolveOutput()
        if resolver.sources.isEmpty, clauses.contains(where: { !$0.isEmpty }) { _ = resolver.anySlot() }
        self.plan = plan
        self.clauses = clauses
        sources = resolver.sources
        types = resolver.types
    }
}

extension Plan {
    static func checkCounts(filters: Int, computed: Int) throws(Failure) {
        guard filters <= filtersMax, computed <= computedMax else {
            throw Failure(
                .budgetExceeded,
                "\(filters) filters and \(computed) computed columns; a plan has at most "
                    + "\(filtersMax) and \(computedMax)")
        }
    }

    static func checkCounts(keys: Int, aggregates: Int) throws(Failure) {
        guard keys <= keysMax, aggregates <= aggregatesMax else {
            throw Failure(.budgetExceeded, "at most \(keysMax) keys and \(aggregatesMax) aggregates")
        }
    }
}

/// Gives each column that a plan uses a slot.
private struct SlotResolver {
    let plan: Plan
    let schema: FrameSchema
    private let expressions: [String: Expression]
    private(set) var sources: [ScanColumn] = []
    private(set) var types: [ColumnType] = []
    private var slots: [String: Int] = [:]
    /// Computed columns being resolved, to find circles.
    private var open: Set<String> = []

    init(_ plan: Plan, _ schema: FrameSchema) throws(Failure) {
        self.plan = plan
        self.schema = schema
        var expressions: [String: Expression] = [:]
        for column in plan.computed {
            guard schema.index(of: column.name) == nil else {
                throw Failure(.scriptError, "with: frame '\(plan.frame)' has a column '\(column.name)' already")
            }
            guard expressions.updateValue(try Expression(parsing: column.text), forKey: column.name) == nil else {
                throw Failure(.scriptError, "with: '\(column.name)' is computed twice")
            }
        }
        self.expressions = expressions
    }

    mutating func anySlot() -> Int {
        sources.append(.stored(0))
        types.append(schema.columns[0].type)
        return sources.count - 1
    }

    mutating func slot(_ name: String) throws(Failure) -> Int {
        if let slot = slots[name] { return slot }
        let slot: Int
        if let index = schema.index(of: name) {
            sources.append(.stored(index))
            types.append(schema.columns[index].type)
        } else if let expression = expressions[name] {
            let program = try compile(expression, name)
            sources.append(.computed(program))
            types.append(.double)
        } else {
            let computed =
                expressions.isEmpty ? "" : ", and computed: \(expressions.keys.sorted().joined(separator: ", "))"
            throw Failure(
                .scriptError, "frame '\(plan.frame)' has no column '\(name)'; there are \(schema.listing)\(computed)")
        }
        slot = sources.count - 1
        slots[name] = slot
        return slot
    }

    private mutating func compile(_ expression: Expression, _ name: String) throws(Failure) -> ExpressionProgram {
        guard open.insert(name).inserted else { throw Failure(.scriptError, "with: '\(name)' is made of itself") }
        defer { open.remove(name) }
        var inputs: [String: Int] = [:]
        for column in expression.columns.sorted() {
            let slot = try slot(column)
            guard [.int, .double, .bool].contains(types[slot]) else {
                throw Failure(
                    .wrongType, "with: '\(name)' needs columns of numbers; '\(column)' is \(types[slot].name)")
            }
            inputs[column] = slot
        }
        return try ExpressionProgram(expression) { (column: String) throws(Failure) in inputs[column]! }
    }

    mutating func compile(_ filter: Filter) throws(Failure) -> CompiledPlan.SlotFilter {
        let slot = try slot(filter.column)
        return CompiledPlan.SlotFilter(
            slot: slot, predicate: try filter.compiled(for: FrameColumn(filter.column, types[slot])))
    }

    // MARK: Output

    mutating func resolveOutput() throws(Failure) -> (PartialShape, CompiledPlan.Output) {
        switch plan.output {
        case .rows(let names, let limit):
            guard (0...Plan.rowsMax).contains(limit) else {
                throw Failure(.budgetExceeded, "rows: limit \(limit) is not between 0 and \(Plan.rowsMax)")
            }
            var slots: [Int] = []
            for name in names { slots.append(try slot(name)) }
            try Self.checkNames(names)
            guard !names.isEmpty else { throw Failure(.scriptError, "rows: name at least one column") }
            let columns = zip(names, slots).map { FrameColumn($0, types[$1]) }
            return (.rows(columns: columns, limit: limit), .rows(slots: slots, limit: limit))
        case .groups(let keys, let aggregates): return try resolve(keys, aggregates)
        }
    }

    private mutating func resolve(
        _ keys: [GroupKey], _ aggregates: [Aggregate]
    ) throws(Failure) -> (PartialShape, CompiledPlan.Output) {
        try Plan.checkCounts(keys: keys.count, aggregates: aggregates.count)
        try Self.checkNames(keys.map(\.name) + aggregates.map(\.name))
        guard !keys.isEmpty || !aggregates.isEmpty else {
            throw Failure(.scriptError, "a plan without group keys needs an aggregate, such as count()")
        }
        var resolved: [CompiledPlan.Key] = []
        for key in keys { resolved.append(try resolve(key)) }
        var inputs: [CompiledPlan.Input] = []
        var shapes: [AggregateShape] = []
        for aggregate in aggregates {
            let input = try input(aggregate)
            inputs.append(input)
            let shape = AggregateShape(
                name: aggregate.name, function: aggregate.function, input: input.slot.map { types[$0] },
                number: aggregate.number, by: input.by.map { types[$0] },
                edges: try edges(aggregate, input.slot.map { types[$0] }))
            guard shape.isComplete else { throw Self.incomplete(aggregate) }
            shapes.append(shape)
        }
        let columns = zip(keys, resolved).map { FrameColumn($0.name, types[$1.slot]) }
        return (.groups(keys: columns, aggregates: shapes), .groups(keys: resolved, inputs: inputs))
    }

    private mutating func resolve(_ key: GroupKey) throws(Failure) -> CompiledPlan.Key {
        let slot = try slot(key.name)
        guard case .bucket(let name, let width) = key else { return CompiledPlan.Key(slot: slot, bucket: nil) }
        let bucket: TimeBucket? =
            switch types[slot] {
            case .time: TimeBucket(time: width)
            case .int: Int64(width).flatMap { (1...1 << 40).contains($0) ? .width($0, origin: 0) : nil }
            default:
                throw Failure(.wrongType, "bucket: column '\(name)' is \(types[slot].name), not a time or an int")
            }
        guard let bucket else {
            throw Failure(
                .scriptError,
                "bucket: '\(width)' is no width for '\(name)': write minute, hour, day, week, month, or a whole number")
        }
        return CompiledPlan.Key(slot: slot, bucket: bucket)
    }

    private static func incomplete(_ aggregate: Aggregate) -> Failure {
        let usage =
            switch aggregate.function {
            case .quantile: "quantile(column, q) of '\(aggregate.name)' takes a share q from 0 to 1"
            case .topk, .topkExact:
                "\(aggregate.function.rawValue)(column, k) of '\(aggregate.name)' takes a whole number k from 1 to \(Plan.topMax)"
            case .histogram:
                "histogram(column, {edges}) of '\(aggregate.name)' takes 1 to \(Plan.edgesMax) edges, ascending"
            case .first, .last:
                "\(aggregate.function.rawValue)(column, by) of '\(aggregate.name)' goes by a column of numbers or times"
            default: "\(aggregate.function.rawValue)(column) of '\(aggregate.name)' takes a column only"
            }
        return Failure(.scriptError, usage)
    }

    /// As keys of the column.
    private func edges(_ aggregate: Aggregate, _ type: ColumnType?) throws(Failure) -> [Int64] {
        var keys: [Int64] = []
        for edge in aggregate.edges {
            guard let type, let key = edge.edgeKey(type) else {
                throw Failure(
                    .wrongType,
                    "histogram('\(aggregate.column ?? "")'): an edge is no \(type?.name ?? "number"): "
                        + String(decoding: edge.json.prefix(60), as: UTF8.self))
            }
            keys.append(key)
        }
        return keys
    }

    private mutating func input(_ aggregate: Aggregate) throws(Failure) -> CompiledPlan.Input {
        guard let name = aggregate.column else {
            guard aggregate.function == .count else {
                throw Failure(.scriptError, "\(aggregate.function.rawValue)() of '\(aggregate.name)' needs a column")
            }
            return CompiledPlan.Input()
        }
        let slot = try slot(name)
        guard AggregateShape.accepts(aggregate.function, types[slot]) else {
            throw Failure(
                .wrongType,
                "\(aggregate.function.rawValue)('\(name)') needs a column of numbers; it is \(types[slot].name)")
        }
        var input = CompiledPlan.Input(slot: slot)
        if let by = aggregate.by { input.by = try self.slot(by) }
        return input
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

extension Value {
    /// The least key of a column that is not below this edge; nil for what is no value of such a column.
    fileprivate func edgeKey(_ type: ColumnType) -> Int64? {
        switch (type, self) {
        case (.int, .int(let number)): number
        case (.int, .double(let number)): Int64(exactly: number.rounded(.up))
        case (.double, .int(let number)): Self.leastDouble(notBelow: number).orderedKey
        case (.double, .double(let number)): number.isNaN ? nil : number.orderedKey
        case (.time, .bytes(let text)): text.withUnsafeBufferPointer { Timestamp.parse($0) }
        case (.time, .int(let seconds)): seconds.magnitude < 1 << 40 ? seconds * 1_000_000 : nil
        default: nil
        }
    }

    private static func leastDouble(notBelow number: Int64) -> Double {
        let nearest = Double(number)
        return Scalar.compare(.double(nearest), .int(number)) < 0 ? nearest.nextUp : nearest
    }
}

extension Plan {
    package func validate(against schema: FrameSchema) throws(Failure) { _ = try CompiledPlan(self, schema: schema) }
}
