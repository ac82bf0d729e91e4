// Answers at their ends: partials merged too often, counts that others send, ranks, deviations, bounds of errors, cut rows.

import Engine
import Testing

@Suite struct FramesExactnessTests {
    private static let schema = try! FrameSchema(parsing: "n:int,s:string,x:double,t:time")

    private static func partial(_ plan: Plan, _ rows: [[Scalar]], chunkRows: Int = 65_536) throws -> Partial {
        let part = FramePart(schema: schema, resources: FrameResources(chunkRows: chunkRows))
        var batch = ColumnBatch(schema: schema)
        for row in rows { try batch.append(row: row + Array(repeating: .null, count: 4 - row.count)) }
        try part.append(batch)
        return try PlanExecutor.execute(plan, on: part.snapshot()).partial
    }

    private static func plan(_ aggregates: Aggregate...) -> Plan { Plan(frame: "f", aggregates: aggregates) }

    private static func aggregate(_ function: AggregateFunction, _ column: String = "n") -> Aggregate {
        Aggregate(
            "a", function, column,
            number: function == .quantile ? 0.5 : [.topk, .topkExact].contains(function) ? 2 : nil,
            by: function == .first || function == .last ? "n" : nil, edges: function == .histogram ? [.int(2)] : [])
    }

    private static func message(_ body: () throws -> Void) -> String? {
        do { try body() } catch { return (error as? Failure)?.message }
        return nil
    }

    // MARK: Counts

    /// Those that count rows.
    private static let counting: Set<AggregateFunction> = [
        .count, .sum, .avg, .variance, .stddev, .quantile, .topk, .topkExact, .histogram,
    ]

