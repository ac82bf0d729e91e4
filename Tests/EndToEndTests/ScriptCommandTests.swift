// `script check` and `script test`: a folder of scripts without a server.

import Foundation
import Testing

@Suite struct ScriptCommandTests {
    /// A folder that is gone again behind the test.
    private static func inFolder(_ files: [String: String], _ body: (String) throws -> Void) throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
            "cacheismo-scripts-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        for (name, text) in files {
            try text.write(to: folder.appendingPathComponent(name), atomically: true, encoding: .utf8)
        }
        try body(folder.path)
    }

    private static func script(_ arguments: String...) throws -> Finished {
        try Finished.run(Place.binary, ["script"] + arguments)
    }

    private static let counter = """
        local shared = require "shared"
        local T = object "tally"
        function T.new() return { n = 0, since = now() } end
        function T:add(x)
            log("adding", x)
            self.n = self.n + shared.whole(x)
            return self.n
        end
        function T:age() return now() - self.since end
        T.readonly { "age" }

        """
    private static let shared = "return { whole = function(x) return whole(x, 'x') end }\n"

    @Test("the tests of the built-in types pass")
    func builtIn() throws {
        let run = try Self.script("test", Place.file("Tests/Types"))
        #expect(run.code == 0, "\(run.output)\(run.errors)")
        #expect(run.output.hasSuffix(" passed, 0 failed\n"), "\(run.output)")
        #expect(run.output.contains("ok     quota_test.lua: a month is as long as the calendar says ("))
    }

    @Test("a test that fails says where, what it got and what it wanted; each begins anew, with its own clock")
    func tests() throws {
        let tests = """
            test("adds", function()
                expect(call("tally:new:a"), "CREATED")
                expect(call("tally:add:a:2"), 2)
                expect(call("tally:add:a", "3"), "5")
                clock(90)
                expect(call("tally:age:a"), 90)
                expect({ 1, { b = 2 } }, { 1, { b = 2 } })
            end)
            test("begins with nothing", function() expect(call("tally:age:a"), "ERROR_CACHE_MISS") end)
            test("fails", function()
                call("tally:new:a")
                expect(call("tally:add:a:2"),
                    3)
            end)
            test("fails in the type", function() expect(call("tally:add:a:x"), nil) end)
            test("raises", function() local x = nil .. "" end)
            test("never ends", function() while true do end end)

            """
        try Self.inFolder(["tally.lua": Self.counter, "shared.lua": Self.shared, "tally_test.lua": tests]) { folder in
            let run = try Self.script("test", folder)
            #expect(run.code == 1)
            let lines = run.output.split(separator: "\n").map(String.init)
            #expect(lines.last == "2 passed, 4 failed", "\(run.output)")
            #expect(lines.contains { $0.hasPrefix("ok     tally_test.lua: adds (") })
            #expect(lines.contains("       log: adding 2"))
            #expect(lines.contains("       tally_test.lua:12: got \"2\", wanted 3"), "\(run.output)")
            #expect(lines.contains { $0.hasPrefix("       tally_test.lua:15: got \"ERROR_CACHE_MISS\", wanted nil") })
            #expect(lines.contains { $0.hasPrefix("       tally_test.lua:16: attempt to concatenate a nil value") })
            #expect(lines.contains { $0.contains("too many instructions") })
        }
    }

    @Test("check reports every fault of a folder with file and line, and exits with 1; of a good one with 0")
    func check() throws {
        try Self.inFolder(["tally.lua": Self.counter, "shared.lua": Self.shared, "tally_test.lua": "test('x', print)"])
        { folder in
            let run = try Self.script("check", folder)
            #expect(run.code == 0 && run.errors == "", "\(run.errors)")
            #expect(run.output == "3 scripts, all right\n")
        }
        let files = [
            "a.lua": "local A = object 'a'\nfunction A:x(\n", "b.lua": "local x = 1",
            "tally.lua": Self.counter, "shared.lua": "return {\n  x = = 1 }", "a_test.lua": "test('no body')",
        ]
        try Self.inFolder(files) { folder in
            let run = try Self.script("check", folder)
            #expect(run.code == 1)
            #expect(run.output == "5 scripts, 4 wrong\n")
            let lines = run.errors.split(separator: "\n").map(String.init)
            #expect(lines.count == 4, "\(run.errors)")
            for begin in ["a.lua:3: ", "b.lua: must declare", "a_test.lua:1: test needs a name and a function"] {
                #expect(lines.contains { $0.hasPrefix(begin) }, "\(begin): \(run.errors)")
            }
            #expect(lines.contains { $0.contains("shared.lua:2: unexpected symbol near '='") })
        }
    }

    @Test("a folder that isn't there, or has no tests, is one line")
    func badInput() throws {
        for words in [["check", "/nonexistent"], ["test", "/nonexistent"]] {
            let run = try Finished.run(Place.binary, ["script"] + words)
            #expect(run.code == 1 && run.errors.hasPrefix("cacheismo: /nonexistent: No such file"), "\(run.errors)")
        }
        try Self.inFolder(["tally.lua": "local T = object 't' function T.new() return {} end"]) { folder in
            let run = try Self.script("test", folder)
            #expect(run.code == 1 && run.errors.contains("has no tests: write NAME_test.lua"), "\(run.errors)")
        }
    }
}
