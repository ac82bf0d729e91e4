// Objects that an older version of a script has made, when a newer one meets them; and defaults that are tables.

import Engine
import Testing

@Suite struct ObjectUpgradeTests {
    private static let first = script(
        """
        local T = object "thing"
        function T.new(name) return { name = name } end
        function T:show() return self.name end
        T.readonly { "show" }
        """, file: "thing.lua")
    /// Names are in two parts now.
    private static let second = script(
        """
        local T = object "thing"
        T.defaults { notes = { first = { "none" } }, count = 0 }
        function T.new(name) return { first = name, last = "" } end
        function T:upgrade()
            if self.name == "bad" then error("no such name") end
            local first, last = self.name:match("^(%a+)(%a*)$")
            self.first, self.last, self.name = first:sub(1, 1), first:sub(2) .. last, nil
            self.upgraded = (self.upgraded or 0) + 1
        end
        function T:show() return self.first .. "-" .. self.last .. "-" .. (self.upgraded or 0) end
        function T:write(x) self.last = x return self:show() end
        function T:note(x) table.insert(self.notes.first, x) return #self.notes.first end
        function T:look(other) return peek("thing", other).first end
        T.readonly { "show", "look" }
        """, file: "thing.lua")

    private static func makeEngine(_ scripts: [ObjectScript], memoryBytes: Int = 16 << 20) throws -> Engine {
        var configuration = EngineConfiguration(shards: 1, memoryBytes: memoryBytes)
        configuration.scripts = scripts
        configuration.objectTypes = try ObjectTypes(adding: scripts)
        return Engine(configuration)
    }

    private static func ask(_ engine: Engine, _ key: String) async -> String {
        await engine.shards[0].objects.answer(key)
    }

    private static func askAtOnce(_ engine: Engine, _ key: String) async -> String {
        let outcome: (CallAtOnce, String)? = Array(key.utf8).withUnsafeBytes { bytes in
            guard let located = engine.locate(bytes, hashOfOwn: { $1 }) else { return nil }
            var text = ""
            let outcome = engine.objects.callAtOnce(located, key: bytes, data: nil) {
                text = String(decoding: $0, as: UTF8.self)
            }
            return (outcome, text)
        }
        if case (.answered, let text)? = outcome { return text }
        return await ask(engine, key)
    }

    @Test("an older object is upgraded once, when it is first touched, be it by a readonly method or a peek")
    func once() async throws {
        let engine = try Self.makeEngine([Self.first])
        for name in ["a", "b", "c", "d"] { #expect(await Self.ask(engine, "thing:new:\(name):xyz") == "CREATED") }
        #expect(engine.reload([Self.second]).failures.isEmpty)
        #expect(await Self.ask(engine, "thing:new:new:me") == "CREATED")
        for _ in 0..<3 { #expect(await Self.askAtOnce(engine, "thing:show:a") == "x-yz-1") }
        for _ in 0..<3 { #expect(await Self.ask(engine, "thing:show:b") == "x-yz-1") }
        #expect(await Self.askAtOnce(engine, "thing:look:new:c") == "x")
        #expect(await Self.askAtOnce(engine, "thing:show:c") == "x-yz-1")
        #expect(await Self.ask(engine, "thing:show:new") == "me--0")
        #expect(await Self.ask(engine, "thing:write:d:q") == "x-q-1")
        // A version without one leaves them alone, the next one with one meets those of both.
        let third = script(
            "local T = object 'thing' function T.new() return {} end function T:show() return 'three' end",
            file: "thing.lua")
        #expect(engine.reload([third]).failures.isEmpty)
        #expect(await Self.ask(engine, "thing:show:a") == "three")
        let fourth = script(
            "local T = object 'thing' function T.new() return {} end function T:upgrade() self.n = (self.n or 0) + 1 end "
                + "function T:show() return self.n end", file: "thing.lua")
        #expect(engine.reload([fourth]).failures.isEmpty)
        for name in ["a", "new"] {
            for _ in 0..<2 { #expect(await Self.askAtOnce(engine, "thing:show:\(name)") == "1") }
        }
    }

    @Test("an upgrade that fails leaves the object as it was, and is the error of each call until it can be done")
    func fails() async throws {
        let engine = try Self.makeEngine([Self.first])
        _ = await Self.ask(engine, "thing:new:a:bad")
        #expect(engine.reload([Self.second]).failures.isEmpty)
        for _ in 0..<2 {
            let failure = try #require(await engine.shards[0].objects.failure("thing:show:a"))
            #expect(failure.message == "thing.lua:5: no such name")
            #expect(await Self.askAtOnce(engine, "thing:write:a:x") == "<script_error>")
        }
        #expect(engine.reload([Self.first]).failures.isEmpty)
        #expect(await Self.ask(engine, "thing:show:a") == "bad")
        let unplain = script(
            "local T = object 'thing' function T.new() return {} end function T:upgrade() self.f = print end "
                + "function T:show() return self.name end", file: "thing.lua")
        #expect(engine.reload([unplain]).failures.isEmpty)
        #expect(await Self.ask(engine, "thing:show:a") == "<script_error>")
        #expect(await Self.ask(engine, "thing:upgrade:a") == "<script_error>")
    }

    @Test("an object that was on the shelf meanwhile is upgraded too, once")
    func shelved() async throws {
        let engine = try Self.makeEngine([Self.first], memoryBytes: 64 << 20)
        _ = await Self.ask(engine, "thing:new:a:xyz")
        // Others push it out.
        for number in 0..<120 {
            let name = String(repeating: "n", count: 200_000)
            let key = VirtualKey(type: "thing", method: "new", object: Array("o\(number)".utf8))
            _ = await engine.shards[0].objects.ask(key, data: Array(name.utf8))
        }
        var host = engine.shards[0].objects.statistics
        #expect(host.shelved > 0, "\(host)")
        #expect(engine.reload([Self.second]).failures.isEmpty)
        for _ in 0..<2 { #expect(await Self.ask(engine, "thing:show:a") == "x-yz-1") }
        #expect(await Self.ask(engine, "thing:show:o3").hasSuffix("-1"))
        host = engine.shards[0].objects.statistics
        #expect(host.unshelved > 0)
    }

    @Test("a default that is a table is each object's own: made with it, and given to older ones")
    func tables() async throws {
        let engine = try Self.makeEngine([Self.first])
        _ = await Self.ask(engine, "thing:new:old:xyz")
        #expect(engine.reload([Self.second]).failures.isEmpty)
        _ = await Self.ask(engine, "thing:new:a:one")
        _ = await Self.ask(engine, "thing:new:b:two")
        #expect(await Self.ask(engine, "thing:note:a:x") == "2")
        #expect(await Self.ask(engine, "thing:note:a:y") == "3")
        #expect(await Self.ask(engine, "thing:note:b:x") == "2")
        #expect(await Self.ask(engine, "thing:note:old:x") == "2")
        let alone = try Self.makeEngine([
            script(
                "local T = object 'bag' T.defaults { items = {} } function T:put(x) self.items[#self.items + 1] = x return self.items end"
            )
        ])
        #expect(await Self.ask(alone, "bag:new:a") == "CREATED")
        #expect(await Self.ask(alone, "bag:put:a:1") == "[\"1\"]")
        #expect(await Self.ask(alone, "bag:new:b") == "CREATED")
        #expect(await Self.ask(alone, "bag:put:b:2") == "[\"2\"]")
    }
}
