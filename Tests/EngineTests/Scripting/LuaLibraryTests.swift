// The functions of the sandbox that are not Lua's own: what they answer, within their limits and at them.

import Engine
import Testing

@Suite struct LuaLibraryTests {
    /// An expression, and what it is as text.
    private static let answers: [(String, String)] = [
        ("('abc'):rep(3, ',')", "abc,abc,abc"), ("('abc'):rep(0)", ""), ("('abc'):rep(1, ',')", "abc"),
        ("('abcde'):rep(7) == 'abcdeabcdeabcdeabcdeabcdeabcdeabcde'", "true"),
        ("('hello'):sub(2, -2)", "ell"), ("('hello'):sub(-3)", "llo"), ("('hello'):sub(4, 2)", ""),
        ("('hello'):sub(math.mininteger, math.maxinteger)", "hello"), ("('hello'):sub(0)", "hello"),
        ("('hello'):byte(-1)", "111"), ("select('#', ('hello'):byte(1, -1))", "5"), ("select('#', ('x'):byte(9))", "0"),
        ("string.char(72, 105)", "Hi"),
        ("('Hello'):upper() .. ('Hello'):lower() .. ('abc'):reverse()", "HELLOhellocba"),
        ("#('x'):rep(100000):upper()", "100000"), ("('ab'):rep(70000):reverse():sub(-2)", "ba"),
        (
            "string.format('%5d|%-5s|%5.1f|%x|%g|%c|%i|%%|%.3s', 42, 'ab', 3.14159, 255, 1e300, 65, 7, 'abcdef')",
            "   42|ab   |  3.1|ff|1e+300|A|7|%|abc"
        ),
        ("string.format('%q', 'a\\n\\0b\\0\\\"1')", "\"a\\\n\\0b\\0\\\"1\""), ("string.format('%q', 1 / 0)", "1e9999"),
        ("string.format('%q', math.mininteger)", "0x8000000000000000"), ("string.format('%d', '10')", "10"),
        ("string.format('%s %s', nil, true)", "nil true"), ("#string.format('%99.99f', 1e308)", "409"),
        ("string.format('%s', setmetatable({}, { __tostring = function() return 'T' end }))", "T"),
        ("string.format('%-10q', 1) or ''", "<error>"), ("string.format('%d', 1.5)", "<error>"),
        ("string.format('%123d', 1)", "<error>"), ("string.format('%y', 1)", "<error>"),
        ("string.format('%d')", "<error>"),
        ("table.concat({ 1, 2, 3 }, '-', 2, 3)", "2-3"), ("table.concat({}, 'x')", ""),
        ("table.concat({ {} })", "<error>"),
        ("table.concat({ [math.maxinteger] = 'z' }, ',', math.maxinteger, math.maxinteger)", "z"),
        ("table.concat(table.move({ 1, 2, 3 }, 1, 3, 2), ',')", "1,1,2,3"),
        ("table.concat(table.move({ 1, 2, 3 }, 2, 3, 1), ',')", "2,3,3"),
        ("table.concat(table.move({ 1, 2, 3 }, 1, 3, 3, { 9 }), ',', 1, 1)", "9"),
        ("table.move({}, 1, math.maxinteger, 2)", "<error>"), ("table.insert({ 1 }, 5, 1)", "<error>"),
        (
            "(function() local t = { 1, 2, 3 } table.insert(t, 1, 0) table.insert(t, 9) return table.concat(t, ',') end)()",
            "0,1,2,3,9"
        ),
        ("(function() local t = { 1, 2, 3 } return table.remove(t, 1) .. table.remove(t) .. #t end)()", "131"),
        ("select('#', table.unpack({ 1, nil, 3 }, 1, 3))", "3"), ("table.pack(1, nil).n", "2"),
        ("table.unpack({}, 1, 1e7)", "<error>"),
        (
            "(function() local t = { 5, 2, 8, 1, 9, 3, 7, 4, 6, 0, 11, 10 } table.sort(t) return table.concat(t, ' ') end)()",
            "0 1 2 3 4 5 6 7 8 9 10 11"
        ),
        (
            "(function() local t = { 'b', 'a', 'c' } table.sort(t, function(a, b) return a > b end) return table.concat(t) end)()",
            "cba"
        ),
        (
            "(function() local t = {} for i = 1, 1000 do t[i] = i * 7919 % 1009 end table.sort(t) for i = 2, 1000 do if t[i] < t[i - 1] then return i end end return 'sorted' end)()",
            "sorted"
        ),
        (
            "(function() local t = { { 1, 'a' }, { 0, 'b' }, { 1, 'c' }, { 0, 'd' } } table.sort(t, function(a, b) return a[1] < b[1] end) local s = '' for _, e in ipairs(t) do s = s .. e[2] end return s end)()",
            "bdac"
        ),
        ("table.sort({ 1, 'x' })", "<error>"), ("table.sort({ 1, 2, nil, 4 }, 5)", "<error>"),
        ("utf8.char(72, 228, 8364, 128512)", "Hä€😀"), ("utf8.len('häß€😀')", "5"), ("utf8.len('a\\x80')", ""),
        ("select(2, utf8.len('a\\x80'))", "2"), ("utf8.codepoint('€')", "8364"), ("utf8.offset('häß', 3)", "4"),
        ("utf8.offset('häß', -1)", "4"), ("utf8.offset('a€', 0, 3)", "2"),
        ("utf8.len('\\u{7FFFFFFF}', 1, -1, true)", "1"),
        ("utf8.len('\\u{7FFFFFFF}')", ""), ("#utf8.char(0x7FFFFFFF)", "6"), ("utf8.codepoint('\\xC0\\x80')", "<error>"),
        (
            "(function() local s = '' for p, c in utf8.codes('hä€') do s = s .. p .. ':' .. c .. ' ' end return s end)()",
            "1:104 2:228 4:8364 "
        ),
        ("tonumber('z', 36) .. tonumber(' -ff ', 16)", "35-255"), ("tonumber('8', 8)", ""), ("tonumber('')", ""),
        ("tonumber('7\\0x')", ""), ("pcall(string.format, '%s%d', ('x'):rep(3000), '7\\0x')", "false"),
        ("tonumber(' 0x1p4 ')", "16"), ("tonumber('1e')", ""), ("tonumber({})", ""), ("tonumber(nil, 10)", "<error>"),
        ("'10' + 5", "15"), ("'0x10' * 2", "32"), ("-'3'", "-3"), ("7 // '2'", "3"), ("'a' + 1", "<error>"),
        ("{} + '1'", "<error>"), ("'5' + setmetatable({}, { __add = function(a, b) return a .. 'm' end })", "5m"),
        ("math.max(1, '5', 3.5)", "5"), ("math.min(4, 2)", "2"), ("math.max()", "<error>"),
        ("math.max(1, 'x')", "<error>"),
        ("#string.pack('<i4s1z', 7, 'ab', 'cd')", "10"), ("string.unpack('<i4', '\\7\\0\\0\\0')", "7"),
        ("string.packsize('!8 i4 d')", "16"), ("os.date('!%Y-%m-%d', 0)", "1970-01-01"),
        ("os.time({ year = 2020, month = 1, day = 1, hour = 12 }) > 1577800000", "true"),
        ("os.time({ year = 2020 })", "<error>"),
        ("(function() local s = 0 for k, v in pairs({ 1, 2, a = 3 }) do s = s + v end return s end)()", "6"),
        (
            "(function() for k in pairs(setmetatable({}, { __pairs = function() return function(_, k) return not k or nil end end })) do return k end end)()",
            "true"
        ),
        ("rawequal('a', 'a') and not rawequal({}, {})", "true"),
        ("('hello world'):find('o w', 1, true)", "5"),
        ("(('x'):rep(200000) .. 'needle'):find('needle', 1, true)", "200001"),
        ("('x'):rep(200000):find('needle', 1, true)", ""), ("#('abc'):rep(1000):gsub('b', '%0%0')", "4000"),
        ("('THE (quick) fox'):find('%((%a+)%)')", "5"), ("('a]b'):match('[]]')", "]"), ("('a'):find('[a')", "<error>"),
    ]

