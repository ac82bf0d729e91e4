// Random plans over random tables, compared with a row-at-a-time evaluation of the same plan.

import Engine
import Testing

@Suite struct FramesDifferentialTests {
    @Test("random plans over random tables answer what a row-at-a-time evaluation answers")
    func randomPlans() throws {
        var random = Seeded(20_130_101)
        var plans = 0
        for round in 0..<150 {
            let rowCount = round % 10 == 0 ? 0 : random.pick([1, 2, 63, 64, 65, 200, 1100])
            let table = try RandomTable(rowCount: rowCount, nullPercent: random.pick([0, 5, 50]), using: &random)
            let parts = try table.parts(
                1 + random.below(8), chunkRows: random.pick([1, 7, 64, 100, 500, 65_536]), using: &random)
            let naive = NaiveEvaluator(schema: table.schema, rows: table.rows)
            for _ in 0..<30 {
                let plan = Self.plan(using: &random)
                let actual = try Self.gather(plan, parts.shuffled(using: &random)).finish().rows
                let expected = naive.evaluate(plan)
                let isSame = Self.same(actual, expected)
                #expect(
                    isSame,
                    "round \(round): \(plan.value.answer.text) over \(rowCount) rows: \(Self.difference(actual, expected))"
                )
                guard isSame else { return }
                plans += 1
            }
        }
        #expect(plans == 4500)
    }

    @Test("the partials of many parts merge to the same bytes of answer in any order")
    func mergeOrder() throws {
        var random = Seeded(7)
        let table = try RandomTable(rowCount: 900, nullPercent: 10, using: &random)
        let parts = try table.parts(8, chunkRows: 32, using: &random)
        let plan = Plan(
            frame: "t", group: ["city", "late"],
            aggregates: [Aggregate("s", .sum, "ratio"), Aggregate("a", .avg, "ratio"), Aggregate("m", .max, "odd")])
        let first = try Self.gather(plan, parts).finish().values().map(\.messagePack)
        for _ in 0..<20 {
            let again = try Self.gather(plan, parts.shuffled(using: &random)).finish().values().map(\.messagePack)
            let isSame = again == first
            #expect(isSame)
        }
    }

    /// Each part's partial goes over the wire and back.
    static func gather(_ plan: Plan, _ parts: [FramePart]) throws -> Partial {
        var sum: Partial?
        for part in parts {
            let partial = try PlanExecutor.execute(plan, on: part.snapshot()).partial
            let received = try Partial(decoding: partial.encoded())
            if sum == nil { sum = received } else { try sum!.merge(received) }
        }
        return sum!
    }

    static func plan(using random: inout Seeded) -> Plan {
        let filters = (0..<random.below(4)).map { _ in filter(using: &random) }
        let names = RandomTable.columns.map(\.name)
        let keys = Array(names.shuffled(using: &random).prefix(random.below(5)))
        let aggregates = (0..<1 + random.below(4)).map { index in aggregate("x\(index)", using: &random) }
        return Plan(frame: "t", filters: filters, group: keys, aggregates: aggregates)
    }

    private static func aggregate(_ name: String, using random: inout Seeded) -> Aggregate {
        let function = random.pick(AggregateFunction.allCases)
        switch function {
        case .sum:
            return Aggregate(name, .sum, random.pick(["tiny", "medium", "large", "wide", "ratio", "late", "nothing"]))
        case .avg: return Aggregate(name, .avg, random.pick(["tiny", "extreme", "large", "wide", "ratio", "late"]))
        case .count where random.chance(50): return Aggregate(name, .count)
        default: return Aggregate(name, function, random.pick(RandomTable.columns).name)
        }
    }

    private static func filter(using random: inout Seeded) -> Filter {
        let column = random.pick(RandomTable.columns)
        var ops = FilterOperator.allCases
        if column.type != .string { ops.removeAll { $0 == .like } }
        let op = random.pick(ops)
        let count =
            switch op {
            case .isNull, .notNull: 0
            case .between: 2
            case .isIn: random.below(5)
            default: 1
            }
        if op == .like {
            return Filter(column.name, .like, .string(random.pick(["%", "_", "a%", "%b", "N_1%", "\\%", "%_r%", ""])))
        }
        return Filter(
            column: column.name, op: op, values: (0..<count).map { _ in literal(column, using: &random) })
    }

    private static func literal(_ column: FrameColumn, using random: inout Seeded) -> Value {
        if column.type == .int, random.chance(30) {
            return .double(random.pick([0.5, -1.5, 1e300, -1e300, .nan, .infinity, -.infinity, 2, 0x1p63, -0x1p63]))
        }
        if column.type == .double, random.chance(30) { return .int(random.pick([0, 1, -1, 1000])) }
        if column.type == .time, random.chance(30) { return .int(Int64(random.below(1000)) * 86_400) }
        if column.name == "nothing" { return .int(0) }
        return RandomTable.value(column.name, using: &random).value
    }

    /// Exact but for sums of doubles, which may differ in the last digits from plain addition.
    static func same(_ a: [[Scalar]], _ b: [[Scalar]]) -> Bool {
        a.count == b.count && zip(a, b).allSatisfy { $0.count == $1.count && zip($0, $1).allSatisfy(same) }
    }

    private static func same(_ a: Scalar, _ b: Scalar) -> Bool {
        guard case .double(let x) = a, case .double(let y) = b else { return a == b }
        if x.isNaN || y.isNaN { return x.isNaN && y.isNaN }
        return x == y || abs(x - y) <= 1e-11 * max(abs(x), abs(y), 1)
    }

    private static func difference(_ a: [[Scalar]], _ b: [[Scalar]]) -> String {
        guard a.count == b.count else { return "\(a.count) rows, not \(b.count)" }
        guard let index = a.indices.first(where: { !same([a[$0]], [b[$0]]) }) else { return "none" }
        return "row \(index): \(a[index]), not \(b[index])"
    }
}

extension [UInt8] {
    var text: String { String(decoding: self, as: UTF8.self) }
}
