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

    /// Attacks in which no coroutine comes to the end of its first 256 instructions, or a single instruction or call takes long.
    private static let stalls: [(String, Reason)] = [
        ("local function f() coroutine.wrap(f)() coroutine.wrap(f)() end while true do pcall(f) end", .budgetExceeded),
        (
            "local function f(n) if n > 0 then coroutine.wrap(f)(n - 1) coroutine.wrap(f)(n - 1) end end f(60)",
            .budgetExceeded
        ),
        ("while true do coroutine.resume(coroutine.create(function() for i = 1, 60 do end end)) end", .budgetExceeded),
        ("while true do coroutine.create(type) end", .budgetExceeded),
        ("while true do coroutine.close(coroutine.create(type)) end", .budgetExceeded),
        ("while true do coroutine.wrap(type)(1) end", .budgetExceeded),
        (
            "local t = {} while true do t[#t + 1] = coroutine.wrap(function() coroutine.yield() end) t[#t]() end",
            .budgetExceeded
        ),
        (
            "local n, m = 0, {} m.__len = function() n = n + 1 return n == 1 and 1 or 1 << 40 end while true do n = 0 pcall(table.insert, setmetatable({}, m), 1, 5) end",
            .budgetExceeded
        ),
        (
            "local t = setmetatable({}, { __index = function() return 1 end, __newindex = function() end }) table.move(t, 1, 1900000000, 2)",
            .budgetExceeded
        ),
        ("table.move({}, 1, 1900000000, 2)", .budgetExceeded),
        ("table.sort(setmetatable({}, { __len = function() return 1 << 25 end }))", .budgetExceeded),
        (
            "local t = {} for i = 1, 1e5 do t[i] = i end while true do table.sort(t, function() return true end) end",
            .budgetExceeded
        ),
        ("local s = ('0'):rep(8 << 20) while true do for i = 1, s do end end", .budgetExceeded),
        ("local s = ('0'):rep(500000) while true do math.fmod(s, s) end", .budgetExceeded),
        ("local s = ('1'):rep(8 << 20) while true do pcall(math.tointeger, s) end", .budgetExceeded),
        ("local s = '1.' .. ('1'):rep(8000000) while true do pcall(math.sin, s) end", .budgetExceeded),
        (
            "local s = (' '):rep(8 << 20) while true do tonumber(s) tonumber(s, 10) pcall(function() return s + 1 end) end",
            .budgetExceeded
        ),
        (
            "local z = ('\\0'):rep(8000000) local a, b = z .. 'a', z .. 'b' while true do local _ = a < b end",
            .budgetExceeded
        ),
        (
            "local z = ('x'):rep(8000000) local a, b = z .. 'a', z .. 'b' while true do local _ = a < b end",
            .budgetExceeded
        ),
        (
            "local z = ('x'):rep(8000000) local a, b = z .. 'a', z .. 'a' while true do local _ = a == b, rawequal(a, b) end",
            .budgetExceeded
        ),
        (
            "local z, t = ('\\0'):rep(2000000), {} for i = 1, 12 do t[i] = z .. string.char(80 - i) end while true do table.sort(t) end",
            .budgetExceeded
        ),
        ("local a, n = ('x'):rep(500000), 0 while true do n = n + 1 local t = { [a .. n] = 1 } end", .budgetExceeded),
        ("local s = ('x'):rep(8 << 20) while true do utf8.len(s) end", .budgetExceeded),
        ("local s, f = ('\\x80'):rep(8 << 20), utf8.codes('') while true do pcall(f, s, 1) end", .budgetExceeded),
        ("local f = ('b'):rep(60000) while true do pcall(string.packsize, f) end", .budgetExceeded),
        (
            "local f, s = ('z'):rep(60000), ('x'):rep(8 << 20) while true do pcall(string.unpack, f, s) end",
            .budgetExceeded
        ),
        ("while true do pcall(string.format, ('%s'):rep(4 << 20), 1) end", .budgetExceeded),
        (
            "local s, p = ('x'):rep(1 << 20), '[' .. ('a'):rep(1 << 20) .. ']' while true do s:find(p) end",
            .budgetExceeded
        ),
        ("local s = ('x'):rep(1 << 20) while true do s:find('%f[' .. ('a'):rep(100000) .. ']') end", .budgetExceeded),
        ("local s = ('x'):rep(8 << 20) while true do s:find('(.*)%1%1b') end", .budgetExceeded),
        (
            "local s, p = ('x'):rep(8 << 20), ('x'):rep(200) .. 'y' while true do s:find(p, 1, true) end",
            .budgetExceeded
        ),
        (
            "local t = {} for i = 1, 200000 do t[i] = i end local function f(...) while true do local a = { ... } end end f(table.unpack(t))",
            .budgetExceeded
        ),
        (
            "local t = {} for i = 1, 1 << 17 do t['k' .. i] = i end for k in pairs(t) do t[k] = nil end while true do next(t) end",
            .budgetExceeded
        ),
        ("while true do os.date(('%c'):rep(500)) end", .budgetExceeded),
        // Called by putting it before its arguments until the stack is full, which takes the square of its size.
        ("local t = {} setmetatable(t, { __call = t }) t()", .budgetExceeded),
        (
            "local a, b = {}, {} setmetatable(a, { __call = b }) setmetatable(b, { __call = a }) pcall(a) while true do a() end",
            .budgetExceeded
        ),
        // Keys that meet in one place of the table once it has grown: an instruction of seconds, or of hours.
        ("local t, m = {}, (1 << 17) - 1 for i = 1, 70000 do t[i * m] = i end", .budgetExceeded),
        ("local t, m = {}, (1 << 19) - 1 for i = 1, 300000 do t[i * m] = i end", .budgetExceeded),
        (
            "local t = {} for i = 1, 130000 do t[((i * 131071) % (1 << 31) + (1 << 31)) / 2 ^ 32] = i end",
            .budgetExceeded
        ),
        (
            "local function f() local x <close> = setmetatable({}, { __close = function() while true do end end }) while true do end end pcall(f)",
            .budgetExceeded
        ),
        (
            "local o = setmetatable({}, { __close = function() end }) local function f(n) local x <close> = o if n == 0 then while true do end end return (f(n - 1)) end f(100000)",
            .budgetExceeded
        ),
    ]

    @Test("an attack fails with its reason in bounded time, and the state works on")
    func attacks() throws { try attack(with: Self.attacks) }

    @Test("what counts no instructions is looked at all the same")
    func stalls() throws { try attack(with: Self.stalls) }

    private func attack(with attacks: [(String, Reason)]) throws {
        let state = LuaState(memoryBytesMax: 48 << 20)
        let environment = state.makeEnvironment()
        try state.load(source: Array("function fine() return 42 end".utf8), name: "fine", environment: environment)
        let fine = try #require(state.function("fine", in: environment))
        for (source, reason) in attacks {
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
        for (source, reason) in Self.attacks + Self.stalls {
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

    @Test("a script whose compilation takes the square of its length is stopped")
    func compilation() {
        let locals = "local " + (0..<190).map { "a\($0)" }.joined(separator: ",") + "\n"
        let scopes = (0..<100).map { "function f\($0)() \(locals)" }.joined()
        let sources = [
            scopes + String(repeating: "x=y;", count: 200_000) + String(repeating: " end", count: 100),
            "if a then " + String(repeating: "elseif a then ", count: 70_000) + "end",
            "x=" + String(repeating: "a and ", count: 170_000) + "a",
        ]
        for source in sources {
            let state = LuaState()
            var failed: Failure?
            do throws(Failure) {
                try state.load(
                    source: Array(source.utf8), name: "t", environment: state.makeEnvironment(),
                    budget: LuaBudget(deadline: .after(milliseconds: 50)))
            } catch { failed = error }
            #expect(failed?.reason == .budgetExceeded, "\(source.prefix(40)): \(String(describing: failed))")
        }
    }

    @Test("a script that eats memory ends as soon as collecting garbage no longer helps")
    func memory() {
        for source in [
            "local t = {} for i = 1, 1e9 do t['k' .. i] = i end",
            "local t = {} for i = 1, 1e9 do t[i] = { x = i, y = { i } } end",
            "local t = {} while true do t = { t } end",
            "local t = {} while true do t[#t + 1] = ('x'):rep(100) .. #t end",
            "local t = {} while true do t[#t + 1] = ('x'):rep(1 << 20) .. #t end",
            "local t = {} while true do t[#t + 1] = coroutine.create(type) end",
            "local t = {} while true do pcall(function() t[#t + 1] = { #t } end) end",
            "local s = 'x' while true do s = s .. s end",
            "local t = {} while true do t[#t + 1] = function() return t end end",
        ] {
            let start = monotonicNanoseconds()
            let failed = failure(
                of: "function main() \(source) end", memoryBytesMax: 64 << 20,
                budget: LuaBudget(instructionsMax: 2_000_000_000, deadline: .after(milliseconds: 600_000)))
            #expect(
                failed?.reason == .budgetExceeded
                    && ["memory", "too long a text"].contains { failed?.message.contains($0) == true },
                "\(source): \(String(describing: failed))")
            #expect(monotonicNanoseconds() - start < 20_000_000_000, "\(source)")
        }
    }

    @Test("a table is never weak: a chain of weak keys costs the collector no more than others")
    func weakTables() throws {
        let source = """
            function main()
              local m, e, k = {}, {}, {}
              for i = 1, 20000 do e[i] = setmetatable({}, m) k[i] = {} end
              k[20001] = {}
              for i = 1, 20000 do e[i * 7919 % 20000 + 1][k[i]] = k[i + 1] end
              k = k[1]
              m.__mode = "k"
              for i = 1, 300000 do local garbage = {} end
              local weak = setmetatable({}, { __mode = "v" })
              weak[1] = {}
              for i = 1, 300000 do local garbage = {} end
              return weak[1] ~= nil and #e
            end
            """
        #expect(try runLua(source).first?.plain == .int(20000))
    }

    @Test(
        "no metamethod runs in the middle of a chain of '..', where Lua would lose its stack",
        arguments: [
            "setmetatable({}, m)", "setmetatable({}, setmetatable(m, { __index = m }))",
            "(function() local t = setmetatable({}, m) m.__concat = grow return t end)()",
        ])
    func concatenation(value: String) throws {
        let source = """
            function main()
              local m = {}
              function grow(l, r) local function f(n) return n == 0 and 0 or 1 + f(n - 1) end f(200) return 'x' end
              m.__concat = grow
              local j = \(value)
              m.__concat = grow
              local survived = 0
              for i = 1, 50 do
                local ok = pcall(function() local s = 'a' .. j .. 'b' .. j .. ' ' .. i return s end)
                survived = survived + (ok and 1 or 0)
              end
              return survived
            end
            """
        #expect(try runLua(source).first?.plain == .int(0))
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
