// Variances against exact ones: outliers anywhere, values far from zero, in one piece, by group and merged in any order.

import Engine
import Testing

@Suite struct FramesDeviationTests {
    private static let schema = try! FrameSchema(parsing: "g:int,x:double,n:int")

    /// The variance of whole numbers, of which all sums are exact, times the square of a power of two.
    private static func exact(_ numbers: [Int64], scale: Double) -> Double {
        let count = Int128(numbers.count)
        let sum = numbers.reduce(Int128(0)) { $0 + Int128($1) }
        let squares = numbers.reduce(Int128(0)) { $0 + Int128($1) * Int128($1) }
        return Double(count * squares - sum * sum) / Double(count * (count - 1)) * scale * scale
    }

    private static let shapes = [
        "first is far", "second is far", "last is far", "every 1,000th is far", "all are far from zero", "two heaps",
        "a ramp", "halves far apart", "the same", "noise", "first eight are far",
    ]

    private static func numbers(_ shape: String, _ count: Int) -> [Int64] {
        var random = SeededRandom(UInt64(count))
        let far = Int64(1) << 37
        return (0..<count).map { index in
            let noise = Int64(random.below(1_000))
            return switch shape {
            case "first is far": index == 0 ? far : noise
            case "second is far": index == 1 ? -far : noise
            case "last is far": index == count - 1 ? far : noise
            case "every 1,000th is far": index % 1_000 == 0 ? far : noise
            case "all are far from zero": far + noise % 3
            case "two heaps": index % 2 == 0 ? far + noise : noise - far
            case "a ramp": Int64(index) * 1_000
            case "halves far apart": index < count / 2 ? noise : far + noise
            case "the same": far + 1
            case "first eight are far": index < 8 ? far : noise
            default: noise
            }
        }
    }

    private static func parts(_ numbers: [Int64], groups: Int, scale: Double, _ partCount: Int) throws -> [FramePart] {
        try (0..<partCount).map { place in
            let part = FramePart(schema: schema, resources: FrameResources())
            var batch = ColumnBatch(schema: schema)
            for (index, number) in numbers.enumerated() where index * partCount / numbers.count == place {
                for group in 0..<groups {
                    try batch.append(row: [.int(Int64(group)), .double(Double(number) * scale), .int(number)])
                }
            }
            try part.append(batch)
            return part
        }
    }

    private static let aggregates = [Aggregate("x", .variance, "x"), Aggregate("n", .variance, "n")]

    @Test("a variance is that of exact arithmetic but for some roundings, wherever an outlier is", arguments: shapes)
    func outliers(shape: String) throws {
        for (count, groups, parts, scale) in [
            (2, 1, 1, 1.0), (7, 3, 1, 1), (9, 1, 2, 0x1p-40), (600, 5, 3, 1), (1_500, 1, 7, 0x1p300),
            (14_000, 1, 1, 0x1p-300),
        ] {
            let numbers = Self.numbers(shape, count)
            let expected = Self.exact(numbers, scale: scale)
            for keys in [[], ["g"]] where keys.isEmpty == (groups == 1) {
                let plan = Plan(frame: "f", group: keys, aggregates: Self.aggregates)
                var sum: Partial?
                for part in try Self.parts(numbers, groups: groups, scale: scale, parts).shuffled() {
                    let partial = try PlanExecutor.execute(plan, on: part.snapshot()).partial
                    if sum == nil { sum = partial } else { try sum!.merge(try Partial(decoding: partial.encoded())) }
                }
                for row in try #require(sum).finish().rows {
                    for (scalar, wanted) in zip(row.suffix(2), [Self.exact(numbers, scale: 1), expected]) {
                        guard case .double(let found) = scalar else { throw TestProblem() }
                        #expect(
                            wanted == 0 ? found == 0 : abs(found / wanted - 1) < 1e-11,
                            "\(shape), \(count) rows, \(groups) groups: \(found), not \(wanted)")
                    }
                }
            }
        }
    }

    private struct TestProblem: Error {}

    private static func permutations<T>(_ list: [T]) -> [[T]] {
        guard list.count > 1 else { return [list] }
        return list.indices.flatMap { index in
            var rest = list
            let first = rest.remove(at: index)
            return permutations(rest).map { [first] + $0 }
        }
    }

    /// Of a value that is none, NaN; of numbers whose squares are beyond doubles, infinite: in every order of rows and merges.
    @Test(
        "a variance of infinities, NaN and numbers at the ends of doubles is the same in every order",
        arguments: [
            [1e308, -1e308, 1, 5], [.greatestFiniteMagnitude, -.greatestFiniteMagnitude, 1e308, -1e308],
            [.infinity, 1, 2, 1e308], [.infinity, -.infinity, 3, -1e308], [.nan, 1e308, -1e308, 0],
            [1e200, 1, 2, 3], [1e153, 0, 1, 2], [1e150, -1e150, 1e149, 3], [.leastNonzeroMagnitude, 0, 1e-300, 1e300],
        ] as [[Double]])
    func order(values: [Double]) throws {
        let plan = Plan(frame: "f", aggregates: [Aggregate("x", .variance, "x")])
        var found: [Double] = []
        for order in Self.permutations(values) {
            for split in 0..<order.count {
                let part = { (rows: ArraySlice<Double>) throws -> Partial in
                    let part = FramePart(schema: Self.schema, resources: FrameResources())
                    var batch = ColumnBatch(schema: Self.schema)
                    for row in rows { try batch.append(row: [.int(0), .double(row), .null]) }
                    try part.append(batch)
                    return try PlanExecutor.execute(plan, on: part.snapshot()).partial
                }
                var sum = try part(order[split...])
                for value in order[..<split] { try sum.merge(try part([value])) }
                guard case .double(let variance) = try sum.finish().rows[0][0] else { throw TestProblem() }
                found.append(variance)
            }
        }
        let isNumber = values.allSatisfy(\.isFinite)
        let isNear = found[0].isFinite && found.allSatisfy { abs($0 / found[0] - 1) < 1e-12 }
        #expect(isNumber ? isNear || found.allSatisfy { $0 == .infinity } : found.allSatisfy(\.isNaN), "\(found)")
        if values.contains(1e308), isNumber { #expect(found[0] == .infinity) }
    }
}
