// Lua states that jobs use one after the other: nothing of one job is left for the next.

import Engine
import Testing

@Suite struct JobStatesTests {
    private static func script(
        _ source: String, _ states: JobStates, now: Int64 = 0, deadline: Deadline = .after(milliseconds: 600_000)
    ) throws -> JobScript {
        try JobScript(Array(source.utf8), name: "t", now: now, deadline: deadline, states: states)
    }

    /// What `map` returns.
    private static func map(
        _ source: String, _ states: JobStates, now: Int64 = 0, shard: Shard? = nil, frames: FrameCatalog? = nil
    ) throws -> Value {
        let engine = Engine(EngineConfiguration(shards: 1, memoryBytes: 8 << 20))
        let partial = try script(source, states, now: now).map(
            over: shard ?? engine.shards[0], frames: frames ?? engine.frames, parameters: .map([]),
            coverage: ScanCoverage())
        guard case .value(let leased)? = partial else { return .null }
        return leased.value
    }

    @Test("a state is used again, and has what a new one has")
    func reuse() throws {
        let states = JobStates()
        for now in [1000, 2000, 3000] as [Int64] {
            #expect(try Self.map("function map() return now() end", states, now: now) == .double(Double(now) / 1000))
            #expect(states.count == 1)
        }
        #expect(
            try Self.map("function map() return type(count) .. type(bucket) end", states) == .string("functionfunction")
        )
    }

    @Test(
        "what a job leaves behind is not there for the next",
        arguments: [
            ("x = 1", "x"), ("_G.x = 1", "x"), ("rawset(_G, 'x', 1)", "x"),
            ("pcall(function() string.x = 1 end)", "string.x"), ("pcall(function() ('').x.y = 1 end)", "('').x"),
            ("pcall(function() string.format = nil end)", "string.format == nil or nil"),
            ("pcall(rawset, table, 'x', 1)", "table.x"), ("pcall(function() math.pi = 3 end)", "math.pi == 3 or nil"),
            ("job.params = { x = 1 }", "job.params"), ("count = nil", "count == nil or nil"),
            ("count = 1", "count == 1 or nil"), ("pcall(function() getmetatable(_G).__index = nil end)", "x"),
            ("setmetatable(_G, { __index = function() return 1 end })", "x"),
            ("pcall(function() cluster.x = 1 end)", "cluster and cluster.x"), ("function map2() end", "map2"),
        ])
    func leftovers(leaves: String, probe: String) throws {
        let states = JobStates()
        // What is refused is as good: then there is nothing to be left.
        _ = try? Self.map("function map() \(leaves) return true end", states)
        let isUsedAgain = states.count == 1
        #expect(try Self.map("function map() return { found = \(probe), done = true } end", states)["found"] == nil)
        #expect(isUsedAgain && states.count == 1)
    }

    @Test(
        "a script that is still compiled begins anew, its globals, locals and tables too",
        arguments: [
            "n = (n or 0) + 1 function map() return n end", "local n = 0 function map() n = n + 1 return n end",
            "local t = {} function map() t[#t + 1] = true return #t end",
            "function map() map, n = nil, (n or 0) + 1 return n end",
            "local function up() n = (n or 0) + 1 return n end function map() return up() end",
        ])
    func sameScript(source: String) throws {
        let states = JobStates()
        for _ in 0..<4 {
            #expect(try Self.map(source, states) == .int(1))
            #expect(states.count == 1)
        }
        // Also after more scripts than are kept.
        for other in 0..<40 {
            #expect(try Self.map("function map() return \(other) end", states) == .int(Int64(other)))
        }
        #expect(try Self.map(source, states) == .int(1))
        #expect(states.count == 1)
    }

    @Test("the same text under another name fails by that name")
    func names() throws {
        let states = JobStates()
        let source = Array("function map() return nil + 1 end".utf8)
        let engine = Engine(EngineConfiguration(shards: 1, memoryBytes: 8 << 20))
        for name in ["one", "two", "one"] {
            let script = try JobScript(
                source, name: name, now: 0, deadline: .after(milliseconds: 600_000), states: states)
            #expect {
                try script.map(
                    over: engine.shards[0], frames: engine.frames, parameters: .map([]), coverage: ScanCoverage())
            } throws: { ($0 as? Failure)?.message.hasPrefix("\(name):1: ") == true }
        }
        #expect(states.count == 1)
    }

    @Test("garbage of many jobs is collected before a state has grown too large to be kept")
    func garbage() throws {
        let states = JobStates()
        let source = "function map() local t = {} for i = 1, 2000 do t[i] = {} end return #t end"
        for _ in 0..<50 {
            #expect(try Self.map(source, states) == .int(2000))
            #expect(states.count == 1)
        }
    }

    @Test("random numbers of a seed end with the job that gave it")
    func random() throws {
        let states = JobStates()
        let source = "function map() return tostring(math.random(1 << 60)) end"
        var numbers: Set<String> = []
        for _ in 0..<3 {
            _ = try Self.map("function map() math.randomseed(7) return math.random(1 << 60) end", states)
            numbers.insert(try Self.map(source, states).text ?? "")
        }
        #expect(numbers.count == 3)
    }

    @Test("a state is dropped after a job that was stopped, had a run of its own, or grew large")
    func dropped() throws {
        let states = JobStates()
        let endless = "function map() while true do end end"
        let engine = Engine(EngineConfiguration(shards: 1, memoryBytes: 8 << 20))
        func runEndless() throws {
            let script = try Self.script(endless, states, deadline: .after(milliseconds: 20))
            _ = try script.map(
                over: engine.shards[0], frames: engine.frames, parameters: .map([]), coverage: ScanCoverage())
        }
        #expect(throws: Failure.self) { try runEndless() }
        #expect(states.count == 0)
        _ = try Self.script("function run() end", states)
        #expect(states.count == 0)
        _ = try Self.map("local t = {} for i = 1, 200000 do t[i] = i end function map() return #t end", states)
        #expect(states.count == 0)
        #expect(throws: Failure.self) { try Self.script("this is no Lua", states) }
        #expect(states.count == 0)
    }

    @Test("a state that waits to be used again keeps nothing of its last job alive")
    func lettingGo() throws {
        let states = JobStates()
        weak var shard: Shard?
        do {
            let engine = Engine(EngineConfiguration(shards: 1, memoryBytes: 8 << 20))
            shard = engine.shards[0]
            _ = try Self.map(
                "function map(shard) kept = shard return 1 end", states, shard: engine.shards[0],
                frames: engine.frames)
        }
        #expect(states.count == 1)
        #expect(shard == nil)
    }
}
