// Arithmetic over columns, given as text: parsed once for each plan.

/// `distance / air_time * 60`: numbers, column names, `+ - * / %`, parentheses, and `abs floor ceil round sqrt`. Columns
/// are int, double or bool; the result is a double, null where a column is null or a division is by zero.
package indirect enum Expression: Sendable, Hashable {
    package enum Operation: Unicode.Scalar, Sendable {
        case add = "+"
        case subtract = "-"
        case multiply = "*"
        case divide = "/"
        case remainder = "%"
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
    private let scalars: String.UnicodeScalarView
    private var at: String.Index

    init(_ text: String) {
        scalars = text.unicodeScalars
        at = scalars.startIndex
    }

    /// Nil at the end.
    private var next: Unicode.Scalar? { at < scalars.endIndex ? scalars[at] : nil }

    private mutating func advance() { at = scalars.index(after: at) }

    mutating func sum(depth: Int) throws(Failure) -> Expression {
        guard depth < Expression.depthMax else { throw problem("it nests too deeply") }
        var left = try product(depth: depth)
        while let operation = take("+", "-") { left = .binary(operation, left, try product(depth: depth)) }
        return left
    }

    private mutating func product(depth: Int) throws(Failure) -> Expression {
        var left = try factor(depth: depth)
        while let operation = take("*", "/", "%") { left = .binary(operation, left, try factor(depth: depth)) }
        return left
    }

    private mutating func factor(depth: Int) throws(Failure) -> Expression {
        guard depth < Expression.depthMax else { throw problem("it nests too deeply") }
        skipSpace()
        guard let scalar = next else { throw problem("it ends where a number or a column is expected") }
        if scalar == "-" {
            advance()
            return .negated(try factor(depth: depth + 1))
        }
        if scalar == "(" {
            advance()
            let inner = try sum(depth: depth + 1)
            try expect(")")
            return inner
        }
        if scalar.isDigit || scalar == "." { return try number() }
        guard scalar.isPartOfName else { throw problem("'\(scalar)' is not expected") }
        let name = word()
        skipSpace()
        guard next == "(" else { return .column(name) }
        guard let function = Expression.Function(rawValue: name) else {
            let known = Expression.Function.allCases.map(\.rawValue).joined(separator: ", ")
            throw problem("there is no function '\(name)'; there are \(known)")
        }
        advance()
        let inner = try sum(depth: depth + 1)
        try expect(")")
        return .call(function, inner)
    }

    private mutating func number() throws(Failure) -> Expression {
        let start = at
        var isExponent = false
        while let scalar = next,
            scalar.isDigit || scalar == "." || "eE".unicodeScalars.contains(scalar)
                || isExponent && "+-".unicodeScalars.contains(scalar)
        {
            isExponent = scalar == "e" || scalar == "E"
            advance()
        }
        let digits = String(scalars[start..<at])
        guard let number = Double(digits), number.isFinite else { throw problem("'\(digits)' is no number") }
        return .number(number)
    }

    private mutating func word() -> String {
        let start = at
        while let scalar = next, scalar.isPartOfName { advance() }
        return String(scalars[start..<at])
    }

    private mutating func take(_ operators: Unicode.Scalar...) -> Expression.Operation? {
        skipSpace()
        guard let scalar = next, operators.contains(scalar) else { return nil }
        advance()
        return Expression.Operation(rawValue: scalar)
    }

    private mutating func expect(_ scalar: Unicode.Scalar) throws(Failure) {
        skipSpace()
        guard next == scalar else { throw problem("'\(scalar)' is missing") }
        advance()
    }

    mutating func expectEnd() throws(Failure) {
        skipSpace()
        if let next { throw problem("'\(next)' is not expected") }
    }

    private mutating func skipSpace() { while let next, next.isSpace { advance() } }

    private func problem(_ what: String) -> Failure {
        let position = scalars.distance(from: scalars.startIndex, to: at) + 1
        return Failure(
            .scriptError, "with: '\(String(scalars.prefix(100)))' is not understood: \(what), at character \(position)")
    }
}

/// ASCII first: the tables of Unicode take ten times as long.
extension Unicode.Scalar {
    fileprivate var isDigit: Bool { ("0"..."9").contains(self) }

    fileprivate var isSpace: Bool { isASCII ? self == " " || ("\t"..."\r").contains(self) : properties.isWhitespace }

    /// Letters, digits, underscores, and what is written above letters.
    fileprivate var isPartOfName: Bool {
        if isASCII { return isDigit || ("a"..."z").contains(self) || ("A"..."Z").contains(self) || self == "_" }
        return properties.isAlphabetic || properties.isGraphemeExtend || properties.numericType != nil
    }
}
