// How rows are kept: chunks, compression at rest, the cache, the budget, staged loads, the catalog.

import Dispatch
import Engine
import Synchronization
import Testing

@Suite struct FramesStoreTests {
    @Test("retention drops whole chunks and tails by their latest time; younger ones and what queries hold stay")
    func retention() throws {
        let schema = try FrameSchema(columns: [FrameColumn("at", .time), FrameColumn("n", .int)])
        let part = FramePart(schema: schema, resources: FrameResources(chunkRows: 100))
        let frames = FrameCatalog(shardCount: 2, resources: FrameResources(chunkRows: 100))
        let frame = try frames.create("f", schema: schema)
        func batch(_ rows: Range<Int>) throws -> ColumnBatch {
            var batch = ColumnBatch(schema: schema)
            for row in rows { try batch.append(row: [.time(Int64(row)), .int(1)]) }
            return batch
        }
        for start in stride(from: 0, to: 1_050, by: 50) {
            try part.append(try batch(start..<start + 50))
            try frame.append(try batch(start..<start + 50))
        }
        let before = part.snapshot()
        let count = Plan(frame: "f", aggregates: [Aggregate("n", .count), Aggregate("first", .min, "at")])
        _ = try PlanExecutor.execute(count, on: before)  // known from now on
        #expect(frame.retire(column: "at", before: 300) == 300)
        #expect(frame.retire(column: "at", before: 350) == 0)
        #expect(frame.retire(column: "n", before: .max) == 0 && frame.retire(column: "nosuch", before: .max) == 0)
        #expect(frame.statistics.rows == 750 && frame.statistics.retiredRows == 300)
        var rows: Int64 = 0
        for part in frame.parts {
            let table = try PlanExecutor.execute(count, on: part.snapshot()).partial.finish()
            if case .int(let count) = table.rows[0][1] { rows += count }
            if case .time(let first) = table.rows[0][0] { #expect(first >= 300) }
        }
        #expect(rows == 750)
        #expect(before.rowCount == 1_050)
        #expect(frame.retire(column: "at", before: 1_049) == 700, "the tail's youngest row is not old enough")
        #expect(frame.statistics.rows == frame.statistics.tailRows && frame.statistics.rows == 50)
        #expect(frame.retire(column: "at", before: 1_050) == 50)
        #expect(frame.statistics.rows == 0 && frame.statistics.retiredRows == 1_050)
        try frame.append(try batch(2_000..<2_010))
        #expect(frame.statistics.rows == 10 && frame.statistics.tailRows == 10)
    }

    @Test("rows without a time stay when the chunk or the tail that they are in goes for its age")
    func retireWithoutTime() throws {
        let schema = try FrameSchema(parsing: "at:time,n:int,s:string")
        let memory = FrameMemory()
        let frame = try FrameCatalog(shardCount: 1, resources: FrameResources(memory: memory, chunkRows: 100))
            .create("f", schema: schema)
        func append(_ rows: Range<Int>) throws {
            var batch = ColumnBatch(schema: schema)
            for n in rows {
                let at: Scalar = n % 10 == 3 ? .null : .time(Int64(n))
                try batch.append(row: [at, .int(Int64(n)), .string(Array("s\(n % 7)".utf8))])
            }
            try frame.parts[0].append(batch)
        }
        func numbers() throws -> [Int64] {
            let plan = Plan(frame: "f", rows: ["n", "s", "at"], limit: 1_000)
            return try PlanExecutor.execute(plan, on: frame.parts[0].snapshot()).partial.rows.compactMap { row in
                guard case .int(let n) = row[0], row[1] == .string(Array("s\(n % 7)".utf8)) else { return nil }
                return n
            }
        }
        try append(0..<250)
        let ever = frame.parts[0].snapshot().rowCount
        #expect(frame.retire(column: "at", before: 100) == 90, "the first chunk, but for ten rows")
        #expect(try Set(numbers()) == Set((0..<250).filter { $0 >= 100 || $0 % 10 == 3 }))
        #expect(frame.statistics.rows + frame.statistics.retiredRows == ever)
        #expect(frame.retire(column: "at", before: 100) == 0)
        #expect(frame.retire(column: "at", before: 1_000) == 135)
        #expect(try numbers().sorted() == (0..<250).filter { $0 % 10 == 3 }.map { Int64($0) })
        #expect(frame.retire(column: "at", before: .max) == 0)
        try append(250..<300)
        #expect(frame.retire(column: "at", before: .max) == 45)
        #expect(frame.statistics.rows == 30 && frame.statistics.retiredRows == 270)
        #expect(memory.usedBytes == frame.statistics.storedBytes)
    }

    @Test("a tail whose times lie far apart is sealed as it is, so that its rows can go before it is full")
    func retentionOfTails() throws {
        let schema = try FrameSchema(columns: [FrameColumn("at", .time), FrameColumn("n", .int)])
        let frame = try FrameCatalog(shardCount: 1, resources: FrameResources(chunkRows: 1_000)).create(
            "f", schema: schema)
        let count = Plan(frame: "f", aggregates: [Aggregate("n", .count), Aggregate("first", .min, "at")])
        for at in 0..<300 {
            var batch = ColumnBatch(schema: schema)
            try batch.append(row: [at % 50 == 7 ? .null : .time(Int64(at)), .int(1)])
            try frame.append(batch)
            // Rows are to be kept for 80: at most an eighth of that shares a chunk.
            _ = frame.retire(column: "at", before: Int64(at) - 80, spanMax: 10)
            let table = try PlanExecutor.execute(count, on: frame.parts[0].snapshot()).partial.finish()
            guard case .time(let first) = table.rows[0][0] else { continue }
            #expect(first >= Int64(at) - 80 - 13)
        }
        #expect(frame.statistics.rows + frame.statistics.retiredRows == 300)
        #expect((80...100).contains(frame.statistics.rows))
    }

    static func batch(_ count: Int, from start: Int = 0) throws -> ColumnBatch {
        var batch = ColumnBatch(schema: try FrameSchema(parsing: "n:int,city:string,x:double"))
        for index in start..<start + count {
            try batch.append(row: [
                .int(Int64(index)), index % 7 == 3 ? .null : .text("city \(index % 10)"), .double(Double(index % 100)),
            ])
        }
        batch.rawBytes = count * 40
        return batch
    }

    static func count(_ snapshot: FrameSnapshot) throws -> Scalar {
        try PlanExecutor.execute(Plan(frame: "t", aggregates: [Aggregate("n", .count)]), on: snapshot).partial.finish()
            .rows[0][0]
    }

    @Test("a tail is sealed when it is full, and chunks are smaller at rest than the rows were")
    func sealing() throws {
        let memory = FrameMemory(compressesBeyondBytes: 0)
        let part = FramePart(
            schema: try Self.batch(0).schema, resources: FrameResources(memory: memory, chunkRows: 1000))
        try part.append(try Self.batch(3500))
        let statistics = part.statistics
        #expect(statistics.rows == 3500 && statistics.chunks == 3 && statistics.tailRows == 500)
        #expect(statistics.rawBytes == 140_000)
        var encoded = 0
        var stored = 0
        for case .chunk(let chunk) in part.snapshot().pieces {
            encoded += chunk.encodedBytes
            stored += chunk.storedBytes
        }
        #expect(encoded < 3000 * 16, "2 bytes of offset, 1 of code, 8 of double, a bit")
        #expect(stored < encoded * 9 / 10)
    }

    @Test("chunks of full size answer exactly: filtered, grouped by few, and by as many keys as there are rows")
    func fullSize() throws {
        let part = FramePart(schema: try Self.batch(0).schema, resources: FrameResources())
        for start in stride(from: 0, to: 150_000, by: 50_000) { try part.append(try Self.batch(50_000, from: start)) }
        #expect(part.statistics.chunks == 2 && part.statistics.tailRows == 150_000 - 131_072)
        let even = Plan(
            frame: "t", filters: [Filter("x", .less, .int(50))], group: ["x"],
            aggregates: [Aggregate("c", .count), Aggregate("s", .sum, "n")])
        let rows = try PlanExecutor.execute(even, on: part.snapshot()).partial.finish().rows
        // The rows x, x + 100, x + 200, …: 1500 of them.
        let expected = (0..<50).map { x -> [Scalar] in
            let sum: Int = 1500 * x + 100 * (1499 * 1500 / 2)
            return [.double(Double(x)), .int(1500), .int(Int64(sum))]
        }
        #expect(rows == expected)
        let each = Plan(frame: "t", group: ["n", "city"], aggregates: [Aggregate("m", .max, "n")])
        let all = try PlanExecutor.execute(each, on: part.snapshot()).partial.finish().rows
        #expect(all.count == 150_000)
        let isEach = all.enumerated().allSatisfy { index, row in
            row[0] == .int(Int64(index)) && row[2] == row[0]
        }
        #expect(isEach)
    }

    @Test("a snapshot keeps its rows while more are appended, and the next one sees them")
    func snapshots() throws {
        let part = FramePart(schema: try Self.batch(0).schema, resources: FrameResources(chunkRows: 100))
        try part.append(try Self.batch(50))
        let before = part.snapshot()
        try part.append(try Self.batch(30, from: 50))
        let middle = part.snapshot()
        try part.append(try Self.batch(60, from: 80))
        #expect(try Self.count(before) == .int(50))
        #expect(try Self.count(middle) == .int(80))
        #expect(try Self.count(part.snapshot()) == .int(140))
        let plan = Plan(frame: "t", aggregates: [Aggregate("s", .sum, "n"), Aggregate("c", .count, "city")])
        #expect(try PlanExecutor.execute(plan, on: before).partial.finish().rows == [[.int(43), .int(1225)]])
        #expect(try PlanExecutor.execute(plan, on: middle).partial.finish().rows == [[.int(69), .int(3160)]])
    }

    @Test("the cache stays within its bound and gives back what was used last")
    func cache() throws {
        let cache = ColumnCache(limitBytes: 12_000)
        let resources = FrameResources(
            memory: FrameMemory(compressesBeyondBytes: 0), cache: cache, chunkRows: 1000)
        let part = FramePart(schema: try Self.batch(0).schema, resources: resources)
        try part.append(try Self.batch(10_000))
        // A filter that holds for all, so that the rows have to be read.
        let plan = Plan(
            frame: "t", filters: [Filter("x", .notEqual, .double(0.5))], aggregates: [Aggregate("s", .sum, "x")])
        for _ in 0..<3 {
            #expect(try PlanExecutor.execute(plan, on: part.snapshot()).partial.finish().rows == [[.double(495_000)]])
            resources.partials.removeAll()
            #expect(cache.usedBytes <= 12_000)
        }
        let first = FrameSnapshot(schema: part.schema, pieces: [part.snapshot().pieces[0]], cache: cache)
        _ = try PlanExecutor.execute(plan, on: first)
        let hits = cache.hits
        _ = try PlanExecutor.execute(plan, on: first)
        #expect(cache.hits == hits + 1)
    }

    @Test("columns that nobody reads are compressed after a while, counted so, and answer the same through the cache")
    func coldColumns() throws {
        let seconds = Mutex<UInt32>(1_000)
        let memory = FrameMemory()
        let cache = ColumnCache(limitBytes: 12_000, clock: { seconds.withLock { $0 } })
        let catalog = FrameCatalog(
            shardCount: 1, resources: FrameResources(memory: memory, cache: cache, chunkRows: 1000, coldSeconds: 600))
        let frame = try catalog.create("t", schema: try Self.batch(0).schema)
        try frame.append(try Self.batch(5_500))
        let resources = frame.resources
        func compressed() -> [[Int]] {
            frame.parts[0].snapshot().pieces.compactMap { piece in
                if case .chunk(let chunk) = piece { chunk.compressedColumns } else { nil }
            }
        }
        let plan = Plan(
            frame: "t", filters: [Filter("x", .notEqual, .double(0.5))], aggregates: [Aggregate("s", .sum, "x")])
        func ask() throws -> [[Scalar]] {
            resources.partials.removeAll()
            return try PlanExecutor.execute(plan, on: frame.parts[0].snapshot()).partial.finish().rows
        }
        let (before, answer) = (frame.statistics.storedBytes, try ask())
        #expect(catalog.compressCold() == 0, "all are young")
        seconds.withLock { $0 += 599 }
        #expect(try ask() == answer)
        #expect(catalog.compressCold() == 0)
        seconds.withLock { $0 += 1 }
        let held = frame.parts[0].snapshot()
        #expect(catalog.compressCold() == FrameCatalog.coldColumnsMax && catalog.compressCold() == 2)
        #expect(catalog.compressCold() == 0)
        #expect(compressed().allSatisfy { !$0.contains(2) }, "x was read a second ago")
        #expect(compressed().allSatisfy { $0.contains(1) }, "ten cities in a pattern")
        #expect(frame.statistics.storedBytes < before)
        seconds.withLock { $0 += 600 }
        #expect(catalog.compressCold() == 5)
        #expect(compressed().allSatisfy { $0.contains(2) })
        let misses = cache.misses
        #expect(try ask() == answer && ask() == answer)
        #expect(cache.misses >= misses + 5, "from the chunks")
        #expect(cache.usedBytes <= 12_000 && memory.derivedBytes >= cache.usedBytes)
        #expect(try PlanExecutor.execute(plan, on: held).partial.finish().rows == answer)
        let all = Plan(frame: "t", group: ["city"], aggregates: [Aggregate("s", .sum, "n"), Aggregate("c", .count)])
        #expect(
            try PlanExecutor.execute(all, on: frame.parts[0].snapshot()).partial.finish().rows
                == PlanExecutor.execute(all, on: held).partial.finish().rows)
    }

