// What the tests of frames share: seeded randomness, random tables, and a row-at-a-time evaluator to compare with.

import Engine

struct RandomTable {
    let schema: FrameSchema
    var rows: [[Scalar]]

    /// A column of each kind that has a path of its own: narrow, wide and extreme integers, doubles with their oddities,
    /// few and many strings, truth values, times, and one without any value.
    static let columns: [FrameColumn] = [
        FrameColumn("tiny", .int), FrameColumn("medium", .int), FrameColumn("large", .int), FrameColumn("wide", .int),
        FrameColumn("extreme", .int), FrameColumn("ratio", .double), FrameColumn("odd", .double),
        FrameColumn("city", .string), FrameColumn("tail", .string), FrameColumn("late", .bool),
        FrameColumn("at", .time), FrameColumn("nothing", .int),
    ]

    init(rowCount: Int, nullPercent: Int, using random: inout SeededRandom) throws {
        schema = try FrameSchema(columns: Self.columns)
        var rows: [[Scalar]] = []
        for _ in 0..<rowCount {
            rows.append(
                Self.columns.map { column in
                    random.chance(nullPercent) ? .null : Self.value(column.name, using: &random)
                })
        }
        self.rows = rows
    }

    static let cities = ["", "Ōsaka", "Zürich", "a", "ab", "%", "NA", "new\nline", "e\u{301}", "🛫", "Aa", "b"]
    static let oddDoubles: [Double] = [
        0.0, -0.0, .nan, .infinity, -.infinity, 1, -1, .leastNonzeroMagnitude, .greatestFiniteMagnitude, 1e16, 0.1,
    ]
    static let extremes: [Int64] = [.min, .max, 0, -1, 1, .min + 1, .max - 1]

    static func value(_ column: String, using random: inout SeededRandom) -> Scalar {
        switch column {
        case "tiny": .int(Int64(random.below(5)) - 2)
        case "medium": .int(Int64(random.below(40_000)) - 20_000)
        case "large": .int(Int64(random.below(1 << 31)))
        case "wide": .int(Int64(random.below(1 << 40)) - (1 << 39))
        case "extreme": .int(random.pick(extremes))
        case "ratio": .double(Double(random.below(2_000_000) - 1_000_000) / 128)
        case "odd": .double(random.pick(oddDoubles))
        case "city": .string(Array(random.pick(cities).utf8))
        case "tail": .string(Array("N\(random.below(1000))".utf8))
        case "late": .bool(random.chance(30))
        case "at": .time(Int64(random.below(1000)) * 86_400_000_000 - 5)
        default: .null
        }
    }

    /// The rows spread over parts in runs, appended in batches.
    func parts(_ count: Int, chunkRows: Int, using random: inout SeededRandom) throws -> [[FramePart]] {
        let resources = FrameResources(
            memory: FrameMemory(compressesBeyondBytes: random.pick([0, 1 << 30])),
            cache: ColumnCache(limitBytes: 20_000), chunkRows: chunkRows,
            sharedStringsMax: random.pick([0, 20, SharedDictionary.countMax]))
        var nodes: [[FramePart]] = []
        var left = count
        while left > 0 {
            let shards = 1 + random.below(left)
            let catalog = FrameCatalog(shardCount: shards, resources: resources)
            nodes.append(try catalog.create("t", schema: schema).parts)
            left -= shards
        }
        let parts = nodes.flatMap(\.self)
        var start = 0
        while start < rows.count {
            let length = min(rows.count - start, 1 + random.below(max(1, rows.count / 3)))
            var batch = ColumnBatch(schema: schema)
            for row in rows[start..<start + length] { try batch.append(row: row) }
            try random.pick(parts).append(batch)
            start += length
        }
        return nodes
    }
}

/// Evaluates a plan as one would by hand: row by row, with no index, code or key.
struct NaiveEvaluator {
    let schema: FrameSchema
    let rows: [[Scalar]]

