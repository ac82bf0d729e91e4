// `a .. b` of scripts for the low-level interface as a call of `lua51_join(a, (b))`, which writes numbers as Lua 5.1 did.
//
// Lua's own `..` cannot be told how to write a number. A metamethod that is put between the operands could, but 5.4.4 goes wrong
// where one of a chain makes the stack grow.

/// The tokens of a source, past its comments.
struct LuaTokens {
    enum Kind { case word, number, string, symbol }

    struct Token {
        let kind: Kind
        let range: Range<Int>
    }

    let source: [UInt8]
    private(set) var tokens: [Token] = []
    /// Of a bracket's token, the token of the other one.
    private(set) var partners: [Int: Int] = [:]
    private var at = 0

    init(_ source: [UInt8]) {
        self.source = source
        while let token = next() { tokens.append(token) }
        var open: [Int] = []
        for (index, token) in tokens.enumerated() where token.kind == .symbol {
            switch source[token.range.lowerBound] {
            case UInt8(ascii: "("), UInt8(ascii: "["), UInt8(ascii: "{"): open.append(index)
            case UInt8(ascii: ")"), UInt8(ascii: "]"), UInt8(ascii: "}"):
                guard let start = open.popLast() else { return }
                partners[start] = index
                partners[index] = start
            default: break
            }
        }
    }

    func text(_ index: Int) -> String {
        tokens.indices.contains(index) ? String(decoding: source[tokens[index].range], as: UTF8.self) : ""
    }

    private func byte(_ offset: Int = 0) -> UInt8 { at + offset < source.count ? source[at + offset] : 0 }

    private mutating func next() -> Token? {
        while at < source.count {
            let start = at
            let first = byte()
            if first <= 32 {
                at += 1
            } else if first == UInt8(ascii: "-"), byte(1) == UInt8(ascii: "-") {
                at += 2
                if !skipLongBracket() { while at < source.count, byte() != UInt8(ascii: "\n") { at += 1 } }
            } else if first == UInt8(ascii: "\"") || first == UInt8(ascii: "'") {
                at += 1
                while at < source.count, byte() != first, byte() != UInt8(ascii: "\n") {
                    at += byte() == UInt8(ascii: "\\") ? 2 : 1
                }
                at = min(at + 1, source.count)
                return Token(kind: .string, range: start..<at)
            } else if first == UInt8(ascii: "["), skipLongBracket() {
                return Token(kind: .string, range: start..<at)
            } else if Self.isDigit(first) || first == UInt8(ascii: ".") && Self.isDigit(byte(1)) {
                skipNumber()
                return Token(kind: .number, range: start..<at)
            } else if Self.isWord(first) {
                while at < source.count, Self.isWord(byte()) { at += 1 }
                return Token(kind: .word, range: start..<at)
            } else {
                let symbols = ["...", "..", "==", "~=", "<=", ">=", "//", "::", "<<", ">>"]
                let symbol = symbols.first { source[at...].starts(with: $0.utf8) }
                at += symbol?.utf8.count ?? 1
                return Token(kind: .symbol, range: start..<at)
            }
        }
        return nil
    }

    /// Its exponent may have a sign. Two dots are none of it.
    private mutating func skipNumber() {
        let isHexadecimal = byte() == UInt8(ascii: "0") && byte(1) | 32 == UInt8(ascii: "x")
        let exponent = UInt8(ascii: isHexadecimal ? "p" : "e")
        while at < source.count {
            if byte() | 32 == exponent, byte(1) == UInt8(ascii: "+") || byte(1) == UInt8(ascii: "-") {
                at += 2
            } else if Self.isWord(byte()) || byte() == UInt8(ascii: ".") && byte(1) != UInt8(ascii: ".") {
                at += 1
            } else {
                return
            }
        }
    }

    private mutating func skipLongBracket() -> Bool {
        guard byte() == UInt8(ascii: "[") else { return false }
        var level = at + 1
        while level < source.count, source[level] == UInt8(ascii: "=") { level += 1 }
        guard level < source.count, source[level] == UInt8(ascii: "[") else { return false }
        let end = [UInt8(ascii: "]")] + Array(repeating: UInt8(ascii: "="), count: level - at - 1) + [UInt8(ascii: "]")]
        at = level + 1
        while at < source.count, !source[at...].starts(with: end) { at += 1 }
        at = min(at + end.count, source.count)
        return true
    }

    private static func isDigit(_ byte: UInt8) -> Bool { byte >= 48 && byte <= 57 }
    private static func isWord(_ byte: UInt8) -> Bool {
        isDigit(byte) || byte | 32 >= 97 && byte | 32 <= 122 || byte == UInt8(ascii: "_") || byte >= 128
    }
}

/// Finds the operands of each `..`: what binds tighter than it does.
struct LuaConcatenations {
    private let tokens: LuaTokens
    private static let arithmetic: Set<String> = ["+", "-", "*", "/", "//", "%", "^"]
    private static let keywords: Set<String> = [
        "and", "break", "do", "else", "elseif", "end", "for", "function", "goto", "if", "in", "local", "not", "or",
        "repeat",
        "return", "then", "until", "while",
    ]

    init(_ source: [UInt8]) { tokens = LuaTokens(source) }

    /// The source with calls in the place of the dots, on the same lines; a chain is one call.
    func joined() -> [UInt8] {
        var edits: [(range: Range<Int>, text: String)] = []
        var done: Set<Int> = []
        for dots in tokens.tokens.indices where tokens.text(dots) == ".." && tokens.tokens[dots].kind == .symbol {
            guard !done.contains(dots), let chain = chain(from: dots) else { continue }
            done.formUnion(chain.dots)
            let start = tokens.tokens[chain.start].range.lowerBound
            let end = tokens.tokens[chain.end].range.upperBound
            edits.append((start..<start, " lua51_join("))
            for dots in chain.dots { edits.append((tokens.tokens[dots].range, dots == chain.dots.last ? ", (" : ",")) }
            edits.append((end..<end, "))"))
        }
        var out: [UInt8] = []
        var copied = 0
        for edit in edits.sorted(by: { $0.range.lowerBound < $1.range.lowerBound }) {
            out += tokens.source[copied..<edit.range.lowerBound]
            out += edit.text.utf8
            copied = edit.range.upperBound
        }
        return out + tokens.source[copied...]
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
