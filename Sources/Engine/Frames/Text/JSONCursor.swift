// The fields of one flat JSON object, one after the other (RFC 8259).

// Unsafe: reads one line, within its bounds; a key or a string is valid until the next one is read.

struct JSONCursor: ~Copyable {
    typealias Text = UnsafeBufferPointer<UInt8>

    enum Token {
        case null
        case bool(Bool)
        /// The digits as they stand in the line.
        case number(Text)
        case string(Text)
    }

    private let bytes: Text
    /// Where escapes are resolved, which never makes a string longer.
    private var scratch = UnsafeMutableBufferPointer<UInt8>(start: nil, count: 0)
    private var scratchCount = 0
    private var at = 0
    private var isFirst = true
    private var endedWithComma = false

    init(_ bytes: Text) { self.bytes = bytes }

    deinit { scratch.deallocate() }

    mutating func beginObject() throws(RowProblem) {
        skipSpace()
        guard take("{") else {
            let hint =
                at < bytes.count && bytes[at] == UInt8(ascii: "[")
                ? "; one array makes rows with: jq -c '.[]'" : ""
            throw RowProblem("a row is a JSON object, {\"column\": value, …}\(hint)")
        }
    }

    /// The next field's name, the cursor being at its value then; nil at the closing brace.
    mutating func nextKey() throws(RowProblem) -> Text? {
        skipSpace()
        if take("}") {
            guard !endedWithComma else { throw RowProblem("a comma before the row's closing brace") }
            return nil
        }
        guard isFirst || endedWithComma else { throw unexpected() }
        isFirst = false
        guard at < bytes.count, bytes[at] == UInt8(ascii: "\"") else { throw unexpected() }
        let key = try string()
        skipSpace()
        guard take(":") else { throw unexpected() }
        return key
    }

    /// Passes over the next field's name if it is this one, which has nothing to escape; the cursor is at its value then.
    @inline(__always)
    mutating func takeKey(_ name: Text) -> Bool {
        guard isFirst || endedWithComma else { return false }
        let start = at
        skipSpace()
        if bytes.count &- at > name.count &+ 2, bytes[at] == UInt8(ascii: "\""),
            bytes[at &+ 1 &+ name.count] == UInt8(ascii: "\"")
        {
            var index = 0
            while index < name.count, bytes[at &+ 1 &+ index] == name[index] { index &+= 1 }
            if index == name.count {
                at &+= name.count &+ 2
                skipSpace()
                if at < bytes.count, bytes[at] == UInt8(ascii: ":") {
                    at &+= 1
                    isFirst = false
                    return true
                }
            }
        }
        at = start
        return false
    }

    @inline(__always)
    mutating func value() throws(RowProblem) -> Token {
        skipSpace()
        let token = try scalar()
        skipSpace()
        endedWithComma = at < bytes.count && bytes[at] == UInt8(ascii: ",")
        if endedWithComma { at &+= 1 }
        return token
    }

    /// Nothing but space may follow the object.
    mutating func end() throws(RowProblem) {
        skipSpace()
        guard at == bytes.count else { throw RowProblem("something follows the row's closing brace") }
    }

    @inline(__always)
    private mutating func scalar() throws(RowProblem) -> Token {
        guard at < bytes.count else { throw unexpected() }
        switch bytes[at] {
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return .number(try number())
        case UInt8(ascii: "{"), UInt8(ascii: "["):
            throw RowProblem("a nested value; a column holds numbers, strings, true, false or null")
        default:
            if take("null") { return .null }
            if take("true") { return .bool(true) }
            if take("false") { return .bool(false) }
            throw unexpected()
        }
    }

    @inline(__always)
    private mutating func number() throws(RowProblem) -> Text {
        let start = at
        // Mostly digits and nothing else.
        if bytes[at] == UInt8(ascii: "-") { at &+= 1 }
        let first = at
        while at < bytes.count, bytes[at] &- 48 < 10 { at &+= 1 }
        if at > first, at == bytes.count || bytes[at] == UInt8(ascii: ",") || bytes[at] == UInt8(ascii: "}"),
            bytes[first] != UInt8(ascii: "0") || at == first &+ 1
        {
            return Text(rebasing: bytes[start..<at])
        }
        at = start
        return try anyNumber()
    }

    @inline(never)
    private mutating func anyNumber() throws(RowProblem) -> Text {
        let start = at
        _ = take("-")
        let hasLeadingZero = at < bytes.count && bytes[at] == UInt8(ascii: "0")
        let whole = digits()
        var isWellFormed = whole > 0 && !(hasLeadingZero && whole > 1)
        if take(".") { isWellFormed = digits() > 0 && isWellFormed }
        if take("e") || take("E") {
            if !take("+") { _ = take("-") }
            isWellFormed = digits() > 0 && isWellFormed
        }
        guard isWellFormed else { throw RowProblem("'\(shown(from: start))' is no JSON number") }
        return Text(rebasing: bytes[start..<at])
    }

    private mutating func digits() -> Int {
        let start = at
        while at < bytes.count, bytes[at] &- 48 < 10 { at += 1 }
        return at - start
    }

    @inline(__always)
    private mutating func string() throws(RowProblem) -> Text {
        at &+= 1
        let start = at
        while at < bytes.count, bytes[at] != UInt8(ascii: "\""), bytes[at] != UInt8(ascii: "\\"), bytes[at] >= 0x20 {
            at &+= 1
        }
        if at < bytes.count, bytes[at] == UInt8(ascii: "\"") {
            at &+= 1
            return Text(rebasing: bytes[start..<at &- 1])
        }
        return try escapedString(from: start)
    }

    @inline(never)
    private mutating func escapedString(from start: Int) throws(RowProblem) -> Text {
        if scratch.isEmpty { scratch = .allocate(capacity: bytes.count) }
        scratchCount = 0
        for byte in bytes[start..<at] { append(byte) }
        while at < bytes.count {
            let byte = bytes[at]
            at += 1
            switch byte {
            case UInt8(ascii: "\""): return Text(rebasing: scratch[..<scratchCount])
            case UInt8(ascii: "\\"): try escape()
            case 0..<0x20: throw RowProblem("a control character within a string")
            default: append(byte)
            }
        }
        throw RowProblem("a string without its closing quote")
    }

    private mutating func append(_ byte: UInt8) {
        scratch[scratchCount] = byte
        scratchCount += 1
    }

    private mutating func escape() throws(RowProblem) {
        switch JSONEscape(bytes, at: &at) {
        case .character(let scalar): for byte in String(scalar).utf8 { append(byte) }
        case .half, .brokenPair: throw RowProblem("half a surrogate pair within a string")
        case .unknown: throw RowProblem("an unknown escape within a string")
        case .incomplete: throw unexpected()
        }
    }

    @inline(__always)
    private mutating func skipSpace() {
        while at < bytes.count, bytes[at] == 0x20 || bytes[at] == 0x09 || bytes[at] == 0x0D { at += 1 }
    }

    private mutating func take(_ word: StaticString) -> Bool {
        guard bytes.count - at >= word.utf8CodeUnitCount else { return false }
        for index in 0..<word.utf8CodeUnitCount where bytes[at + index] != word.utf8Start[index] { return false }
        at += word.utf8CodeUnitCount
        return true
    }

    private func shown(from start: Int) -> String {
        TextEncoding.escaped(Text(rebasing: bytes[start..<min(bytes.count, start + 40)]))
    }

    private func unexpected() -> RowProblem {
        at < bytes.count
            ? RowProblem("broken JSON at byte \(at + 1): '\(shown(from: at))'")
            : RowProblem("broken JSON: the row ends too early")
    }
}