    @Test("when the last query is done with them, what columns took before they were compressed is free")
    func coldAccount() throws {
        let seconds = Mutex<UInt32>(1_000)
        let memory = FrameMemory()
        let cache = ColumnCache(clock: { seconds.withLock { $0 } })
        let catalog = FrameCatalog(
            shardCount: 2, resources: FrameResources(memory: memory, cache: cache, chunkRows: 1000, coldSeconds: 1))
        let frame = try catalog.create("t", schema: try Self.batch(0).schema)
        for _ in 0..<6 { try frame.append(try Self.batch(1_000)) }
        let before = memory.usedBytes
        #expect(catalog.compressCold() == 0)
        seconds.withLock { $0 += 1 }
        while catalog.compressCold() > 0 {}
        #expect(memory.usedBytes < before && memory.usedBytes == frame.statistics.storedBytes)
    }

    @Test("an append beyond the frame memory is refused whole, and a drop makes room again")
    func budget() throws {
        let memory = FrameMemory(limitBytes: 200_000)
        let catalog = FrameCatalog(shardCount: 2, resources: FrameResources(memory: memory, chunkRows: 1000))
        do {
            let frame = try catalog.create("t", schema: try Self.batch(0).schema)
            var accepted = 0
            #expect(throws: Failure.self) {
                while true {
                    try frame.append(try Self.batch(700, from: accepted))
                    accepted += 700
                }
            }
            #expect(accepted > 0 && frame.statistics.rows == accepted)
            #expect(memory.usedBytes <= 200_000 && memory.usedBytes == frame.statistics.storedBytes)
            #expect {
                try frame.append(try Self.batch(50_000))
            } throws: {
                ($0 as? Failure)?.reason == .budgetExceeded && "\($0)".contains("--frame-memory")
            }
            #expect(catalog.drop("t"))
            #expect(throws: Failure(.miss, "frame 't' was dropped meanwhile")) { try frame.append(try Self.batch(1)) }
        }
        #expect(memory.usedBytes == 0)
        #expect(!catalog.drop("t"))
    }

    @Test("rows without a string count for none, in a tail that has none of the first strings of the dictionary")
    func nullsOfTails() throws {
        let frame = try FrameCatalog(shardCount: 2).create("t", schema: try FrameSchema(parsing: "city:string"))
        for (part, cities) in zip(frame.parts, [["a", "b", "c", "d"], ["e", nil, "f", nil, nil, "e"]]) {
            var batch = ColumnBatch(schema: frame.schema)
            for _ in 0..<50 {
                for city in cities { try batch.append(row: [city.map { .text($0) } ?? .null]) }
            }
            try part.append(batch)
        }
        let plan = Plan(
            frame: "t",
            aggregates: [
                Aggregate("top", .topk, "city", number: 5), Aggregate("d", .distinct, "city"),
                Aggregate("n", .count, "city"),
            ])
        let row = try PlanExecutor.execute(plan, on: frame.parts[1].snapshot()).partial.finish().rows[0]
        #expect(row[0] == .int(2) && row[1] == .int(150))
        #expect(row[2].value.answer.text == #"[{"value":"e","count":100},{"value":"f","count":50}]"#)
    }

    @Test("what a load ends with is a chunk, where it is a sixteenth of one, else the beginning of a tail")
    func endOfLoad() throws {
        for (rows, chunks, tail) in [(160, 2, 0), (206, 3, 0), (205, 2, 5), (5, 0, 5), (6, 1, 0)] {
            let catalog = FrameCatalog(shardCount: 1, resources: FrameResources(chunkRows: 100))
            let frame = try catalog.create("t", schema: try Self.batch(0).schema)
            try catalog.beginLoad(1, into: frame).stage(try Self.batch(rows))
            #expect(try catalog.commitLoad(1) == rows)
            #expect(frame.statistics.chunks == chunks && frame.statistics.tailRows == tail, "\(rows) rows")
            #expect(try Self.count(frame.parts[0].snapshot()) == .int(Int64(rows)))
        }
    }

    @Test("a load is invisible until it commits, in whole chunks spread over the shards")
    func staging() throws {
        let catalog = FrameCatalog(shardCount: 3, resources: FrameResources(chunkRows: 100))
        let frame = try catalog.create("t", schema: try Self.batch(0).schema)
        let load = try catalog.beginLoad(1, into: frame)
        #expect(throws: Failure.self) { try catalog.beginLoad(1, into: frame) }
        for start in stride(from: 0, to: 950, by: 95) { try load.stage(try Self.batch(95, from: start)) }
        #expect(frame.statistics.rows == 0 && frame.statistics.chunks == 0 && load.stagedRows == 950)
        #expect(try catalog.commitLoad(1) == 950)
        #expect(frame.statistics.rows == 950 && frame.statistics.tailRows == 0 && frame.statistics.chunks == 10)
        #expect(frame.parts.map(\.statistics.rows).sorted() == [300, 300, 350])
        #expect(throws: Failure.self) { try catalog.commitLoad(1) }
        #expect(throws: Failure.self) { try load.stage(try Self.batch(1)) }
        var sum: Partial?
        for part in frame.parts {
            let partial = try PlanExecutor.execute(
                Plan(frame: "t", aggregates: [Aggregate("s", .sum, "n"), Aggregate("c", .count, "city")]),
                on: part.snapshot()
            ).partial
            if sum == nil { sum = partial } else { try sum!.merge(partial) }
        }
        #expect(try sum!.finish().rows == [[.int(814), .int(450_775)]])
    }

    @Test("an aborted load leaves nothing behind, and staged rows count against the frame memory")
    func abort() throws {
        let memory = FrameMemory(limitBytes: 100_000)
        let catalog = FrameCatalog(shardCount: 2, resources: FrameResources(memory: memory, chunkRows: 100))
        let frame = try catalog.create("t", schema: try Self.batch(0).schema)
        do {
            let load = try catalog.beginLoad(1, into: frame)
            try load.stage(try Self.batch(450))
            #expect(memory.usedBytes > 0)
            catalog.abortLoad(1)
            #expect(throws: Failure.self) { try load.commit() }
        }
        #expect(memory.usedBytes == frame.statistics.storedBytes && frame.statistics.rows == 0)
        #expect(memory.usedBytes == 0)
        #expect(throws: Failure.self) { try catalog.load(1) }
    }

    @Test("strings of an aborted load go when they are only its own, and the same codes mean what comes next")
    func abortedStrings() throws {
        let memory = FrameMemory()
        let catalog = FrameCatalog(shardCount: 1, resources: FrameResources(memory: memory, chunkRows: 100))
        let schema = try FrameSchema(parsing: "city:string")
        let frame = try catalog.create("t", schema: schema)
        func batch(_ names: [String]) throws -> ColumnBatch {
            var batch = ColumnBatch(schema: schema)
            for name in names { try batch.append(row: [.text(name)]) }
            return batch
        }
        func cities() throws -> [Scalar] {
            try PlanExecutor.execute(
                Plan(frame: "t", group: ["city"], aggregates: [Aggregate("n", .count)]), on: frame.parts[0].snapshot()
            ).partial.finish().rows.map { $0[0] }
        }
        try frame.append(try batch(["a", "b"]))
        _ = try cities()
        let before = memory.usedBytes
        let wide = try batch((0..<500).map { "long name of a city \($0)" })
        try catalog.beginLoad(1, into: frame).stage(wide)
        #expect(memory.usedBytes > before + 10_000)
        catalog.abortLoad(1)
        #expect(memory.usedBytes <= before)
        try frame.append(try batch((0..<500).map { "other \($0)" }))
        #expect(try cities() == (["a", "b"] + (0..<500).map { "other \($0)" }).sorted().map { .text($0) })
        // Rows that stay have taken a string that the load has brought: its code must stay too.
        let shared = try catalog.beginLoad(2, into: frame)
        try shared.stage(try batch(["x", "y"]))
        try frame.append(try batch(["y", "z"]))
        catalog.abortLoad(2)
        try frame.append(try batch(["v", "w"]))
        #expect(try cities().suffix(4) == ["v", "w", "y", "z"].map { .text($0) }[...])
    }

    @Test("the catalog takes the same schema again, refuses another, and knows good names")
    func catalog() throws {
        let catalog = FrameCatalog(shardCount: 1)
        let schema = try FrameSchema(parsing: "a:int")
        let frame = try catalog.create("t.1_x-Y", schema: schema)
        #expect(try catalog.create("t.1_x-Y", schema: schema) === frame)
        #expect {
            try catalog.create("t.1_x-Y", schema: try FrameSchema(parsing: "a:string"))
        } throws: { ($0 as? Failure)?.reason == .wrongType }
        for bad in ["", "a b", "a:b", "ü", String(repeating: "x", count: 65)] {
            #expect(throws: Failure.self) { try catalog.create(bad, schema: schema) }
        }
        #expect(throws: Failure(.miss, "there is no frame 'u'; there are t.1_x-Y")) { try catalog.require("u") }
        #expect(catalog.frames.map(\.name) == ["t.1_x-Y"])
        #expect(frame.info["rows"] == .int(0) && frame.info["columns"] == schema.value)
    }

    @Test("zstd gives back what it was given, whole and in pieces, and refuses what is broken or cut short")
    func zstd() throws {
        let text = (0..<20_000).flatMap { Array("row \($0 % 100),".utf8) }
        let compressed = Zstd.compress(text)
        #expect(compressed.count < text.count / 10)
        let isSame = try Zstd.decompress(compressed, bytesMax: text.count) == text
        #expect(isSame)
        #expect(throws: Failure.self) { try Zstd.decompress(compressed, bytesMax: text.count - 1) }
        #expect(throws: Failure.self) { try Zstd.decompress(Array(compressed.dropLast(3)), bytesMax: 1 << 20) }
        #expect(throws: Failure.self) { try Zstd.decompress([1, 2, 3], bytesMax: 1 << 20) }
        for size in [1, 100, 1 << 20] {
            let isWhole = try Self.inflate(compressed + compressed, pieceBytes: size) == text + text
            #expect(isWhole, "two frames in pieces of \(size)")
        }
        #expect(throws: Failure.self) { try Self.inflate(Array(compressed.dropLast(1)), pieceBytes: 64) }
        #expect(throws: Failure.self) { try Self.inflate([], pieceBytes: 64) }
        #expect(throws: Failure.self) { try Self.inflate(Array("carrier,delay\n".utf8), pieceBytes: 64) }
    }

    private static func inflate(_ bytes: [UInt8], pieceBytes: Int) throws -> [UInt8] {
        let stream = ZstdStream()
        var out: [UInt8] = []
        for start in stride(from: 0, to: bytes.count, by: pieceBytes) {
            try stream.feed(Array(bytes[start..<min(start + pieceBytes, bytes.count)]), into: &out)
        }
        try stream.finish()
        return out
    }
}

