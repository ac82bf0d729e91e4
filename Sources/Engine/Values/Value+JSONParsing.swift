// Values from JSON text (RFC 8259): what scripts decode. Null is null, a number without a fraction or exponent an integer.

extension Value {
    /// Nil when the text is no JSON, is nested deeper than 60, has a number that nothing here can hold, or something behind the
    /// value.
    package init?(json bytes: [UInt8]) {
        guard let value = try? Value(parsingJSON: bytes) else { return nil }
        self = value
    }

    /// The same, with the reason. What the value takes is put on `lease` as it is read, and `pace` may end the reading.
    /// - Parameter takesHalves: half of a surrogate pair becomes the character that stands for what is none; else it is a mistake.
    package init(
        parsingJSON bytes: [UInt8], takesHalves: Bool = true, lease: MemoryLease? = nil, _ pace: WorkPace? = nil
    ) throws(Failure) {
        let (value, problem, failure) = bytes.withUnsafeBufferPointer { buffer -> (Value?, String?, Failure?) in
            var reader = JSONReader(buffer, takesHalves: takesHalves, lease, pace)
            guard let value = reader.read(depth: 0), reader.failure == nil else {
                return (nil, reader.problem, reader.failure)
            }
            return reader.isAtEnd ? (value, nil, nil) : (nil, "there is something behind the value", reader.failure)
        }
        if let failure { throw failure }
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

    private let takesHalves: Bool
    private let lease: MemoryLease?
    private let pace: WorkPace?
    /// Why it went no further, though the text may be all right.
    private(set) var failure: Failure?

    init(_ bytes: UnsafeBufferPointer<UInt8>, takesHalves: Bool, _ lease: MemoryLease?, _ pace: WorkPace?) {
        self.bytes = bytes
        self.takesHalves = takesHalves
        self.lease = lease
        self.pace = pace
    }

    /// After some work, with so many bytes more in memory. False when it has to end.
    private mutating func goesOn(_ units: Int, holding bytes: Int = 0) -> Bool {
        do throws(Failure) {
            try pace?.spend(units)
            if bytes > 0 { try lease?.take(bytes) }
            return true
        } catch {
            failure = error
            return false
        }
    }

    /// What an element or a pair takes in its list while that grows.
    private static let elementBytes = 3 * MemoryLayout<Value>.stride
    private static let pairBytes = 3 * MemoryLayout<Value.Pair>.stride
    /// Bytes of a text, or blanks, between two looks.
    private static let pieceBytes = 4_096

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
        guard at < bytes.count, goesOn(8) else { return nil }
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
        let start = at
        while at < bytes.count, Self.isSpace(bytes[at]) {
            at += 1
            if (at - start) % Self.pieceBytes == 0, !goesOn(Self.pieceBytes) { return }
        }
    }

    private static func isSpace(_ byte: UInt8) -> Bool {
        byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09
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
            guard goesOn(1, holding: Self.elementBytes) else { return nil }
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
            guard goesOn(1, holding: Self.pairBytes) else { return nil }
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
        guard goesOn((at - start) / 2) else { return nil }
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
        var held = 0
        while at < bytes.count {
            let plain = plainBytes()
            let length = text.count + plain.count
            if length > held {
                let more = max(length, 2 * held)
                guard goesOn(8 + plain.count, holding: 48 + more + held) else { return nil }
                held = more
            }
            text.append(contentsOf: plain)
            guard at < bytes.count else { return nil }
            switch bytes[at] {
            case UInt8(ascii: "\""):
                at += 1
                return text
            case UInt8(ascii: "\\"):
                at += 1
                guard goesOn(4), readEscape(into: &text) else { return nil }
            case 0..<0x20: return nil
            default: break  // the next piece
            }
        }
        return nil
    }

    /// The bytes that stand for themselves, from here on, some KiB at most.
    private mutating func plainBytes() -> Slice<UnsafeBufferPointer<UInt8>> {
        let start = at
        let end = min(bytes.count, start + Self.pieceBytes)
        while at < end, bytes[at] >= 0x20, bytes[at] != UInt8(ascii: "\""), bytes[at] != UInt8(ascii: "\\") { at += 1 }
        return bytes[start..<at]
    }

    private mutating func readEscape(into text: inout [UInt8]) -> Bool {
        let start = at
        switch JSONEscape(bytes, at: &at) {
        case .character(let scalar):
            text.append(contentsOf: String(scalar).utf8)
            return true
        // Half of a pair is no character: it becomes the one that stands for such.
        case .half where takesHalves:
            text.append(contentsOf: "\u{FFFD}".utf8)
            return true
        case .half, .brokenPair:
            let escape = String(decoding: bytes[(start - 1)..<min(bytes.count, start + 5)], as: UTF8.self)
            problem = "\(escape) at byte \(start - 1) is half of a surrogate pair, which is no character"
            return false
        case .unknown, .incomplete: return false
        }
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
