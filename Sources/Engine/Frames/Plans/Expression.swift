// Arithmetic over columns, given as text: parsed once for each plan.

/// `distance / air_time * 60`: numbers, column names, `+ - * / %`, parentheses, and `abs floor ceil round sqrt`. Columns
/// are int, double or bool; the result is a double, null where a column is null or a division is by zero.
package indirect enum Expression: Sendable, Hashable {
    package enum Operation: Character, Sendable {
        case add = "+", subtract = "-", multiply = "*", divide = "/", remainder = "%"
    }
    package enum Function: String, Sendable, CaseIterable { case abs, floor, ceil, round, sqrt }

    case number(Double)
    case column(String)
    case negated(Expression)
    case binary(Operation, Expression, Expression)
    case call(Function, Expression)

    package static let textBytesMax = 4096
    fileprivate static let depthMax = 64

    /// Throws `script_error` that says where it does not go on.
    package init(parsing text: String) throws(Failure) {
        guard text.utf8.count <= Self.textBytesMax else {
            throw Failure(.budgetExceeded, "with: an expression of more than \(Self.textBytesMax) bytes")
        }
        var parser = ExpressionParser(text)
        self = try parser.sum(depth: 0)
        try parser.expectEnd()
    }

    /// The columns it reads.
    var columns: Set<String> {
        switch self {
        case .number: []
        case .column(let name): [name]
        case .negated(let one), .call(_, let one): one.columns
        case .binary(_, let a, let b): a.columns.union(b.columns)
        }
    }
}

private struct ExpressionParser {
    private let text: String
    private let characters: [Character]
    private var at = 0

    init(_ text: String) {
        self.text = text
        characters = Array(text)
    }

    mutating func sum(depth: Int) throws(Failure) -> Expression {
        guard depth < Expression.depthMax else { throw problem("it nests too deeply") }
        var left = try product(depth: depth)
        while let operation = take(["+", "-"]) { left = .binary(operation, left, try product(depth: depth)) }
        return left
    }

    private mutating func product(depth: Int) throws(Failure) -> Expression {
        var left = try factor(depth: depth)
        while let operation = take(["*", "/", "%"]) { left = .binary(operation, left, try factor(depth: depth)) }
        return left
    }

    private mutating func factor(depth: Int) throws(Failure) -> Expression {
        guard depth < Expression.depthMax else { throw problem("it nests too deeply") }
        skipSpace()
        guard at < characters.count else { throw problem("it ends where a number or a column is expected") }
        let character = characters[at]
        if character == "-" {
            at += 1
            return .negated(try factor(depth: depth + 1))
        }
        if character == "(" {
            at += 1
            let inner = try sum(depth: depth + 1)
            try expect(")")
            return inner
        }
        if character.isNumber || character == "." { return try number() }
        guard character.isLetter || character == "_" else { throw problem("'\(character)' is not expected") }
        let name = word { $0.isLetter || $0.isNumber || $0 == "_" }
        skipSpace()
        guard at < characters.count, characters[at] == "(" else { return .column(name) }
        guard let function = Expression.Function(rawValue: name) else {
            let known = Expression.Function.allCases.map(\.rawValue).joined(separator: ", ")
            throw problem("there is no function '\(name)'; there are \(known)")
        }
        at += 1
        let inner = try sum(depth: depth + 1)
        try expect(")")
        return .call(function, inner)
    }

    private mutating func number() throws(Failure) -> Expression {
        let start = at
        while at < characters.count {
            let isExponentSign = "+-".contains(characters[at]) && at > start && "eE".contains(characters[at - 1])
            guard characters[at].isNumber || ".eE".contains(characters[at]) || isExponentSign else { break }
            at += 1
        }
        let digits = String(characters[start..<at])
        guard let number = Double(digits), number.isFinite else { throw problem("'\(digits)' is no number") }
        return .number(number)
    }

    private mutating func word(_ isPart: (Character) -> Bool) -> String {
        let start = at
        while at < characters.count, isPart(characters[at]) { at += 1 }
        return String(characters[start..<at])
    }

    private mutating func take(_ operators: Set<Character>) -> Expression.Operation? {
        skipSpace()
        guard at < characters.count, operators.contains(characters[at]) else { return nil }
        at += 1
        return Expression.Operation(rawValue: characters[at - 1])
    }

    private mutating func expect(_ character: Character) throws(Failure) {
        skipSpace()
        guard at < characters.count, characters[at] == character else { throw problem("'\(character)' is missing") }
        at += 1
    }

    mutating func expectEnd() throws(Failure) {
        skipSpace()
        guard at == characters.count else { throw problem("'\(characters[at])' is not expected") }
    }

    private mutating func skipSpace() { while at < characters.count, characters[at].isWhitespace { at += 1 } }

    private func problem(_ what: String) -> Failure {
        Failure(.scriptError, "with: '\(text.prefix(100))' is not understood: \(what), at character \(at + 1)")
    }
}
