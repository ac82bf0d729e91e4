// Lua's patterns: the answers of the standard library, and its errors.

import Engine
import Testing

@Suite struct LuaPatternTests {
    @Test(
        "a pattern finds what the manual says",
        arguments: [
            ("('hello'):find('l')", "3 3"), ("('hello'):find('l', 4)", "4 4"), ("('hello'):find('l', -1)", "nil"),
            ("('hello'):find('', 10)", "nil"), ("('hello'):find('', 6)", "6 5"), ("('a.b'):find('.', 2, true)", "2 2"),
            ("('a+b'):find('+', 1, true)", "2 2"), ("('key = value'):match('(%w+)%s*=%s*(%w+)')", "key value"),
            ("('  trim  '):match('^%s*(.-)%s*$')", "trim"), ("('f(a(b)c)d'):match('%b()')", "(a(b)c)"),
            ("('THE (quick) fox'):find('%f[%a]%a+%f[%A]', 5)", "6 10"), ("('abcabc'):match('(abc)%1')", "abc"),
            ("('abc'):match('()b()')", "2 3"), ("('2024-03-09'):match('(%d+)-(%d+)-(%d+)')", "2024 03 09"),
            ("('x]y'):match('[]]')", "]"), ("('a-b'):match('[a-]+')", "a-"), ("('aXb'):match('%u')", "X"),
            ("('a\\0b'):match('%z*\\0')", "\0"), ("('aaa'):match('a-b')", "nil"), ("('aaab'):match('^a-b')", "aaab"),
            ("('baaa'):match('^a')", "nil"), ("('colour color'):gsub('colou?r', 'x')", "x x 2"),
            ("('abc'):gsub('%w', '%0%0')", "aabbcc 3"), ("('hello world'):gsub('o', {o = '0'})", "hell0 w0rld 2"),
            ("('abc'):gsub('', '-')", "-a-b-c- 4"), ("('abc abc'):gsub('(a)(b)', '%2%1', 1)", "bac abc 1"),
            ("('abc'):gsub('b', function(x) return x:upper() end)", "aBc 1"), ("('abc'):gsub('b', '%%')", "a%c 1"),
            ("('abc'):gsub('^a', 'x')", "xbc 1"), ("('abc'):gsub('b', function() end)", "abc 1"),
            ("('a1b22'):gsub('%d+', function(n) return n * 2 end)", "a2b44 2"), ("(''):gsub('^', 'x')", "x 1"),
            (
                "(function() local o = {} for k, v in ('a=1, b=2'):gmatch('(%w+)=(%w+)') do o[#o+1] = k .. v end return table.concat(o) end)()",
                "a1b2"
            ),
            ("(function() local n = 0 for _ in ('abc'):gmatch('') do n = n + 1 end return n end)()", "4"),
        ])
    func finds(expression: String, answer: String) throws {
        let source = """
            local function show(...)
              local shown = {}
              for i = 1, select('#', ...) do shown[i] = tostring((select(i, ...))) end
              return table.concat(shown, ' ')
            end
            function main() return show(\(expression)) end
            """
        #expect(try runLua(source).first?.plain?.text == answer)
    }

    @Test(
        "a malformed pattern is a script error that says what is wrong",
        arguments: [
            ("('x'):find('%')", "ends with '%'"), ("('x'):find('[a')", "missing ']'"),
            ("('x'):find('x%')", "ends with '%'"), ("('x'):find('(x')", "unfinished capture"),
            ("('x'):find('.)')", "invalid pattern capture"), ("('x'):find('%1')", "invalid capture index"),
            ("('x'):find('%f')", "missing '['"), ("('x'):find('%bx')", "missing arguments"),
            ("('x'):gsub('x', '%9')", "invalid capture index"), ("('x'):gsub('x', '%a')", "invalid use of '%'"),
            ("('x'):gsub('x', function() return {} end)", "invalid replacement value"),
            ("('x'):find(('()'):rep(33))", "too many captures"), ("('x'):gsub('x')", "string/function/table"),
        ])
    func malformed(expression: String, message: String) {
        let failed = failure(of: "function main() return \(expression) end")
        #expect(
            failed?.reason == .scriptError && failed?.message.contains(message) == true, "\(String(describing: failed))"
        )
    }
}