    @Test(
        "a partial merged with itself is exact as long as its counts fit, and then says that they do not",
        arguments: AggregateFunction.allCases)
    func doubled(function: AggregateFunction) throws {
        let columns = function == .sum || function == .avg || function == .quantile ? ["n", "x"] : ["n"]
        for column in columns {
            var sum = try Self.partial(
                Self.plan(Self.aggregate(function, column)),
                [1, 2, 3].map { [.int($0), .null, .double(Double($0))] })
            let once = try sum.finish().rows[0][0]
            for doublings in 1...70 {
                let problem = Self.message { try sum.merge(sum) }
                guard Self.counting.contains(function), doublings >= 62 else {
                    #expect(problem == nil, "\(doublings) doublings")
                    sum = try Partial(decoding: sum.encoded())
                    switch function {
                    case .count: #expect(try sum.finish().rows == [[.int(3 << Int64(doublings))]])
                    case .avg, .quantile, .min, .max, .first, .last, .distinct:
                        #expect(try sum.finish().rows == [[once]])
                    case .sum where column == "n" && doublings > 60: #expect(throws: Failure.self) { try sum.finish() }
                    case .topk, .topkExact:
                        let text = "\(try sum.finish().values())"
                        #expect(text.contains("\(Int64(1) << Int64(doublings))"))
                    default: _ = try sum.finish()
                    }
                    continue
                }
                // The values of topk are counted one by one, and fit once more.
                if problem == nil, function == .topk || function == .topkExact || function == .histogram { continue }
                #expect(
                    problem?.hasPrefix("a count is beyond 64 bits") == true, "\(doublings): \(problem ?? "nothing")")
                return
            }
            #expect(!Self.counting.contains(function))
        }
    }

    @Test("whether counts of several nodes fit does not depend on the order of merges")
    func orderOfOverflow() throws {
        let plan = Self.plan(Aggregate("c", .count), Aggregate("q", .quantile, "n", number: 0.5))
        let one = try Self.partial(plan, [[.int(1)], [.int(5)]])
        var half = one
        for _ in 0..<61 { try half.merge(half) }  // 2^62 rows
        let parts = [half, one, half]
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            var sum = parts[order[0]]
            let problem = Self.message { for index in order.dropFirst() { try sum.merge(parts[index]) } }
            #expect(problem?.hasPrefix("a count is beyond 64 bits") == true)
        }
    }

    @Test("a count that another node sends is believed up to 2^63-1, and a negative one is damage")
    func sentCounts() throws {
        let plan = Self.plan(Aggregate("c", .count))
        let bytes = try Self.partial(plan, [[.int(1)]]).encoded()
        func with(_ count: Int64) -> [UInt8] {
            bytes.dropLast(8) + withUnsafeBytes(of: count.littleEndian) { Array($0) }
        }
        for count in [0, 1, 1 << 48, .max - 1, .max] as [Int64] {
            let partial = try Partial(decoding: with(count))
            #expect(try partial.finish().rows == [[.int(count)]])
            var sum = partial
            let fits = !count.addingReportingOverflow(count).overflow
            let problem = Self.message { try sum.merge(partial) }
            #expect((problem == nil) == fits)
        }
        for count in [-1, .min] as [Int64] { #expect(throws: Failure.self) { try Partial(decoding: with(count)) } }
    }

    @Test("damage in what other nodes send of any aggregate is refused, or merged and answered without a trap")
    func damagedStates() throws {
        var random = SeededRandom(77)
        for function in AggregateFunction.allCases {
            let bytes = try Self.partial(
                Plan(frame: "f", group: ["s"], aggregates: [Self.aggregate(function)]),
                (0..<9).map { [.int(Int64($0) - 4), .text("g\($0 % 2)")] }
            ).encoded()
            let ends: [[UInt8]] = [
                [UInt8](repeating: 0xFF, count: 7) + [0x7F], [UInt8](repeating: 0xFF, count: 8),
                [UInt8](repeating: 0, count: 7) + [0x80], [0, 0, 0, 0, 0, 0, 0xF8, 0x7F],
                [0, 0, 0, 0, 0, 0, 0xF0, 0x7F],
            ]
            for _ in 0..<3_000 {
                var damaged = bytes
                let end = random.pick(ends)
                let at = random.below(bytes.count - 8)
                if random.chance(70) { damaged.replaceSubrange(at..<at + 8, with: end) }
                damaged[random.below(bytes.count)] = UInt8(random.below(256))
                guard var partial = try? Partial(decoding: damaged) else { continue }
                for _ in 0..<3 { try? partial.merge(partial) }
                _ = try? partial.finish()
                _ = try? partial.secondRound()
            }
        }
    }

    // MARK: Quantiles

    @Test("the rank of a quantile is the least that reaches its share, for every hundredth, thousandth and n-th")
    func ranks() {
        for count in 1...400 as ClosedRange<Int64> {
            for (parts, step) in [(100, 1), (1000, 7), (count, 1)] as [(Int64, Int64)] {
                for part in stride(from: 0, through: parts, by: Int(step)) {
                    let expected = max(1, (count * part + parts - 1) / parts)
                    let rank = QuantileRank.rank(ofShare: Double(part) / Double(parts), count: count)
                    if rank != expected { Issue.record("\(part)/\(parts) of \(count): \(rank), not \(expected)") }
                }
            }
        }
        for (share, count, rank) in [
            (0.07, 100, 7), (0.14, 100, 14), (0.28, 100, 28), (0.55, 100, 55), (0.56, 100, 56), (0.1 + 0.2, 10, 4),
            (0.5, 1 << 62, 1 << 61), (0.5, .max, 1 << 62), (1, .max, .max), (0, .max, 1),
            (.leastNonzeroMagnitude, .max, 1), (1e-30, .max, 1), (0.999_999_999_999, 10, 10), (0.3, 0, 0),
        ] as [(Double, Int64, Int64)] {
            #expect(QuantileRank.rank(ofShare: share, count: count) == rank, "\(share) of \(count)")
        }
    }

    @Test("quantiles of a sketch are values within half a percent of the true ones, never beyond the least or greatest")
    func sketches() throws {
        var random = SeededRandom(3)
        let integers = (0..<70_000).map { Int64($0) - 35_000 } + [.min, .max]
        let doubles =
            (0..<70_000).map { _ in Double(random.below(1 << 40)) / 1024 - 1e8 } + [
                .infinity, -.infinity, 1e308, 5e-300,
            ]
        let shares = [0, 0.001, 0.01, 0.25, 0.495, 0.5, 0.505, 0.75, 0.99, 0.999, 1]
        let aggregates = shares.enumerated().flatMap { index, share in
            [
                Aggregate("n\(index + 10)", .quantile, "n", number: share),
                Aggregate("x\(index + 10)", .quantile, "x", number: share),
            ]
        }
        let plan = Plan(frame: "f", aggregates: aggregates)
        let rows = (0..<doubles.count).map { row -> [Scalar] in
            [row < integers.count ? .int(integers[row]) : .null, .null, .double(doubles[row])]
        }
        var sum = try Self.partial(plan, rows)
        let exactIntegers = integers.sorted()
        let exactDoubles = doubles.sorted()
        for _ in 0..<2 {
            let answer = try sum.finish().rows[0]
            for (index, share) in shares.enumerated() {
                guard case .int(let n) = answer[index], case .double(let x) = answer[shares.count + index] else {
                    throw TestProblem()
                }
                let n0 = exactIntegers[Int(QuantileRank.rank(ofShare: share, count: Int64(integers.count))) - 1]
                let x0 = exactDoubles[Int(QuantileRank.rank(ofShare: share, count: Int64(doubles.count))) - 1]
                #expect(abs(Double(n) - Double(n0)) <= 0.005 * Double(n0.magnitude), "\(share): \(n), not \(n0)")
                #expect(x == x0 || abs(x - x0) <= 0.005 * abs(x0), "\(share): \(x), not \(x0)")
            }
            #expect(answer[0] == .int(.min) && answer[shares.count - 1] == .int(.max))
            #expect(answer[shares.count] == .double(-.infinity) && answer[2 * shares.count - 1] == .double(.infinity))
            sum = try Partial(decoding: sum.encoded())
        }
        #expect(sum.relativeErrors.allSatisfy { $0.error == 0.005 } && sum.relativeErrors.count == 2 * shares.count)
        let bytes = sum.encoded()
        for _ in 0..<70 where Self.message({ try sum.merge(sum) }) == nil {}
        let problem = Self.message { try sum.merge(sum) }
        #expect(problem?.hasPrefix("a count is beyond 64 bits") == true)
        #expect(try Partial(decoding: bytes).finish().rows == Partial(decoding: bytes).finish().rows)
    }

    // MARK: Deviations

    @Test(
        "a deviation of infinite values or NaN is NaN, one with squares beyond doubles infinite, in one piece or merged"
    )
    func deviations() throws {
        let plan = Self.plan(Aggregate("s", .stddev, "x"), Aggregate("v", .variance, "x"))
        for values in [
            [.infinity, 1], [1, .infinity], [-.infinity, .infinity], [.nan, 1, 2], [1, 2, .nan],
            [.infinity, .infinity],
            [1e308, -1e308], [1e200, -1e200, 0], [0, 1e200, -1e200, 5], [1, 1, 1, .infinity, 1],
        ] as [[Double]] {
            let whole = try Self.partial(plan, values.map { [.null, .null, .double($0)] })
            var merged = Partial(shape: whole.shape)
            for value in values { try merged.merge(try Self.partial(plan, [[.null, .null, .double(value)]])) }
            for partial in [whole, merged, try Partial(decoding: merged.encoded())] {
                for scalar in try partial.finish().rows[0] {
                    guard case .double(let number) = scalar else { throw TestProblem() }
                    let isInfinite = values.allSatisfy(\.isFinite)
                    #expect(isInfinite ? number == .infinity : number.isNaN, "\(values): \(number)")
                }
            }
        }
        let finite = try Self.partial(plan, [1e150, -1e150].map { [.null, .null, .double($0)] })
        guard case .double(let deviation) = try finite.finish().rows[0][0] else { throw TestProblem() }
        #expect(abs(deviation / 1.414_213_562_373_095e150 - 1) < 1e-12)
        #expect(try Self.partial(plan, [[.null, .null, .double(.infinity)]]).finish().rows == [[.null, .null]])
    }

    // MARK: Different values

    @Test("a count of very many different values is within the bound that it gives, and full registers are no trap")
    func distinct() throws {
        let plan = Self.plan(Aggregate("d", .distinct, "n"))
        let error = 0.025
        var last: [UInt8] = []
        for (seed, count) in [(1, 66_000), (2, 80_000), (3, 100_000), (4, 150_000)] {
            // Far apart, so that they are counted by hash.
            let partial = try Self.partial(
                plan, (0..<count).map { [.int(Int64($0) &* 0x9E37_79B9 &+ Int64(seed) << 40)] })
            guard case .int(let found) = try partial.finish().rows[0][0] else { throw TestProblem() }
            #expect(abs(Double(found) / Double(count) - 1) <= error, "\(found) of \(count)")
            #expect(partial.relativeErrors.map(\.error) == [error])
            last = partial.encoded()
        }
        let full = last.dropLast(16_384) + [UInt8](repeating: 51, count: 16_384)
        guard case .int(let found) = try Partial(decoding: Array(full)).finish().rows[0][0] else { throw TestProblem() }
        #expect(found > 1 << 50)
        let empty = last.dropLast(16_384) + [UInt8](repeating: 0, count: 16_384)
        #expect(try Partial(decoding: Array(empty)).finish().rows == [[.int(0)]])
        let beyond = last.dropLast(1) + [52]
        #expect(throws: Failure.self) { try Partial(decoding: Array(beyond)) }
    }

    // MARK: Rows

    @Test("rows that a limit leaves out are told, whether a scan or a merge leaves them out")
    func truncatedRows() throws {
        let rows: [[Scalar]] = (0..<20).map { [.int($0)] }
        for (limit, filter, isTruncated) in [
            (19, 0, true), (20, 0, false), (21, 0, false), (5, 15, false), (5, 14, true),
        ] {
            let plan = Plan(
                frame: "f", filters: [Filter("n", .greaterOrEqual, .int(Int64(filter)))], rows: ["n"], limit: limit)
            for chunkRows in [3, 5, 65_536] {
                let partial = try Self.partial(plan, rows, chunkRows: chunkRows)
                #expect(partial.isTruncated == isTruncated, "\(limit) from \(filter) on in chunks of \(chunkRows)")
                #expect(partial.rows.map { $0[0] } == (filter..<min(20, filter + limit)).map { .int(Int64($0)) })
                #expect(try Partial(decoding: partial.encoded()).isTruncated == isTruncated)
            }
        }
        let plan = Plan(frame: "f", rows: ["n"], limit: 10)
        let five = try Self.partial(plan, Array(rows.prefix(5)))
        var sum = five
        try sum.merge(five)
        #expect(!sum.isTruncated && sum.rows.count == 10)
        try sum.merge(Partial(shape: sum.shape))
        #expect(!sum.isTruncated)
        try sum.merge(try Self.partial(plan, [rows[0]]))
        #expect(sum.isTruncated && sum.rows.count == 10)
        var other = Partial(shape: sum.shape)
        try other.merge(sum)
        #expect(other.isTruncated)
    }

    // MARK: Comparisons and buckets

    @Test("integers and doubles compare exactly where doubles are further apart than integers")
    func exactComparisons() throws {
        let edge: Int64 = 1 << 53
        let pairs: [(Scalar, Scalar, Int)] = [
            (.int(edge + 1), .double(0x1p53), 1), (.int(edge), .double(0x1p53), 0),
            (.int(edge - 1), .double(0x1p53), -1),
            (.int(.max), .double(0x1p63), -1), (.int(.min), .double(-0x1p63), 0), (.int(0), .double(-0.0), 0),
            (.int(.max), .double(.nan), -1), (.int(.max), .double(.infinity), -1), (.int(.min), .double(-.infinity), 1),
        ]
        for (a, b, order) in pairs {
            #expect(Scalar.compare(a, b) == order && Scalar.compare(b, a) == -order, "\(a) \(b)")
        }
        func count(_ op: FilterOperator, _ value: Int64) throws -> Scalar {
            let plan = Plan(frame: "f", filters: [Filter("x", op, .int(value))], aggregates: [Aggregate("c", .count)])
            return try Self.partial(plan, [0x1p53, 0x1p53 + 2].map { [.null, .null, .double($0)] }).finish().rows[0][0]
        }
        #expect(try count(.less, edge + 1) == .int(1) && count(.greater, edge + 1) == .int(1))
        #expect(try count(.equal, edge + 1) == .int(0) && count(.notEqual, edge + 1) == .int(2))
        #expect(try count(.lessOrEqual, edge) == .int(1) && count(.equal, edge) == .int(1))
        #expect(try count(.greaterOrEqual, .max) == .int(0) && count(.less, .max) == .int(2))
        let bins = try Self.partial(
            Self.plan(Aggregate("h", .histogram, "x", edges: [.int(edge + 1)])),
            [0x1p53, 0x1p53 + 2].map { [.null, .null, .double($0)] }
        ).finish().rows
        #expect(bins == [[.structured(.array([.int(1), .int(1)]))]])
    }

    @Test("buckets at both ends of 64 bits begin where they begin, or at the end")
    func bucketEnds() throws {
        for key in [Int64.min, .min + 1, -1, 0, 1, .max - 1, .max] {
            for (name, width) in [
                ("minute", 60_000_000), ("hour", 3_600_000_000), ("day", 86_400_000_000), ("week", 604_800_000_000),
                ("1", 1_000_000), ("1099511627776", 1_099_511_627_776_000_000),
            ] as [(String, Int128)] {
                let bucket = try #require(TimeBucket(time: name))
                let start = bucket.start(of: bucket.index(of: key))
                #expect(start <= key && Int128(key) - Int128(start) < width, "\(key) in \(name)")
            }
            let month = TimeBucket.month.start(of: TimeBucket.month.index(of: key))
            #expect(month <= key && Int128(key) - Int128(month) < 31 * 86_400_000_000, "\(key)")
            let (plan, rows) = (
                Plan(frame: "f", keys: [.bucket("t", width: "month")], aggregates: [Aggregate("c", .count)]),
                [[Scalar.null, .null, .null, .time(key)]]
            )
            #expect(try Self.partial(plan, rows).finish().rows == [[.time(month), .int(1)]])
        }
        for width in ["0", "-1", "1099511627777", "0.5", "nan", "", "1e3", "9223372036854775808"] {
            #expect(TimeBucket(time: width) == nil, "\(width)")
        }
    }

    // MARK: Selections

    @Test("a column of lists has no order, and limits may be as large as they like")
    func selections() throws {
        let plan = Plan(
            frame: "f", group: ["n"],
            aggregates: [Aggregate("h", .histogram, "n", edges: [.int(1)]), Aggregate("t", .topk, "n", number: 1)])
        let partial = try Self.partial(plan, [[.int(1)], [.int(2)]])
        for column in ["h", "t"] {
            var rows = ResultSelection(partial)
            #expect(throws: Failure(.wrongType, "sort: column '\(column)' has lists, which have no order")) {
                try rows.sort(column, ascending: true)
            }
        }
        var rows = ResultSelection(partial)
        try rows.sort("n", ascending: false)
        try rows.limit(.max)
        #expect(try rows.table().rows.map { $0[0] } == [.int(2), .int(1)])
        try rows.limit(0)
        #expect(try rows.table().rows.isEmpty)
    }
}

private struct TestProblem: Error {}
