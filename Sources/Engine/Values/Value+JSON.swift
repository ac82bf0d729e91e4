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

    /// The same at a pace, with what the text takes on a lease of its own while it is written.
    package func json(bytesMax: Int, _ pace: WorkPace) throws(Failure) -> [UInt8]? {
        let lease = pace.share.emptyLease(for: "json")
        var text = JSONText(bytesMax: bytesMax, pace, lease)
        text.append(self)
        if let failure = text.failure { throw failure }
        guard !text.isTooLong else { return nil }
        // A copy.
        try lease.take(text.count)
        return text.bytes
    }

    /// How many bytes it has as JSON; nil where they are more than so many. Cost: that of writing it, and no memory.
    package func jsonCount(bytesMax: Int, _ pace: WorkPace) throws(Failure) -> Int? {
        var text = JSONText(bytesMax: bytesMax, pace, isKept: false)
        text.append(self)
        if let failure = text.failure { throw failure }
        return text.isTooLong ? nil : text.count
    }

    /// The JSON where it can be sent from. `lease` has room for `bytes`, and lives as long as the text.
    package func leasedJSON(bytes: Int, _ lease: MemoryLease, _ pace: WorkPace) -> LeasedText {
        var text = JSONText(bytesMax: .max, pace, room: bytes)
        text.append(self)
        return text.leave(on: lease)
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
    private var memory: UnsafeMutableRawBufferPointer
    /// In `memory`, and how many there were that are not kept.
    private var written = 0
    private var forgotten = 0
    private let bytesMax: Int
    /// False: it is only to be counted.
    private let isKept: Bool
    /// A string was left out.
    private var isCut = false
    private let pace: WorkPace?
    private let lease: MemoryLease?
    /// Why it went no further.
    private(set) var failure: Failure?

    init(
        bytesMax: Int, _ pace: WorkPace? = nil, _ lease: MemoryLease? = nil, room: Int = 1 << 10, isKept: Bool = true
    ) {
        memory = .allocate(byteCount: room, alignment: 1)
        self.isKept = isKept
        self.bytesMax = bytesMax
        self.pace = pace
        self.lease = lease
    }

    deinit { memory.deallocate() }

    var count: Int { forgotten + written }
    var isTooLong: Bool { isCut || count > bytesMax }

    /// The bytes as they lie; nothing is left here.
    mutating func leave(on lease: MemoryLease) -> LeasedText {
        let text = LeasedText(memory, count: written, lease)
        (memory, written) = (.allocate(byteCount: 0, alignment: 1), 0)
        return text
    }

    /// False once it is to end; then nothing more is written.
    private mutating func goesOn(_ units: Int) -> Bool {
        guard let pace, !pace.goesOn(units) else { return true }
        failure = pace.failure
        isCut = true
        return false
    }

    var bytes: [UInt8] { Array(memory[..<written]) }

    mutating func append(_ value: Value) {
        guard !isTooLong, goesOn(2) else { return }
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
        guard memory.count - written < byteCount else { return }
        if !isKept {
            (forgotten, written) = (forgotten + written, 0)
            guard memory.count < byteCount else { return }
        }
        var size = max(memory.count * 2, written + byteCount)
        do throws(Failure) {
            try lease?.take(size)
            lease?.give(memory.count)
        } catch {
            // What it is at is written to its end: a piece of a text, which has six times its bytes at most.
            (failure, isCut) = (error, true)
            size = written + max(byteCount, 8 * Self.pieceBytes)
        }
        let grown = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 1)
        grown.copyMemory(from: UnsafeRawBufferPointer(rebasing: memory[..<written]))
        memory.deallocate()
        memory = grown
    }

    private mutating func append(byte: UInt8) {
        reserve(1)
        memory[written] = byte
        written += 1
    }

    private mutating func append(_ bytes: UnsafeRawBufferPointer) {
        reserve(bytes.count)
        UnsafeMutableRawBufferPointer(rebasing: memory[written...]).copyMemory(from: bytes)
        written += bytes.count
    }

    private mutating func append(_ text: StaticString) {
        append(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    private mutating func append(_ number: Int64) {
        reserve(1 + Decimal.digitsMax)
        if number < 0 { append(byte: UInt8(ascii: "-")) }
        written += Decimal.write(number.magnitude, to: UnsafeMutableRawBufferPointer(rebasing: memory[written...]))
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
            var start = 0
            while start < bytes.count {
                let end = Self.end(ofPieceFrom: start, bytes)
                guard !isCut, goesOn((end - start) / 2) else { return }
                let piece = UnsafeRawBufferPointer(rebasing: bytes[start..<end])
                if Self.isPlain(piece) { append(piece) } else { append(escaped: piece) }
                start = end
            }
        }
        append(byte: UInt8(ascii: "\""))
    }

    private static let pieceBytes = 8 << 10

    /// No character of UTF-8 goes beyond it, nor anything that is to be repaired as one: no character has more than three bytes
    /// behind its first one.
    private static func end(ofPieceFrom start: Int, _ bytes: UnsafeRawBufferPointer) -> Int {
        guard bytes.count - start > pieceBytes else { return bytes.count }
        var end = start + pieceBytes
        while end < bytes.count, end < start + pieceBytes + 3, bytes[end] & 0xC0 == 0x80 { end += 1 }
        return end
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
