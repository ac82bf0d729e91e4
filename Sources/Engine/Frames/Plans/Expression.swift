// Arithmetic over columns, given as text: parsed once for each plan.

/// `distance / air_time * 60`: numbers, column names, `+ - * / %`, parentheses, and `abs floor ceil round sqrt`. Columns
/// are int, double or bool; the result is a double, null where a column is null or a division is by zero.
package indirect enum Expression: Sendable, Hashable {
    package enum Operation: Unicode.Scalar, Sendable {
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
    private let scalars: [Unicode.Scalar]
    private var at = 0

    init(_ text: String) {
        self.text = text
        scalars = Array(text.unicodeScalars)
    }

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
        guard at < scalars.count else { throw problem("it ends where a number or a column is expected") }
        let scalar = scalars[at]
        if scalar == "-" {
            at += 1
            return .negated(try factor(depth: depth + 1))
        }
        if scalar == "(" {
            at += 1
            let inner = try sum(depth: depth + 1)
            try expect(")")
            return inner
        }
        if scalar.isDigit || scalar == "." { return try number() }
        guard scalar.isPartOfName else { throw problem("'\(scalar)' is not expected") }
        let name = word()
        skipSpace()
        guard at < scalars.count, scalars[at] == "(" else { return .column(name) }
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
        while at < scalars.count {
            let isExponentSign = scalars[at].isOne(of: "+", "-") && at > start && scalars[at - 1].isOne(of: "e", "E")
            guard scalars[at].isDigit || scalars[at].isOne(of: ".", "e", "E") || isExponentSign else { break }
            at += 1
        }
        let digits = string(from: start)
        guard let number = Double(digits), number.isFinite else { throw problem("'\(digits)' is no number") }
        return .number(number)
    }

    private mutating func word() -> String {
        let start = at
        while at < scalars.count, scalars[at].isPartOfName { at += 1 }
        return string(from: start)
    }

    private func string(from start: Int) -> String {
        var string = String.UnicodeScalarView()
        string.append(contentsOf: scalars[start..<at])
        return String(string)
    }

    private mutating func take(_ operators: Unicode.Scalar...) -> Expression.Operation? {
        skipSpace()
        guard at < scalars.count, operators.contains(scalars[at]) else { return nil }
        at += 1
        return Expression.Operation(rawValue: scalars[at - 1])
    }

    private mutating func expect(_ scalar: Unicode.Scalar) throws(Failure) {
        skipSpace()
        guard at < scalars.count, scalars[at] == scalar else { throw problem("'\(scalar)' is missing") }
        at += 1
    }

    mutating func expectEnd() throws(Failure) {
        skipSpace()
        guard at == scalars.count else { throw problem("'\(scalars[at])' is not expected") }
    }

    private mutating func skipSpace() { while at < scalars.count, scalars[at].isSpace { at += 1 } }

    private func problem(_ what: String) -> Failure {
        Failure(.scriptError, "with: '\(text.prefix(100))' is not understood: \(what), at character \(at + 1)")
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

    fileprivate func isOne(of scalars: Unicode.Scalar...) -> Bool { scalars.contains(self) }
}
