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
    }

    package mutating func readWire<N: FixedWidthInteger>(_: N.Type) -> N? { readInteger(endianness: .little) }

    /// Nil when the length promises more than there is.
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
        guard words.count > 1 else { return Failure(reason, message) }
        return Fault(rawValue: String(words[1])).map { Failure(reason, message, fault: $0) }
    }
}
