// Coroutines of the host: requests out, answers in, slices that end and go on, budgets that last for the whole run.

import Engine
import Testing

@Suite struct LuaCoroutineTests {
    private func start(_ source: String, budget: LuaBudget = LuaBudget(deadline: .after(milliseconds: 600_000))) throws
        -> LuaCoroutine
    {
        let state = LuaState()
        state.register("ask") { (arguments) throws(Failure) in .yield("ask", try arguments.plain(in: "ask")) }
        let environment = state.makeEnvironment()
        try state.load(source: Array(source.utf8), name: "t", environment: environment)
        return LuaCoroutine(try #require(state.function("main", in: environment)), budget: budget)
    }

    @Test("a function asks the host twice and returns what it was answered")
    func asks() throws {
        let coroutine = try start(
            "function main(x) local a, b = ask('first', x) local ok, c = pcall(ask, b) return a .. c end")
        guard case .yielded("ask", let first) = coroutine.resume([.plain(.int(7))]) else { throw Unexpected() }
        #expect(first == [.string("first"), .int(7)])
        guard case .yielded("ask", let second) = coroutine.resume([.plain(.string("A")), .plain(.string("B"))]) else {
            throw Unexpected()
        }
        #expect(second == [.string("B")])
        guard case .returned(let results) = coroutine.resume([.plain(.string("C"))]) else { throw Unexpected() }
        #expect(results.map(\.plain) == [.string("AC")])
        guard case .failed = coroutine.resume() else { throw Unexpected() }
    }

    @Test("asking where nobody can wait is a script error")
    func cannotWait() throws {
        for body in ["coroutine.wrap(function() ask(1) end)()", "table.sort({2, 1}, function() return ask(1) end)"] {
            guard case .failed(let failed) = try start("function main() \(body) end").resume() else {
                throw Unexpected()
            }
            #expect(failed.reason == .scriptError && failed.message.contains("cannot wait"), "\(body): \(failed)")
        }
        #expect(
            failure(of: "function main() ask() end") { $0.register("ask") { (_) throws(Failure) in .yield("x", []) } }?
                .reason == .scriptError)
    }

    @Test("a run cut into slices computes the same as one that is not")
    func slices() throws {
        let source = """
            function main()
              local sum, text = 0, {}
              for i = 1, 20000 do
                local ok, v = pcall(function(x) return x % 7 end, i)
                sum = sum + v * i
                if i % 1000 == 0 then text[#text + 1] = tostring(sum) end
                for k, v in pairs { a = i } do sum = sum + v end
              end
              return table.concat(text, ","), sum
            end
            """
        guard case .returned(let whole) = try start(source).resume() else { throw Unexpected() }
        let coroutine = try start(source)
        var pauses = 0
        while true {
            switch coroutine.resume(slice: Deadline(uptimeNanoseconds: 1)) {
            case .paused: pauses += 1
            case .returned(let results):
                #expect(results.map(\.plain) == whole.map(\.plain))
                #expect(pauses > 500)
                return
            default: throw Unexpected()
            }
        }
    }

    @Test("instructions are counted over the whole run, however it is cut")
    func instructions() throws {
        let coroutine = try start(
            "function main() while true do ask() for i = 1, 1000 do end end end",
            budget: LuaBudget(instructionsMax: 20_000, deadline: .never))
        var rounds = 0
        while case .yielded = coroutine.resume() { rounds += 1 }
        #expect(rounds > 5 && rounds < 40)
    }

