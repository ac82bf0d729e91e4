// Lua programs from choices: coroutines, metamethods, library calls with extreme arguments, errors, variables that are closed.

struct ScriptGrammar {
    private var choices: Choices
    private var text = ""
    private var depth = 0
    /// Names that stand for something where the program is.
    private var names: [String] = ["a", "b", "c"]
    private var statementsLeft = 60

    private static let functions: [String: [String]] = [
        "string": [
            "byte", "char", "find", "format", "gmatch", "gsub", "len", "lower", "match", "pack", "packsize", "rep",
            "reverse", "sub", "unpack", "upper",
        ],
        "table": ["concat", "insert", "move", "pack", "remove", "sort", "unpack"],
        "coroutine": ["close", "create", "isyieldable", "resume", "running", "status", "wrap", "yield"],
        "utf8": ["char", "codepoint", "codes", "len", "offset"],
        "math": [
            "abs", "ceil", "floor", "fmod", "log", "max", "min", "modf", "random", "randomseed", "tointeger", "type",
            "ult",
        ],
        "os": ["clock", "date", "time"],
    ]
    private static let libraries = [
        "string", "string", "table", "table", "coroutine", "coroutine", "utf8", "math", "os",
    ]
    private static let base = [
        "assert", "error", "getmetatable", "ipairs", "next", "pairs", "pcall", "pcall", "rawequal", "rawget", "rawlen",
        "rawset", "select", "setmetatable", "tonumber", "tostring", "type", "xpcall", "unpack", "ask",
    ]
    private static let values = [
        "0", "1", "-1", "2", "3.5", "1 << 20", "1 << 31", "1 << 40", "math.maxinteger", "math.mininteger", "1e308",
        "-1e308", "0/0", "1/0", "2^53", "1000000", "'#'", "nil", "true", "false", "''", "'x'", "'abc'", "'0x10'",
        "' 7 '", "'%d'", "'%s%s%q'", "'%5.2f'", "'(.-)%1'", "'[%a_]+'", "'.-.-.-b'", "'%b()'", "'%f[%w]'", "'z'",
        "'i8'", "'s4'", "'!16 c9'", "'\\0'", "'\\x80\\x80'", "'h\\u{e4}'", "'*t'", "'!%c'", "'k'", "'__mode'",
        "LONG", "ZEROS", "DIGITS", "BYTES", "MANY", "WIDE", "{}", "{1, 2, 3}", "{3, 1, 2, 5, 4}", "{x = 1}",
    ]
    private static let events = [
        "__index", "__newindex", "__len", "__eq", "__lt", "__le", "__concat", "__call", "__close", "__add", "__unm",
        "__tostring", "__name", "__pairs", "__mode", "__idiv", "__band", "__metatable", "__gc",
    ]
    private static let operators = [
        "+", "-", "*", "/", "//", "%", "^", "..", "==", "~=", "<", "<=", ">", ">=", "and", "or", "&", "|", "<<", ">>",
        "~",
    ]

    /// What every program begins with: texts and tables of which there should be some of the large kind.
    static let preamble = """
        local LONG, ZEROS = ("x"):rep(1 << 19), ("\\0"):rep(1 << 19)
        local DIGITS, BYTES = ("7"):rep(1 << 18), ("\\x80"):rep(1 << 16)
        local MANY, WIDE = {}, {}
        for i = 1, 2000 do MANY[i] = i * 7919 % 2003 end
        for i = 1, 500 do WIDE["k" .. i] = i WIDE[i * 1.5] = i end
        local a, b, c = 1, {}, "c"
        local count = 0

        """

    private init(_ input: [UInt8]) { choices = Choices(input) }

    /// A program whose function `main` does what the choices say.
    static func program(_ input: [UInt8]) -> String {
        var grammar = ScriptGrammar(input)
        grammar.block(12)
        return "function main(...)\n\(preamble)\(grammar.text)\nreturn count, type(a), type(b)\nend"
    }

    // MARK: Statements

    private mutating func line(_ statement: String) { text += statement + "\n" }

    private mutating func block(_ most: Int) {
        depth += 1
        let before = names
        for _ in 0..<1 + choices.below(most) where !choices.isEmpty && statementsLeft > 0 { statement() }
        names = before
        depth -= 1
    }

