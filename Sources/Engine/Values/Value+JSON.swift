// JSON text from a value: numbers as short as they can be read back, bytes that are no UTF-8 repaired.
//
// Unsafe: `JSONText` owns the memory that it writes to, and grows it before each piece.

extension Value {
    /// Compact JSON. Infinities and NaN are the texts "Infinity", "-Infinity" and "NaN", as JSON has no word for them; keys that
    /// are no strings become text. A whole double prints without a fraction below 2^53: 3, not 3.0.
    /// Cost: about 10 ns for a number or a short string.
    package var json: [UInt8] {
        var text = JSONText(bytesMax: .max)
        text.append(self)
        return text.bytes
    }

    /// The same; nil where it has more than so many bytes. Stops there.
    package func json(bytesMax: Int) -> [UInt8]? {
        var text = JSONText(bytesMax: bytesMax)
        text.append(self)
        return text.isTooLong ? nil : text.bytes
    }
}

extension Double {
    /// What an infinity or NaN is called in text; nil for a number.
    package var nameOfNoNumber: StaticString? {
        if isNaN { return "NaN" }
        return isFinite ? nil : self < 0 ? "-Infinity" : "Infinity"
    }
}

private struct JSONText: ~Copyable {
    private var memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 10, alignment: 1)
    private var count = 0
    private let bytesMax: Int
    /// A string was left out.
    private var isCut = false

    init(bytesMax: Int) { self.bytesMax = bytesMax }

    deinit { memory.deallocate() }

    var isTooLong: Bool { isCut || count > bytesMax }

    var bytes: [UInt8] { Array(memory[..<count]) }

    mutating func append(_ value: Value) {
        guard !isTooLong else { return }
        switch value {
        case .null: append("null")
        case .bool(let flag): append(flag ? "true" : "false")
        case .int(let number): append(number)
        case .double(let number):
            if number.isWhole { return append(Int64(number)) }
            if let name = number.nameOfNoNumber {
                append(byte: UInt8(ascii: "\""))
                append(name)
                return append(byte: UInt8(ascii: "\""))
            }
            var text = number.description  // of -0.0 too
            text.withUTF8 { append(UnsafeRawBufferPointer($0)) }
        case .bytes(let bytes): append(string: bytes)
        case .array(let elements):
            append(byte: UInt8(ascii: "["))
            for index in elements.indices {
                if index > 0 { append(byte: UInt8(ascii: ",")) }
                append(elements[index])
            }
            append(byte: UInt8(ascii: "]"))
        case .map(let pairs):
            append(byte: UInt8(ascii: "{"))
            for index in pairs.indices {
                if index > 0 { append(byte: UInt8(ascii: ",")) }
                append(key: pairs[index].key)
                append(byte: UInt8(ascii: ":"))
                append(pairs[index].value)
            }
            append(byte: UInt8(ascii: "}"))
        }
    }

    private mutating func append(key: Value) {
        append(string: key == .null ? key.json : key.answer)
    }

    // MARK: Pieces

    /// Room for so many bytes more.
    private mutating func reserve(_ byteCount: Int) {
        guard memory.count - count < byteCount else { return }
        let grown = UnsafeMutableRawBufferPointer.allocate(
            byteCount: max(memory.count * 2, count + byteCount), alignment: 1)
        grown.copyMemory(from: UnsafeRawBufferPointer(rebasing: memory[..<count]))
        memory.deallocate()
        memory = grown
    }

    private mutating func append(byte: UInt8) {
        reserve(1)
        memory[count] = byte
        count += 1
    }

    private mutating func append(_ bytes: UnsafeRawBufferPointer) {
        reserve(bytes.count)
        UnsafeMutableRawBufferPointer(rebasing: memory[count...]).copyMemory(from: bytes)
        count += bytes.count
    }

    private mutating func append(_ text: StaticString) {
        append(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    private mutating func append(_ number: Int64) {
        reserve(1 + Decimal.digitsMax)
        if number < 0 { append(byte: UInt8(ascii: "-")) }
        count += Decimal.write(number.magnitude, to: UnsafeMutableRawBufferPointer(rebasing: memory[count...]))
    }

    // MARK: Strings

    private mutating func append(string bytes: [UInt8]) {
        append(byte: UInt8(ascii: "\""))
        // Escaped it is no shorter, so what is too long need not be written.
        guard bytes.count <= bytesMax - count else {
            isCut = true
            return
        }
        bytes.withUnsafeBytes { bytes in
            if Self.isPlain(bytes) { append(bytes) } else { append(escaped: bytes) }
        }
        append(byte: UInt8(ascii: "\""))
    }

    /// Whether all bytes stand for themselves in a JSON string. No exit on the way, so that many are looked at together.
    private static func isPlain(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var isSpecial = false
        for byte in bytes {
            isSpecial =
                isSpecial || (byte &- 0x20 >= 0x5F) || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\")
        }
        return !isSpecial
    }

    private mutating func append(escaped bytes: UnsafeRawBufferPointer) {
        let needsRepair = bytes.contains { $0 >= 0x80 }
        guard needsRepair else { return bytes.forEach { append(escaped: $0) } }
        for byte in String(decoding: bytes, as: UTF8.self).utf8 { append(escaped: byte) }
    }

    private mutating func append(escaped byte: UInt8) {
        switch byte {
        case UInt8(ascii: "\""): append("\\\"")
        case UInt8(ascii: "\\"): append("\\\\")
        case 0x0A: append("\\n")
        case 0x0D: append("\\r")
        case 0x09: append("\\t")
        case 0..<0x20, 0x7F:
            append("\\u00")
            append(byte: Self.hexDigit(byte >> 4))
            append(byte: Self.hexDigit(byte & 15))
        default: append(byte: byte)
        }
    }

    private static func hexDigit(_ digit: UInt8) -> UInt8 {
        digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10
    }
}

extension Double {
    /// Prints as an integer; not -0.0, which would lose its sign.
    fileprivate var isWhole: Bool {
        self == rounded(.towardZero) && abs(self) < 9_007_199_254_740_992 && !(self == 0 && sign == .minus)
    }
}
