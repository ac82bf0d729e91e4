// Frames of the peer protocol: a length, an id, a message. The decoder takes bytes as they come.

package import NIOCore

/// One message with its id. On the wire: bytes after this field (u32), id (u64), message. All little-endian.
package struct PeerFrame: Sendable {
    package static let headerBytes = 12
    /// A larger frame is refused: nothing that nodes say to each other comes near it.
    package static let bytesMax = 192 << 20

    package let id: UInt64
    package var message: ByteBuffer

    /// Appends a frame with what `encode` writes. False, and nothing is appended, when it is larger than `bytesMax`.
    package static func write(
        id: UInt64, into buffer: inout ByteBuffer, bytesMax: Int = PeerFrame.bytesMax,
        _ encode: (inout ByteBuffer) -> Void
    ) -> Bool {
        let start = buffer.writerIndex
        buffer.writeInteger(UInt32(0))
        buffer.writeWire(id)
        encode(&buffer)
        let bytes = buffer.writerIndex - start - 4
        guard bytes <= bytesMax else {
            buffer.moveWriterIndex(to: start)
            return false
        }
        buffer.setInteger(UInt32(bytes), at: start, endianness: .little)
        return true
    }
}

/// Cuts a stream of bytes into frames. Pure: bytes in, frames out.
package struct PeerFrameDecoder {
    package enum Broken: Error {
        case frameTooLarge(bytes: Int)
        case frameTooShort
    }

    private var received: ByteBuffer?

    package init() {}

    package mutating func append(_ buffer: ByteBuffer) {
        guard var held = received, held.readableBytes > 0 else {
            received = buffer
            return
        }
        received = nil  // a second owner would make the write below copy everything held so far
        held.discardReadBytes()
        held.writeImmutableBuffer(buffer)
        received = held
    }

    /// The next whole frame, nil when more bytes are needed.
    package mutating func next() throws(Broken) -> PeerFrame? {
        guard var held = received,
            let length: UInt32 = held.getInteger(at: held.readerIndex, endianness: .little)
        else { return nil }
        guard length >= 8 else { throw .frameTooShort }
        guard length <= PeerFrame.bytesMax else { throw .frameTooLarge(bytes: Int(length)) }
        guard held.readableBytes >= 4 + Int(length) else { return nil }
        held.moveReaderIndex(forwardBy: 4)
        let id = held.readWire(UInt64.self)!
        let message = held.readSlice(length: Int(length) - 8)!
        received = held
        return PeerFrame(id: id, message: message)
    }
}