    func evaluate(_ plan: Plan) -> [[Scalar]] {
        let computed = plan.computed.map { column in
            (column.name, try! Expression(parsing: column.text))
        }
        let columns = schema.columns.map(\.name) + computed.map(\.0)
        let wide = rows.map { row in row + computed.map { value(of: $0.1, row) } }
        let table = NaiveTable(columns: columns, rows: wide)
        let passing = table.rows.filter { row in
            plan.filters.allSatisfy { passes($0, row[table.index($0.column)]) }
                && plan.anyFilters.allSatisfy { $0.contains { passes($0, row[table.index($0.column)]) } }
        }
        switch plan.output {
        case .rows(let names, _): return passing.map { row in names.map { row[table.index($0)] } }
        case .groups(let keys, let aggregates): return groups(passing, keys, aggregates, table)
        }
    }

    private struct NaiveTable {
        let columns: [String]
        let rows: [[Scalar]]
        func index(_ name: String) -> Int { columns.firstIndex(of: name)! }
    }

    private func groups(
        _ passing: [[Scalar]], _ keys: [GroupKey], _ aggregates: [Aggregate], _ table: NaiveTable
    ) -> [[Scalar]] {
        var groups: [[Scalar]: [[Scalar]]] = keys.isEmpty ? [[]: []] : [:]
        for row in passing {
            groups[keys.map { Self.normal(Self.cut(row[table.index($0.name)], $0)) }, default: []].append(row)
        }
        let answer = groups.map { key, rows in
            key.map(Self.original)
                + aggregates.map { aggregate in
                    self.aggregate(
                        aggregate, rows.count,
                        aggregate.column.map { name in rows.map { $0[table.index(name)] }.filter { $0 != .null } },
                        aggregate.by.map { by in
                            rows.map { (value: $0[table.index(aggregate.column!)], by: $0[table.index(by)]) }
                        } ?? [])
                }
        }
        return answer.sorted { a, b in
            for index in keys.indices {
                let order = Self.order(a[index], b[index])
                if order != 0 { return order < 0 }
            }
            return false
        }
    }

    // MARK: Buckets and expressions

    private static func cut(_ scalar: Scalar, _ key: GroupKey) -> Scalar {
        guard case .bucket(_, let width) = key else { return scalar }
        switch scalar {
        case .time(let time) where width == "month":
            let text = Timestamp.text(time)
            return .time(Timestamp.parse(String(text.prefix(7)) + "-01")!)
        case .time(let time):
            let seconds: Int128 = ["hour": 3600, "day": 86_400, "week": 604_800][width] ?? Int128(width)!
            let origin: Int128 = width == "week" ? 4 * 86_400_000_000 : 0  // 1970-01-05 was a Monday
            return .time(floor(time, seconds * 1_000_000, origin))
        case .int(let number): return .int(floor(number, Int128(width)!, 0))
        default: return scalar
        }
    }

    private static func floor(_ number: Int64, _ width: Int128, _ origin: Int128) -> Int64 {
        var quotient = (Int128(number) - origin) / width
        if quotient * width + origin > Int128(number) { quotient -= 1 }
        return Int64(clamping: quotient * width + origin)
    }

    private func value(of expression: Expression, _ row: [Scalar]) -> Scalar {
        number(expression, row).map { .double($0) } ?? .null
    }

    private func number(_ expression: Expression, _ row: [Scalar]) -> Double? {
        switch expression {
        case .number(let number): return number
        case .negated(let inner): return number(inner, row).map { -$0 }
        case .column(let name):
            switch row[schema.index(of: name)!] {
            case .int(let number): return Double(number)
            case .double(let number): return number
            case .bool(let flag): return flag ? 1 : 0
            default: return nil
            }
        case .call(let function, let inner):
            guard let a = number(inner, row) else { return nil }
            switch function {
            case .abs: return abs(a)
            case .floor: return a.rounded(.down)
            case .ceil: return a.rounded(.up)
            case .round: return a.rounded()
            case .sqrt: return a.squareRoot()
            }
        case .binary(let operation, let left, let right):
            guard let a = number(left, row), let b = number(right, row) else { return nil }
            switch operation {
            case .add: return a + b
            case .subtract: return a - b
            case .multiply: return a * b
            case .divide: return b == 0 ? nil : a / b
            case .remainder: return b == 0 ? nil : a.truncatingRemainder(dividingBy: b)
            }
        }
    }

