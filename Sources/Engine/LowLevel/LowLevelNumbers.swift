// The numbers of scripts for the low-level interface, which all are doubles as in Lua 5.1: literals, remainders, loops.

struct LowLevelNumbers {
    private let tokens: LuaTokens

    init(_ tokens: LuaTokens) { self.tokens = tokens }

    var edits: [LuaTokens.Edit] {
        tokens.tokens.indices.flatMap { index -> [LuaTokens.Edit] in
            switch tokens.tokens[index].kind {
            case .number: literal(index).map { [$0] } ?? []
            case .symbol where tokens.text(index) == "%": [remainder(index)]
            case .word where tokens.text(index) == "for": bounds(ofLoopAt: index)
            default: []
            }
        }
    }

    /// `5` as `5.0`, `0x10` as `0x10p0`; nil where it is a float already.
    private func literal(_ index: Int) -> LuaTokens.Edit? {
        let text = tokens.text(index).lowercased()
        let end = tokens.tokens[index].range.upperBound
        if text.hasPrefix("0x") {
            return text.contains("p") || text.contains(".") ? nil : .init(range: end..<end, text: "p0", rank: -2)
        }
        return text.utf8.allSatisfy { $0 >= 48 && $0 <= 57 } ? .init(range: end..<end, text: ".0", rank: -2) : nil
    }

    /// `a % b` as `a % lua51_remainder % b`: the first one keeps `a`, the second one answers. It binds as it did, and
    /// needs no operand's end.
    private func remainder(_ index: Int) -> LuaTokens.Edit {
        let end = tokens.tokens[index].range.upperBound
        return .init(range: end..<end, text: " lua51_remainder %")
    }

    /// What a numeric loop goes from, to and by, each in a call of `lua51_number`: texts that are numbers count, too.
    private func bounds(ofLoopAt start: Int) -> [LuaTokens.Edit] {
        guard tokens.text(start + 2) == "=" else { return [] }
        var edits: [LuaTokens.Edit] = []
        var at = start + 3
        var first = at
        while tokens.tokens.indices.contains(at) {
            let text = tokens.tokens[at].kind == .string ? "" : tokens.text(at)
            if text == "," || text == "do" {
                guard at > first else { return [] }
                let lower = tokens.tokens[first].range.lowerBound
                let upper = tokens.tokens[at - 1].range.upperBound
                edits.append(.init(range: lower..<lower, text: " lua51_number(", rank: -1))
                edits.append(.init(range: upper..<upper, text: ")", rank: 1))
                if text == "do" { return edits }
                first = at + 1
            }
            // A function's body has loops and commas of its own; as a bound of a loop it stands in brackets, if at all.
            if text == "function" { return [] }
            at = (["(", "[", "{"].contains(text) ? tokens.partners[at] ?? at : at) + 1
        }
        return []
    }
}

extension Value {
    /// Every number a double, as scripts of Lua 5.1 know them. Text and structure stay.
    var inDoubles: Value {
        mapNumbers { number in
            if case .int(let whole) = number { .double(Double(whole)) } else { number }
        }
    }

    /// Whole doubles as integers, which have shorter encodings and no point: what scripts of Lua 5.1 write.
    var inIntegers: Value {
        mapNumbers { number in
            guard case .double(let double) = number, abs(double) < 1e15, double != 0 || double.sign == .plus,
                let whole = Int64(exactly: double)
            else { return number }
            return .int(whole)
        }
    }

    private func mapNumbers(_ change: (Value) -> Value) -> Value {
        switch self {
        case .int, .double: change(self)
        case .array(let values): .array(values.map { $0.mapNumbers(change) })
        case .map(let pairs):
            .map(pairs.map { Value.Pair($0.key.mapNumbers(change), $0.value.mapNumbers(change)) })
        case .null, .bool, .bytes: self
        }
    }
}
