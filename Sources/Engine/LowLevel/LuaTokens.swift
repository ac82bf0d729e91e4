// Lua's text as tokens, and edits of it: what is put into scripts for the low-level interface keeps its lines.

/// The tokens of a source, past its comments.
struct LuaTokens {
    enum Kind { case word, number, string, symbol }

    struct Token {
        let kind: Kind
        let range: Range<Int>
    }

    /// What is to stand in the place of a range. Insertions at one place are in the order of their ranks.
    struct Edit {
        let range: Range<Int>
        let text: String
        var rank = 0

        static func comesBefore(_ one: Edit, _ other: Edit) -> Bool {
            (one.range.lowerBound, one.range.upperBound, one.rank)
                < (other.range.lowerBound, other.range.upperBound, other.rank)
        }
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

    /// The source with these edits in it.
    func applying(_ edits: [Edit]) -> [UInt8] {
        var out: [UInt8] = []
        var copied = 0
        for edit in edits.sorted(by: Edit.comesBefore) {
            out += source[copied..<edit.range.lowerBound]
            out += edit.text.utf8
            copied = edit.range.upperBound
        }
        return out + source[copied...]
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