    // A NaN is no equal of itself and could not be a key of a dictionary.
    private static let nanMark = Scalar.string([0xFF, 0x00, 0xFF])

    private static func normal(_ scalar: Scalar) -> Scalar {
        guard case .double(let number) = scalar else { return scalar }
        return number.isNaN ? nanMark : .double(number == 0 ? 0 : number)
    }

    private static func original(_ scalar: Scalar) -> Scalar { scalar == nanMark ? .double(.nan) : scalar }

    private func passes(_ filter: Filter, _ column: Scalar) -> Bool {
        if filter.op == .isNull { return column == .null }
        guard column != .null else { return false }
        func order(_ index: Int) -> Int { Self.order(column, Self.scalar(filter.values[index], like: column)) }
        switch filter.op {
        case .equal: return order(0) == 0
        case .notEqual: return order(0) != 0
        case .less: return order(0) < 0
        case .lessOrEqual: return order(0) <= 0
        case .greater: return order(0) > 0
        case .greaterOrEqual: return order(0) >= 0
        case .isIn: return filter.values.indices.contains { order($0) == 0 }
        case .between: return order(0) >= 0 && order(1) <= 0
        case .like:
            guard case .string(let text) = column, case .bytes(let pattern) = filter.values[0] else { return false }
            return Self.like(
                Array(String(decoding: text, as: UTF8.self).unicodeScalars)[...],
                Array(String(decoding: pattern, as: UTF8.self).unicodeScalars)[...])
        case .during:
            guard case .time(let time) = column, let text = filter.values[0].text else { return false }
            return Timestamp.period(text)!.contains(time)
        case .isNull, .notNull: return true
        }
    }

    private static func like(_ text: ArraySlice<Unicode.Scalar>, _ pattern: ArraySlice<Unicode.Scalar>) -> Bool {
        guard let first = pattern.first else { return text.isEmpty }
        let rest = pattern.dropFirst()
        switch first {
        case "%": return (0...text.count).contains { like(text.dropFirst($0), rest) }
        case "_": return !text.isEmpty && like(text.dropFirst(), rest)
        case "\\" where !rest.isEmpty:
            return text.first == rest.first && like(text.dropFirst(), rest.dropFirst())
        default: return text.first == first && like(text.dropFirst(), rest)
        }
    }

    static func scalar(_ value: Value, like column: Scalar) -> Scalar {
        switch (value, column) {
        case (.int(let seconds), .time): .time(seconds * 1_000_000)
        case (.bytes(let text), .time): .time(Timestamp.parse(String(decoding: text, as: UTF8.self))!)
        case (.int(let number), .double): .double(Double(number))
        case (.int(let number), _): .int(number)
        case (.double(let number), _): .double(number)
        case (.bool(let flag), _): .bool(flag)
        case (.bytes(let text), _): .string(text)
        default: .null
        }
    }

    /// Nulls last; NaN above every number; -0.0 as 0.0; an integer and a double by their exact values.
    static func order(_ a: Scalar, _ b: Scalar) -> Int {
        switch (a, b) {
        case (.null, .null): 0
        case (.null, _): 1
        case (_, .null): -1
        case (.int(let a), .int(let b)), (.time(let a), .time(let b)): a < b ? -1 : a > b ? 1 : 0
        case (.int(let a), .double(let b)):
            b.isNaN || b >= 0x1p63
                ? -1 : Int64(exactly: b).map { a < $0 ? -1 : a > $0 ? 1 : 0 } ?? (Double(a) < b ? -1 : 1)
        case (.double(let a), .double(let b)):
            a.isNaN || b.isNaN ? (a.isNaN ? 1 : 0) - (b.isNaN ? 1 : 0) : a < b ? -1 : a > b ? 1 : 0
        case (.bool(let a), .bool(let b)): (a ? 1 : 0) - (b ? 1 : 0)
        case (.string(let a), .string(let b)): a.lexicographicallyPrecedes(b) ? -1 : a == b ? 0 : 1
        default: fatalError("the test compares \(a) with \(b)")
        }
    }

