// One map for all shards of a node: where that does, that it answers what the shards' maps together would, and what it remembers.

import Engine
import Testing

@Suite struct WholeNodeMapTests {
    /// Rows on each of three shards, some sealed and some not.
    private static func makeEngine() throws -> Engine {
        let engine = Engine(EngineConfiguration(shards: 3, computeThreads: 2, memoryBytes: 8 << 20))
        for name in ["f", "g"] {
            let frame = try engine.frames.create(name, schema: try FrameSchema(parsing: "x:int,few:int,s:string"))
            for (index, part) in frame.parts.enumerated() {
                try part.append(try batch(frame.schema, rows: 70_000 + index * 1_000, from: index * 100_000))
            }
        }
        return engine
    }

    private static func batch(_ schema: FrameSchema, rows: Int, from start: Int) throws -> ColumnBatch {
        var batch = ColumnBatch(schema: schema)
        for number in start..<start + rows {
            try batch.append(row: [.int(Int64(number)), .int(Int64(number % 7)), .text("s\(number % 40)")])
        }
        return batch
    }

    private static let engine = try? makeEngine()

    private static func script(_ source: String, states: JobStates? = nil) throws -> JobScript {
        // A reduce without an end is one of those that are tried.
        try JobScript(
            Array(source.utf8), name: "t", now: 0, deadline: .after(milliseconds: 600_000), states: states)
    }

    private typealias Whole = (partial: JobPartial?, apart: Int)

    private static func mapAll(_ source: String, _ engine: Engine, _ coverage: ScanCoverage) throws -> Whole {
        var apart = 0
        let partial = try script(source).map(
            overAll: engine.shards, frames: engine.frames, parameters: .map([]), coverage: coverage,
            pool: engine.compute
        ) { apart += 1 }
        return (partial, apart)
    }

    private static func rows(_ partial: JobPartial?, _ source: String) throws -> Value {
        guard let partial else { return .null }
        return try script(source).finish(partial, parameters: .map([])).value
    }

    private static let agg =
        "agg{ n = count(), sum = sum('x'), d = distinct('s'), q = quantile('x', 0.5), t = topk('few', 3), m = max('s') }"

    static let whole = [
        "function map(s) return s:frame('f'):\(agg) end",
        "function map(s) return s:frame('f'):group('few', 's'):\(agg) end",
        "function map(s) return s:frame('f'):where('s', '=', 's7'):group(bucket('x', 50000)):\(agg) end",
        "function map(s) local _, r = pcall(function() return s:frame('f'):count() end) return r end",
        "function map(s) local r = s:frame('f'):count() return r end function reduce(a, b) return a:merge(b) end",
        "function map(s) return s:frame('f'):count() end function reduce(a, b) return b:merge(a) end",
        "function map(s) s:frame('g') s:frame('g'):where('x', '>', 1) return s:frame('f'):count() end",
    ]

    @Test(
        "a map that returns its one plan is run once, and answers what all shards' maps do together", arguments: whole)
    func oneScan(source: String) throws {
        let engine = try #require(Self.engine)
        let coverage = ScanCoverage()
        let (partial, apart) = try Self.mapAll(source, engine, coverage)
        #expect(apart == 0)
        let (each, seen) = (ScanCoverage(), coverage.total)
        let parts = try engine.shards.compactMap { shard in
            try Self.script(source).map(
                over: shard, frames: engine.frames, parameters: .map([]), coverage: each, pool: engine.compute)
        }
        let merged = try JobScript.merge(parts, job: "t", WorkPace())
        #expect(parts.count == 3)
        #expect(try Self.rows(partial, source) == Self.rows(merged, source))
        #expect(seen.rows == each.total.rows && seen.rowsEver == each.total.rowsEver)
        #expect(seen.frames == each.total.frames && seen.frameIDs == each.total.frameIDs)
        #expect(seen.rows == (seen.frames.count == 2 ? 2 : 1) * 213_000)
    }

    private static let count = "s:frame('f'):count()"

    @Test(
        "a map that looks at what its shard has, or answers anything else, is that shard's alone",
        arguments: [
            "return \(count):rows()", "return { n = \(count):rows()[1].count }", "return \(count):sort('count')",
            "return \(count):merge(\(count))", "return s:frame('f'):rows{ 'x' }", "return s:keys('')",
            "return s:objects('counter')", "return (s:frame('f'):slice({ 'x' }))", "return 1", "return nil",
            "local a = \(count) return s:frame('g'):count()", "local a = \(count) return { 1 }",
            "local r = \(count) r:rows() return r", "s:keys('') return \(count)",
        ])
    func apart(body: String) throws {
        let engine = try #require(Self.engine)
        let coverage = ScanCoverage()
        let source = "function map(s) \(body) end"
        // What belongs in finish is refused, in the end.
        let found = try? Self.mapAll(source, engine, coverage)
        #expect(found?.apart ?? 1 == 1)
        let own = try? Self.script(source).map(
            over: engine.shards[0], frames: engine.frames, parameters: .map([]), coverage: ScanCoverage(),
            pool: engine.compute)
        #expect(try Self.rows(found?.partial, source) == Self.rows(own ?? nil, source))
        #expect(coverage.total.rows % 70_000 == 0, "the first shard's")
    }

