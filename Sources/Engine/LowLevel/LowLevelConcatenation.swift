// `a .. b` of scripts for the low-level interface as a call of `lua51_join(a, (b))`, which writes numbers as Lua 5.1 did.
//
// Lua's own `..` cannot be told how to write a number. A metamethod that is put between the operands could, but 5.4.4 goes wrong
// where one of a chain makes the stack grow.

/// Finds the operands of each `..`: what binds tighter than it does.
struct LuaConcatenations {
    private let tokens: LuaTokens
    private static let arithmetic: Set<String> = ["+", "-", "*", "/", "//", "%", "^"]
    private static let keywords: Set<String> = [
        "and", "break", "do", "else", "elseif", "end", "for", "function", "goto", "if", "in", "local", "not", "or",
        "repeat",
        "return", "then", "until", "while",
    ]

    init(_ tokens: LuaTokens) { self.tokens = tokens }

    /// Calls in the place of the dots, on the same lines; a chain is one call.
    var edits: [LuaTokens.Edit] {
        var edits: [LuaTokens.Edit] = []
        var done: Set<Int> = []
        for dots in tokens.tokens.indices where tokens.text(dots) == ".." && tokens.tokens[dots].kind == .symbol {
            guard !done.contains(dots), let chain = chain(from: dots) else { continue }
            done.formUnion(chain.dots)
            let start = tokens.tokens[chain.start].range.lowerBound
            let end = tokens.tokens[chain.end].range.upperBound
            edits.append(.init(range: start..<start, text: " lua51_join("))
            for dots in chain.dots {
                edits.append(.init(range: tokens.tokens[dots].range, text: dots == chain.dots.last ? ", (" : ","))
            }
            edits.append(.init(range: end..<end, text: "))"))
        }
        return edits
    }

    /// Nil where the operands are none: Lua will say so.
    private func chain(from first: Int) -> (start: Int, end: Int, dots: [Int])? {
        guard let start = start(ofOperandEndingAt: first - 1) else { return nil }
        var dots = [first]
        while true {
            guard let last = dots.last, let end = end(ofOperandStartingAt: last + 1) else { return nil }
            guard tokens.text(end + 1) == ".." else { return (start, end, dots) }
            dots.append(end + 1)
        }
    }

    /// Whether a token may be the last one of an operand.
    private func endsOperand(_ index: Int) -> Bool {
        guard tokens.tokens.indices.contains(index) else { return false }
        switch tokens.tokens[index].kind {
        case .number, .string: return true
        case .word: return !Self.keywords.contains(tokens.text(index)) || tokens.text(index) == "end"
        case .symbol: return [")", "]", "}", "..."].contains(tokens.text(index))
        }
    }

    private func start(ofOperandEndingAt end: Int) -> Int? {
        var at = end
        while true {
            guard endsOperand(at), tokens.text(at) != "end" else { return nil }
            let isBracket = tokens.tokens[at].kind == .symbol && tokens.text(at) != "..."
            if isBracket {
                guard let partner = tokens.partners[at] else { return nil }
                at = partner
            }
            // A call, an index, or the string that a function is called with.
            let mayBeSuffix = isBracket || tokens.tokens[at].kind == .string
            if mayBeSuffix, endsOperand(at - 1), tokens.text(at - 1) != "end" {
                at -= 1
                continue
            }
            if !isBracket, [".", ":"].contains(tokens.text(at - 1)) {
                at -= 2
                continue
            }
            while isUnary(at - 1) { at -= 1 }
            guard Self.arithmetic.contains(tokens.text(at - 1)), tokens.tokens[at - 1].kind == .symbol else {
                return at
            }
            at -= 2
        }
    }

    private func isUnary(_ index: Int) -> Bool {
        switch tokens.text(index) {
        case "not", "#": true
        case "-", "~": tokens.tokens[index].kind == .symbol && !endsOperand(index - 1)
        default: false
        }
    }

    private func end(ofOperandStartingAt start: Int) -> Int? {
        var at = start
        while true {
            while ["not", "#", "-", "~"].contains(tokens.text(at)), tokens.tokens[at].kind != .string { at += 1 }
            guard tokens.tokens.indices.contains(at) else { return nil }
            let isOpening = tokens.tokens[at].kind == .symbol && ["(", "{"].contains(tokens.text(at))
            // Only names and what is in parentheses can be called and indexed.
            var hasSuffixes = tokens.text(at) == "("
            if isOpening {
                guard let partner = tokens.partners[at] else { return nil }
                at = partner
            } else {
                guard endsOperand(at), tokens.text(at) == "..." || tokens.tokens[at].kind != .symbol,
                    tokens.text(at) != "end"
                else { return nil }
                hasSuffixes = tokens.tokens[at].kind == .word
            }
            while hasSuffixes, tokens.tokens.indices.contains(at + 1) {
                if tokens.tokens[at + 1].kind == .string {
                    at += 1
                } else if [".", ":"].contains(tokens.text(at + 1)) {
                    at += 2
                } else if ["(", "[", "{"].contains(tokens.text(at + 1)), let partner = tokens.partners[at + 1] {
                    at = partner
                } else {
                    hasSuffixes = false
                }
            }
            guard Self.arithmetic.contains(tokens.text(at + 1)), tokens.tokens[at + 1].kind == .symbol else {
                return at
            }
            at += 2
        }
    }
}
