// The registry of types: what is a method, what a broken declaration says, a directory of scripts.

import Engine
import Foundation
import Testing

@Suite struct ObjectTypesTests {
    @Test("keys that begin with a known type and another part are recognised, whether or not that is a method")
    func names() {
        func names(_ key: String) -> Bool { Array(key.utf8).withUnsafeBytes { ObjectTypes.builtIn.names($0) } }
        for key in ["set:new:x", "quota:addandcheck:alice:3", "map:get:", "swcounter:getavg:a"] {
            #expect(names(key), "\(key)")
            #expect(ObjectTypes.builtIn.refusal(of: parse(key)) == nil, "\(key)")
        }
        for key in ["set:readonly:x", "set::x", "set:newer:x", "set:pu:x", "set:putt:x"] {
            #expect(names(key), "\(key)")
            let virtualKey = Array(key.utf8).withUnsafeBytes { VirtualKey($0) ?? VirtualKey(ofType: $0) }
            let refusal = virtualKey.flatMap { ObjectTypes.builtIn.refusal(of: $0) }
            #expect(refusal?.message.hasPrefix("the type set has no method '") == true, "\(key)")
        }
        for key in ["set:new", "set", "", ":", "::", "user:get:1", "sets:new:x", "se:new:x", ":set:new:x", "Set:new:x"]
        {
            #expect(!names(key), "\(key)")
        }
        #expect(ObjectTypes.builtIn.isMethod(type: "quota", method: "new"))
        #expect(!ObjectTypes.builtIn.isMethod(type: "quota", method: "sorted_keys"))
        #expect(ObjectTypes.builtIn.isReadonly(type: "set", method: "getall"))
        #expect(!ObjectTypes.builtIn.isReadonly(type: "set", method: "put"))
        #expect(
            Set(ObjectTypes.builtIn.types.keys) == [
                "bloom", "counter", "digest", "hll", "list", "lock", "map", "quota", "session", "set", "swcounter",
                "topk",
            ])
    }

    @Test("a type's private functions are no methods, its hash depends on its source")
    func declared() throws {
        let source = "local T = object 'thing' function T.new() return {} end function T:_hidden() end T.field = 1"
        let types = try ObjectTypes(adding: [script(source)])
        #expect(types.types["thing"]?.methods == ["new"])
        #expect(types.isMethod(type: "set", method: "put"))
        let other = try ObjectTypes(adding: [script(source + " ")])
        #expect(types.types["thing"]?.hash != other.types["thing"]?.hash)
        #expect(types.types["set"]?.hash == other.types["set"]?.hash)
    }

    @Test("a broken declaration is refused with the file's name and the reason")
    func refused() {
        for (source, message) in [
            ("local T = object('a'", "bad.lua:1:"), ("x = 1", "bad.lua: must declare one type"),
            ("object 'a' object 'b'", "bad.lua: must declare one type"),
            ("local T = object 'a b' function T.new() end", "bad.lua: a type's name"),
            ("object 'a'", "bad.lua: the type has no function new"),
            ("local T = object 'a' function T.new() end T.readonly { 'get' }", "bad.lua: readonly names 'get'"),
            ("local T = object 'a' function T.new() end T.readonly { 'new' }", "bad.lua: readonly names 'new'"),
            ("while true do end", "bad.lua:1: too"), ("now()", "bad.lua:1: now is for methods"),
        ] {
            do throws(Failure) {
                _ = try ObjectTypes(adding: [script(source, file: "bad.lua")])
                Issue.record("accepted: \(source)")
            } catch {
                #expect(error.message.hasPrefix(message), "\(source): \(error)")
                #expect(error.names("bad.lua") == message.hasPrefix("bad.lua: "), "\(source): \(error.subjects)")
            }
        }
        let twice = [script("object('t').new = type", file: "a.lua"), script("object('t').new = type", file: "b.lua")]
        #expect(throws: Failure(.scriptError, "a.lua and b.lua both declare 't'; remove one")) {
            try ObjectTypes(adding: twice)
        }
    }

    @Test("a directory gives its scripts, and one that is missing or broken is refused")
    func directory() throws {
        let directory = NSTemporaryDirectory() + "object-types-\(UInt64.random(in: 0...(.max)))"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        try "local T = object 'thing' function T.new() return {} end".write(
            toFile: directory + "/thing.lua", atomically: true, encoding: .utf8)
        try "no Lua".write(toFile: directory + "/notes.txt", atomically: true, encoding: .utf8)
        #expect(try ObjectTypes.load(directory: directory).isMethod(type: "thing", method: "new"))
        try "object(".write(toFile: directory + "/broken.lua", atomically: true, encoding: .utf8)
        let failed = #expect(throws: Failure.self) { try ObjectTypes.load(directory: directory) }
        #expect(failed?.message.hasPrefix("broken.lua:1:") == true)
        let missing = #expect(throws: Failure.self) { try ObjectTypes.load(directory: directory + "/none") }
        #expect(missing?.message.contains("No such file") == true)
    }
}
