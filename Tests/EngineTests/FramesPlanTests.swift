// Plans and answers: validation, codecs, pruning, limits, sums at their ends, sorting.

import Engine
import Testing

@Suite struct FramesPlanTests {
    static let schema = try! FrameSchema(parsing: "n:int,city:string,x:double,ok:bool,at:time")

    static func part(_ rows: [[Scalar]], chunkRows: Int = 65_536) throws -> FramePart {
        let part = FramePart(schema: schema, resources: FrameResources(chunkRows: chunkRows))
        var batch = ColumnBatch(schema: schema)
        for row in rows { try batch.append(row: row + Array(repeating: .null, count: 5 - row.count)) }
        try part.append(batch)
        return part
    }

    static func run(_ plan: Plan, _ rows: [[Scalar]]) throws -> [[Scalar]] {
        try PlanExecutor.execute(plan, on: try part(rows).snapshot()).partial.finish().rows
    }

    @Test(
        "a plan that does not fit says which column, and what there is",
        arguments: [
            (
                Plan(frame: "f", group: ["cty"], aggregates: []),
                "frame 'f' has no column 'cty'; there are n, city, x, ok, at"
            ),
            (
                Plan(frame: "f", filters: [Filter("m", .equal, .int(1))], aggregates: [Aggregate("c", .count)]),
                "frame 'f' has no column 'm'; there are n, city, x, ok, at"
            ),
            (
                Plan(frame: "f", aggregates: [Aggregate("s", .sum, "city")]),
                "sum('city') needs a column of numbers; it is string"
            ),
            (
                Plan(frame: "f", aggregates: [Aggregate("s", .avg, "at")]),
                "avg('at') needs a column of numbers; it is time"
            ),
            (Plan(frame: "f", aggregates: [Aggregate("s", .min)]), "min() of 's' needs a column"),
            (Plan(frame: "f", aggregates: []), "a plan without group keys needs an aggregate, such as count()"),
            (
                Plan(frame: "f", group: ["n"], aggregates: [Aggregate("n", .count)]),
                "the result would have two columns named 'n'"
            ),
            (
                Plan(frame: "f", filters: [Filter("n", .equal, .string("x"))], aggregates: [Aggregate("c", .count)]),
                "column 'n' is int; \"x\" does not compare"
            ),
            (
                Plan(frame: "f", filters: [Filter("n", .equal, .null)], aggregates: [Aggregate("c", .count)]),
                "column 'n': nothing equals null; use isnull or notnull"
            ),
            (
                Plan(frame: "f", filters: [Filter("n", .like, .string("x"))], aggregates: [Aggregate("c", .count)]),
                "like needs a string column; 'n' is int"
            ),
            (
                Plan(frame: "f", filters: [Filter("n", .between, .int(1))], aggregates: [Aggregate("c", .count)]),
                "'between' on column 'n' takes two values, both included, not 1"
            ),
            (Plan(frame: "f", rows: ["z"], limit: 1), "frame 'f' has no column 'z'; there are n, city, x, ok, at"),
        ])
    func validation(plan: Plan, message: String) {
        #expect {
            try plan.validate(against: Self.schema)
        } throws: { ($0 as? Failure)?.message == message }
    }

    @Test("like takes what its pattern says, piece by piece as well as from every place, and no pattern without end")
    func like() throws {
        func expected(_ text: ArraySlice<Unicode.Scalar>, _ pattern: ArraySlice<Unicode.Scalar>) -> Bool {
            guard let first = pattern.first else { return text.isEmpty }
            let rest = pattern.dropFirst()
            switch first {
            case "%": return (0...text.count).contains { expected(text.dropFirst($0), rest) }
            case "_": return !text.isEmpty && expected(text.dropFirst(), rest)
            case "\\" where !rest.isEmpty:
                return text.first == rest.first && expected(text.dropFirst(), rest.dropFirst())
            default: return text.first == first && expected(text.dropFirst(), rest)
            }
        }
        func found(_ texts: [String], _ pattern: String) throws -> Set<[UInt8]> {
            let plan = Plan(
                frame: "f", filters: [Filter("city", .like, .string(pattern))], rows: ["city"], limit: 10_000)
            let rows = try Self.run(plan, texts.map { [.null, .string(Array($0.utf8))] })
            return Set(
                rows.compactMap { row -> [UInt8]? in
                    guard case .string(let text)? = row.first else { return nil }
                    return text
                })
        }
        var random = SeededRandom(31)
        func word(_ lengths: Range<Int>, _ letters: [String]) -> String {
            (0..<random.below(lengths.count) + lengths.lowerBound).map { _ in random.pick(letters) }.joined()
        }
        // Pieces of more than 32 characters go another way than short ones.
        let long = String(repeating: "aé", count: 20)
        let texts = (0..<60).map { index -> String in
            word(0..<6, ["a", "b", "é", "%", "\\"]) + (index % 2 == 0 ? long : "") + word(0..<4, ["a", "b", "é"])
        }
        for index in 0..<300 {
            let wild = word(0..<4, ["a", "b", "é", "%", "_", "\\", "\\%"])
            let tail = word(0..<3, ["%", "_", "a", "b"])
            let pattern = index % 2 == 0 ? wild : "\(wild)%_\(long.dropFirst())\(tail)"
            let passing = texts.filter { expected(Array($0.unicodeScalars)[...], Array(pattern.unicodeScalars)[...]) }
            #expect(try found(texts, pattern) == Set(passing.map { Array($0.utf8) }), "\(pattern)")
        }
        let run = String(repeating: "a", count: 200_000)
        for piece in [String(run.prefix(2_000)), String(repeating: "_a", count: 1_000)] {
            #expect(try found([run], "%\(piece)b%").isEmpty)
            #expect(try found([run + "b"], "%\(piece)b").count == 1)
        }
        #expect {
            try found(["a"], String(run.prefix(4_097)))
        } throws: {
            ($0 as? Failure)?.reason == .budgetExceeded
                && ($0 as? Failure)?.message.contains("like takes at most 4096") == true
        }
    }

    @Test("a plan survives its wire form, and equal questions are equal plans")
    func planCodec() throws {
        var random = SeededRandom(11)
        for _ in 0..<300 {
            let plan = FramesDifferentialTests.plan(using: &random)
            let bytes = plan.value.messagePack
            let value = try #require(Value(messagePack: bytes))
            let isSame = try Plan(value: value).value.messagePack == bytes
            #expect(isSame)
        }
        let rows = Plan(frame: "f", filters: [Filter("n", .isIn, .int(1), .int(2))], rows: ["n", "city"], limit: 5)
        #expect(try Plan(value: rows.value) == rows)
        let one = Plan(frame: "f", aggregates: [Aggregate("b", .count), Aggregate("a", .count)])
        let two = Plan(frame: "f", aggregates: [Aggregate("a", .count), Aggregate("b", .count)])
        #expect(one == two && one.hashValue == two.hashValue)
        #expect(throws: Failure.self) { try Plan(value: .object(["where": .array([])])) }
        #expect(throws: Failure.self) {
            try Plan(
                value: .object([
                    "frame": .string("f"), "where": .array([.array([.string("n"), .string("<>"), .int(1)])]),
                ]))
        }
    }

    @Test("without rows count is 0 and the others null; without groups there is always one row")
    func empty() throws {
        let plan = Plan(
            frame: "f",
            aggregates: AggregateFunction.allCases.map {
                Aggregate(
                    $0.rawValue, $0, "n", number: $0 == .quantile ? 0.5 : $0 == .topk || $0 == .topkExact ? 3 : nil,
                    by: $0 == .first || $0 == .last ? "n" : nil, edges: $0 == .histogram ? [.int(1)] : [])
            })
        // avg, count, distinct, first, histogram, last, max, min, quantile, stddev, sum, topk, topk_exact, variance
        let none = Scalar.structured(.array([]))
        let nothing: [Scalar] = [
            .null, .int(0), .int(0), .null, .structured(.array([.int(0), .int(0)])), .null, .null, .null, .null, .null,
            .null, none, none, .null,
        ]
        #expect(try Self.run(plan, []) == [nothing])
        #expect(try Self.run(plan, [[.null], [.null]]) == [nothing])
        #expect(try Self.run(Plan(frame: "f", group: ["n"], aggregates: [Aggregate("c", .count)]), []) == [])
    }

    @Test("integer sums are exact beyond 64 bits, and refused rather than wrapped when they do not fit")
    func sums() throws {
        let plan = Plan(frame: "f", aggregates: [Aggregate("s", .sum, "n")])
        #expect(
            try Self.run(plan, [[.int(.max)], [.int(.max)], [.int(-.max)], [.int(5)], [.int(-5)]]) == [[.int(.max)]])
        #expect {
            try Self.run(plan, [[.int(.max)], [.int(1)]])
        } throws: { ($0 as? Failure)?.message.contains("9223372036854775808") == true }
        let average = Plan(frame: "f", aggregates: [Aggregate("a", .avg, "n")])
        #expect(try Self.run(average, [[.int(.max)], [.int(.max)]]) == [[.double(0x1p63)]])
    }

    @Test("sums of doubles are compensated; infinities and NaN come out as addition gives them")
    func doubleSums() throws {
        let plan = Plan(frame: "f", aggregates: [Aggregate("s", .sum, "x")])
        func sum(_ numbers: [Double]) throws -> Scalar {
            try Self.run(plan, numbers.map { [.null, .null, .double($0)] })[0][0]
        }
        #expect(try sum([1, 1e100, 1, -1e100]) == .double(2))
        #expect(try sum(Array(repeating: 0.1, count: 1000)) == .double(100))
        #expect(try sum([.infinity, 1, 2]) == .double(.infinity))
        #expect(try sum([1, -.infinity]) == .double(-.infinity))
        guard case .double(let mixed) = try sum([.infinity, -.infinity]) else { throw Failure(.wrongType, "no double") }
        #expect(mixed.isNaN)
    }

    @Test("NaN is the greatest number and one group, -0.0 groups with 0.0 and is the lesser for min")
    func oddDoubles() throws {
        let rows: [[Scalar]] = [0.0, -0.0, .nan, -.nan, 1].map { [.null, .null, .double($0)] }
        let plan = Plan(frame: "f", group: ["x"], aggregates: [Aggregate("c", .count)])
        let groups = try Self.run(plan, rows)
        #expect(groups.map { $0[1] } == [.int(2), .int(1), .int(2)])
        let ends = try Self.run(
            Plan(frame: "f", aggregates: [Aggregate("a", .min, "x"), Aggregate("b", .max, "x")]), rows)
        guard case .double(let low) = ends[0][0], case .double(let high) = ends[0][1] else {
            throw Failure(.wrongType, "no double")
        }
        #expect(low == 0 && low.sign == .minus && high.isNaN)
    }

    @Test("chunks whose zones rule them out are not read, and are counted")
    func pruning() throws {
        let rows: [[Scalar]] = (0..<1000).map {
            [.int(Int64($0)), .text("c\($0 / 100)"), .double(Double($0)), $0 < 500 ? .null : .bool(true)]
        }
        let snapshot = try Self.part(rows, chunkRows: 100).snapshot()
        let cases: [(Filter, Int, Int64)] = [
            (Filter("n", .equal, .int(250)), 1, 1), (Filter("n", .less, .int(200)), 2, 200),
            (Filter("n", .between, .int(150), .int(349)), 3, 200),
            (Filter("x", .greaterOrEqual, .double(899.5)), 1, 100),
            (Filter("city", .equal, .string("c3")), 1, 100),
            (Filter("city", .isIn, .string("c1"), .string("c8")), 2, 200),
            (Filter("city", .greater, .string("c6")), 3, 300), (Filter("ok", .notNull), 5, 500),
            (Filter("ok", .isNull), 5, 500), (Filter("n", .isIn, .int(5), .int(995), .int(2000)), 2, 2),
            (Filter("n", .equal, .double(1.5)), 0, 0), (Filter("at", .notNull), 0, 0),
        ]
        for (filter, chunks, count) in cases {
            let plan = Plan(frame: "f", filters: [filter], aggregates: [Aggregate("c", .count)])
            let (partial, statistics) = try PlanExecutor.execute(plan, on: snapshot)
            #expect(try partial.finish().rows == [[.int(count)]], "\(filter)")
            #expect(statistics.chunksScanned == chunks && statistics.chunksPruned == 10 - chunks, "\(filter)")
            #expect(statistics.rowsCovered == 1000 && statistics.rowsScanned == chunks * 100)
        }
    }

    @Test("a chunk is read by a filter of few values exactly when some row of it passes")
    func presence() throws {
        var random = SeededRandom(5)
        // Each chunk has some of these only.
        let cities = (0..<30).map { "city \($0)" }
        var rows: [[Scalar]] = []
        for _ in 0..<40 {
            let (some, step) = (
                cities.shuffled(using: &random).prefix(.random(in: 0...3, using: &random)),
                Int64.random(in: 1...9, using: &random)
            )
            for _ in 0..<50 {
                let isNull = Int.random(in: 0..<8, using: &random) == 0
                rows.append([
                    isNull ? .null : .int(step * .random(in: 0...4, using: &random) - 20),
                    some.randomElement(using: &random).map { .text($0) } ?? .null,
                ])
            }
        }
        // Nothing is kept of plans that were asked before.
        let pieces = try Self.part(rows, chunkRows: 50).snapshot().pieces
        let snapshot = FrameSnapshot(schema: Self.schema, pieces: pieces, cache: ColumnCache())
        var pruned = 0
        for _ in 0..<400 {
            let number = { Int64.random(in: -22...18, using: &random) }
            let city = { cities.randomElement(using: &random)! }
            let (low, high) = (number(), number())
            let (one, other) = (city(), city())
            let cases: [(Filter, (Scalar, Scalar) -> Bool)] = [
                (Filter("n", .equal, .int(low)), { n, _ in n == .int(low) }),
                (Filter("n", .notEqual, .int(low)), { n, _ in n != .null && n != .int(low) }),
                (
                    Filter("n", .between, .int(low), .int(high)),
                    { n, _ in (low...max(low, high)).contains { n == .int($0) } && low <= high }
                ),
                (Filter("n", .isIn, .int(low), .int(high)), { n, _ in n == .int(low) || n == .int(high) }),
                (Filter("city", .equal, .string(one)), { _, city in city == .text(one) }),
                (Filter("city", .notEqual, .string(one)), { _, city in city != .null && city != .text(one) }),
                (
                    Filter("city", .isIn, .string(one), .string(other)),
                    { _, city in city == .text(one) || city == .text(other) }
                ),
                // More than six of them.
                (
                    Filter("city", .like, .string("city 1%")),
                    { _, city in
                        guard case .string(let city) = city else { return false }
                        return city.starts(with: Array("city 1".utf8))
                    }
                ),
            ]
            let (filter, passes) = cases.randomElement(using: &random)!
            let plan = Plan(frame: "f", filters: [filter], aggregates: [Aggregate("c", .count)])
            let (partial, statistics) = try PlanExecutor.execute(plan, on: snapshot)
            let found = rows.map { passes($0[0], $0[1]) }
            #expect(try partial.finish().rows == [[.int(Int64(found.count { $0 }))]], "\(filter)")
            let chunks = (0..<40).count { found[$0 * 50..<$0 * 50 + 50].contains(true) }
            #expect(statistics.chunksScanned == chunks && statistics.chunksPruned == 40 - chunks, "\(filter)")
            pruned += statistics.chunksPruned
        }
        #expect(pruned > 4000)
    }

    @Test("which values there are is known of each chunk, and no column is read for it")
    func distinctWithoutReading() throws {
        var random = SeededRandom(6)
        let rows: [[Scalar]] = (0..<1040).map { row in
            // Chunks have different numbers, and one has none.
            let block = Int64(row / 100)
            let n: Scalar =
                block == 3 || Bool.random(using: &random)
                ? .null : .int(block * 7 + .random(in: 0...90, using: &random))
            return [n, Bool.random(using: &random) ? .null : .text("c\(Int.random(in: 0...200, using: &random))")]
        }
        // Columns are compressed, so that the cache sees who reads them.
        let (memory, cache) = (FrameMemory(compressesBeyondBytes: 0), ColumnCache())
        let part = FramePart(
            schema: Self.schema, resources: FrameResources(memory: memory, cache: cache, chunkRows: 100))
        var batch = ColumnBatch(schema: Self.schema)
        for row in rows { try batch.append(row: row + Array(repeating: .null, count: 3)) }
        try part.append(batch)
        let (snapshot, whole) = (part.snapshot(), Set(rows.map(\.[0])).subtracting([.null]))
        let cities = Set(rows.map(\.[1])).subtracting([.null])
        let distinct = Plan(
            frame: "f", aggregates: [Aggregate("a", .distinct, "n"), Aggregate("b", .distinct, "city")])
        let (partial, statistics) = try PlanExecutor.execute(distinct, on: snapshot)
        #expect(try partial.finish().rows == [[.int(Int64(whole.count)), .int(Int64(cities.count))]])
        #expect(statistics.rowsScanned == 1040 && cache.misses == 0)
        let filtered = Plan(
            frame: "f", filters: [Filter("n", .less, .int(60))], aggregates: [Aggregate("c", .distinct, "city")])
        let some = rows.filter { if case .int(let n) = $0[0] { n < 60 } else { false } }
        let count = Set(some.map(\.[1])).subtracting([.null]).count
        #expect(try PlanExecutor.execute(filtered, on: snapshot).partial.finish().rows == [[.int(Int64(count))]])
        #expect(cache.misses > 0)
    }

    @Test("a scan stops at its deadline, on cancellation, and at too many groups")
    func limits() throws {
        let snapshot = try Self.part((0..<100).map { [.int(Int64($0))] }, chunkRows: 10).snapshot()
        let plan = Plan(frame: "f", group: ["n"], aggregates: [Aggregate("c", .count)])
        func reason(_ control: ScanControl) -> Reason? {
            do throws(Failure) { _ = try PlanExecutor.execute(plan, on: snapshot, control: control) } catch {
                return error.reason
            }
            return nil
        }
        #expect(reason(ScanControl(deadline: Deadline(uptimeNanoseconds: 0))) == .timeout)
        #expect(reason(ScanControl { true }) == .cancelled)
        #expect(reason(ScanControl(groupsMax: 99)) == .budgetExceeded)
        #expect(reason(ScanControl(groupsMax: 100)) == nil)
        let whole = try PlanExecutor.execute(plan, on: snapshot).partial
        var small = Partial(shape: whole.shape, groupsMax: 50)
        #expect { try small.merge(whole) } throws: { ($0 as? Failure)?.reason == .budgetExceeded }
        #expect(small.groupCount == 50)
        #expect(throws: Failure.self) { try Partial(decoding: whole.encoded(), groupsMax: 99) }
    }

    @Test("partials of one node's shards merge group by group, whichever groups each of them has, up to the limit")
    func groupsOfShards() throws {
        let frame = try FrameCatalog(shardCount: 3).create("f", schema: Self.schema)
        // Every shard has some groups of its own, and some without a key.
        let most = Int64.max
        let rows: [[(Int64?, String?)]] = [
            [(most, "x"), (most - 1, "y"), (nil, "z"), (most, "x")],
            [(most - 2, "x"), (most - 1, "y"), (most, nil), (nil, nil)],
            [(most - 1, "a"), (most - 1, "y"), (nil, "z")],
        ]
        for (part, rows) in zip(frame.parts, rows) {
            var batch = ColumnBatch(schema: frame.schema)
            for (n, city) in rows {
                try batch.append(row: [
                    n.map { .int($0) } ?? .null, city.map { .text($0) } ?? .null, .null, .null, .null,
                ])
            }
            try part.append(batch)
        }
        let plan = Plan(frame: "f", group: ["n", "city"], aggregates: [Aggregate("c", .count)])
        let expected: [[Scalar]] = [
            [.int(most - 2), .text("x"), .int(1)], [.int(most - 1), .text("a"), .int(1)],
            [.int(most - 1), .text("y"), .int(3)], [.int(most), .text("x"), .int(2)], [.int(most), .null, .int(1)],
            [.null, .text("z"), .int(2)], [.null, .null, .int(1)],
        ]
        let shape = try CompiledPlan(plan, schema: frame.schema).shape
        for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
            var sum = Partial(shape: shape, groupsMax: 7)
            for index in order {
                try sum.merge(try PlanExecutor.execute(plan, on: frame.parts[index].snapshot()).partial)
            }
            #expect(try sum.finish().rows == expected)
            var few = Partial(shape: shape, groupsMax: 6)
            #expect {
                for part in frame.parts { try few.merge(try PlanExecutor.execute(plan, on: part.snapshot()).partial) }
            } throws: { ($0 as? Failure)?.reason == .budgetExceeded }
            #expect(try few.finish().rows.count == 6)
        }
    }

    @Test("a partial that is cut short, followed by more, or of another question is refused")
    func partialCodec() throws {
        let rows: [[Scalar]] = [
            [.int(1), .text("a"), .double(1.5), .bool(true), .time(7)], [.int(2), .null, .double(.nan), .null, .null],
        ]
        let part = try Self.part(rows)
        let names = ["n", "city", "x", "ok", "at"]
        let aggregates =
            names.flatMap { [Aggregate("min_" + $0, .min, $0), Aggregate("n_" + $0, .count, $0)] }
            + [
                Aggregate("s", .sum, "n"), Aggregate("t", .avg, "x"), Aggregate("v", .variance, "n"),
                Aggregate("q", .quantile, "x", number: 0.5), Aggregate("d", .distinct, "city"),
            ]
        for plan in [
            Plan(frame: "f", group: names, aggregates: aggregates), Plan(frame: "f", aggregates: aggregates),
            Plan(frame: "f", rows: names, limit: 10),
        ] {
            let bytes = try PlanExecutor.execute(plan, on: part.snapshot()).partial.encoded()
            #expect(try Partial(decoding: bytes).encoded() == bytes)
            for length in 0..<bytes.count {
                #expect(throws: Failure.self) { try Partial(decoding: Array(bytes[..<length])) }
            }
            #expect(throws: Failure.self) { try Partial(decoding: bytes + [0]) }
            var random = SeededRandom(13)
            for _ in 0..<2000 {  // damage is refused or read as another partial, but never traps
                var damaged = bytes
                damaged[random.below(bytes.count)] = UInt8(random.below(256))
                if var partial = try? Partial(decoding: damaged) {
                    try? partial.merge(partial)
                    _ = try? partial.finish()
                }
            }
        }
        var one = try PlanExecutor.execute(
            Plan(frame: "f", aggregates: [Aggregate("s", .sum, "n")]), on: part.snapshot()
        ).partial
        let other = try PlanExecutor.execute(
            Plan(frame: "f", aggregates: [Aggregate("s", .sum, "x")]), on: part.snapshot()
        ).partial
        #expect(throws: Failure.self) { try one.merge(other) }
    }

    @Test("rows come up to their limit, through filters")
    func rows() throws {
        let rows: [[Scalar]] = (0..<50).map { [.int(Int64($0)), .text("c\($0)")] }
        let snapshot = try Self.part(rows, chunkRows: 8).snapshot()
        let plan = Plan(frame: "f", filters: [Filter("n", .greaterOrEqual, .int(20))], rows: ["city", "n"], limit: 12)
        var partial = try PlanExecutor.execute(plan, on: snapshot).partial
        #expect(try partial.finish().rows == (20..<32).map { [.text("c\($0)"), .int(Int64($0))] })
        try partial.merge(partial)
        #expect(partial.rows.count == 12)
    }

    @Test("answers sort with ties by the keys and nulls last, are limited, and filtered by having")
    func table() throws {
        var table = ResultSelection(
            ResultTable(
                columns: ["k", "a"], keyCount: 1,
                rows: [
                    [.text("d"), .null], [.text("c"), .int(2)], [.text("a"), .int(1)], [.text("b"), .double(2)],
                    [.null, .int(9)],
                ]))
        try table.sort("a", ascending: false)
        #expect(try table.table().rows.map { $0[0] } == [.null, .text("b"), .text("c"), .text("a"), .text("d")])
        try table.sort("a", ascending: true)
        #expect(try table.table().rows.map { $0[0] } == [.text("a"), .text("b"), .text("c"), .null, .text("d")])
        try table.having("a", .greaterOrEqual, .double(1.5))
        #expect(try table.table().rows.map { $0[0] } == [.text("b"), .text("c"), .null])
        try table.having("k", .notNull)
        try table.limit(1)
        #expect(try table.table().values() == [.object(["k": .string("b"), "a": .double(2)])])
        #expect(try table.table().values(order: ["a"]) == [.object(["a": .double(2)])])
        #expect(throws: Failure(.scriptError, "the result has no column 'z'; there are k, a")) {
            try table.sort("z", ascending: true)
        }
        #expect(throws: Failure.self) { try table.having("a", .equal, .string("x")) }
        #expect(throws: Failure.self) { try table.having("a", .like, .string("x")) }
    }
}
