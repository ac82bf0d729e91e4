// What a partial's columns are: enough to merge, check and finish it without the plan or the frame.

package struct AggregateShape: Sendable, Hashable {
    package let name: String
    package let function: AggregateFunction
    /// The type of the column it reads; nil for count().
    package let input: ColumnType?
    /// The share of a quantile, the k of a topk.
    package let number: Double?
    /// The type of the column that first and last go by.
    package let by: ColumnType?
    /// Of a histogram, as keys of the column, ascending.
    package let edges: [Int64]

    package init(
        name: String, function: AggregateFunction, input: ColumnType?, number: Double? = nil, by: ColumnType? = nil,
        edges: [Int64] = []
    ) {
        self.name = name
        self.function = function
        self.input = input
        self.number = number
        self.by = by
        self.edges = edges
    }

    static func accepts(_ function: AggregateFunction, _ type: ColumnType) -> Bool {
        switch function {
        case .count, .min, .max, .distinct, .topk, .topkExact, .first, .last: true
        case .quantile, .histogram: type != .string && type != .bool
        case .sum, .avg, .variance, .stddev: type == .int || type == .double || type == .bool
        }
    }

    /// Has what its function takes, and nothing else.
    var isComplete: Bool {
        let hasNumber =
            switch function {
            case .quantile: number.map { (0...1).contains($0) } ?? false
            case .topk, .topkExact:
                number.map { $0 == $0.rounded() && (1...Double(Plan.topMax)).contains($0) } ?? false
            default: number == nil
            }
        let hasEdges =
            function == .histogram
            ? (1...Plan.edgesMax).contains(edges.count) && zip(edges, edges.dropFirst()).allSatisfy { $0 <= $1 }
            : edges.isEmpty
        let goesBy = function == .first || function == .last
        return hasNumber && hasEdges && (goesBy ? by != nil && by != .string : by == nil)
    }

    /// The states of no groups yet. The place to name the states of a new function.
    func makeStates() -> any AggregateStates {
        switch (function, input) {
        case (.count, _), (_, nil): CountStates()
        case (.sum, .double?), (.avg, .double?): DoubleSumStates(isAverage: function == .avg)
        case (.sum, _), (.avg, _): IntegerSumStates(isAverage: function == .avg, name: name)
        case (.min, .string?), (.max, .string?): TextExtremumStates(isMin: function == .min)
        case (.min, let type?), (.max, let type?): ExtremumStates(isMin: function == .min, type: type)
        case (.variance, _), (.stddev, _): MomentStates(isRoot: function == .stddev)
        case (.quantile, let type?): QuantileStates(share: number ?? 0.5, type: type)
        case (.distinct, _): DistinctStates()
        case (.histogram, _): HistogramStates(binCount: edges.count + 1)
        case (.topk, let type?), (.topkExact, let type?):
            FrequencyStates(top: Int(number ?? 1), isExact: function == .topkExact, type: type, name: name)
        case (.first, let type?), (.last, let type?): EndStates(isFirst: function == .first, type: type)
        }
    }
}

extension AggregateShape {
    /// What the state of a group without values takes, while the list of them may be growing.
    var emptyStateBytes: Int {
        let bytes =
            switch function {
            case .count: 8
            case .sum, .avg, .min, .max: 32
            case .variance, .stddev: MemoryLayout<Moment>.stride
            case .quantile: ValueSketch.emptyBytes
            case .distinct: DistinctSet.emptyBytes
            case .topk, .topkExact: FrequencyTable.emptyBytes
            case .histogram: 0
            case .first, .last: MemoryLayout<ColumnEnd?>.stride
            }
        return bytes * 3
    }
}

package enum PartialShape: Sendable, Hashable {
    case groups(keys: [FrameColumn], aggregates: [AggregateShape])
    case rows(columns: [FrameColumn], limit: Int)
}

// MARK: - Value

extension PartialShape {
    var value: Value {
        switch self {
        case .groups(let keys, let aggregates):
            .object([
                "keys": .array(keys.map { .array([.string($0.name), .string($0.type.name)]) }),
                "agg": .array(
                    aggregates.map {
                        .array([
                            .string($0.name), .string($0.function.rawValue), $0.input.map { .string($0.name) } ?? .null,
                            $0.number.map { .double($0) } ?? .null, $0.by.map { .string($0.name) } ?? .null,
                            .array($0.edges.map { .int($0) }),
                        ])
                    }),
            ])
        case .rows(let columns, let limit):
            .object([
                "rows": .array(columns.map { .array([.string($0.name), .string($0.type.name)]) }),
                "limit": .int(Int64(limit)),
            ])
        }
    }

    init?(value: Value) {
        if let columns = Self.columns(value["rows"]), case .int(let limit)? = value["limit"] {
            guard limit >= 0, limit <= Plan.rowsMax, !columns.isEmpty else { return nil }
            self = .rows(columns: columns, limit: Int(limit))
            return
        }
        guard let keys = Self.columns(value["keys"]), keys.count <= Plan.keysMax,
            case .array(let elements)? = value["agg"], elements.count <= Plan.aggregatesMax
        else { return nil }
        var aggregates: [AggregateShape] = []
        for element in elements {
            guard case .array(let parts) = element, parts.count == 6, let name = parts[0].text,
                let function = parts[1].text.flatMap({ AggregateFunction(rawValue: $0) })
            else { return nil }
            let input = parts[2].text.flatMap { ColumnType(name: $0) }
            guard input.map({ AggregateShape.accepts(function, $0) }) ?? (function == .count) else { return nil }
            var number: Double?
            if case .double(let share) = parts[3] { number = share }
            guard case .array(let edgeValues) = parts[5] else { return nil }
            let edges = edgeValues.compactMap { if case .int(let key) = $0 { key } else { nil } }
            let shape = AggregateShape(
                name: name, function: function, input: input, number: number,
                by: parts[4].text.flatMap { ColumnType(name: $0) }, edges: edges)
            guard shape.isComplete else { return nil }
            aggregates.append(shape)
        }
        self = .groups(keys: keys, aggregates: aggregates)
    }

    private static func columns(_ value: Value?) -> [FrameColumn]? {
        guard case .array(let elements)? = value else { return nil }
        var columns: [FrameColumn] = []
        for element in elements {
            guard case .array(let parts) = element, parts.count == 2, let name = parts[0].text,
                let type = parts[1].text.flatMap({ ColumnType(name: $0) })
            else { return nil }
            columns.append(FrameColumn(name, type))
        }
        return columns
    }
}