    @Test("the library answers as Lua 5.4 does", arguments: answers.indices)
    func answer(index: Int) throws {
        let (expression, expected) = Self.answers[index]
        let answer: String
        do { answer = try evaluate(expression) } catch { answer = "<error>" }
        #expect(answer == expected, "\(expression)")
    }

    @Test("a text is made up to 8 MiB, and no longer")
    func longTexts() throws {
        #expect(try evaluate("#('x'):rep(8 << 20)") == "\(8 << 20)")
        for source in [
            "return ('x'):rep((8 << 20) + 1)", "return ('x'):rep(3 << 20, 'yy')",
            "local s = ('x'):rep(5 << 20) return s .. s",
            "local s = ('x'):rep(5 << 20) return table.concat({ s, s })",
            "local s = ('x'):rep(5 << 20) return ('%s%s'):format(s, s)",
            "return (('x'):rep(1 << 20)):gsub('.', '%0%0%0%0%0%0%0%0%0')", "return string.pack('c9000000', '')",
            "return ('%q'):format(('\\0'):rep(5 << 20))",
        ] {
            #expect(failure(of: "function main() \(source) end")?.reason == .budgetExceeded, "\(source)")
        }
    }

    @Test("a text of more than 1024 bytes is no number, for whoever wants one")
    func longNumerals() throws {
        let zeros = "('0'):rep(1025)"
        #expect(try evaluate("tonumber(('0'):rep(1024))") == "0")
        #expect(try evaluate("tonumber(\(zeros))") == "")
        #expect(try evaluate("tonumber(\(zeros), 10)") == "")
        for expression in [
            "\(zeros) + 1", "-\(zeros)", "math.max(1, \(zeros))", "string.char(\(zeros))", "('x'):rep(\(zeros))",
            "('%d'):format(\(zeros))", "string.pack('i4', \(zeros))", "utf8.char(\(zeros))",
            "table.concat({}, '', \(zeros))",
            "('x'):sub(\(zeros))", "os.date('%Y', \(zeros))", "os.time({ year = \(zeros), month = 1, day = 1 })",
        ] {
            #expect(failure(of: "function main() return \(expression) end")?.reason == .scriptError, "\(expression)")
        }
    }

