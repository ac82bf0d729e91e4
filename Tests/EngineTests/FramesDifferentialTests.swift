// Random plans over random tables, compared with a row-at-a-time evaluation of the same plan.

import Engine
import Foundation
import Testing

@Suite struct FramesDifferentialTests {
    /// Rounds of 30 plans over one table each. `FRAMES_ROUNDS=334` makes 10,000 plans.
    static let rounds = ProcessInfo.processInfo.environment["FRAMES_ROUNDS"].flatMap { Int($0) } ?? 60

    @Test(
        "random plans over random tables answer what a row-at-a-time evaluation answers, and the same when asked again")
    func randomPlans() throws {
        var random = SeededRandom(20_130_101)
        let pool = ComputePool(width: 3)
        for round in 0..<Self.rounds {
            let rowCount = round % 10 == 0 ? 0 : random.pick([1, 2, 63, 64, 65, 200, 1100])
            let table = try RandomTable(rowCount: rowCount, nullPercent: random.pick([0, 2, 5, 50]), using: &random)
            let parts = try table.parts(
                1 + random.below(8), chunkRows: random.pick([1, 7, 64, 100, 500, 65_536]), using: &random)
            let naive = NaiveEvaluator(schema: table.schema, rows: table.rows)
            for _ in 0..<30 {
                let plan = Self.plan(using: &random)
                let control = ScanControl(helpers: random.chance(50) ? pool : nil)
                let expected = naive.evaluate(plan)
                for attempt in ["first", "again"] {
                    let actual = try Self.gather(plan, parts.shuffledInAll(using: &random), control).finish().rows
                    let isSame = Self.same(actual, expected)
                    #expect(
                        isSame,
                        "round \(round), \(attempt): \(plan.value.answer.text) over \(rowCount) rows: \(Self.difference(actual, expected))"
                    )
                    guard isSame else { return }
                }
            }
        }
    }

    @Test("blocks beyond the first, of chunks of many thousand rows, answer the same too")
    func largeTables() throws {
        var random = SeededRandom(99)
        for chunkRows in [65_536, 9_000] {
            let table = try RandomTable(rowCount: 10_000, nullPercent: 3, using: &random)
            let parts = try table.parts(1, chunkRows: chunkRows, using: &random)
            let naive = NaiveEvaluator(schema: table.schema, rows: table.rows)
            for _ in 0..<20 {
                let plan = Self.plan(using: &random)
                let (actual, expected) = (try Self.gather(plan, parts).finish().rows, naive.evaluate(plan))
                let isSame = Self.same(actual, expected)
                #expect(isSame, "\(plan.value.answer.text): \(Self.difference(actual, expected))")
            }
        }
    }

    @Test("rows that pass the filters come back as they went in")
    func rows() throws {
        var random = SeededRandom(17)
        for _ in 0..<60 {
            let table = try RandomTable(rowCount: random.pick([0, 1, 70, 500]), nullPercent: 10, using: &random)
            let parts = try table.parts(1 + random.below(3), chunkRows: random.pick([1, 64, 300]), using: &random)
            let plan = Plan(
                frame: "t", computed: [ComputedColumn("half", "ratio / 2")],
                filters: (0..<random.below(3)).map { _ in Self.filter(using: &random) },
                output: .rows(columns: RandomTable.columns.map(\.name) + ["half"], limit: 1000))
            let actual = try Self.gather(plan, parts).finish().rows.map { "\($0)" }.sorted()
            let expected = NaiveEvaluator(schema: table.schema, rows: table.rows).evaluate(plan).map { "\($0)" }
                .sorted()
            let isSame = actual == expected
            #expect(isSame, "\(plan.value.answer.text)")
        }
    }

    @Test("the partials of many parts merge to the same bytes of answer in any order")
    func mergeOrder() throws {
        var random = SeededRandom(7)
        let table = try RandomTable(rowCount: 900, nullPercent: 10, using: &random)
        let parts = try table.parts(8, chunkRows: 32, using: &random)
        let plan = Plan(
            frame: "t", group: ["city", "late"],
            aggregates: [Aggregate("s", .sum, "ratio"), Aggregate("a", .avg, "ratio"), Aggregate("m", .max, "odd")])
        let first = try Self.gather(plan, parts).finish().values().map(\.messagePack)
        for _ in 0..<20 {
            let again = try Self.gather(plan, parts.shuffledInAll(using: &random)).finish().values().map(\.messagePack)
            let isSame = again == first
            #expect(isSame)
        }
    }

    @Test("topk_exact is exact by a second round where values were dropped, or says that it cannot be")
    func exactTop() throws {
        var random = SeededRandom(33)
        var settled = 0
        var refused = 0
        for round in 0..<60 {
            var table = try RandomTable(rowCount: 1_500, nullPercent: 5, using: &random)
            for row in table.rows.indices {
                // Few values often, many seldom.
                let skewed = random.below(1 + random.below(1 + random.below(1 + random.below(500))))
                table.rows[row][1] = .int(Int64(skewed))
                table.rows[row][8] = .string(Array("N\(skewed)".utf8))
            }
            let parts = try table.parts(1 + random.below(4), chunkRows: random.pick([100, 700]), using: &random)
            let keys = random.chance(50) ? [] : [random.pick(["city", "late", "tiny"])]
            let column = random.pick(["odd", "extreme", "tail", "tail", "medium", "medium"])
            let plan = Plan(
                frame: "t", filters: random.chance(50) ? [Self.filter(using: &random)] : [], group: keys,
                aggregates: [
                    Aggregate("x", .topkExact, column, number: Double(random.pick([1, 2, 3]))),
                    Aggregate("n", .count), Aggregate("s", .sum, "medium"),
                ])
            let expected = NaiveEvaluator(schema: table.schema, rows: table.rows).evaluate(plan)
            let limit = random.pick([6, 20, 50])
            let first = try Self.gather(plan, parts, ScanControl(topValuesMax: limit))
            do {
                guard let rest = try first.secondRound() else {
                    #expect(Self.same(try first.finish().rows, expected))
                    continue
                }
                let candidates = try TopCandidates(decoding: rest.candidates.encoded())
                var second = try Self.gather(
                    plan, parts.shuffledInAll(using: &random), ScanControl(candidates: candidates))
                #expect(throws: Failure.self) { try second.finish() }
                let isSettled = second.settle(rest, rowsSince: 0)
                #expect(isSettled)
                let actual = try second.finish().rows
                let isSame = Self.same(actual, expected)
                #expect(isSame, "round \(round): \(plan.value.answer.text): \(Self.difference(actual, expected))")
                var late = try Self.gather(plan, parts, ScanControl(candidates: candidates))
                let isLate = !late.settle(rest, rowsSince: 1_500)
                #expect(isLate, "so many rows could have changed everything")
                settled += 1
            } catch let failure as Failure {
                #expect(failure.message.contains("too evenly frequent"))
                refused += 1
            }
        }
        #expect(settled >= 10 && refused >= 5, "\(settled) settled, \(refused) refused")
    }

    /// Of the parts of each node: these merge as they are, and each node's partial goes over the wire and back.
    static func gather(
        _ plan: Plan, _ nodes: [[FramePart]], _ control: ScanControl = ScanControl()
    ) throws -> Partial {
        var sum: Partial?
        for parts in nodes {
            var partial = Partial(shape: try CompiledPlan(plan, schema: parts[0].schema).shape)
            for part in parts {
                try partial.merge(try PlanExecutor.execute(plan, on: part.snapshot(), control: control).partial)
            }
            let received = try Partial(decoding: partial.encoded())
            if sum == nil { sum = received } else { try sum!.merge(received) }
        }
        return sum!
    }

    static let expressions = [
        "tiny * 2 + medium", "ratio / tiny", "(medium - tiny) % 7", "abs(-ratio) + late", "medium / (tiny - tiny)",
        "floor(ratio) - ceil(ratio / 3) * 1e2", "sqrt(medium) / 4", "-tiny",
    ]

    static func plan(using random: inout SeededRandom) -> Plan {
        let computed = (0..<random.below(3)).map { ComputedColumn("c\($0)", random.pick(expressions)) }
        var filters = (0..<random.below(4)).map { _ in filter(using: &random) }
        if let column = computed.first, random.chance(30) {
            filters.append(Filter(column.name, random.pick([.less, .greaterOrEqual, .notEqual]), .double(1.5)))
        }
        let anyFilters = (0..<(random.chance(30) ? 1 + random.below(2) : 0)).map { _ in
            (0..<1 + random.below(3)).map { _ in filter(using: &random) }
        }
        let names = RandomTable.columns.map(\.name) + computed.map(\.name)
        let keys = names.shuffled(using: &random).prefix(random.below(5)).map { key($0, using: &random) }
        let aggregates = (0..<1 + random.below(4)).map { index in aggregate("x\(index)", computed, using: &random) }
        return Plan(
            frame: "t", computed: computed, filters: filters, anyFilters: anyFilters, keys: keys, aggregates: aggregates
        )
    }

    private static func key(_ name: String, using random: inout SeededRandom) -> GroupKey {
        switch name {
        case "at" where random.chance(70):
            .bucket(name, width: random.pick(["hour", "day", "week", "month", "172800", "7"]))
        case "medium" where random.chance(50): .bucket(name, width: random.pick(["1", "100", "99999"]))
        case "extreme" where random.chance(50): .bucket(name, width: random.pick(["1", "1000"]))
        default: .column(name)
        }
    }

    private static func aggregate(
        _ name: String, _ computed: [ComputedColumn], using random: inout SeededRandom
    ) -> Aggregate {
        let function = random.pick(AggregateFunction.allCases)
        let numbers = computed.map(\.name)
        switch function {
        case .sum:
            return Aggregate(
                name, .sum, random.pick(["tiny", "medium", "large", "wide", "ratio", "late", "nothing"] + numbers))
        case .avg:
            return Aggregate(name, .avg, random.pick(["tiny", "extreme", "large", "wide", "ratio", "late"] + numbers))
        case .variance, .stddev:
            return Aggregate(name, function, random.pick(["tiny", "medium", "large", "ratio", "late"]))
        case .quantile:
            let column = random.pick(["tiny", "medium", "large", "wide", "extreme", "ratio", "odd", "at"] + numbers)
            return Aggregate(name, .quantile, column, number: random.pick([0, 0.01, 0.25, 0.5, 0.95, 1]))
        case .count where random.chance(50): return Aggregate(name, .count)
        case .histogram: return histogram(name, using: &random)
        case .topk, .topkExact:
            return Aggregate(
                name, function, random.pick(RandomTable.columns.map(\.name) + numbers),
                number: Double(random.pick([1, 2, 5, 1000])))
        case .first, .last:
            return Aggregate(
                name, function, random.pick(RandomTable.columns.map(\.name) + numbers),
                by: random.pick(["tiny", "extreme", "ratio", "odd", "late", "at", "nothing"] + numbers))
        default: return Aggregate(name, function, random.pick(RandomTable.columns.map(\.name) + numbers))
        }
    }

    private static func histogram(_ name: String, using random: inout SeededRandom) -> Aggregate {
        let count = 1 + random.below(20)
        switch random.below(4) {
        case 0:
            let edges = (0..<count).map { _ in Double(random.below(9)) / 2 - 2 }.sorted()
            return Aggregate(name, .histogram, "tiny", edges: edges.map { .double($0) })
        case 1:
            let edges = (0..<count).map { _ in Int64(random.below(40_000)) - 20_000 }.sorted()
            return Aggregate(
                name, .histogram, random.pick(["medium", "extreme", "wide"]), edges: edges.map { .int($0) })
        case 2:
            let edges = [-Double.infinity, -1, 0, 0.1, 1e9, .infinity]
            return Aggregate(name, .histogram, random.pick(["odd", "ratio"]), edges: edges.map { .double($0) })
        default:
            let days = (0..<count).map { _ in Int64(random.below(1000)) }.sorted()
            return Aggregate(name, .histogram, "at", edges: days.map { .int($0 * 86_400) })
        }
    }

    private static func filter(using random: inout SeededRandom) -> Filter {
        let column = random.pick(RandomTable.columns)
        var ops = FilterOperator.allCases
        if column.type != .string { ops.removeAll { $0 == .like } }
        if column.type != .time { ops.removeAll { $0 == .during } }
        let op = random.pick(ops)
        let count =
            switch op {
            case .isNull, .notNull: 0
            case .between: 2
            case .isIn: random.below(5)
            default: 1
            }
        if op == .during {
            let periods = [
                "1970", "1971-02", "1972-02-29", "1970-03-01T23", "1970-01-05/1972-01-01T12:00:00Z",
                "1971-01-01/1971-01-01",
            ]
            return Filter(column.name, .during, .string(random.pick(periods)))
        }
        if op == .like {
            return Filter(column.name, .like, .string(random.pick(["%", "_", "a%", "%b", "N_1%", "\\%", "%_r%", ""])))
        }
        return Filter(
            column: column.name, op: op, values: (0..<count).map { _ in literal(column, using: &random) })
    }

    private static func literal(_ column: FrameColumn, using random: inout SeededRandom) -> Value {
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
        // As text, because NaN is no equal of itself.
        if case .structured(let x) = a, case .structured(let y) = b { return "\(x)" == "\(y)" }
        guard case .double(let x) = a, case .double(let y) = b else { return a == b }
        if x.isNaN || y.isNaN { return x.isNaN && y.isNaN }
        return x == y || abs(x - y) <= 1e-9 * max(abs(x), abs(y), 1)
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

extension [[FramePart]] {
    /// The nodes in any order, and their parts.
    fileprivate func shuffledInAll(using random: inout SeededRandom) -> [[FramePart]] {
        map { $0.shuffled(using: &random) }.shuffled(using: &random)
    }
}
