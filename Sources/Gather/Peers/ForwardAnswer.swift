// The answers to a batch of forwarded commands on the wire: each with its command's number, in any order.
//
// Unsafe: reads and writes raw memory, after its bounds were checked.

package import Engine
package import NIOCore

/// An answer: the command's index in its batch (u16), a code (u8), the bytes that follow (u32), and those.
package enum ForwardAnswer {
    static let headerBytes = 7
    /// Of an item that is there, before its value: flags (u32), unique (u64).
    private static let factBytes = 12

    private enum Code {
        static let value: UInt8 = 1
        /// An `ItemOutcome` of any other kind.
        static let outcome: UInt8 = 2
        static let miss: UInt8 = 3
        static let stored: UInt8 = 4
        /// What a method answered, as text.
        static let text: UInt8 = 5
        /// Why a method gave no answer.
        static let failure: UInt8 = 6
    }

    // MARK: Reading

    /// Where an answer and its parts are; nil where the bytes hold no whole one.
    @inline(__always)
    static func header(_ bytes: UnsafeRawBufferPointer, _ at: Int) -> (index: Int, code: UInt8, start: Int, end: Int)? {
        guard bytes.count &- at >= headerBytes, let base = bytes.baseAddress else { return nil }
        let index = UInt16(littleEndian: base.loadUnaligned(fromByteOffset: at, as: UInt16.self))
        let code = base.load(fromByteOffset: at &+ 2, as: UInt8.self)
        let count = UInt32(littleEndian: base.loadUnaligned(fromByteOffset: at &+ 3, as: UInt32.self))
        let start = at &+ headerBytes
        guard Int(count) <= bytes.count &- start, code != Code.value || count >= UInt32(factBytes) else { return nil }
        return (Int(index), code, start, start &+ Int(count))
    }

    /// Calls `body` with the number of each command that is answered, and where its answer is.
    package static func forEach(_ answers: [UInt8], _ body: (_ index: Int, _ at: Int) -> Void) {
        answers.withUnsafeBytes { bytes in
            var at = 0
            while let header = header(bytes, at) {
                body(header.index, at)
                at = header.end
            }
        }
    }

    /// What most answers are, as far as it is known without making anything of them.
    package enum Plain {
        case value(flags: UInt32, unique: UInt64, UnsafeRawBufferPointer)
        case miss
        case stored
        case text(UnsafeRawBufferPointer)
        case other
    }

    package static func withPlain<R>(_ answers: [UInt8], at: Int, _ body: (Plain) -> R) -> R {
        answers.withUnsafeBytes { bytes in
            guard let header = header(bytes, at), let base = bytes.baseAddress else { return body(.other) }
            switch header.code {
            case Code.value:
                let flags = UInt32(littleEndian: base.loadUnaligned(fromByteOffset: header.start, as: UInt32.self))
                let unique = UInt64(
                    littleEndian: base.loadUnaligned(fromByteOffset: header.start &+ 4, as: UInt64.self))
                let value = UnsafeRawBufferPointer(rebasing: bytes[header.start &+ factBytes..<header.end])
                return body(.value(flags: flags, unique: unique, value))
            case Code.miss: return body(.miss)
            case Code.stored: return body(.stored)
            case Code.text: return body(.text(UnsafeRawBufferPointer(rebasing: bytes[header.start..<header.end])))
            default: return body(.other)
            }
        }
    }

    /// The answer to a command on an item.
    package static func outcome(_ answers: [UInt8], at: Int) -> ItemOutcome {
        withPlain(answers, at: at) { plain in
            switch plain {
            case .value(let flags, let unique, let value): .value(flags: flags, cas: unique, bytes: Array(value))
            case .miss: .miss
            case .stored: .stored
            case .text: .failed(PeerReply.notUnderstood)
            case .other: rest(answers, at, Code.outcome, ItemOutcome.init) ?? .failed(PeerReply.notUnderstood)
            }
        }
    }

    /// The answer to a call.
    package static func result(_ answers: [UInt8], at: Int) -> Result<Value, Failure> {
        withPlain(answers, at: at) { plain in
            switch plain {
            case .text(let text): .success(.bytes(Array(text)))
            case .other:
                .failure(rest(answers, at, Code.failure) { $0.readWireFailure() } ?? PeerReply.notUnderstood)
            case .value, .miss, .stored: .failure(PeerReply.notUnderstood)
            }
        }
    }

    private static func rest<R>(_ answers: [UInt8], _ at: Int, _ code: UInt8, _ read: (inout ByteBuffer) -> R?) -> R? {
        answers.withUnsafeBytes { bytes in
            guard let header = header(bytes, at), header.code == code else { return nil }
            var buffer = ByteBuffer(bytes: bytes[header.start..<header.end])
            return read(&buffer)
        }
    }

    // MARK: Writing

    package static func write(_ outcome: ItemOutcome, index: Int, into buffer: inout ByteBuffer) {
        switch outcome {
        case .value(let flags, let unique, let bytes):
            bytes.withUnsafeBytes { write(value: $0, flags: flags, unique: unique, index: index, into: &buffer) }
        case .miss: write(Code.miss, index, count: 0, &buffer) { _ in }
        case .stored: write(Code.stored, index, count: 0, &buffer) { _ in }
        default: writeCounted(Code.outcome, index, &buffer) { outcome.encode(into: &$0) }
        }
    }

    static func write(
        value: UnsafeRawBufferPointer, flags: UInt32, unique: UInt64, index: Int, into buffer: inout ByteBuffer
    ) {
        write(Code.value, index, count: factBytes + value.count, &buffer) { room in
            room.storeBytes(of: flags.littleEndian, as: UInt32.self)
            room.storeBytes(of: unique.littleEndian, toByteOffset: 4, as: UInt64.self)
            if let source = value.baseAddress { (room + factBytes).copyMemory(from: source, byteCount: value.count) }
        }
    }

    static func write(text: UnsafeRawBufferPointer, index: Int, into buffer: inout ByteBuffer) {
        write(Code.text, index, count: text.count, &buffer) { room in
            if let source = text.baseAddress { room.copyMemory(from: source, byteCount: text.count) }
        }
    }

    /// What a call came to: text, as JSON of a large value takes long to make, and the asker has clients to serve.
    static func write(_ result: Result<Value, Failure>, index: Int, into buffer: inout ByteBuffer) {
        switch result {
        case .success(let value): value.answer.withUnsafeBytes { write(text: $0, index: index, into: &buffer) }
        case .failure(let failure): writeCounted(Code.failure, index, &buffer) { $0.writeWire(failure: failure) }
        }
    }

    private static func write(
        _ code: UInt8, _ index: Int, count: Int, _ buffer: inout ByteBuffer, _ fill: (UnsafeMutableRawPointer) -> Void
    ) {
        buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: headerBytes + count) { room in
            guard let base = room.baseAddress else { preconditionFailure("room for a header was asked for") }
            base.storeBytes(of: UInt16(truncatingIfNeeded: index).littleEndian, as: UInt16.self)
            base.storeBytes(of: code, toByteOffset: 2, as: UInt8.self)
            base.storeBytes(of: UInt32(count).littleEndian, toByteOffset: 3, as: UInt32.self)
            fill(base + headerBytes)
            return headerBytes + count
        }
    }

    private static func writeCounted(
        _ code: UInt8, _ index: Int, _ buffer: inout ByteBuffer, _ encode: (inout ByteBuffer) -> Void
    ) {
        let at = buffer.writerIndex
        write(code, index, count: 0, &buffer) { _ in }
        encode(&buffer)
        buffer.setInteger(UInt32(buffer.writerIndex - at - headerBytes), at: at + 3, endianness: .little)
    }
}
