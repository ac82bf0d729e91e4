// Plans over rows, in two layouts: shards, chunks and tails of one frame, and all rows in one tail. The answers are the same.

import Engine

enum PlansFuzz {
    private static let columns = ["s", "n", "w", "x", "b", "t"]
    private static let schema = try! FrameSchema(parsing: "s:string,n:int,w:int,x:double,b:bool,t:time")
    private static let texts = ["", "a", "b", "ab", "é", "zz", "a longer one than eight bytes", "N1", "N2"]
    private static let wide: [Int64] = [.min, .max, -1, 0, 1, 1 << 40, .max - 1, -(1 << 33)]

    /// Rows, each some times over; then plans.
    static func run(_ input: [UInt8]) -> String? {
        var choices = Choices(input)
        let chunkRows = [1, 7, 64, 300, 65_536][choices.below(5)]
        let resources = FrameResources(chunkRows: chunkRows, sharedStringsMax: [0, 4, 1 << 18][choices.below(3)])
        let catalog = FrameCatalog(shardCount: 1 + choices.below(3), resources: resources)
        guard let frame = try? catalog.create("f", schema: schema) else { return "no frame" }
        let whole = FramePart(schema: schema, resources: FrameResources())
        do {
            for _ in 0..<choices.below(12) {
                let batch = try Self.batch(&choices)
                try frame.parts[choices.below(frame.parts.count)].append(batch)
                try whole.append(batch)
            }
            for _ in 0..<1 + choices.below(3) {
                let plan = Self.plan(&choices)
                guard let compiled = try? CompiledPlan(plan, schema: schema) else { continue }
                if let problem = try compare(compiled, frame.parts, whole) { return "\(plan.value): \(problem)" }
            }
        } catch { return "\(error)" }
        return nil
    }

    private static func compare(_ plan: CompiledPlan, _ parts: [FramePart], _ whole: FramePart) throws -> String? {
        let expected = try PlanExecutor.execute(plan, on: whole.snapshot()).partial
        for _ in 0..<2 {  // the second time from what is known
            var sum = Partial(shape: plan.shape)
            for part in parts { try sum.merge(try PlanExecutor.execute(plan, on: part.snapshot()).partial) }
            let received = try Partial(decoding: sum.encoded())
            let (rows, wanted) = (try received.finish().rows, try expected.finish().rows)
            if "\(rows)" != "\(wanted)" { return "\(rows), in one tail \(wanted)" }
        }
        return nil
    }

    // MARK: Choices

    private static func batch(_ choices: inout Choices) throws -> ColumnBatch {
        var batch = ColumnBatch(schema: schema)
        for _ in 0..<1 + choices.below(6) {
            let row = columns.map { scalar($0, &choices) }
            for _ in 0..<[1, 3, 40, 200][choices.below(4)] { try batch.append(row: row) }
        }
        return batch
    }

    /// Doubles whose sums are exact in any order.
    private static func scalar(_ column: String, _ choices: inout Choices) -> Scalar {
        let choice = Int(choices.byte())
        if choice % 5 == 0 { return .null }
        switch column {
        case "s": return .string(Array(texts[choice % texts.count].utf8))
        case "n": return .int(Int64(choice) * 3 - 300)
        case "w": return .int(wide[choice % wide.count])
        case "x": return .double(Double(choice - 128) / 8)
        case "b": return .bool(choice & 1 == 0)
        default: return .time(Int64(choice) * 86_400_000_000 * 11 - 5)
        }
    }

    private static func plan(_ choices: inout Choices) -> Plan {
        var keys: [GroupKey] = []
        var names: Set<String> = []
        for _ in 0..<choices.below(4) {
            let name = columns[choices.below(columns.count)]
            guard names.insert(name).inserted else { continue }
            keys.append(name == "t" && choices.byte() & 1 == 0 ? .bucket(name, width: "month") : .column(name))
        }
        let filters = (0..<choices.below(3)).map { _ in filter(&choices) }
        let any = (0..<choices.below(2)).map { _ in (0..<1 + choices.below(2)).map { _ in filter(&choices) } }
        let aggregates = (0..<1 + choices.below(4)).map { aggregate("a\($0)", &choices) }
        return Plan(frame: "f", filters: filters, anyFilters: any, keys: keys, aggregates: aggregates)
    }

    private static func filter(_ choices: inout Choices) -> Filter {
        let column = columns[choices.below(columns.count)]
        let op = FilterOperator.allCases[choices.below(FilterOperator.allCases.count)]
        let values = (0..<choices.below(4)).map { _ -> Value in
            switch scalar(column, &choices) {
            case .string(let text): .bytes(text)
            case .int(let number): .int(number)
            case .double(let number): .double(number)
            case .bool(let flag): .bool(flag)
            case .time(let time): .int(time / 1_000_000)
            default: .int(0)
            }
        }
        return Filter(column: column, op: op, values: values)
    }

    private static func aggregate(_ name: String, _ choices: inout Choices) -> Aggregate {
        let column = columns[choices.below(columns.count)]
        switch choices.below(10) {
        case 0: return Aggregate(name, .count)
        case 1: return Aggregate(name, .count, column)
        case 2: return Aggregate(name, .sum, choices.byte() & 1 == 0 ? "n" : "x")
        case 3: return Aggregate(name, .avg, choices.byte() & 1 == 0 ? "n" : "b")
        case 4: return Aggregate(name, .min, column)
        case 5: return Aggregate(name, .max, column)
        case 6: return Aggregate(name, .distinct, column)
        case 7: return Aggregate(name, .quantile, column, number: Double(choices.below(5)) / 4)
        case 8: return Aggregate(name, .topk, column, number: Double(1 + choices.below(4)))
        default: return Aggregate(name, .histogram, "n", edges: [.int(-100), .int(0), .int(77)])
        }
    }
}
