// Memcached's answers, written straight into a connection's output buffer.
//
// Unsafe: writes through the buffer's raw memory, after reserving as much as it may take.

import Engine
import NIOCore

extension ByteBuffer {
    @inline(__always)
    mutating func writeLine(_ line: StaticString) { writeStaticString(line) }

    /// `VALUE key flags bytes [unique]`, the value, a line end.
    mutating func writeValue(
        key: UnsafeRawBufferPointer, flags: UInt32, unique: UInt64?, value: UnsafeRawBufferPointer
    ) {
        // 6 for the word, three numbers of up to 20 digits with a blank each, two line ends: less than 80.
        writeWithUnsafeMutableBytes(minimumWritableBytes: key.count + value.count + 80) { target in
            var at = 0
            func put(_ bytes: UnsafeRawBufferPointer) {
                guard bytes.count > 0 else { return }
                (target.baseAddress! + at).copyMemory(from: bytes.baseAddress!, byteCount: bytes.count)
                at += bytes.count
            }
            func put(_ number: UInt64) {
                target[at] = 0x20
                at += 1
                if number < 10 {
                    target[at] = 0x30 + UInt8(truncatingIfNeeded: number)
                    at += 1
                } else {
                    at += Decimal.write(number, to: UnsafeMutableRawBufferPointer(rebasing: target[at...]))
                }
            }
            func putLineEnd() {
                target[at] = 0x0D
                target[at + 1] = 0x0A
                at += 2
            }
            target.copyBytes(from: Self.valueWord)
            at = 6
            put(key)
            put(UInt64(flags))
            put(UInt64(value.count))
            if let unique { put(unique) }
            putLineEnd()
            put(value)
            putLineEnd()
            return at
        }
    }

    private static var valueWord: UnsafeRawBufferPointer {
        let word: StaticString = "VALUE "
        return UnsafeRawBufferPointer(start: word.utf8Start, count: 6)
    }

    /// A number on a line of its own.
    mutating func writeNumberLine(_ number: UInt64) {
        writeWithUnsafeMutableBytes(minimumWritableBytes: Decimal.digitsMax + 2) { target in
            let count = Decimal.write(number, to: target)
            target[count] = 0x0D
            target[count + 1] = 0x0A
            return count + 2
        }
    }

    /// `SERVER_ERROR reason message`.
    mutating func writeFailure(_ failure: Failure) { writeString("SERVER_ERROR \(failure)\r\n") }

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
