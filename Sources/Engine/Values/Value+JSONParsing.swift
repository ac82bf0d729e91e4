// Values from JSON text (RFC 8259): what scripts decode. Null is null, a number without a fraction or exponent an integer.

extension Value {
    /// Nil when the text is no JSON, is nested deeper than 60, has a number that nothing here can hold, or something behind the
    /// value.
    package init?(json bytes: [UInt8]) {
        guard let value = try? Value(parsingJSON: bytes) else { return nil }
        self = value
    }

    /// The same, with the reason.
    package init(parsingJSON bytes: [UInt8]) throws(Failure) {
        let (value, problem) = bytes.withUnsafeBufferPointer { buffer -> (Value?, String?) in
            var reader = JSONReader(buffer)
            guard let value = reader.read(depth: 0) else { return (nil, reader.problem) }
            return reader.isAtEnd ? (value, nil) : (nil, "there is something behind the value")
        }
        guard let value else {
            throw Failure(.scriptError, "this is no json" + (problem.map { ": \($0)" } ?? ""))
        }
        self = value
    }
}

/// A cursor over the text; nil from any function is a mistake in it.
private struct JSONReader {
    private let bytes: UnsafeBufferPointer<UInt8>
    private var at = 0
    private static let depthMax = 60
    /// What is wrong, where it is more than a mistake in the grammar.
    private(set) var problem: String?

    init(_ bytes: UnsafeBufferPointer<UInt8>) { self.bytes = bytes }

    var isAtEnd: Bool {
        mutating get {
            skipSpace()
            return at == bytes.count
        }
    }

    mutating func read(depth: Int) -> Value? {
        guard depth < Self.depthMax else {
            problem = "it is nested deeper than \(Self.depthMax)"
            return nil
        }
        skipSpace()
        guard at < bytes.count else { return nil }
        switch bytes[at] {
        case UInt8(ascii: "{"): return readObject(depth)
        case UInt8(ascii: "["): return readArray(depth)
        case UInt8(ascii: "\""): return readString().map { .bytes($0) }
        case UInt8(ascii: "t"): return take("true") ? .bool(true) : nil
        case UInt8(ascii: "f"): return take("false") ? .bool(false) : nil
        case UInt8(ascii: "n"): return take("null") ? .null : nil
        default: return readNumber()
        }
    }

    private mutating func skipSpace() {
        while at < bytes.count, [0x20, 0x09, 0x0A, 0x0D].contains(bytes[at]) { at += 1 }
    }

    private mutating func take(_ word: StaticString) -> Bool {
        let count = word.utf8CodeUnitCount
        guard bytes.count - at >= count, (0..<count).allSatisfy({ bytes[at + $0] == word.utf8Start[$0] }) else {
            return false
        }
        at += count
        return true
    }

    private mutating func readArray(_ depth: Int) -> Value? {
        at += 1
        var elements: [Value] = []
        skipSpace()
        if take("]") { return .array([]) }
        while let element = read(depth: depth + 1) {
            elements.append(element)
            skipSpace()
            if take("]") { return .array(elements) }
            guard take(",") else { return nil }
        }
        return nil
    }

    private mutating func readObject(_ depth: Int) -> Value? {
        at += 1
        var pairs: [Value.Pair] = []
        skipSpace()
        if take("}") { return .map([]) }
        while true {
            skipSpace()
            guard at < bytes.count, bytes[at] == UInt8(ascii: "\""), let key = readString() else { return nil }
            skipSpace()
            guard take(":"), let value = read(depth: depth + 1) else { return nil }
            pairs.append(Value.Pair(.bytes(key), value))
            skipSpace()
            if take("}") { return .map(pairs) }
            guard take(",") else { return nil }
        }
    }

    private mutating func readNumber() -> Value? {
        let start = at
        _ = take("-")
        guard digits(leadingZero: false) else { return nil }
        var isWhole = true
        if take(".") {
            isWhole = false
            guard digits(leadingZero: true) else { return nil }
        }
        if take("e") || take("E") {
            isWhole = false
            if !take("+") { _ = take("-") }
            guard digits(leadingZero: true) else { return nil }
        }
        let text = String(decoding: UnsafeBufferPointer(rebasing: bytes[start..<at]), as: UTF8.self)
        if isWhole, let whole = Int64(text) { return .int(whole) }
        guard let number = Double(text), number.isFinite, !isWhole || number.isWritten(text) else {
            problem = "\(text.prefix(40)) is beyond what a number can hold; write it as text"
            return nil
        }
        return .double(number)
    }

    private mutating func digits(leadingZero: Bool) -> Bool {
        let start = at
        while at < bytes.count, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(bytes[at]) { at += 1 }
        return at > start && (leadingZero || at == start + 1 || bytes[start] != UInt8(ascii: "0"))
    }

    private mutating func readString() -> [UInt8]? {
        at += 1
        var text: [UInt8] = []
        while at < bytes.count {
            let byte = bytes[at]
            at += 1
            switch byte {
            case UInt8(ascii: "\""): return text
            case UInt8(ascii: "\\"): guard readEscape(into: &text) else { return nil }
            case 0..<0x20: return nil
            default: text.append(byte)
            }
        }
        return nil
    }

    private mutating func readEscape(into text: inout [UInt8]) -> Bool {
        switch JSONEscape(bytes, at: &at) {
        case .character(let scalar): text.append(contentsOf: String(scalar).utf8)
        // Half of a pair is no character: it becomes the one that stands for such.
        case .half: text.append(contentsOf: "\u{FFFD}".utf8)
        case .brokenPair, .unknown, .incomplete: return false
        }
        return true
    }
}

extension Double {
    /// Whether an integer of these digits, beyond 64 bits, is this number: exactly, or as programs write it that know doubles only,
    /// with zeros behind the digits that tell it from others.
    fileprivate func isWritten(_ digits: String) -> Bool {
        let magnitude = digits.drop { $0 == "-" }
        let shortest = description.split(separator: "e")
        let significant = shortest[0].filter { $0 >= "0" && $0 <= "9" }
        guard magnitude.count < 40 else { return false }
        let padded = significant + String(repeating: "0", count: max(0, magnitude.count - significant.count))
        return padded == magnitude || self.magnitude < 0x1p127 && UInt128(self.magnitude) == UInt128(magnitude)
    }
}