    @Test("a script gets no hold of the host's own coroutine")
    func running() throws {
        let source = """
            function main()
              local co, isMain = coroutine.running()
              kept = co
              local shown = { coroutine.status(co), tostring(isMain), tostring(coroutine.resume(co)),
                tostring(pcall(coroutine.close, co)), tostring(coroutine.isyieldable()), type(co) }
              coroutine.wrap(function()
                shown[#shown + 1] = coroutine.status(co)
                shown[#shown + 1] = tostring(coroutine.running() ~= co)
                shown[#shown + 1] = tostring(coroutine.isyieldable())
                shown[#shown + 1] = tostring(coroutine.resume(co))
              end)()
              ask(1)
              return table.concat(shown, " ")
            end
            function later() return tostring(coroutine.resume(kept)), coroutine.status(kept) end
            """
        let state = LuaState()
        state.register("ask") { (arguments) throws(Failure) in .yield("ask", try arguments.plain(in: "ask")) }
        let environment = state.makeEnvironment()
        try state.load(source: Array(source.utf8), name: "t", environment: environment)
        let coroutine = LuaCoroutine(try #require(state.function("main", in: environment)))
        guard case .yielded = coroutine.resume() else { throw Unexpected() }
        // Meanwhile another run of the same state tries what the first one kept.
        let later = try state.call(try #require(state.function("later", in: environment)))
        #expect(later.map(\.plain) == [.string("false"), .string("running")])
        guard case .returned(let results) = coroutine.resume() else { throw Unexpected() }
        #expect(results.first?.plain == .string("running true false false false thread normal true true false"))
    }

    @Test("a coroutine that an abort ended does not run on when it is closed later")
    func closedAfterAbort() throws {
        let state = LuaState()
        let environment = state.makeEnvironment()
        let source = """
            function main()
              kept = coroutine.create(function()
                local x <close> = setmetatable({}, { __close = function() ran = true while true do end end })
                while true do end
              end)
              coroutine.resume(kept)
            end
            function later() return coroutine.close(kept), coroutine.status(kept), ran == nil end
            """
        try state.load(source: Array(source.utf8), name: "t", environment: environment)
        let main = try #require(state.function("main", in: environment))
        var failed: Failure?
        do throws(Failure) {
            _ = try state.call(main, budget: LuaBudget(deadline: .after(milliseconds: 20)))
        } catch { failed = error }
        #expect(failed?.reason == .budgetExceeded)
        let later = try state.call(try #require(state.function("later", in: environment)))
        #expect(later.map(\.plain) == [.bool(true), .string("dead"), .bool(true)])
    }

    @Test("a coroutine that failed by itself is closed, its variables with it, and says what failed")
    func closedAfterError() throws {
        let results = try runLua(
            """
            function main()
              local closed
              local function body()
                local x <close> = setmetatable({}, { __close = function() closed = true end })
                error("oops", 0)
              end
              local co = coroutine.create(body)
              coroutine.resume(co)
              local ok, message = coroutine.close(co)
              local waiting = coroutine.create(function() local x <close> = setmetatable({}, { __close = function() error("later", 0) end }) coroutine.yield() end)
              coroutine.resume(waiting)
              local ok2, message2 = coroutine.close(waiting)
              return closed, ok, message, ok2, message2, coroutine.status(waiting)
            end
            """)
        #expect(
            results.map(\.plain) == [
                .bool(true), .bool(false), .string("oops"), .bool(false), .string("later"), .string("dead"),
            ])
    }

    @Test("coroutines that close each other without end fail, and the state works on")
    func closingInsideEachOther() throws {
        let source = """
            function main()
              local deepest, depth = 0, 0
              local m = {}
              m.__close = function()
                depth = depth + 1
                if depth > deepest then deepest = depth end
                local co = coroutine.create(function() local x <close> = setmetatable({}, m) coroutine.yield() end)
                coroutine.resume(co)
                coroutine.close(co)
                depth = depth - 1
              end
              m.__close()
              return deepest
            end
            """
        let results = try runLua(source)
        guard case .int(let deepest)? = results.first?.plain else { throw Unexpected() }
        #expect(deepest < 20)
    }

    @Test("two coroutines of one state take turns")
    func turns() throws {
        let state = LuaState()
        state.register("ask") { (arguments) throws(Failure) in .yield("ask", try arguments.plain(in: "ask")) }
        let environment = state.makeEnvironment()
        try state.load(
            source: Array("function main(n) for i = 1, 3 do n = n + ask(n) end return n end".utf8), name: "t",
            environment: environment)
        let main = try #require(state.function("main", in: environment))
        let pair = [LuaCoroutine(main), LuaCoroutine(main)]
        for (index, coroutine) in pair.enumerated() { _ = coroutine.resume([.plain(.int(Int64(index) * 100))]) }
        var results: [Value?] = []
        for round in 0..<3 {
            for coroutine in pair {
                if case .returned(let values) = coroutine.resume([.plain(.int(1))]) {
                    results.append(values.first?.plain)
                }
            }
            if round < 2 { #expect(results.isEmpty) }
        }
        #expect(results == [.int(3), .int(103)])
    }
}

private struct Unexpected: Error {}
