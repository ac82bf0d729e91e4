// Scripts for the low-level interface: which files are such, what they define, and their Lua 5.1 made 5.4.

/// The one place from which the rest of the engine comes here to learn of scripts; `Engine` makes the host that runs them.
extension HandlerScripts {
    /// Takes each file that defines a table of functions named like itself; and beside those, files that only define what
    /// they use. Nil when there is no such table.
    static func assess(_ candidates: [ObjectScript]) -> (scripts: HandlerScripts?, accepted: Set<String>) {
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
        return (HandlerScripts(scripts: scripts, methods: methods), Set(scripts.map(\.file)))
    }

    /// Whether a file without a table of its own looks like a helper of others.
    private static func definesFunctions(_ script: ObjectScript) -> Bool {
        String(decoding: script.source, as: UTF8.self).split(separator: "\n").contains { $0.hasPrefix("function ") }
    }

    /// The source with what Lua 5.1 had and 5.4 does not, on the same lines: `arg`, the table of a function's further
    /// arguments, where it is used; calls of `lua51_join` for `..`, which write numbers as Lua 5.1 did; and numbers that are
    /// doubles.
    static func adapted(_ source: [UInt8]) -> [UInt8] {
        let tokens = LuaTokens(source)
        return tokens.applying(
            LuaConcatenations(tokens).edits + LowLevelNumbers(tokens).edits + furtherArguments(tokens))
    }

    private static func furtherArguments(_ tokens: LuaTokens) -> [LuaTokens.Edit] {
        let words = tokens.tokens.indices.filter { tokens.tokens[$0].kind == .word }
        guard words.contains(where: { tokens.text($0) == "arg" }) else { return [] }
        return words.compactMap { word in
            guard tokens.text(word) == "function",
                let open = tokens.tokens[word...].indices.first(where: { tokens.text($0) == "(" }),
                let close = tokens.partners[open], tokens.text(close - 1) == "..."
            else { return nil }
            let end = tokens.tokens[close].range.upperBound
            return .init(range: end..<end, text: " local arg = { n = select('#', ...), ... }")
        }
    }
}
