// Too few arguments, and too many: an error that shows the form, for every method of every type, by both ways of a call.

import Engine
import Testing

@Suite struct ArgumentTests {
    private static let many = String(repeating: ":1", count: 8)

    @Test("a colon too many is an error that shows the form, and stores nothing")
    func tooMany() async throws {
        let host = try makeHost()
        for type in ["map", "set", "list", "bloom", "counter", "session"] { _ = await host.answer("\(type):new:o") }
        let failure = try #require(await host.failure("map:put:o:time:12:30"))
        #expect(failure.reason == .scriptError && failure.fault == .caller)
        #expect(
            failure.message
                == "map:put takes 2 arguments, not 3: map:put:NAME:KEY:VALUE; escape a colon in one as %3A, or use set "
                + "map:put:NAME:KEY")
        #expect(await host.answer("map:count:o") == "0")
        #expect(await host.answer("map:put:o:time:12%3A30") == "SUCCESS")
        #expect(await host.answer("map:get:o:time") == "time : 12:30")
        for key in ["set:put:o:a:b", "list:put:o:a:b", "bloom:add:o:a:b", "counter:add:o:1:2", "session:get:o:a:b"] {
            #expect(await host.answer(key) == "<script_error>", "\(key)")
        }
        #expect(await host.answer("set:count:o") == "0")
        #expect(await host.answer("counter:get:o") == "0")
        // A data block is an argument too, also an empty one.
        #expect(await host.answer("map:put:o:k:v", data: "w") == "<script_error>")
        #expect(await host.answer("counter:get:o", data: "") == "<script_error>")
        #expect(await host.answer("map:put:o:k", data: "") == "SUCCESS")
    }

    @Test("every method of every built-in type refuses eight arguments, unless it takes any number, and shows its form")
    func all() async throws {
        let host = try makeHost()
        for type in ObjectTypes.builtIn.types.values {
            for method in type.methods.sorted() + ["ttl", "expire", "drop", "create"] {
                guard type.signatures[method]?.isOpen != true else { continue }
                let failure = await host.failure("\(type.name):\(method):o\(Self.many)")
                #expect(failure?.message.contains(": \(type.name):\(method):NAME") == true, "\(type.name):\(method)")
            }
            // Nothing was made by any of them.
            let first = type.methods.subtracting(["new"]).filter { type.signatures[$0]?.least ?? 0 == 0 }.sorted().first
            if let first { #expect(await host.answer("\(type.name):\(first):o") == "<miss>") }
        }
    }

    @Test(
        "too few arguments show the form, of an object that is not there as well",
        arguments: [
            ("map:put:m", "map:put:NAME:KEY:VALUE"), ("map:put:m:k", "map:put:NAME:KEY:VALUE"),
            ("set:union:s", "set:union:NAME:VALUE[:…]"), ("hll:add:h", "hll:add:NAME:VALUE[:…]"),
            ("quota:new:q", "quota:new:NAME:LIMIT:PERIOD"), ("quota:add:q:5", "quota:add:NAME:LIMIT:PERIOD"),
            ("lock:acquire:k", "lock:acquire:NAME:SECONDS[:OWNER]"),
            ("lock:renew:k:1", "lock:renew:NAME:TOKEN:SECONDS"),
            ("digest:add:d", "digest:add:NAME:VALUE[:COUNT]"), ("counter:expire:c", "counter:expire:NAME:SECONDS"),
            ("counter:add", "counter:add:NAME[:AMOUNT]"), ("list:new", "list:new:NAME[:SIZE]"),
            ("bloom:new:", "bloom:new:NAME[:CAPACITY[:SHARE]]"),
        ])
    func tooFew(key: String, form: String) async throws {
        let host = try makeHost()
        let failure = try #require(await host.failure(key))
        #expect(failure.message.hasSuffix(form), "\(failure.message)")
        #expect(failure.reason == .scriptError)
    }

    private static let thing = script(
        """
        local T = object "thing"
        function T.new(a, b) return { n = tostring(a) .. tostring(b) } end
        function T:loose(a, b) return tostring(a) .. tostring(b) end
        function T:firm(a, b) return tostring(a) .. tostring(b) end
        function T:rest(a, ...) return a .. select("#", ...) end
        function T.none() return "none" end
        T.needs { firm = 1, rest = 1 }
        """, file: "thing.lua")

    @Test("what a type does not need may be missing, what it does not take may not be there; a rest may")
    func ownTypes() async throws {
        let host = try makeHost([Self.thing])
        for (key, answer) in [
            ("thing:new:a:1", "CREATED"), ("thing:new:a:1:2:3", "<script_error>"), ("thing:loose:a", "nilnil"),
            ("thing:loose:a:1", "1nil"), ("thing:loose:a:1:2", "12"), ("thing:loose:a:1:2:3", "<script_error>"),
            ("thing:firm:a", "<script_error>"), ("thing:firm:a:1", "1nil"), ("thing:firm:a:1:2:", "<script_error>"),
            ("thing:rest:a", "<script_error>"), ("thing:rest:a:1", "10"), ("thing:rest:a:1:2:3", "12"),
            ("thing:none:a", "none"), ("thing:none:a:", "<script_error>"),
        ] {
            #expect(await host.answer(key) == answer, "\(key)")
        }
        #expect(
            await host.failure("thing:firm:a")?.message
                == "thing:firm takes 1 to 2 arguments, not 0: thing:firm:NAME:A[:B]")
    }

    @Test(
        "needs is checked when the file is loaded",
        arguments: [
            "T.needs { put = 3 }", "T.needs { nothing = 1 }", "T.needs { put = -1 }", "T.needs { put = 'x' }",
            "T.makes { put = 1 }", "T.makes { nothing = function() return {} end }",
        ])
    func badNeeds(line: String) {
        let source = "local T = object 't' function T.new() return {} end function T:put(a, b) end " + line
        #expect(throws: Failure.self) { try ObjectTypes(adding: [script(source)]) }
    }
}
