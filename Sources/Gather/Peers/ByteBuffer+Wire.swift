// The primitives of the peer protocol: little-endian numbers, length-prefixed bytes, values, failures.

package import Engine
package import NIOCore

extension ByteBuffer {
    package mutating func writeWire(_ number: some FixedWidthInteger) { writeInteger(number, endianness: .little) }

    package mutating func writeWire(bytes: [UInt8]) {
        writeWire(UInt32(bytes.count))
        writeBytes(bytes)
    }

    package mutating func writeWire(value: Value) { writeWire(bytes: value.messagePack) }

    package mutating func writeWire(failure: Failure) {
        let isUsual = failure.fault == failure.reason.fault
        let reason = isUsual ? failure.reason.rawValue : "\(failure.reason.rawValue)/\(failure.fault.rawValue)"
        writeWire(bytes: Array(reason.utf8))
        writeWire(bytes: Array(failure.message.utf8))
        // That a server was not reached concerns whoever tried: for others it is named.
        let names = failure.subjects.map { Array($0.name.utf8) }.filter { $0.count <= Self.subjectBytesMax }
            .prefix(Self.subjectsMax)
        writeWire(UInt8(names.count))
        for name in names { writeWire(bytes: name) }
        let stack = failure.stack.prefix(Self.stackLinesMax)
        writeWire(UInt8(stack.count))
        for line in stack { writeWire(bytes: Array(line.utf8.prefix(Self.stackLineBytesMax))) }
    }

    /// Of what a failure names, more is not told to others.
    package static let subjectsMax = 64
    /// Of a name in it, in bytes.
    package static let subjectBytesMax = 1_024
    /// Of a failure's stack, and of a line in it.
    package static let stackLinesMax = 32
    package static let stackLineBytesMax = 1_024

    package mutating func writeWire(log: LoggedLines) {
        let lines = log.lines.prefix(LoggedLines.linesMax)
        writeWire(UInt8(lines.count))
        for line in lines { writeWire(bytes: Array(line.utf8.prefix(LoggedLines.lineBytesMax))) }
        writeWire(UInt64(max(0, log.dropped)))
    }

    package mutating func readWire<N: FixedWidthInteger>(_: N.Type) -> N? { readInteger(endianness: .little) }

    /// Nil when the length promises more than there is.
    mutating func readExpiry() -> Expiry? { readWire(UInt32.self).map(Expiry.init(stored:)) }

    package mutating func readWireBytes() -> [UInt8]? {
        guard let count = readWire(UInt32.self) else { return nil }
        return readBytes(length: Int(count))
    }

    package mutating func readWireText() -> String? { readWireBytes().map { String(decoding: $0, as: UTF8.self) } }

    /// `partsMax`: how many elements, keys and values it may have, all levels together.
    package mutating func readWireValue(partsMax: Int) -> Value? {
        readWireBytes().flatMap { Value(messagePack: $0, partsMax: partsMax) }
    }

    package mutating func readWireFailure() -> Failure? {
        guard let words = readWireText()?.split(separator: "/", maxSplits: 1), let first = words.first,
            let reason = Reason(rawValue: String(first)), let message = readWireText()
        else { return nil }
        guard let subjects = readWireTexts(max: Self.subjectsMax, bytesMax: Self.subjectBytesMax),
            let stack = readWireTexts(max: Self.stackLinesMax, bytesMax: Self.stackLineBytesMax)
        else { return nil }
        var fault: Fault?
        if words.count > 1 {
            guard let told = Fault(rawValue: String(words[1])) else { return nil }
            fault = told
        }
        return Failure(reason, message, fault: fault, about: subjects.map { .named($0) }, stack: stack)
    }

    package mutating func readWireLog() -> LoggedLines? {
        guard let lines = readWireTexts(max: LoggedLines.linesMax, bytesMax: LoggedLines.lineBytesMax),
            let dropped = readWire(UInt64.self)
        else { return nil }
        return LoggedLines(lines, dropped: Int(clamping: dropped))
    }

    /// Nil when there are more, or longer ones, than are written.
    private mutating func readWireTexts(max: Int, bytesMax: Int) -> [String]? {
        guard let count = readWire(UInt8.self), count <= max else { return nil }
        var texts: [String] = []
        for _ in 0..<count {
            guard let bytes = readWireBytes(), bytes.count <= bytesMax else { return nil }
            texts.append(String(decoding: bytes, as: UTF8.self))
        }
        return texts
    }
}
