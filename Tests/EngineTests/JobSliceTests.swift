// Jobs in plain Lua over keys, objects and rows: each once, in slices, while others change them.

import Dispatch
import Engine
import Synchronization
import Testing

@Suite(.serialized) struct JobSliceTests {
    /// What `map` returns on the first shard, run on the only thread of the node's pool.
    private static func map(
        _ engine: Engine, _ source: String, deadline: Deadline = .after(milliseconds: 600_000)
    ) async throws -> Value {
        let coverage = ScanCoverage()
        let result = await withCheckedContinuation {
            (continuation: CheckedContinuation<Result<Value, Failure>, Never>) in
            engine.compute.submit {
                continuation.resume(
                    returning: Result { () throws(Failure) in
                        let script = try JobScript(Array(source.utf8), name: "t", now: 0, deadline: deadline)
                        let partial = try script.map(
                            over: engine.shards[0], frames: engine.frames, parameters: .map([]), coverage: coverage,
                            pool: engine.compute)
                        guard case .value(let leased)? = partial else { return .null }
                        return leased.value
                    })
            }
        }
        return try result.get()
    }

    private static func set(_ engine: Engine, _ key: String, expiry: UInt32 = 0) {
        let bytes = Array(key.utf8)
        bytes.withUnsafeBytes { key in
            _ = engine.shards[0].items.execute(
                .store(.set, flags: 0, expiry: Expiry(stored: expiry), cas: 0, value: [1, 2, 3]), key: key,
                hash: keyHash(key),
                now: unixSeconds())
        }
    }

    private static func call(_ engine: Engine, _ key: String) async -> Result<Value, Failure> {
        await withCheckedContinuation { continuation in
            engine.shards[0].objects.call(parse(key), data: nil, deadline: .never) {
                continuation.resume(returning: $0)
            }
        }
    }

    private static func engine() -> Engine {
        Engine(EngineConfiguration(shards: 1, computeThreads: 1, memoryBytes: 64 << 20))
    }

    @Test(
        "a cursor that no slice gave is an error",
        arguments: [
            ("keys('')", "1"), ("keys('', nil)", "1"), ("keys('', 0)", "error"), ("keys('', 1)", "error"),
            ("keys('', math.maxinteger)", "error"), ("keys('', math.maxinteger - 1)", "error"),
            ("keys('', 2^53)", "error"), ("keys('', 1 << 40)", "error"), ("keys('', -1)", "error"),
            ("keys('', math.mininteger)", "error"),
            ("keys('', 0/0)", "error"), ("keys('', 'x')", "error"), ("objects('counter', math.maxinteger)", "error"),
            ("objects('counter', 1)", "error"), ("objects('counter', 0)", "error"), ("objects('counter')", "0"),
            ("objects('counter', math.mininteger)", "error"),
        ])
    func foreignCursors(call: String, outcome: String) async throws {
        let engine = Self.engine()
        Self.set(engine, "user:1")
        let source = "function map(shard) local list, cursor = shard:\(call) return #list .. tostring(cursor) end"
        do {
            #expect(try await Self.map(engine, source) == .string("\(outcome)nil"))
        } catch {
            #expect(outcome == "error" && (error as? Failure)?.reason == .scriptError, "\(error)")
        }
    }

    @Test("a walk over keys meets every key with the prefix once, while others are stored and dropped")
    func keys() async throws {
        let engine = Self.engine()
        for index in 0..<20_000 { Self.set(engine, "user:\(index)") }
        for index in 0..<50 { Self.set(engine, "page:\(index)", expiry: unixSeconds() + 1000) }
        let changes = Task.detached {
            for index in 0..<20_000 { Self.set(engine, "other:\(index)") }
        }
        let value = try await Self.map(
            engine,
            """
            function map(shard)
              local seen, total, slices, cursor = {}, 0, 0, nil
              repeat
                local keys
                keys, cursor = shard:keys("user:", cursor)
                slices = slices + 1
                for _, item in ipairs(keys) do
                  assert(not seen[item.key] and item.ttl == nil and item.bytes > 3)
                  seen[item.key], total = true, total + 1
                end
              until not cursor
              return { total = total, slices = slices }
            end
            """)
        await changes.value
        #expect(value["total"] == .int(20_000))
        guard case .int(let slices)? = value["slices"] else { throw TestProblem() }
        #expect(slices > 3)
        let pages = try await Self.map(
            engine,
            """
            function map(shard)
              local keys, cursor = shard:keys("page:")
              local least = 1e9
              local count = 0
              while true do
                for _, item in ipairs(keys) do least, count = math.min(least, item.ttl), count + 1 end
                if not cursor then return { least = least, count = count } end
                keys, cursor = shard:keys("page:", cursor)
              end
            end
            """)
        #expect(pages["count"] == .int(50))
        guard case .int(let least)? = pages["least"] else { throw TestProblem() }
        #expect((900...1000).contains(least))
    }

