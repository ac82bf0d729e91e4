// Scripts for the low-level interface: which files are such, what they define, and their Lua 5.1 made 5.4.

/// An immutable set of scripts that share their globals.
package struct LowLevelScripts: Sendable, Equatable {
    let scripts: [ObjectScript]
    /// The handlers' names by the name of their table.
    package let methods: [String: Set<String>]

    /// A file's name without its ending; nil where that cannot be a type.
    static func stem(of file: String) -> String? {
        guard file.hasSuffix(".lua") else { return nil }
        let stem = String(file.dropLast(4))
        return LoadedType.isName(stem) ? stem : nil
    }

    /// Takes each file that defines a table of functions named like itself; and beside those, files that only define what
    /// they use. Nil when there is no such table.
    static func assess(_ candidates: [ObjectScript]) -> (scripts: LowLevelScripts?, accepted: Set<String>) {
        let state = LuaState()
        guard let environment = try? LowLevelMachine.prepare(state, LowLevelPlaceholders()) else { return (nil, []) }
        var scripts: [ObjectScript] = []
        var methods: [String: Set<String>] = [:]
        for script in candidates {
            guard (try? LowLevelMachine.load(script, in: state, environment)) != nil else { continue }
            guard let stem = stem(of: script.file) else { continue }
            let handlers = state.functionNames(ofTable: stem, in: environment)
            if !handlers.isEmpty { methods[stem] = handlers }
            if !handlers.isEmpty || Self.definesFunctions(script) { scripts.append(script) }
        }
        guard !methods.isEmpty else { return (nil, []) }
        return (LowLevelScripts(scripts: scripts, methods: methods), Set(scripts.map(\.file)))
    }

    /// Whether a file without a table of its own looks like a helper of others.
    private static func definesFunctions(_ script: ObjectScript) -> Bool {
        String(decoding: script.source, as: UTF8.self).split(separator: "\n").contains { $0.hasPrefix("function ") }
    }

    /// The source with `arg`, the table that Lua 5.1 made of a function's further arguments, put in where it is used, and
    /// with calls of `lua51_join` for `..`, which write numbers as Lua 5.1 did.
    static func adapted(_ source: [UInt8]) -> [UInt8] {
        let joined = LuaConcatenations(source).joined()
        var scanner = LuaScanner(joined)
        return scanner.contains(word: "arg") ? scanner.insertingArg() : joined
    }
}

/// Finds functions in a source, past its strings and comments.
private struct LuaScanner {
    private let source: [UInt8]
    private var at = 0

    init(_ source: [UInt8]) { self.source = source }

    mutating func contains(word: String) -> Bool {
        at = 0
        while let next = nextWord() { if source[next].elementsEqual(word.utf8) { return true } }
        return false
    }

    /// On the same line as the parameters, so that line numbers stay.
    mutating func insertingArg() -> [UInt8] {
        var out: [UInt8] = []
        var copied = 0
        at = 0
        while let word = nextWord() {
            guard source[word].elementsEqual("function".utf8),
                let open = source[at...].firstIndex(of: UInt8(ascii: "(")),
                let close = source[open...].firstIndex(of: UInt8(ascii: ")"))
            else { continue }
            at = close + 1
            guard String(decoding: source[open..<close], as: UTF8.self).hasSuffix("...") else { continue }
            out.append(contentsOf: source[copied...close])
            out.append(contentsOf: " local arg = { n = select('#', ...), ... }".utf8)
            copied = close + 1
        }
        return out + source[copied...]
    }

    /// The next name or keyword outside of strings and comments.
    private mutating func nextWord() -> Range<Int>? {
        while at < source.count {
            let byte = source[at]
            if Self.isWordByte(byte) {
                let start = at
                while at < source.count, Self.isWordByte(source[at]) { at += 1 }
                return start..<at
            }
            if byte == UInt8(ascii: "-"), at + 1 < source.count, source[at + 1] == UInt8(ascii: "-") {
                at += 2
                if !skipLongBracket() { skip(to: UInt8(ascii: "\n")) }
            } else if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "'") {
                skipString(byte)
            } else if byte != UInt8(ascii: "[") || !skipLongBracket() {
                at += 1
            }
        }
        return nil
    }

    private mutating func skip(to byte: UInt8) {
        while at < source.count, source[at] != byte { at += 1 }
    }

    private mutating func skipString(_ quote: UInt8) {
        at += 1
        while at < source.count, source[at] != quote, source[at] != UInt8(ascii: "\n") {
            at += source[at] == UInt8(ascii: "\\") ? 2 : 1
        }
        at += 1
    }

    /// `[[…]]`, `[==[…]==]`: past it, or nothing where none begins.
    private mutating func skipLongBracket() -> Bool {
        guard at < source.count, source[at] == UInt8(ascii: "[") else { return false }
        var level = at + 1
        while level < source.count, source[level] == UInt8(ascii: "=") { level += 1 }
        guard level < source.count, source[level] == UInt8(ascii: "[") else { return false }
        let end = [UInt8(ascii: "]")] + Array(repeating: UInt8(ascii: "="), count: level - at - 1) + [UInt8(ascii: "]")]
        at = level + 1
        while at < source.count, !source[at...].starts(with: end) { at += 1 }
        at = min(at + end.count, source.count)
        return true
    }

    private static func isWordByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"):
            true
        default: false
        }
    }
}