    private func aggregate(
        _ aggregate: Aggregate, _ rowCount: Int, _ values: [Scalar]?, _ pairs: [(value: Scalar, by: Scalar)]
    ) -> Scalar {
        guard let values else { return .int(Int64(rowCount)) }
        if aggregate.function == .count { return .int(Int64(values.count)) }
        if aggregate.function == .distinct { return .int(Int64(Set(values.map(Self.normal)).count)) }
        switch aggregate.function {
        case .histogram: return Self.histogram(values, aggregate.edges)
        case .topk, .topkExact: return Self.top(values, Int(aggregate.number!))
        case .first, .last: return Self.end(pairs, isFirst: aggregate.function == .first)
        default: break
        }
        guard !values.isEmpty else { return .null }
        switch aggregate.function {
        case .min: return values.dropFirst().reduce(values[0]) { Self.extremeOrder($1, $0) < 0 ? $1 : $0 }
        case .max: return values.dropFirst().reduce(values[0]) { Self.extremeOrder($1, $0) > 0 ? $1 : $0 }
        case .quantile:
            // As nearly as a double can tell.
            let rank = (1...values.count).first { Double($0) / Double(values.count) >= aggregate.number! } ?? 1
            return values.sorted { Self.order($0, $1) < 0 }[max(rank, 1) - 1]
        case .variance: return Self.variance(values).map { .double($0) } ?? .null
        case .stddev: return Self.variance(values).map { .double($0.squareRoot()) } ?? .null
        default: return Self.sum(values, isAverage: aggregate.function == .avg)
        }
    }

    private static func histogram(_ values: [Scalar], _ edges: [Value]) -> Scalar {
        var counts = [Int64](repeating: 0, count: edges.count + 1)
        for value in values { counts[edges.count { order(value, scalar($0, like: value)) >= 0 }] += 1 }
        return .structured(.array(counts.map { .int($0) }))
    }

    private static func top(_ values: [Scalar], _ limit: Int) -> Scalar {
        let counts = Dictionary(values.map { (normal($0), Int64(1)) }, uniquingKeysWith: +)
        let sorted = counts.map { (value: original($0.key), count: $0.value) }.sorted { a, b in
            a.count != b.count ? a.count > b.count : order(a.value, b.value) < 0
        }
        return .structured(
            .array(sorted.prefix(limit).map { .object(["value": $0.value.value, "count": .int($0.count)]) }))
    }

    private static func end(_ pairs: [(value: Scalar, by: Scalar)], isFirst: Bool) -> Scalar {
        let sorted = pairs.filter { $0.value != .null && $0.by != .null }.sorted { a, b in
            let byOrder = order(a.by, b.by)
            return (byOrder != 0 ? byOrder : extremeOrder(a.value, b.value)) < 0
        }
        return (isFirst ? sorted.first : sorted.last)?.value ?? .null
    }

    /// In two passes.
    private static func variance(_ values: [Scalar]) -> Double? {
        guard values.count > 1 else { return nil }
        let numbers = values.map { scalar -> Double in
            switch scalar {
            case .int(let number): Double(number)
            case .double(let number): number
            case .bool(let flag): flag ? 1 : 0
            default: fatalError("the test takes the variance of \(scalar)")
            }
        }
        let mean = numbers.reduce(0, +) / Double(numbers.count)
        return numbers.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(numbers.count - 1)
    }

    /// For min and max -0.0 comes before 0.0.
    private static func extremeOrder(_ a: Scalar, _ b: Scalar) -> Int {
        if case .double(let a) = a, case .double(let b) = b, a == 0, b == 0 {
            return (a.sign == .minus ? 0 : 1) - (b.sign == .minus ? 0 : 1)
        }
        return order(a, b)
    }

    private static func sum(_ values: [Scalar], isAverage: Bool) -> Scalar {
        var integers: Int128 = 0
        var doubles = 0.0
        var isDouble = false
        for value in values {
            switch value {
            case .int(let number): integers += Int128(number)
            case .bool(let flag): integers += flag ? 1 : 0
            case .double(let number):
                doubles += number
                isDouble = true
            default: fatalError("the test sums \(value)")
            }
        }
        let count = Double(values.count)
        if isDouble { return .double(isAverage ? doubles / count : doubles) }
        return isAverage ? .double(Double(integers) / count) : .int(Int64(integers))
    }
}
