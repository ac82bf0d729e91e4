// Scripts that try to run for ever, to eat all memory or to survive their budget: each fails in time, typed, and the state
// works on.

import Engine
import Testing

@Suite struct LuaAttackTests {
    /// The body of a function, and the reason it fails with.
    private static let attacks: [(String, Reason)] = [
        ("while true do end", .budgetExceeded),
        ("while true do pcall(function() while true do end end) end", .budgetExceeded),
        ("pcall(function() while true do end end) return 'survived'", .budgetExceeded),
        ("xpcall(function() while true do end end, function() while true do end end)", .budgetExceeded),
        ("while true do xpcall(error, function() while true do end end) end", .budgetExceeded),
        ("coroutine.wrap(function() while true do end end)()", .budgetExceeded),
        ("while true do coroutine.resume(coroutine.create(function() while true do end end)) end", .budgetExceeded),
        (
            "local c = coroutine.create(function() local x <close> = setmetatable({}, {__close = function() while true do end end}) coroutine.yield() end) coroutine.resume(c) coroutine.close(c) return 1",
            .budgetExceeded
        ),
        (
            "local x <close> = setmetatable({}, {__close = function() while true do end end}) while true do end",
            .budgetExceeded
        ),
        ("return setmetatable({}, {__index = function(t, k) while true do end end}).x", .budgetExceeded),
        ("return #setmetatable({}, {__len = function() while true do end end})", .budgetExceeded),
        ("for _ in pairs(setmetatable({}, {__pairs = function() while true do end end})) do end", .budgetExceeded),
        ("table.sort({3, 2, 1, 5}, function() while true do end end)", .budgetExceeded),
        ("return ('x'):gsub('x', function() while true do end end)", .budgetExceeded),
        ("local function f() return f() end return f()", .budgetExceeded),
        ("local function f() return 1 + f() end return f()", .budgetExceeded),
        ("local function f() return pcall(f) end f() while true do f() end", .budgetExceeded),
        (
            "local t = setmetatable({}, {}) getmetatable(t).__index = function(t, k) return t[k] end return t.x",
            .scriptError
        ),
        ("local s = 'x' while true do s = s .. s end", .budgetExceeded),
        ("while true do pcall(string.rep, 'x', 1 << 30) end", .budgetExceeded),
        ("return ('x'):rep(1 << 40)", .budgetExceeded),
        ("return ('x'):rep(1 << 62)", .budgetExceeded),
        ("local t = {} for i = 1, 1e9 do t[i] = {i} end", .budgetExceeded),
        ("local t = {} while true do t[#t + 1] = coroutine.create(type) end", .budgetExceeded),
        ("table.move({}, 1, 1 << 60, 2)", .budgetExceeded),
        ("table.insert(setmetatable({}, {__len = function() return 1 << 60 end}), 1, 1)", .budgetExceeded),
        ("table.remove(setmetatable({}, {__len = function() return 1 << 60 end}), 1)", .budgetExceeded),
        ("table.sort(setmetatable({}, {__len = function() return 1 << 30 end}))", .budgetExceeded),
        ("return table.unpack({}, 1, 1 << 50)", .budgetExceeded),
        (
            "return table.concat(setmetatable({}, {__index = function() return '' end}), '', 1, 1 << 60)",
            .budgetExceeded
        ),
        ("local s = ('x'):rep(1 << 23) while true do s:upper() end", .budgetExceeded),
        ("local s = ('x'):rep(1 << 23) while true do local t = s .. 'y' end", .budgetExceeded),
        ("return (('a'):rep(40)):find(('a?'):rep(40) .. ('a'):rep(40))", .budgetExceeded),
        ("return (('x'):rep(1 << 20)):find('.-.-.-.-b')", .budgetExceeded),
        ("return (('x'):rep(1 << 20)):gsub('.-.-.-b', '')", .budgetExceeded),
        ("for _ in (('x'):rep(1 << 20)):gmatch('.*.*b') do end", .budgetExceeded),
        (
            "local s, p = ('a'):rep(1 << 22), ('a'):rep(1 << 21) .. 'b' while true do s:find(p, 1, true) end",
            .budgetExceeded
        ),
        ("return ('x'):find(('x?'):rep(1000))", .scriptError),
        ("return ('x'):rep(1 << 10):gsub('.', ('x'):rep(1 << 20))", .budgetExceeded),
        ("return string.format('%1000d', 1)", .scriptError),
        ("return coroutine.yield(1)", .scriptError),
        ("return ('x'):bad()", .scriptError),
    ]

    @Test("an attack fails with its reason in bounded time, and the state works on")
    func attacks() throws {
        let state = LuaState(memoryBytesMax: 48 << 20)
        let environment = state.makeEnvironment()
        try state.load(source: Array("function fine() return 42 end".utf8), name: "fine", environment: environment)
        let fine = try #require(state.function("fine", in: environment))
        for (source, reason) in Self.attacks {
            let scratch = state.makeEnvironment()
            try state.load(source: Array("function main() \(source) end".utf8), name: "attack", environment: scratch)
            let main = try #require(state.function("main", in: scratch))
            let start = monotonicNanoseconds()
            var failed: Failure?
            do throws(Failure) {
                _ = try state.call(main, budget: LuaBudget(deadline: .after(milliseconds: 100)))
            } catch { failed = error }
            let milliseconds = (monotonicNanoseconds() - start) / 1_000_000
            #expect(failed?.reason == reason, "\(source): \(String(describing: failed))")
            #expect(milliseconds < 3000, "\(source) took \(milliseconds) ms")
            #expect(try state.call(fine).first?.plain == .int(42), "after \(source)")
        }
        #expect(state.memoryBytes <= 48 << 20)
    }

    @Test("the same attacks inside a coroutine of the host fail alike")
    func attacksInCoroutine() throws {
        for (source, reason) in Self.attacks {
            let state = LuaState(memoryBytesMax: 48 << 20)
            let scratch = state.makeEnvironment()
            try state.load(source: Array("function main() \(source) end".utf8), name: "attack", environment: scratch)
            let main = try #require(state.function("main", in: scratch))
            let coroutine = LuaCoroutine(main, budget: LuaBudget(deadline: .after(milliseconds: 100)))
            guard case .failed(let failed) = coroutine.resume() else {
                Issue.record("\(source) did not fail")
                continue
            }
            #expect(failed.reason == reason, "\(source): \(failed)")
        }
    }

    @Test("an attack at the top level of a script fails while loading")
    func topLevel() {
        #expect(failure(of: "while true do end")?.reason == .budgetExceeded)
        #expect(failure(of: String(repeating: "(", count: 10_000))?.reason == .scriptError)
    }

    @Test("a cancelled state stops the call under way and works again once that is taken back")
    func cancelled() throws {
        let state = LuaState()
        state.register("cancel") { (_) throws(Failure) in
            state.setCancelled(true)
            return .nothing
        }
        let environment = state.makeEnvironment()
        let source =
            "function main() cancel() while true do pcall(function() while true do end end) end end function ok() return 1 end"
        try state.load(source: Array(source.utf8), name: "t", environment: environment)
        let main = try #require(state.function("main", in: environment))
        var failed: Failure?
        do throws(Failure) {
            _ = try state.call(main, budget: LuaBudget(deadline: .never))
        } catch { failed = error }
        #expect(failed?.reason == .cancelled)
        state.setCancelled(false)
        #expect(try state.call(#require(state.function("ok", in: environment))).first?.plain == .int(1))
    }
}