    private struct TestProblem: Error {}

    @Test("a walk over objects meets each one, live or shelved, as it is, while methods go on, with one thread for all")
    func objects() async throws {
        let engine = Self.engine()
        for index in 0..<3_000 { _ = await Self.call(engine, "counter:new:c\(index):\(index)") }
        _ = await Self.call(engine, "map:new:other")
        let changes = Task.detached {
            for index in 0..<500 { _ = await Self.call(engine, "map:put:other:\(index):x") }
        }
        let value = try await Self.map(
            engine,
            """
            function map(shard)
              local names, count, cursor = {}, 0, nil
              repeat
                local objects
                objects, cursor = shard:objects("counter", cursor)
                for _, object in ipairs(objects) do
                  assert(not names[object.name] and type(object.state) == "table")
                  names[object.name], count = true, count + 1
                end
              until not cursor
              return { count = count, first = names.c0, last = names.c2999 }
            end
            """)
        await changes.value
        #expect(value["count"] == .int(3_000))
        #expect(value["first"] == .bool(true) && value["last"] == .bool(true))
        await #expect {
            _ = try await Self.map(engine, "function map(s) return (s:objects('nosuch')) end")
        } throws: { ($0 as? Failure)?.message.contains("there is no object type 'nosuch'") == true }
        await #expect {
            _ = try await Self.map(engine, "function map(s) return (s:objects('counter', 5000)) end")
        } throws: { ($0 as? Failure)?.message.contains("begin without a cursor") == true }
    }

    @Test("a walk over objects ends however many calls wait, and leaves no notes")
    func fullGate() async throws {
        let engine = Engine(EngineConfiguration(shards: 1, computeThreads: 2, memoryBytes: 64 << 20))
        for index in 0..<40_000 { Self.set(engine, "item:\(index)") }
        for index in 0..<300 { _ = await Self.call(engine, "counter:new:c\(index)") }
        let crowd = Crowd(at: engine.shards[0].objects)
        await crowd.gather()
        async let count = Self.map(engine, "function map(s) return #s:objects('counter') end")
        // The walk has begun, and nobody comes in any more: not even the walk's end, if it had to stand in line.
        await crowd.isFull()
        // Time enough for the walk to come to its end: where it is not, this test only finds less.
        DispatchQueue.global().asyncAfter(deadline: .now() + .milliseconds(300)) { crowd.goOn() }
        #expect(try await count == .int(256))
        #expect(crowd.refused > 0)
        #expect(engine.shards[0].objects.statistics.walks == 0)
    }

    @Test("cancelling ends a map in plain Lua that looks at no data, whenever it comes")
    func cancelling() async throws {
        let engine = Self.engine()
        let coverage = ScanCoverage()
        let source = "function map(shard) local n = 0 while true do n = n + 1 end end"
        let result = await withCheckedContinuation {
            (continuation: CheckedContinuation<Result<JobPartial?, Failure>, Never>) in
            engine.compute.submit {
                continuation.resume(
                    returning: Result { () throws(Failure) in
                        let script = try JobScript(
                            Array(source.utf8), name: "t", now: 0, deadline: .after(milliseconds: 600_000))
                        // The map is under way, or about to be, whenever this comes.
                        DispatchQueue.global().async { coverage.cancel() }
                        return try script.map(
                            over: engine.shards[0], frames: engine.frames, parameters: .map([]), coverage: coverage,
                            pool: engine.compute)
                    })
            }
        }
        guard case .failure(let failure) = result else { throw TestProblem() }
        #expect(failure.reason == .cancelled)
    }

    @Test("a walk over objects misses none that is shelved or taken back while names are collected")
    func shelvedMeanwhile() async throws {
        // Four MiB of live objects: most of these are shelved, and come back as they are called.
        let engine = Engine(EngineConfiguration(shards: 1, computeThreads: 2, memoryBytes: 32 << 20))
        let count = 40_000
        for index in 0..<count { _ = await Self.call(engine, "counter:new:c\(index):\(index)") }
        let changes = Task.detached {
            for index in 0..<count where index % 3 == 0 {
                _ = await Self.call(engine, "counter:get:c\(index * 7 % count)")
            }
        }
        for _ in 0..<3 {
            let value = try await Self.map(
                engine,
                """
                function map(shard)
                  local count, cursor = 0, nil
                  repeat
                    local objects
                    objects, cursor = shard:objects("counter", cursor)
                    count = count + #objects
                  until not cursor
                  return { count = count }
                end
                """)
            #expect(value["count"] == .int(Int64(count)))
        }
        await changes.value
        #expect(engine.shards[0].objects.statistics.shelved > 0)
    }

    @Test("a walk over a frame's rows gives every row that passes once, of one moment, and is counted as scanned")
    func rows() async throws {
        let engine = Self.engine()
        let schema = try FrameSchema(columns: [FrameColumn("n", .int), FrameColumn("city", .string)])
        let frame = try engine.frames.create("f", schema: schema)
        func add(_ rows: Range<Int64>) throws {
            var batch = ColumnBatch(schema: schema)
            for row in rows {
                try batch.append(row: [.int(row), row % 3 == 0 ? .null : .string(Array("c\(row % 7)".utf8))])
            }
            try frame.append(batch)
        }
        try add(0..<150_000)
        let source = """
            function map(shard)
              local query = shard:frame("f"):where("n", ">=", 10):with("half", "n / 2")
              local total, sum, nulls, cursor = 0, 0, 0, nil
              repeat
                local rows
                rows, cursor = query:slice({ "n", "city", "half" }, cursor)
                for _, row in ipairs(rows) do
                  total, sum = total + 1, sum + row.half
                  if row.city == nil then nulls = nulls + 1 end
                end
              until not cursor
              return { total = total, sum = sum, nulls = nulls }
            end
            """
        let value = try await Self.map(engine, source)
        #expect(value["total"] == .int(149_990))
        #expect(value["sum"] == .double(Double((10..<150_000).reduce(0, +)) / 2))
        #expect(value["nulls"] == .int(49_996))
        await #expect {
            _ = try await Self.map(engine, "function map(s) return (s:frame('f'):slice({'n'}, 3)) end")
        } throws: { ($0 as? Failure)?.message.contains("begin without a cursor") == true }
        await #expect {
            _ = try await Self.map(engine, source, deadline: .after(milliseconds: 0))
        } throws: { ($0 as? Failure)?.reason == .timeout || ($0 as? Failure)?.reason == .budgetExceeded }
    }
}