@Suite struct FramesConcurrencyTests {
    @Test("appends and scans at the same time: every scan sees whole batches, and nothing is lost")
    func concurrent() throws {
        let memory = FrameMemory()
        let resources = FrameResources(memory: memory, cache: ColumnCache(limitBytes: 50_000), chunkRows: 1000)
        let schema = try FramesStoreTests.batch(0).schema
        let part = FramePart(schema: schema, resources: resources)
        let batch = try FramesStoreTests.batch(333)
        let plan = Plan(
            frame: "t", group: ["city"], aggregates: [Aggregate("n", .count), Aggregate("s", .sum, "n")])
        let problems = Mutex<[String]>([])
        DispatchQueue.concurrentPerform(iterations: 4) { worker in
            do {
                for _ in 0..<60 {
                    if worker < 2 {
                        try part.append(batch)
                        continue
                    }
                    let rows = try PlanExecutor.execute(plan, on: part.snapshot()).partial.finish().rows
                    let counts = rows.compactMap { row -> Int64? in if case .int(let n) = row[1] { n } else { nil } }
                    let sums = rows.compactMap { row -> Int64? in if case .int(let n) = row[2] { n } else { nil } }
                    let total = counts.reduce(0, +)
                    if total % 333 != 0 || sums.reduce(0, +) != total / 333 * (332 * 333 / 2) {
                        problems.withLock { $0.append("\(total) rows seen") }
                    }
                }
            } catch { problems.withLock { $0.append("\(error)") } }
        }
        #expect(problems.withLock { $0 } == [])
        #expect(part.statistics.rows == 2 * 60 * 333)
        #expect(memory.usedBytes == part.statistics.storedBytes)
    }
}

