// No state is kept between calls but the objects': globals, tables and variables of a type's file can be read, not written.

import Engine
import Testing

@Suite struct NoStateTests {
    private static let prefix = """
        local T = object "t"
        function T.new() return { n = 0 } end
        function T:show() return self.n end
        local count, cache, nothing = 0, {}, nil
        local constants = { one = 1, list = { 3, 1, 2 }, deep = { deeper = {} } }
        settings = { size = 5 }
        local Point = {}
        Point.__index = Point
        function Point.of(x) return setmetatable({ x = x }, Point) end
        function Point:get() return self.x end
        function Point.__add(a, b) return Point.of(a.x + b.x) end
        local called = setmetatable({ z = 1 }, { __call = function(self, x) return x + self.z end })
        local function helper() count = count + 1 return count end
        local function counter() local n = 0 return function() n = n + 1 return n end end
        local next_id = counter()

        """

    private static let writes = [
        "hits = (hits or 0) + 1", "_G.hits = 1", "rawset(_G, 'hits', 1)", "settings.size = 6", "settings = nil",
        "count = count + 1", "helper()", "nothing = {}", "pcall(helper) error('x')",
        "local f = function() count = 7 end f()",
        "next_id()", "cache[1] = 1", "table.insert(cache, 1)", "rawset(cache, 1, 1)", "constants.one = 2",
        "constants.deep.deeper.x = 1", "table.sort(constants.list)", "setmetatable(constants, {})", "cache = { 1 }",
        "Point.get = nil", "getmetatable(Point.of(1)).get = nil", "called.z = 2", "T.show = nil",
        "T.readonly { 'show' }",
        "declared[2] = 1", "coroutine.wrap(function() count = 9 end)()", "table.move({ 1 }, 1, 1, 1, cache)",
    ]

    @Test("each write is an error, and nothing of it is there later, in this object or another")
    func writes() async throws {
        var source = Self.prefix
        for (index, body) in Self.writes.enumerated() {
            source += "function T:w\(index)() self.n = 1 \(body) return 'written' end\n"
        }
        source += """
            function T:all()
                return { tostring(hits), settings.size, count, tostring(nothing), #cache, constants.one, #constants.list,
                    constants.list[1], tostring(constants.deep.deeper.x), Point.of(3):get(), called(1), type(T.show) }
            end
            T.readonly { "all" }
            """
        let host = try makeHost([script(source)])
        #expect(await host.answer("t:new:a") == "CREATED")
        #expect(await host.answer("t:new:b") == "CREATED")
        let before = await host.answer("t:all:b")
        #expect(before == #"["nil",5,0,"nil",0,1,3,3,"nil",3,2,"function"]"#)
        for (index, body) in Self.writes.enumerated() {
            #expect(await host.answer("t:w\(index):a") == "<script_error>", "\(body)")
            #expect(await host.answer("t:all:b") == before, "after \(body)")
            #expect(await host.answer("t:show:a") == "0", "after \(body)")
        }
        _ = await host.answer("t:drop:a")
        #expect(await host.answer("t:new:a") == "CREATED")
        #expect(await host.answer("t:all:a") == before)
    }

    @Test("what is read of a file's tables and functions is as it was written")
    func reads() async throws {
        let source =
            Self.prefix + """
                function T:read()
                    local sum = 0
                    for _, value in ipairs(constants.list) do sum = sum + value end
                    for key in pairs(constants) do sum = sum + #key end
                    sum = sum + #constants.list + select("#", table.unpack(constants.list)) + math.max(table.unpack(constants.list))
                    sum = sum + rawget(constants, "one") + rawlen(constants.list) + (next(constants.list))
                    local n = 0
                    local function inner() n = n + 1 end
                    inner()
                    return { sum + n, table.concat(constants.list, " "), (Point.of(3) + Point.of(4)):get(), called(4), settings.size }
                end
                function T:keep() self.list = constants.list self.other = constants.list table.insert(self.list, 9) return { self.list, self.other } end
                """
        let host = try makeHost([script(source)])
        _ = await host.answer("t:new:a")
        #expect(await host.answer("t:read:a") == #"[32,"3 1 2",7,5,5]"#)
        #expect(await host.answer("t:keep:a") == "[[3,1,2,9],[3,1,2]]")
        #expect(await host.answer("t:read:a") == #"[32,"3 1 2",7,5,5]"#)
    }

    @Test("a budget that ends after a write leaves nothing of it, nor does new, an index or what new asks")
    func otherWays() async throws {
        let source = """
            local T = object "t"
            local made, kept, asked, spun = 0, 0, 0, 0
            function T.new(how) if how then made = made + 1 end return { n = 0 } end
            T.keeps(function() kept = kept + 1 end)
            function T:share() asked = asked + 1 return asked end
            function T:spin() spun = spun + 1 while true do end end
            function T:all() return { made, kept, asked, spun } end
            T.readonly { "share", "all" }
            T.index { "share" }
            """
        let host = try makeHost([script(source)]) { $0.methodNanosecondsMax = 50_000_000 }
        #expect(await host.answer("t:new:a:x") == "<script_error>")
        #expect(await host.answer("t:new:a") == "CREATED")
        #expect(await host.answer("t:new:a") == "<script_error>")
        #expect(await host.answer("t:share:a") == "<script_error>")
        #expect(await host.answer("t:spin:a") == "<budget_exceeded>")
        #expect(await host.answer("t:all:a") == "[0,0,0,0]")
    }

    @Test(
        "a variable that keeps a coroutine or an iterator is refused with the file",
        arguments: [
            "local co = coroutine.wrap(function() while true do coroutine.yield(1) end end) function T:m() return co() end",
            "local co = coroutine.create(type) function T:m() return co end",
            "local words = ('a b'):gmatch('%a') function T:m() return words() end",
            "local all = { { coroutine.create(type) } } function T:m() return #all end",
        ])
    func kept(line: String) {
        let source = "local T = object 't' function T.new() return {} end " + line
        #expect(throws: Failure.self) { try ObjectTypes(adding: [script(source)]) }
    }
}
