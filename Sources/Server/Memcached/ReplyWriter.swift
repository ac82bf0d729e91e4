// Memcached's answers, written straight into a connection's output buffer.
//
// Unsafe: writes through the buffer's raw memory, after reserving as much as it may take.

import Engine

extension ReplyBuffer {
    /// `VALUE key flags bytes [unique]`, the value, a line end.
    @inline(__always)
    mutating func writeValue(
        key: UnsafeRawBufferPointer, flags: UInt32, unique: UInt64?, value: UnsafeRawBufferPointer
    ) {
        let start = room(for: key.count &+ value.count &+ Self.valueLineBytesMax)
        var at = Self.putValueLine(start, key, flags, unique, valueBytes: value.count)
        if let source = value.baseAddress { at.copyMemory(from: source, byteCount: value.count) }
        at += value.count
        at.storeBytes(of: Self.lineEnd, as: UInt16.self)
        didWrite(at + 2 - start)
    }

    /// The line alone; the value and another line end have to follow.
    mutating func writeValueLine(key: UnsafeRawBufferPointer, flags: UInt32, unique: UInt64?, valueBytes: Int) {
        let start = room(for: key.count + Self.valueLineBytesMax)
        didWrite(Self.putValueLine(start, key, flags, unique, valueBytes: valueBytes) - start)
    }

    /// Beside the key: 6 for the word, three numbers of up to 20 digits with a blank each, two line ends.
    private static var valueLineBytesMax: Int { 80 }

    @inline(__always)
    private static func putValueLine(
        _ start: UnsafeMutableRawPointer, _ key: UnsafeRawBufferPointer, _ flags: UInt32, _ unique: UInt64?,
        valueBytes: Int
    ) -> UnsafeMutableRawPointer {
        start.copyMemory(from: valueWord, byteCount: 6)
        var at = start + 6
        if let source = key.baseAddress { at.copyMemory(from: source, byteCount: key.count) }
        at += key.count
        if flags == 0 {
            at.storeBytes(of: blankAndZero, as: UInt16.self)
            at += 2
        } else {
            put(UInt64(flags), &at)
        }
        put(UInt64(truncatingIfNeeded: valueBytes), &at)
        if let unique { put(unique, &at) }
        at.storeBytes(of: lineEnd, as: UInt16.self)
        return at + 2
    }

    /// A blank and the number.
    @inline(__always)
    private static func put(_ number: UInt64, _ at: inout UnsafeMutableRawPointer) {
        at.storeBytes(of: 0x20, as: UInt8.self)
        let target = UnsafeMutableRawBufferPointer(start: at + 1, count: Decimal.digitsMax)
        at += 1 &+ Decimal.write(number, to: target)
    }

    private static var valueWord: UnsafeRawPointer {
        let word: StaticString = "VALUE "
        return UnsafeRawPointer(word.utf8Start)
    }
    private static var blankAndZero: UInt16 { UInt16(littleEndian: 0x3020) }
    private static var lineEnd: UInt16 { UInt16(littleEndian: 0x0A0D) }

    /// A number on a line of its own.
    mutating func writeNumberLine(_ number: UInt64) {
        let start = room(for: Decimal.digitsMax + 2)
        let count = Decimal.write(number, to: UnsafeMutableRawBufferPointer(start: start, count: Decimal.digitsMax))
        (start + count).storeBytes(of: Self.lineEnd, as: UInt16.self)
        didWrite(count + 2)
    }

    /// `CLIENT_ERROR reason message` for what the caller can mend, else `SERVER_ERROR reason message`.
    /// A message of any length, as a script may raise it, is cut: it is a line for people.
    mutating func writeFailure(_ failure: Failure) {
        writeString("\(failure.fault.wireWord) \(Self.shown(failure))\r\n")
    }

    /// `reason message`, cut to what a client is told; only the message where that begins with the reason.
    static func shown(_ failure: Failure) -> String {
        let text = failure.reason == .notAllowed ? failure.message : "\(failure)"
        guard text.utf8.count > Self.failureBytesMax else { return text }
        var end = text.utf8.index(text.startIndex, offsetBy: Self.failureBytesMax)
        while text.utf8[end] & 0xC0 == 0x80 { end = text.utf8.index(before: end) }  // not within a character
        return "\(text[..<end])…"
    }

    private static var failureBytesMax: Int { 1_000 }

    mutating func writeStat(_ name: String, _ value: some CustomStringConvertible) {
        writeString("STAT \(name) \(value)\r\n")
    }

    /// The line that answers a command that changes something.
    mutating func writeOutcome(_ outcome: ItemOutcome) {
        switch outcome {
        case .stored: writeLine("STORED\r\n")
        case .notStored: writeLine("NOT_STORED\r\n")
        case .exists: writeLine("EXISTS\r\n")
        case .notFound, .miss: writeLine("NOT_FOUND\r\n")
        case .deleted: writeLine("DELETED\r\n")
        case .touched: writeLine("TOUCHED\r\n")
        case .number(let number): writeNumberLine(number)
        case .notANumber: writeLine("CLIENT_ERROR cannot increment or decrement non-numeric value\r\n")
        case .tooLarge: writeLine("SERVER_ERROR object too large for cache\r\n")
        case .outOfMemory: writeLine("SERVER_ERROR out of memory storing object\r\n")
        case .failed(let failure): writeFailure(failure)
        case .value, .meta: writeLine("SERVER_ERROR a value came where none was asked for\r\n")
        }
    }
}
