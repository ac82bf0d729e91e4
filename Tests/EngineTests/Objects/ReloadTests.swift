// Scripts that change while the node runs: versions, refusals, objects that stay.

import Engine
import Foundation
import Testing

@Suite struct ReloadTests {
    private static func greeter(_ word: String) -> ObjectScript {
        script(
            "local G = object 'greet' G.defaults { word = '\(word)' } function G:say() return self:_text() end "
                + "function G:_text() return self.word end function G:name(w) self.word = w end", file: "greet.lua")
    }

    private static func ask(_ engine: Engine, _ key: String) async -> String {
        await engine.shards[0].objects.answer(key)
    }

    private static func makeEngine(_ scripts: [ObjectScript]) throws -> Engine {
        var configuration = EngineConfiguration(shards: 1, memoryBytes: 16 << 20)
        configuration.scripts = scripts
        configuration.objectTypes = try ObjectTypes(adding: scripts)
        return Engine(configuration)
    }

    @Test("objects that are there get the new methods and defaults, and keep their data")
    func changes() async throws {
        let engine = try Self.makeEngine([Self.greeter("hello")])
        #expect(await Self.ask(engine, "greet:new:a") == "CREATED")
        #expect(await Self.ask(engine, "greet:new:b") == "CREATED")
        #expect(await Self.ask(engine, "greet:name:b:mine") == "")
        #expect(await Self.ask(engine, "greet:say:a") == "hello")
        let report = engine.reload([Self.greeter("salut")])
        #expect(report.changed == ["greet.lua"] && report.failures.isEmpty)
        #expect(await Self.ask(engine, "greet:say:a") == "salut")
        #expect(await Self.ask(engine, "greet:say:b") == "mine")
        #expect(engine.reload([Self.greeter("salut")]).changed.isEmpty)
    }

    @Test("a bad file is refused whole, its older version stays, and the others change")
    func refuses() async throws {
        let other = script("local T = object 'other' function T.new() return {} end", file: "other.lua")
        let engine = try Self.makeEngine([Self.greeter("hello"), other])
        _ = await Self.ask(engine, "greet:new:a")
        let version = engine.catalog.statuses.first { $0.file == "greet.lua" }?.version
        let bad = script("local G = object 'greet' function G:say() return 'half' end oops(", file: "greet.lua")
        let newer = script(
            "local T = object 'other' function T.new() return {} end function T:more() return 1 end",
            file: "other.lua")
        let report = engine.reload([bad, newer, script("x x", file: "worse.lua")])
        #expect(report.changed == ["other.lua"])
        #expect(report.failures.keys.sorted() == ["greet.lua", "worse.lua"])
        #expect(await Self.ask(engine, "greet:say:a") == "hello")
        _ = await Self.ask(engine, "other:new:o")
        #expect(await Self.ask(engine, "other:more:o") == "1")
        let statuses = engine.catalog.statuses
        #expect(statuses.map(\.file) == ["greet.lua", "other.lua", "worse.lua"])
        #expect(statuses[0].version == version && statuses[0].failure?.message.hasPrefix("greet.lua:1:") == true)
        #expect(statuses[0].types == ["greet"] && statuses[1].failure == nil)
        #expect(statuses[2].version == nil && statuses[2].failure != nil)
        // The next good version heals it.
        #expect(engine.reload([Self.greeter("back"), newer]).failures.isEmpty)
        #expect(await Self.ask(engine, "greet:say:a") == "back")
    }

    @Test("a type that is gone answers no more, one that is new answers at once, a built-in one comes back")
    func comesAndGoes() async throws {
        let engine = try Self.makeEngine([])
        let mine = script("local S = object 'set' function S.new() return {} end function S:my() return 'mine' end")
        _ = engine.reload([mine])
        _ = await Self.ask(engine, "set:new:s")
        #expect(await Self.ask(engine, "set:my:s") == "mine")
        #expect(engine.objectTypes.refusal(of: parse("set:put:s:a")) != nil)
        _ = engine.reload([])
        #expect(engine.objectTypes.refusal(of: parse("set:put:s:a")) == nil)
        #expect(await Self.ask(engine, "set:my:s") == "<script_error>")
        #expect(await Self.ask(engine, "set:new:s") == "CREATED")
        #expect(await Self.ask(engine, "set:put:s:a") == "SUCCESS")
    }

    @Test("a folder's fingerprint changes with its files")
    func fingerprint() throws {
        let directory = NSTemporaryDirectory() + "scripts-\(UInt64.random(in: 0...(.max)))"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let files = ScriptFiles(directory: directory)
        var seen = [files.fingerprint()]
        func note() {
            let now = files.fingerprint()
            #expect(now == files.fingerprint())
            #expect(!seen.contains(now))
            seen.append(now)
        }
        try "a".write(toFile: directory + "/a.lua", atomically: true, encoding: .utf8)
        note()
        try "ab".write(toFile: directory + "/a.lua", atomically: true, encoding: .utf8)
        note()
        try FileManager.default.moveItem(atPath: directory + "/a.lua", toPath: directory + "/b.lua")
        note()
        #expect(try files.read() == [ObjectScript(file: "b.lua", source: Array("ab".utf8))])
    }

    @Test("comments with three dashes describe methods, with their arguments")
    func documentation() {
        let source = """
            -- What it is,
            -- in two lines.
            local T = object "t"

            --- Puts a thing
            --- somewhere.
            function T:put(thing, place)
            end
            -- Not for users.
            function T.new() end
            """
        let documentation = TypeDocumentation(source: Array(source.utf8))
        #expect(documentation.about == "What it is, in two lines.")
        #expect(
            documentation.method("put")
                == MethodDocumentation(name: "put", arguments: ["thing", "place"], about: "Puts a thing somewhere."))
        #expect(documentation.method("new").about == "")
        #expect(documentation.method("none") == MethodDocumentation(name: "none", arguments: [], about: ""))
        for type in ObjectTypes.builtIn.types.values {
            #expect(!type.documentation.about.isEmpty)
            for method in type.methods {
                #expect(!type.documentation.method(method).about.isEmpty, "\(type.name) \(method)")
            }
        }
    }
}