extension FramesStoreTests {
    private static func wide(columns: Int, rows: Int) throws -> ColumnBatch {
        let schema = try FrameSchema(parsing: (0..<columns).map { "c\($0):int" }.joined(separator: ","))
        var batch = ColumnBatch(schema: schema)
        for row in 0..<rows { try batch.append(row: (0..<columns).map { .int(Int64(row + $0)) }) }
        return batch
    }

    @Test(
        "a row of a thousand columns takes about a KiB each, and frames of such rows are refused once they fill the memory"
    )
    func wideRows() throws {
        let memory = FrameMemory(limitBytes: 32 << 20)
        let catalog = FrameCatalog(shardCount: 2, resources: FrameResources(memory: memory))
        let batch = try Self.wide(columns: 1_000, rows: 1)
        var made = 0
        var refusal: Failure?
        while refusal == nil, made < 1_000 {
            do throws(Failure) {
                try catalog.create("f\(made)", schema: batch.schema).append(batch)
                made += 1
            } catch {
                refusal = error
            }
        }
        #expect(refusal?.reason == .budgetExceeded && refusal?.message.contains("--frame-memory") == true)
        #expect(made >= 15 && made < 100, "\(made) frames")
        #expect(memory.usedBytes + memory.schemaBytes <= memory.limitBytes)
        for index in 0...made { _ = catalog.drop("f\(index)") }
        #expect(memory.usedBytes == 0 && memory.schemaBytes == 0)
    }

