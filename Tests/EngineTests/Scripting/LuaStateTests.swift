// Lua values to Swift and back, the sandbox's allow-list, errors with their place, callbacks and host objects.

import Engine
import Testing

@Suite struct LuaStateTests {
    @Test(
        "an expression answers",
        arguments: [
            ("1 + 1", "2"), ("7 / 2", "3.5"), ("'a' .. 1", "a1"), ("true", "true"), ("nil", ""), ("{}", "[]"),
            ("{1, 2, {3}}", "[1,2,[3]]"), ("{b = 1, a = {x = 'y'}}", #"{"a":{"x":"y"},"b":1}"#),
            ("{[10] = 'j', z = 0, [2] = 'b', [true] = 1}", #"{"2":"b","10":"j","z":0,"true":1}"#),
            ("{1, nil, 3}", #"{"1":1,"3":3}"#),
            ("(function() local t = {} for i = 3, 1, -1 do t[i] = i end return t end)()", "[1,2,3]"),
            ("('x'):rep(3, '-')", "x-x-x"), ("(''):rep(1 << 62)", ""), ("#table.concat({1, 2, 3}, ',')", "5"),
            ("select('#', pcall(error))", "2"), ("select(2, pcall(error, 'why'))", "why"),
            ("select(2, xpcall(error, function(m) return m .. '!' end, 'why'))", "why!"),
            ("select(2, xpcall(function(...) return ... end, print, 5))", ""),
            ("select('#', xpcall(function(...) return ... end, error, 5, 6))", "3"),
            ("coroutine.wrap(function(a) return coroutine.yield(a + 1) end)(1)", "2"),
            ("select(2, coroutine.resume(coroutine.create(function() error('e', 0) end)))", "e"),
            ("coroutine.status(coroutine.create(type))", "suspended"), ("math.type(os.time())", "integer"),
            ("unpack({4, 5})", "4"), ("tostring(string == string)", "true"), ("os.date('!%Y', 0)", "1970"),
        ])
    func expressions(expression: String, answer: String) throws {
        if expression.contains("print") {
            #expect(throws: Failure.self) { try evaluate(expression) }
        } else {
            #expect(try evaluate(expression) == answer)
        }
    }

    @Test("nothing outside the allow-list is there")
    func allowList() throws {
        for name in [
            "io", "debug", "package", "require", "dofile", "loadfile", "load", "loadstring", "collectgarbage", "print",
            "warn", "string.dump", "os.execute", "os.exit", "os.getenv", "os.remove", "os.rename", "os.tmpname",
            "os.setlocale", "_G.io", "getmetatable('').__index",
        ] {
            let found = try? evaluate("tostring(\(name))")
            #expect(found == nil || found == "nil", "\(name)")
        }
    }

    @Test("a script cannot change what the others share")
    func locked() throws {
        for attack in [
            "string.rep = nil", "rawset(string, 'rep', 1)", "setmetatable(string, {})", "table.insert(table, 1)",
            "setmetatable({}, {__gc = function() end})", "getmetatable('').__index = nil", "rawset(_G, 'x', 1)",
        ] {
            let failed = failure(of: "function main() \(attack) end")
            #expect(failed?.reason == .scriptError, "\(attack)")
        }
        let state = LuaState()
        let first = state.makeEnvironment()
        let second = state.makeEnvironment()
        try state.load(source: Array("leak = 1; pairs = nil".utf8), name: "first", environment: first)
        try state.load(source: Array("seen = leak; kept = pairs ~= nil".utf8), name: "second", environment: second)
        #expect(try state.value("seen", in: second) == .null)
        #expect(try state.value("kept", in: second) == .bool(true))
        #expect(try state.value("leak", in: first) == .int(1))
    }

    @Test("errors carry the script's name and line")
    func places() {
        #expect(failure(of: "x = = 1")?.description == "script_error test.lua:1: unexpected symbol near '='")
        #expect(
            failure(of: "\n\nerror('broken')")?.description == "script_error test.lua:3: broken")
        #expect(failure(of: "function main() error({}) end")?.message == "raised a table as error")
        #expect(failure(of: "\u{1B}Lua")?.reason == .scriptError)
        #expect(failure(of: String(repeating: " ", count: 2 << 20))?.reason == .scriptError)
    }

    @Test("every plain value survives the way through Lua")
    func roundTrip() throws {
        let values: [Value] = [
            .null, .bool(false), .int(.min), .double(0.1), .bytes([0, 255]), .array([.int(1), .array([])]),
            .object(["a": .int(1), "b": .string("x")]), .map([Value.Pair(.int(7), .bool(true))]),
        ]
        for value in values {
            #expect(try runLua("function main(v) return v end", [value]).first?.plain == value)
        }
    }

    @Test("cycles, functions and too much output are refused")
    func refusedResults() throws {
        #expect(failure(of: "function main() local t = {} t.t = t return t end")?.reason == .scriptError)
        #expect(failure(of: "function main() return coroutine.create(type) end")?.reason == .scriptError)
        #expect(failure(of: "function main() return {[{}] = 1} end")?.reason == .scriptError)
        let small = LuaBudget(deadline: .after(milliseconds: 600_000), outputBytesMax: 1000)
        #expect(failure(of: "function main() return ('x'):rep(2000) end", budget: small)?.reason == .budgetExceeded)
        #expect(failure(of: "function main() return ('x'):rep(900) end", budget: small) == nil)
    }

    @Test("a host function gets values, gives values, and its failure keeps its reason")
    func hostFunctions() throws {
        func prepare(_ state: LuaState) {
            state.register("math2.add") { (arguments) throws(Failure) in
                guard case .int(let a)? = arguments.first?.plain, case .int(let b)? = arguments.last?.plain else {
                    throw Failure(.wrongType, "add needs two integers")
                }
                return .values([.int(a + b), .string("more")])
            }
        }
        let results = try runLua("function main() return math2.add(2, 3) end", prepare: prepare)
        #expect(results.map(\.plain) == [.int(5), .string("more")])
        let failed = failure(of: "function main()\nmath2.add('x') end", prepare: prepare)
        let stack = ["test.lua:2: in the function at line 1"]
        #expect(failed == Failure(.wrongType, "test.lua:2: add needs two integers", about: [], stack: stack))
        let other = failure(of: "function main() pcall(math2.add) error('other', 0) end", prepare: prepare)
        #expect(other == Failure(.scriptError, "other", about: [], stack: ["test.lua:1: in the function at line 1"]))
    }

    @Test(
        "a host's failure that a script raises again is the host's still, whatever is put in front by Lua itself",
        arguments: [
            ("fail('n1')", "test.lua:1: n1 is away", true),
            ("local _, e = pcall(fail, 'n1') error(e, 0)", "n1 is away", true),
            ("local _, e = pcall(fail, 'n1') error(e)", "test.lua:1: n1 is away", true),
            ("local _, e = pcall(function() fail('n1') end) error(e, 2)", "test.lua:1: n1 is away", true),
            ("assert(pcall(fail, 'n1'))", "test.lua:1: n1 is away", true),
            ("coroutine.wrap(function() fail('n1') end)()", "test.lua:1: n1 is away", true),
            ("local _, e = pcall(error, select(2, pcall(fail, 'n1')), 0) error(e, 0)", "n1 is away", true),
            // In words of its own it is the script's.
            ("local _, e = pcall(fail, 'n1') error('alas: ' .. e, 0)", "alas: n1 is away", false),
            ("pcall(fail, '') error('what is away', 0)", "what is away", false),
            ("pcall(fail, 'n1') error('other', 0)", "other", false),
        ])
    func raisedAgain(_ script: String, _ words: String, _ isHosts: Bool) {
        let failed = failure(of: "function main() \(script) end") { state in
            state.register("fail") { (arguments) throws(Failure) in
                let name = arguments.first?.plain?.text ?? ""
                throw Failure(
                    .budgetExceeded, name.isEmpty ? "is away" : "\(name) is away", fault: .server, about: .named(name))
            }
        }
        #expect(failed?.message == words)
        #expect(failed?.reason == (isHosts ? .budgetExceeded : .scriptError))
        #expect(failed?.fault == (isHosts ? .server : .caller))
        #expect(failed?.names("n1") == isHosts)
    }

    @Test("a host function may call a function it was given, and an error in it comes out")
    func callsBack() throws {
        let state = LuaState()
        state.register("each") { (arguments) throws(Failure) in
            guard case .function(let function)? = arguments.first else { return .nothing }
            return .values(try state.call(function, [.plain(.int(20))]).compactMap(\.plain))
        }
        let environment = state.makeEnvironment()
        let source = """
            function main() return each(function(x) return x + 1 end) end
            function broken() return each(function(x) return x.y.z end) end
            function inside() return coroutine.wrap(main)() end
            """
        try state.load(source: Array(source.utf8), name: "t", environment: environment)
        for name in ["main", "inside"] {
            #expect(try state.call(#require(state.function(name, in: environment))).first?.plain == .int(21))
        }
        #expect(throws: Failure.self) { try state.call(#require(state.function("broken", in: environment))) }
        #expect(try state.call(#require(state.function("main", in: environment))).first?.plain == .int(21))
    }
}