    @Test("nothing says where anything is in memory")
    func addresses() throws {
        // What there is to compare: tables made one after the other would be a few hundred bytes apart.
        let results = try runLua(
            """
            function main()
              local shown, kept = {}, {}
              for i = 1, 64 do
                local t, n = {}, setmetatable({}, { __name = "N" })
                kept[#kept + 1] = t
                shown[#shown + 1] = tostring(t):match("^table: (%x+)$")
                shown[#shown + 1] = ("%p"):format(t) == shown[#shown] and "same" or "other"
                shown[#shown + 1] = ("%s"):format(n):match("^N: (%x+)$")
                shown[#shown + 1] = tostring(print or type):match("^function: (%x+)$")
                shown[#shown + 1] = tostring(coroutine.create(type)):match("^thread: (%x+)$")
              end
              return shown
            end
            """)
        guard case .array(let shown)? = results.first?.plain, shown.count == 320 else {
            Issue.record("\(results)")
            return
        }
        let texts = shown.map { $0.text ?? "" }
        #expect(texts.enumerated().allSatisfy { $0.offset % 5 != 1 || $0.element == "same" })
        let tables = texts.enumerated().filter { $0.offset % 5 == 0 }.compactMap { UInt64($0.element, radix: 16) }
        #expect(Set(tables).count == tables.count)
        #expect(tables.filter { $0 >> 47 == 0 }.count < 4)
        let near = zip(tables, tables.dropFirst()).filter { a, b in max(a, b) - min(a, b) < 1 << 32 }
        #expect(near.isEmpty)
    }

    @Test("math.randomseed sets nothing, for nobody")
    func randomseed() throws {
        let state = LuaState()
        var drawn: [Value?] = []
        for _ in 0..<2 {
            let environment = state.makeEnvironment()
            let source = "function main() math.randomseed(42) return math.random(1 << 60) end"
            try state.load(source: Array(source.utf8), name: "t", environment: environment)
            drawn.append(try state.call(try #require(state.function("main", in: environment))).first?.plain)
        }
        drawn.append(try runLua("function main() math.randomseed(42) return math.random(1 << 60) end").first?.plain)
        #expect(drawn[0] != drawn[1] && drawn[1] != drawn[2] && drawn[0] != drawn[2])
        #expect(try evaluate("select('#', math.randomseed())") == "0")
    }
}