    @Test("frames without a row count too, by their columns", arguments: [1, 1_000])
    func schemas(columns: Int) throws {
        let memory = FrameMemory(limitBytes: 4 << 20)
        let catalog = FrameCatalog(shardCount: 1, resources: FrameResources(memory: memory))
        let schema = try Self.wide(columns: columns, rows: 0).schema
        var made = 0
        while made < 10_000, (try? catalog.create("f\(made)", schema: schema)) != nil { made += 1 }
        #expect(made == (4 << 20) / (memory.schemaBytes / made) && made < 2_000)
        #expect(catalog.drop("f0"))
        _ = try catalog.create("again", schema: schema)
    }

    @Test("a tail that grows row by row has what it was given, in every view, whatever was appended since")
    func growingTail() throws {
        let memory = FrameMemory()
        let part = FramePart(
            schema: try FrameSchema(parsing: "a:int,s:string,d:double"),
            resources: FrameResources(memory: memory, chunkRows: 100))
        var views: [(rows: Int, snapshot: FrameSnapshot)] = []
        for row in 0..<250 {
            var batch = ColumnBatch(schema: part.schema)
            let text: Scalar = row % 3 == 0 ? .null : .string(Array("s\(row % 7)".utf8))
            try batch.append(row: [row % 5 == 0 ? .null : .int(Int64(row)), text, .double(Double(row) / 2)])
            try part.append(batch)
            views.append((row + 1, part.snapshot()))
        }
        for (rows, snapshot) in views where rows % 9 == 0 {
            let plan = Plan(frame: "f", rows: ["a", "s", "d"], limit: 1_000)
            let found = try PlanExecutor.execute(plan, on: snapshot).partial.finish().values()
            #expect(found.count == rows)
            for (row, value) in found.enumerated() {
                #expect(value["a"] == (row % 5 == 0 ? .null : .int(Int64(row))))
                #expect(value["s"] == (row % 3 == 0 ? .null : .string("s\(row % 7)")))
                #expect(value["d"] == .double(Double(row) / 2))
            }
        }
        #expect(memory.usedBytes >= part.statistics.storedBytes)
    }

    @Test("a block of many short rows for many columns is refused before it is parsed")
    func blockUnderWay() throws {
        let memory = FrameMemory(limitBytes: 1 << 20)
        let columns = ColumnBatch.bytes(rows: 1_000, schema: try Self.wide(columns: 1_000, rows: 0).schema)
        #expect(columns == 12_000_000)
        let reservation = MemoryReservation(memory)
        #expect(throws: Failure.self) { try reservation.grow(by: columns) }
        #expect(memory.usedBytes == 0)
    }
}
