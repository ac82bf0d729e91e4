// What an object may hold: plain data, each table once. What has no one meaning is refused by the call that writes it.

import Engine
import Testing

@Suite struct PlainDataTests {
    private static let fresh = #"{"items":[1,{"n":1},{"n":2}],"t":{"x":{"y":1}}}"#

    /// What a method does, and what the object is then; or a part of the message.
    private static let writes: [(body: String, object: String)] = [
        ("self.p = self.items self.q = self.items", "!'"), ("self.p = self.items", "are one table"),
        ("self.a = { 1 } self.b = self.a", "are one table"), ("local t = { 1 } self.a = t self.b = t", "are one table"),
        ("local t = { 1 } self.a = { t, t }", "are one table"),
        ("local t = { 1 } self.a, self.b = { t }, { t }", "are one table"),
        ("self.a = {} self.a.x = {} self.b = self.a.x", "'b'"), ("self.pair = { self.t }", "are one table"),
        ("self.t.x.items = self.items", "'t.x.items'"), ("table.insert(self.items, self.t)", "are one table"),
        ("rawset(self, 'z', self.t)", "are one table"), ("self.items[2] = self.items[3]", "are one table"),
        ("self.me = self", "are one table"), ("self.t.x.up = self.t", "'t.x.up'"),
        ("local t = {} t.t = t self.a = t", "'a.t'"),
        ("local t = {} self.a = t t.t = t", "'a.t'"), ("local a, b = {}, {} a.b = b b.a = a self.c = a", "'c.b.a'"),
        ("self.f = function() end", "'f' is a function"), ("self.f = { a = { type } }", "'f.a[1]' is a function"),
        ("self.f = coroutine.create(type)", "'f' is a thread"),
        ("self.f = setmetatable({}, {})", "'f' has a metatable"),
        ("self.f = { g = { setmetatable({}, {}) } }", "'f.g[1]' has a metatable"), ("self.f = math", "has a metatable"),
        ("self.f = peek('other', 'o').list", "part of another object"),
        ("self.f = { peek('other', 'o') }", "'f[1]' is a part"),
        ("self[{}] = 1", "no table as key"), ("self[0 / 0] = 1", "NaN"), ("self.a = { [{}] = 1 }", "table as key"),
        ("for i = 1, 60 do local t = self while t.next do t = t.next end t.next = {} end", "deeper"),
        ("for i = 1, 60 do local head = self.head self.head = nil self.head = { next = head } end", "deeper"),
        ("local t = {} for i = 1, 60 do t = { t } end self.deep = t", "deeper"),
        // What has one meaning.
        ("self.p = self.items self.items = nil self.t = nil", #"{"p":[1,{"n":1},{"n":2}]}"#),
        ("self.a = self.t.x self.t = nil self.items = nil", #"{"a":{"y":1}}"#),
        ("self.items = { a = self.items[2], b = self.t } self.t = nil", #"{"items":{"a":{"n":1},"b":{"x":{"y":1}}}}"#),
        (
            "local t = {} self.items = t t.n = 1 t.deep = { 2 } t.deep[2] = self.items.n self.t = nil",
            #"{"items":{"deep":[2,1],"n":1}}"#
        ),
        ("self.items[2], self.items[3] = self.items[3], self.items[2] self.t = nil", #"{"items":[1,{"n":2},{"n":1}]}"#),
        ("table.insert(self.items, 1, table.remove(self.items)) self.t = nil", #"{"items":[{"n":2},1,{"n":1}]}"#),
        ("self.t = table.remove(self.items)", #"{"items":[1,{"n":1}],"t":{"n":2}}"#),
        ("self.items = copy(self.t)", #"{"items":{"x":{"y":1}},"t":{"x":{"y":1}}}"#),
        ("self.items = copy(peek('other', 'o').list) self.t = nil", #"{"items":[{"a":1}]}"#),
        (
            "self.items = nil self.t = { head = { v = 1, next = { v = 2 } } } self.t.head = self.t.head.next",
            #"{"t":{"head":{"v":2}}}"#
        ),
        (
            "local t = { a = 1, b = 2, c = 3 } local sum = 0 for k, v in pairs(t) do self.t = t sum = sum + v end self.items = sum",
            #"{"items":6,"t":{"a":1,"b":2,"c":3}}"#
        ),
        (
            "local ok, why = pcall(function() self.t = { type } end) self.items = ok",
            #"{"items":false,"t":{"x":{"y":1}}}"#
        ),
        (
            "local t = { 1, 2, 3 } self.t = t t[4] = #t + select('#', table.unpack(t)) self.items = table.concat(t, ' ')",
            #"{"items":"1 2 3 6","t":[1,2,3,6]}"#
        ),
    ]

    private static let types: [ObjectScript] = {
        var source =
            "local T = object 'thing' function T.new() return { items = { 1, { n = 1 }, { n = 2 } }, t = { x = { y = 1 } } } end\n"
        source += "function T:show() return self end T.readonly { 'show' }\n"
        for (index, write) in writes.enumerated() {
            source += "function T:w\(index)() \(write.body) return 'written' end\n"
        }
        let other = "local O = object 'other' function O.new() return { list = { { a = 1 } } } end"
        return [script(source, file: "thing.lua"), script(other, file: "other.lua")]
    }()

    @Test(
        "each table of an object is in it once, when the call that wrote it ends, and when it comes back from the shelf"
    )
    func writes() async throws {
        let host = try makeHost(Self.types) { $0.liveBytesMax = 300 << 10 }
        #expect(await host.answer("other:new:o") == "CREATED")
        for (index, (body, object)) in Self.writes.enumerated() {
            #expect(await host.answer("thing:new:a\(index)") == "CREATED")
            guard object.hasPrefix("{") else {
                let failure = await host.failure("thing:w\(index):a\(index)")
                #expect(failure?.reason == .scriptError, "\(body)")
                #expect(
                    failure?.message.contains(object.filter { $0 != "!" }) == true, "\(body): \(failure?.message ?? "")"
                )
                #expect(await host.answer("thing:show:a\(index)") == Self.fresh, "after \(body)")
                continue
            }
            #expect(await host.answer("thing:w\(index):a\(index)") == "written", "\(body)")
            #expect(await host.answer("thing:show:a\(index)") == object, "after \(body)")
        }
        for index in 0..<3_000 {
            _ = await host.answer("map:new:m\(index)")
            _ = await host.answer("map:put:m\(index):k", data: String(repeating: "v", count: 500))
        }
        #expect(host.statistics.shelved > 100)
        for (index, (body, object)) in Self.writes.enumerated() where object.hasPrefix("{") {
            #expect(await host.answer("thing:show:a\(index)") == object, "later, \(body)")
        }
    }

    @Test(
        "what new returns is plain, and has each table once",
        arguments: [
            ("local t = {} return { a = t, b = t }", "'b'"), ("local t = {} t.t = t return t", "'t'"),
            ("return setmetatable({}, {})", "metatable"), ("return { f = type }", "'f' is a function"),
            ("return { [{}] = 1 }", "table as key"), ("return { c = coroutine.create(type) }", "thread"),
            ("return { o = peek('counter', 'c') }", "part of another object"),
            ("return peek('counter', 'c')", "part of another object"),
            ("local t = {} for i = 1, 60 do t = { t } end return t", "deeper"),
            ("local t = {} for i = 1, 59 do t = { t } end return t", ""),
            ("return { o = copy(peek('counter', 'c')) }", ""),
        ])
    func constructors(body: String, message: String) async throws {
        let host = try makeHost([
            script("local T = object 't' function T.new() \(body) end function T:show() return self end")
        ])
        _ = await host.answer("counter:new:c")
        guard !message.isEmpty else {
            #expect(await host.answer("t:new:a") == "CREATED")
            #expect(await host.answer("t:show:a").count > 2)
            return
        }
        let failure = await host.failure("t:new:a")
        #expect(failure?.reason == .scriptError)
        // Two fields are met in no order.
        let names = message == "'b'" ? ["'a'", "'b'"] : [message]
        #expect(names.contains { failure?.message.contains($0) == true }, "\(failure?.message ?? "")")
        #expect(await host.answer("t:show:a") == "<miss>")
    }
}