    private mutating func statement() {
        statementsLeft -= 1
        line("count = count + 1")
        let isDeep = depth > 5
        switch choices.below(isDeep ? 7 : 20) {
        case 0, 1: line("pcall(function(...) \(name()) = \(expression()) end, \(arguments(2)))")
        case 2: line("\(name()) = \(value())")
        case 3: line("pcall(\(function()), \(arguments(3)))")
        case 4: line("pcall(function(...) return \(call()) end, \(arguments(2)))")
        case 5: line("pcall(function(...) \(name())[\(key())] = \(expression()) end)")
        case 6: line("if count > 200000 then error(\(value())) end")
        case 7: nested("for i = 1, \(["3", "40", "1000", "1e9", value()][choices.below(5)]) do", "end")
        case 8: nested("while \(["count < 3000", "true", expression()][choices.below(3)]) do", "end")
        case 9: nested("for k, v in \(["pairs", "ipairs"][choices.below(2)])(\(table())) do", "end")
        case 10: nested("pcall(function(...)", "end, \(arguments(2)))")
        case 11: nested("xpcall(function(...)", "end, \(function()))")
        case 12: nested("local co = coroutine.create(function(...)", "end)", with: "co")
        case 13: nested("local w = coroutine.wrap(function(...)", "end)", with: "w")
        case 14: line("pcall(coroutine.\(["resume", "close", "status"][choices.below(3)]), \(name()), \(arguments(2)))")
        case 15: line("pcall(coroutine.yield, \(arguments(2)))")
        case 16: metatable()
        case 17: closed()
        case 18: recursion()
        default: line("\(name()) = \(expression())")
        }
    }

    private mutating func nested(_ start: String, _ end: String, with declared: String? = nil) {
        line(start)
        block(5)
        line(end)
        if let declared { names.append(declared) }
    }

    /// A table whose metamethods may answer another thing each time.
    private mutating func metatable() {
        line("local m = {}")
        for _ in 0..<1 + choices.below(4) {
            let event = Self.events[choices.below(Self.events.count)]
            switch choices.below(4) {
            case 0: line("m.\(event) = \(value())")
            case 1: line("m.\(event) = \(function())")
            case 2:
                line(
                    "m.\(event) = function(...) count = count + 1 return count % 3 == 0 and \(value()) or \(value()) end"
                )
            default:
                line("m.\(event) = function(...)")
                block(3)
                line("return \(expression()) end")
            }
        }
        line("pcall(setmetatable, \(name()), m)")
        line("local o = {} pcall(setmetatable, o, m)")
        names.append("o")
    }

    private mutating func closed() {
        line("do local x <close> = setmetatable({}, { __close = function(...)")
        block(3)
        line("end })")
        block(3)
        line("end")
    }

    private mutating func recursion() {
        line("local function f(n, ...)")
        names.append("f")
        block(3)
        line(
            "if n > 0 then return \(["f(n - 1, ...)", "1 + f(n - 1)", "pcall(f, n - 1)", "coroutine.wrap(f)(n - 1)"][choices.below(4)]) end return n end"
        )
        line("pcall(f, \(["5", "60", "500", "1e7"][choices.below(4)]))")
    }

    // MARK: Expressions

    private mutating func name() -> String { names[choices.below(names.count)] }
    private mutating func value() -> String { Self.values[choices.below(Self.values.count)] }

    private mutating func key() -> String { choices.below(3) == 0 ? "(\(value()))" : "count" }

    private mutating func table() -> String {
        choices.below(3) == 0 ? ["MANY", "WIDE", "{}", "string"][choices.below(4)] : name()
    }

    private mutating func function() -> String {
        switch choices.below(4) {
        case 0: return Self.base[choices.below(Self.base.count)]
        case 1: return name()
        default:
            let library = Self.libraries[choices.below(Self.libraries.count)]
            let members = Self.functions[library] ?? []
            return "\(library).\(members[choices.below(members.count)])"
        }
    }

    private mutating func arguments(_ most: Int) -> String {
        (0..<1 + choices.below(most)).map { _ in operand() }.joined(separator: ", ")
    }

    private mutating func call() -> String { "\(function())(\(arguments(4)))" }

    private mutating func operand() -> String {
        switch choices.below(4) {
        case 0: name()
        case 1: choices.below(8) == 0 ? "..." : "(select(1, \(name())))"
        default: "(\(value()))"
        }
    }

    private mutating func expression() -> String {
        switch choices.below(7) {
        case 0: return value()
        case 1: return name()
        case 2: return "\(operand()) \(Self.operators[choices.below(Self.operators.count)]) \(operand())"
        case 3: return "\(["#", "-", "not ", "~"][choices.below(4)])\(operand())"
        case 4: return "\(name())[\(key())]"
        case 5: return "(function(...) return \(call()) end)(\(arguments(2)))"
        default: return call()
        }
    }
}