/// Calls that keep a shard's gate nearly full, each making the next one, until a walk is under way: then they fill it to the last
/// place, and the one that has the gate keeps it until `goOn`.
private final class Crowd: Sendable {
    private static let waitingMax = ObjectHostConfiguration().waitingMax
    private let objects: ObjectHost
    private let isGathering = Atomic<Bool>(true)
    private let refusals = Atomic<Int>(0)
    private let full = AsyncStream.makeStream(of: Void.self)
    private let end = DispatchSemaphore(value: 0)

    init(at objects: ObjectHost) { self.objects = objects }

    var refused: Int { refusals.load(ordering: .relaxed) }

    /// Two places are left: for the walk's beginning, and one more.
    func gather() async {
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            DispatchQueue.global().async {
                self.objects.call(parse("counter:get:c1"), data: nil, deadline: .never) { _ in
                    for _ in 0..<Self.waitingMax - 2 { self.enter() }
                    continuation.resume()
                }
            }
        }
    }

    private func enter() {
        objects.call(parse("counter:get:c1"), data: nil, deadline: .never) { result in
            if case .failure(let failure) = result, failure.reason == .overloaded {
                self.refusals.add(1, ordering: .relaxed)
            } else {
                self.hadItsTurn()
            }
        }
    }

    /// Under the gate.
    private func hadItsTurn() {
        guard isGathering.load(ordering: .relaxed) else { return }
        guard objects.statistics.walks > 0 else { return enter() }
        isGathering.store(false, ordering: .relaxed)
        while refused == 0 { enter() }
        full.continuation.finish()
        end.wait()
    }

    func isFull() async { for await _ in full.stream {} }

    func goOn() { end.signal() }
}
