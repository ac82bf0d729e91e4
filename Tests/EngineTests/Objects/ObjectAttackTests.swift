// Methods that try to break out, to stop the node or to spoil what others have: each fails with its reason, its object is as
// it was, and all the rest goes on.

import Engine
import Testing

@Suite struct ObjectAttackTests {
    private static let instructionsMax = ObjectHostConfiguration().instructionsMax

    /// The body of a method with the object `self`, and what it answers.
    private static let attacks: [(String, String)] = [
        // What would be undone too late: a change, then a bomb.
        ("self.n = 0 while true do end", "<budget_exceeded>"),
        ("self.n = 0 pcall(function() while true do end end) return 'survived'", "<budget_exceeded>"),
        ("self.n = 0 coroutine.wrap(function() while true do end end)()", "<budget_exceeded>"),
        ("self.n = 0 while true do pcall(coroutine.wrap(function() while true do end end)) end", "<budget_exceeded>"),
        (
            "local t = setmetatable({}, { __eq = function() while true do end end }) return t == setmetatable({}, getmetatable(t))",
            "<budget_exceeded>"
        ),
        (
            "local t = setmetatable({}, { __lt = function() while true do end end }) return t < t",
            "<budget_exceeded>"
        ),
        (
            "local t = setmetatable({}, { __tostring = function() while true do end end }) return tostring(t)",
            "<budget_exceeded>"
        ),
        (
            "local t = setmetatable({}, { __name = ('x'):rep(1 << 20) }) return tostring(t):rep(100)",
            "<budget_exceeded>"
        ),
        ("self.n = 0 local s = 'x' while true do s = s .. s end", "<budget_exceeded>"),
        ("self.big = ('x'):rep(1 << 40)", "<budget_exceeded>"),
        ("for i = 1, 1e9 do self[i] = i end", "<budget_exceeded>"),
        ("for i = 1, 1e9 do self.list[i] = {} end", "<budget_exceeded>"),
        ("local t = {} for i = 1, 40 do t = { t, t } end self.tree = t", "<script_error>"),
        ("self.me = self for i = 1, 1e9 do self = self.me end", "<budget_exceeded>"),
        ("self.me = self", "<script_error>"),
        (
            "local t = {} for i = 1, 200 do t[i] = math.random() end table.sort(t, function() return true end) return 'sorted'",
            "sorted"
        ),
        ("table.sort(self.list, function(a, b) self.n = self.n + 1 error('cmp') end)", "<script_error>"),
        ("return (('a'):rep(1 << 16)):find(('a-'):rep(20) .. 'b')", "<budget_exceeded>"),
        ("return string.format('%s', setmetatable({}, { __tostring = function() return {} end }))", "<script_error>"),
        ("return table.concat(setmetatable({}, { __len = function() return 1 << 40 end }))", "<script_error>"),
        ("return select('#', table.unpack({}, 1, 1 << 22))", "<script_error>"),
        ("local function f(n) return n == 0 and 0 or 1 + f(n - 1) end return f(1 << 30)", "<budget_exceeded>"),
        ("return string.rep", "<script_error>"),
        ("return coroutine.create(type)", "<script_error>"),
        ("return self, coroutine.yield()", "<script_error>"),
        // What is not there.
        ("return load('return 1')()", "<script_error>"), ("return loadstring('x')", "<script_error>"),
        ("return dofile('/etc/passwd')", "<script_error>"), ("return require('os')", "<script_error>"),
        ("return io.open('/etc/passwd')", "<script_error>"), ("return os.execute('id')", "<script_error>"),
        ("return os.getenv('HOME')", "<script_error>"), ("return debug.getregistry()", "<script_error>"),
        ("return package.path", "<script_error>"), ("return string.dump(function() end)", "<script_error>"),
        ("return collectgarbage('count')", "<script_error>"), ("return setfenv(1, {})", "<script_error>"),
        // What is locked.
        ("getmetatable('').__index = function() return 'owned' end", "<script_error>"),
        ("string.rep = nil", "<script_error>"), ("rawset(string, 'rep', nil)", "<script_error>"),
        ("setmetatable(string, {})", "<script_error>"), ("setmetatable(_G, { __index = 1 })", "<script_error>"),
        ("setmetatable(self, {})", "<script_error>"), ("getmetatable(self).__index = nil", "<script_error>"),
        ("setmetatable({}, { __gc = function() while true do end end })", "<script_error>"),
        ("local _ENV = {} return math.huge", "<script_error>"),
        (
            "local x <close> = setmetatable({}, { __close = function() while true do end end }) error('x')",
            "<script_error>"
        ),
        (
            "local x <close> = setmetatable({}, { __close = function() error('in close') end }) self.n = 9",
            "<script_error>"
        ),
        ("math.randomseed(42) json.encode = nil", "<script_error>"),
        ("rawset(json, 'encode', 1) rawset(_G, 'hash', 2) error('done')", "<script_error>"),
        ("peek('counter', 'c').value = 99", "<script_error>"),
        ("rawset(peek('counter', 'c'), 'value', 99)", "<script_error>"),
        ("error(setmetatable({}, { __tostring = function() while true do end end }))", "<script_error>"),
        ("error(nil)", "<script_error>"), ("error(('x'):rep(1 << 19))", "<script_error>"),
        ("hash(nil)", "<script_error>"), ("expire('x')", "<script_error>"), ("expire(0 / 0)", "<script_error>"),
        ("return json.decode(('['):rep(1 << 10))", ""),
    ]

    @Test("each attack answers its reason, and leaves the object, the others and the shard as they were")
    func attacks() async throws {
        var source = "local T = object 'target' function T.new() return { n = 1, list = { 3, 1, 2 } } end\n"
        source +=
            "function T:show() return { self.n, #self.list, ('x'):rep(2), hash('a') ~= nil, json.encode(1) } end\n"
        for (index, attack) in Self.attacks.enumerated() { source += "function T:a\(index)() \(attack.0) end\n" }
        let host = try makeHost([script(source)]) {
            $0.methodNanosecondsMax = 100_000_000
            $0.memoryBytesMax = 24 << 20
        }
        #expect(await host.answer("target:new:x") == "CREATED")
        #expect(await host.answer("counter:new:c:7") == "CREATED")
        let before = await host.answer("target:show:x")
        #expect(before == #"[1,3,"xx",true,"1"]"#)
        for (index, (body, answer)) in Self.attacks.enumerated() {
            let answered = await host.answer("target:a\(index):x")
            #expect(answered == answer, "\(body)")
            #expect(await host.answer("target:show:x") == before, "after \(body)")
            #expect(await host.answer("counter:get:c") == "7", "after \(body)")
        }
        #expect(host.statistics.memoryBytes < 24 << 20)
        // Whatever they did, in Lua or in functions of the host, it was charged, and the budget was the end of it.
        let most = host.statistics.instructionsMost
        #expect(most > 1_000_000 && most <= Self.instructionsMax + (64 << 10), "\(most) instructions")
    }

    @Test("many calls that stay just below the memory limit leave nothing behind")
    func nearTheLimit() async throws {
        let source = """
            local T = object "eater"
            function T.new() return { n = 0 } end
            function T:eat() local t = {} for i = 1, 100000 do t[i] = i .. "" end self.n = self.n + 1 return self.n end
            """
        let host = try makeHost([script(source)]) { $0.memoryBytesMax = 16 << 20 }
        _ = await host.answer("eater:new:e")
        for round in 1...60 { #expect(await host.answer("eater:eat:e") == "\(round)") }
        #expect(host.statistics.memoryBytes <= 16 << 20)
    }
}