    @Test(
        "a reduce that may tell how many partials there are gets one from each shard",
        arguments: [
            "return a", "return nil", "return 1", "return a:merge(b):merge(b)", "a:merge(b) return b",
            "local s = a:merge(b) s:rows() return s", "return a:merge(b):sort('count')", "return a:merge(a)",
            "n = (n or 0) + #a:rows() return a:merge(b)", "pcall(a.rows, a) return a:merge(b)", "error('no')",
            "return a:merge(b), 1", "local s = a:merge(b) a:merge(b) return s",
        ])
    func otherReduce(body: String) throws {
        let engine = try #require(Self.engine)
        let source = "function map(s) return \(Self.count) end function reduce(a, b) \(body) end"
        let (partial, apart) = try Self.mapAll(source, engine, ScanCoverage())
        #expect(apart == 1)
        #expect(try Self.rows(partial, "function map() end") == .array([.object(["count": .int(70_000)])]))
    }

    @Test("what goes wrong in the scan is told by the line of its plan, and ends the map where others would run too")
    func failure() throws {
        let engine = try #require(Self.engine)
        let states = JobStates(memory: ScriptMemory(limitBytes: 2 << 20))
        let source = "function map(s)\nlocal q = s:frame('f'):group('x')\nreturn q:agg{ n = count() } end"
        var apart = 0
        let script = try Self.script(source, states: states)
        #expect {
            try script.map(
                overAll: engine.shards, frames: engine.frames, parameters: .map([]), coverage: ScanCoverage(),
                pool: engine.compute
            ) { apart += 1 }
        } throws: { error in
            guard let failure = error as? Failure else { return false }
            return failure.reason == .budgetExceeded && failure.message.hasPrefix("t:3: ")
        }
        #expect(throws: Failure.self) {
            try Self.mapAll("function map(s) return s:frame('f'):group('nosuch'):count() end", engine, ScanCoverage())
        }
        #expect(apart == 0)
    }

    @Test("an explained plan names the shards that one scan is for")
    func explained() throws {
        let engine = try #require(Self.engine)
        for (source, shards) in [(Self.whole[0], 3), ("function map(s) return \(Self.count):rows() end", 1)] {
            let coverage = ScanCoverage(explains: true)
            _ = try Self.mapAll(source, engine, coverage)
            #expect(coverage.explanations.map { $0["shards"] } == [.int(Int64(shards))])
        }
    }

    @Test("what a plan found in all parts is known, whichever part the next chunk comes to, and if it is an older one")
    func known() throws {
        let resources = FrameResources(chunkRows: 100)
        let catalog = FrameCatalog(shardCount: 3, resources: resources)
        let frame = try catalog.create("f", schema: try FrameSchema(parsing: "x:int,few:int,s:string"))
        let plan = Plan(frame: "f", group: ["few"], aggregates: [Aggregate("n", .count), Aggregate("s", .sum, "x")])
        func append(_ rows: Int, part: Int, from start: Int) throws {
            try frame.parts[part].append(try Self.batch(frame.schema, rows: rows, from: start))
        }
        /// Chunks scanned and known.
        func ask() throws -> [Int] {
            let view = frame.view().whole
            let (partial, statistics) = try PlanExecutor.execute(plan, on: view)
            let known = resources.partials
            let fresh = FrameSnapshot(schema: view.schema, pieces: view.pieces, cache: view.cache)
            #expect(try partial.finish() == PlanExecutor.execute(plan, on: fresh).partial.finish())
            #expect(statistics.rowsCovered == view.rowCount && known.usedBytes > 0)
            return [statistics.chunksScanned, statistics.chunksCached]
        }
        // Staged first, seen last.
        let load = try catalog.beginLoad(7, into: frame)
        try load.stage(try Self.batch(frame.schema, rows: 300, from: 9_000))
        for part in [2, 0, 1] { try append(200, part: part, from: part * 1_000) }
        #expect(try ask() == [6, 0])
        #expect(try ask() == [0, 6])
        try append(150, part: 1, from: 5_000)
        #expect(try ask() == [2, 6], "a chunk, and a tail")
        #expect(try ask() == [0, 8])
        try append(100, part: 0, from: 6_000)
        #expect(try ask() == [2, 7], "a chunk, and the tail anew, as its rows were known with the others only")
        _ = try catalog.commitLoad(7)
        #expect(try ask() == [4, 8], "chunks that are older than those that are known")
        #expect(try ask() == [0, 12])
    }
}
