// `require` of shared files: what they give, what is refused, and how they are loaded again with those who use them.

import Engine
import Testing

@Suite struct SharedCodeTests {
    private static let money = script(
        "local M = {} function M.cents(x) return whole(x, 'amount') * 100 end return M", file: "money.lua")
    private static let till = script(
        """
        local money = require "money"
        local Till = object "till"
        function Till.new() return { cents = 0 } end
        function Till:pay(x) self.cents = self.cents + money.cents(x) return self.cents end
        function Till:again() return require("money").cents(1) end
        function Till:spoil() money.cents = nil end
        """, file: "till.lua")

    private static func makeEngine(_ scripts: [ObjectScript]) throws -> Engine {
        var configuration = EngineConfiguration(shards: 1, memoryBytes: 16 << 20)
        configuration.scripts = scripts
        configuration.objectTypes = try ObjectTypes(adding: scripts)
        return Engine(configuration)
    }

    private static func ask(_ engine: Engine, _ key: String) async -> String {
        await engine.shards[0].objects.answer(key)
    }

    private static func refusal(_ scripts: [ObjectScript]) -> [String: String] {
        ObjectTypes.checking(scripts).faults.mapValues(\.message)
    }

    @Test("a shared file is run once for each type that requires it, and nobody can write it")
    func shares() async throws {
        let engine = try Self.makeEngine([Self.money, Self.till])
        #expect(await Self.ask(engine, "till:new:a") == "CREATED")
        #expect(await Self.ask(engine, "till:pay:a:3") == "300")
        let failure = try #require(await engine.shards[0].objects.failure("till:pay:a:x"))
        #expect(failure.message == "money.lua:1: amount must be a whole number, not 'x'")
        #expect(failure.stack.first?.hasPrefix("money.lua:1: in ") == true, "\(failure.stack)")
        #expect(await Self.ask(engine, "till:again:a") == "<script_error>")
        #expect(await Self.ask(engine, "till:spoil:a") == "<script_error>")
        #expect(await Self.ask(engine, "till:pay:a:1") == "400")
        #expect(engine.catalog.statuses.map(\.file) == ["money.lua", "till.lua"])
        #expect(engine.catalog.statuses.allSatisfy { $0.failure == nil })
    }

    @Test(
        "what is wrong with a require is said with file and line, and once",
        arguments: [
            ("return require 'b'", "a.lua: files that require each other: t.lua -> a.lua -> b.lua -> a.lua", "b.lua"),
            ("return 1, require '../x'", "require '../x': name a file", "a.lua"),
            ("return require 'nosuch'", "there is no nosuch.lua in the scripts' folder", "a.lua"),
            ("local x = 1", "a.lua returns nothing: end it with return", "a.lua"),
            ("local x = nil + 1", "a.lua:1: attempt to perform arithmetic", "a.lua"),
            ("return (", "a.lua:1: unexpected symbol", "a.lua"), ("return require(1)", "require takes a name", "a.lua"),
        ])
    func refuses(_ source: String, _ problem: String, _ culprit: String) {
        let type = script("local a = require 'a' local T = object 't' function T.new() return {} end", file: "t.lua")
        let faults = Self.refusal([script(source, file: "a.lua"), script("return require 'a'", file: "b.lua"), type])
        let wanted = problem.replacing("a.lua: files", with: "files")
        #expect(faults[culprit]?.contains(wanted) == true, "\(faults)")
        #expect(faults["t.lua"] == nil, "\(faults)")
    }

    @Test("a shared file that nobody requires, and a type that is required, are wrong")
    func others() {
        #expect(Self.refusal([Self.money]).keys.sorted() == ["money.lua"])
        let user = script("require 'till' local T = object 't' function T.new() return {} end", file: "t.lua")
        let faults = Self.refusal([Self.money, Self.till, user])
        #expect(faults["t.lua"]?.hasPrefix("t.lua: requires till.lua, which declares a type") == true, "\(faults)")
    }

    @Test("a type's version is that of its file and of all that it requires")
    func versions() throws {
        let other = script("local M = {} function M.cents(x) return 1 end return M", file: "money.lua")
        let first = try #require(try ObjectTypes(adding: [Self.money, Self.till]).types["till"]?.hash)
        #expect(try ObjectTypes(adding: [Self.till, Self.money]).types["till"]?.hash == first)
        #expect(try ObjectTypes(adding: [other, Self.till]).types["till"]?.hash != first)
        let unrelated = script("local U = object 'u' function U.new() return {} end", file: "u.lua")
        #expect(try ObjectTypes(adding: [Self.money, Self.till, unrelated]).types["till"]?.hash == first)
    }

    @Test("a changed shared file is loaded again with who uses it, a wrong one is refused and its older version stays")
    func reloads() async throws {
        let engine = try Self.makeEngine([Self.money, Self.till])
        _ = await Self.ask(engine, "till:new:a")
        let mills = script("local M = {} function M.cents(x) return x * 1000 end return M", file: "money.lua")
        let report = engine.reload([mills, Self.till])
        #expect(report.changed == ["money.lua", "till.lua"] && report.failures.isEmpty)
        #expect(await Self.ask(engine, "till:pay:a:1") == "1000")
        // It does not compile; it is fine by itself, and its user fails with it; it is gone.
        let broken = engine.reload([script("return {", file: "money.lua"), Self.till])
        #expect(broken.failures.keys.sorted() == ["money.lua"] && broken.changed.isEmpty)
        let strict = script(
            "local money = require 'money' assert(money.cents, 'no cents') "
                + "local T = object 'strict' function T.new() return {} end", file: "strict.lua")
        #expect(engine.reload([mills, Self.till, strict]).failures.isEmpty)
        let without = engine.reload([script("return {}", file: "money.lua"), Self.till, strict])
        #expect(without.failures.keys.sorted() == ["money.lua"], "\(without.failures)")
        #expect(without.failures["money.lua"]?.message.contains("strict.lua, which requires it, fails") == true)
        #expect(await Self.ask(engine, "till:pay:a:1") == "2000")
        #expect(await Self.ask(engine, "strict:new:s") == "CREATED")
        // Who spoils a shared file for itself goes, not the file.
        let spoiling = script(
            "math = {} local m = require 'money' local T = object 's' function T.new() return {} end",
            file: "strict.lua")
        let needy = script("local x = math.huge + 1 return { cents = function() return x end }", file: "money.lua")
        #expect(engine.reload([needy, Self.till, strict]).failures.isEmpty)
        let spoiled = engine.reload([needy, Self.till, spoiling])
        #expect(spoiled.failures.keys.sorted() == ["strict.lua"], "\(spoiled.failures)")
        #expect(await Self.ask(engine, "strict:new:s") == "CREATED")
        #expect(await Self.ask(engine, "till:pay:a:1") != "<script_error>")
    }
}
