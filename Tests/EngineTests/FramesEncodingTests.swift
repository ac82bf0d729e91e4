// Encodings as they are chosen from data, and what becomes approximate when there are very many values.

import Engine
import Testing

@Suite struct FramesEncodingTests {
    static func part(_ schema: String, _ rows: Int, sharedStringsMax: Int = 1000, _ row: (Int) -> [Scalar]) throws
        -> FramePart
    {
        let resources = FrameResources(chunkRows: rows, sharedStringsMax: sharedStringsMax)
        let part = FramePart(schema: try FrameSchema(parsing: schema), resources: resources)
        var batch = ColumnBatch(schema: part.schema)
        for index in 0..<rows { try batch.append(row: row(index)) }
        try part.append(batch)
        return part
    }

    static func run(_ part: FramePart, _ aggregates: [Aggregate], _ group: [String] = []) throws -> Partial {
        try PlanExecutor.execute(Plan(frame: "f", group: group, aggregates: aggregates), on: part.snapshot()).partial
    }

    @Test("a column takes the form that is smallest for its values, and gives them back")
    func forms() throws {
        let hour: Int64 = 3_600_000_000
        let schema = "one:int,run:int,narrow:int,far:int,stepped:time,wide:int,real:double,few:string,none:int"
        let part = try Self.part(schema, 20_000) { index in
            [
                .int(7), .int(Int64(index / 1000)), .int(Int64(index % 1000) - 500), .int((1 << 40) + Int64(index % 3)),
                .time(1_356_998_400_000_000 + Int64(index % 5000) * hour), .int(index % 2 == 0 ? .min : .max),
                .double(Double(index) / 3), .text("city \(index % 10)"), .null,
            ]
        }
        guard case .chunk(let chunk)? = part.snapshot().pieces.first else { throw Failure(.miss, "no chunk") }
        let forms = (0..<9).map { chunk.encoding($0) }
        #expect(
            forms == [
                "constant", "runs 20", "packed 10", "packed 2", "packed 13", "plain", "plain", "packed 4", "constant",
            ])
        let rows = try PlanExecutor.execute(
            Plan(frame: "f", rows: part.schema.columns.map(\.name), limit: 20_000), on: part.snapshot()
        ).partial.rows
        #expect(rows.count == 20_000)
        let isSame = rows.enumerated().allSatisfy { index, row in
            row[1] == .int(Int64(index / 1000)) && row[2] == .int(Int64(index % 1000) - 500)
                && row[3] == .int((1 << 40) + Int64(index % 3))
                && row[4] == .time(1_356_998_400_000_000 + Int64(index % 5000) * hour)
                && row[5] == .int(index % 2 == 0 ? .min : .max) && row[7] == .text("city \(index % 10)")
                && row[0] == .int(7) && row[6] == .double(Double(index) / 3) && row[8] == .null
        }
        #expect(isSame)
    }

    @Test("codes of every number of bits come back, in blocks that are full and that are not")
    func bits() throws {
        for bits in 1...32 {
            for rows in [1, 63, 8192, 8200] {
                var random = SeededRandom(UInt64(bits * 10_000 + rows))
                let limit = bits == 64 ? Int.max : (1 << bits) - 1
                let numbers = (0..<rows).map { $0 == 0 ? 0 : $0 == 1 ? limit : random.below(limit + 1) }
                let part = try Self.part("n:int", rows) { [.int(Int64(numbers[$0]) - 5)] }
                let read = try PlanExecutor.execute(
                    Plan(frame: "f", filters: [Filter("n", .notEqual, .int(-6))], rows: ["n"], limit: 10_000),
                    on: part.snapshot()
                ).partial.rows.map { $0[0] }
                let isSame = read == numbers.map { Scalar.int(Int64($0) - 5) }
                #expect(isSame, "\(bits) bits, \(rows) rows")
                let sum = try Self.run(part, [Aggregate("s", .sum, "n"), Aggregate("q", .quantile, "n", number: 1)])
                let largest = Int64(numbers.max() ?? 0) - 5
                let expected: [Scalar] = [.int(largest), .int(Int64(numbers.reduce(0, +) - 5 * rows))]
                #expect(try sum.finish().rows == [expected])
            }
        }
    }

    @Test("quantiles and distinct counts of very many values are near, and say how near, whatever the order of merging")
    func approximate() throws {
        let aggregates = [
            Aggregate("d", .distinct, "x"), Aggregate("q", .quantile, "x", number: 0.9), Aggregate("t", .distinct, "t"),
        ]
        var parts: [Partial] = []
        for start in stride(from: 0, to: 300_000, by: 60_000) {
            let part = try Self.part("x:double,t:string", 60_000, sharedStringsMax: 0) { index in
                let number = (start + index) &* 7919 % 300_000
                return [.double(Double(number) / 2), .text("t\(number)")]
            }
            parts.append(try Self.run(part, aggregates))
        }
        #expect(parts[0].relativeErrors.isEmpty, "60,000 values are counted exactly")
        var answers: Set<[Scalar]> = []
        for order in [[0, 1, 2, 3, 4], [4, 2, 0, 1, 3], [3, 4, 1, 0, 2]] {
            var sum = parts[order[0]]
            for index in order.dropFirst() { try sum.merge(try Partial(decoding: parts[index].encoded())) }
            #expect(sum.relativeErrors.map(\.column) == ["d", "q", "t"])
            answers.insert(try sum.finish().rows[0])
        }
        #expect(answers.count == 1)
        guard case .int(let distinct)? = answers.first?[0], case .double(let quantile)? = answers.first?[1],
            case .int(let texts)? = answers.first?[2]
        else { throw Failure(.wrongType, "an int, a double and an int") }
        #expect(abs(distinct - 300_000) < 9_000 && abs(texts - 300_000) < 9_000, "3 %: more than three standard errors")
        #expect(abs(quantile - 135_000) <= 135_000 * 0.0051)
    }

    @Test(
        "a plan asked again is answered from what is known, of sealed chunks also when rows came since, and these count"
    )
    func cache() throws {
        let resources = FrameResources(chunkRows: 100)
        let part = FramePart(schema: try FramesStoreTests.batch(0).schema, resources: resources)
        try part.append(try FramesStoreTests.batch(450))
        let plan = Plan(frame: "t", group: ["city"], aggregates: [Aggregate("s", .sum, "n")])
        let (first, cold) = try PlanExecutor.execute(plan, on: part.snapshot())
        #expect(cold.chunksCached == 0 && cold.chunksScanned == 5)
        let (again, warm) = try PlanExecutor.execute(plan, on: part.snapshot())
        #expect(warm.chunksCached == 5 && warm.chunksScanned == 0 && warm.rowsCovered == 450)
        #expect(try again.finish() == first.finish())
        try part.append(try FramesStoreTests.batch(200, from: 450))
        let (later, seen) = try PlanExecutor.execute(plan, on: part.snapshot())
        #expect(seen.chunksCached == 4 && seen.chunksScanned == 3 && seen.rowsCovered == 650)
        resources.partials.removeAll()
        let (fresh, _) = try PlanExecutor.execute(plan, on: part.snapshot())
        #expect(try later.finish() == fresh.finish())
        #expect(resources.partials.usedBytes > 0)
    }

    @Test("of what plans found, that which was used least lately goes first, and all stays within its bound")
    func leastRecentlyUsed() throws {
        let memory = FrameMemory()
        let resources = FrameResources(memory: memory, chunkRows: 1_000, partialBytes: 60_000)
        let part = FramePart(schema: try FramesStoreTests.batch(0).schema, resources: resources)
        try part.append(try FramesStoreTests.batch(1_000))
        func isKnown(_ number: Int) throws -> Bool {
            let plan = Plan(
                frame: "t", filters: [Filter("n", .greaterOrEqual, .int(Int64(number)))], group: ["city"],
                aggregates: [Aggregate("s", .sum, "n")])
            return try PlanExecutor.execute(plan, on: part.snapshot()).statistics.chunksCached == 1
        }
        _ = try isKnown(0)
        for number in 1..<200 {
            #expect(try !isKnown(number))
            #expect(try isKnown(0), "in use all the time, after \(number) others")
            #expect(resources.partials.usedBytes <= 60_000 && memory.derivedBytes == resources.partials.usedBytes)
        }
        #expect(try isKnown(199) && !isKnown(1))
    }

    @Test("what is only derived makes room for rows before any are refused")
    func reclaim() throws {
        let memory = FrameMemory(limitBytes: 60_000)
        let resources = FrameResources(memory: memory, chunkRows: 100)
        let part = FramePart(schema: try FramesStoreTests.batch(0).schema, resources: resources)
        try part.append(try FramesStoreTests.batch(300))
        for share in stride(from: 0.0, to: 1, by: 0.05) {
            let plan = Plan(frame: "t", aggregates: [Aggregate("q", .quantile, "n", number: share)])
            _ = try PlanExecutor.execute(plan, on: part.snapshot())
        }
        #expect(resources.partials.usedBytes > 20_000)
        while (try? part.append(try FramesStoreTests.batch(50))) != nil {}
        #expect(resources.partials.usedBytes == 0)
        #expect(memory.usedBytes > 50_000 && memory.usedBytes <= 60_000)
    }
}
