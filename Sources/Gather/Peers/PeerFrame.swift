// Frames of the peer protocol: a length, an id, a message. The decoder takes bytes as they come.

import Coordination
package import NIOCore

/// One message with its id. On the wire: bytes after this field (u32), id (u64), message. All little-endian.
package struct PeerFrame: Sendable {
    package static let headerBytes = 12
    /// A larger frame is refused: nothing that nodes say to each other comes near it.
    package static let bytesMax = 192 << 20

    package let id: UInt64
    package var message: ByteBuffer
    /// It was larger than a request of its kind may be: the message is empty, its bytes were passed over.
    package var isOversized = false
    /// With the length and the id.
    package var bytes: Int { Self.headerBytes + message.readableBytes }

    /// The id of what is said about the connection itself, see `LinkMessage`.
    package static let linkID: UInt64 = 0

    /// Appends a frame with what `encode` writes. False, and nothing is appended, when it is larger than `bytesMax`.
    package static func write(
        id: UInt64, into buffer: inout ByteBuffer, bytesMax: Int = PeerFrame.bytesMax,
        _ encode: (inout ByteBuffer) -> Void
    ) -> Bool {
        let start = buffer.writerIndex
        begin(id: id, into: &buffer)
        encode(&buffer)
        guard buffer.writerIndex - start - 4 <= bytesMax else {
            buffer.moveWriterIndex(to: start)
            return false
        }
        end(startedAt: start, in: &buffer)
        return true
    }

    /// For what is written piece by piece: until `end` the frame is not whole. It has to stay below `bytesMax`.
    static func begin(id: UInt64, into buffer: inout ByteBuffer) {
        buffer.writeInteger(UInt32(0))
        buffer.writeWire(id)
    }

    /// `start`: where the frame begins in the buffer.
    static func end(startedAt start: Int, in buffer: inout ByteBuffer) {
        buffer.setInteger(UInt32(buffer.writerIndex - start - 4), at: start, endianness: .little)
    }
}

/// How large frames may be.
package enum PeerFrameLimits: Sendable {
    /// Before it is known who calls.
    case greeting
    /// A peer's replies.
    case replies
    /// Requests, by their kind. `itemBytesMax`: the largest item of the node that gets them.
    case requests(itemBytesMax: Int)
    /// Forwarded commands: the same, and nothing else that is large.
    case forwards(itemBytesMax: Int)

    /// Nil when the frame may be as large as any.
    fileprivate func bytesMax(kind: UInt8) -> Int? {
        switch self {
        case .greeting, .replies: nil
        case .requests(let itemBytesMax): PeerRequest.bytesMax(kind: kind, itemBytesMax: itemBytesMax)
        case .forwards(let itemBytesMax):
            kind == PeerRequest.batchKind ? PeerRequest.bytesMax(kind: kind, itemBytesMax: itemBytesMax) : 0
        }
    }

    fileprivate var areByKind: Bool {
        switch self {
        case .greeting, .replies: false
        case .requests, .forwards: true
        }
    }
}

/// Cuts a stream of bytes into frames. Pure: bytes in, frames out.
package struct PeerFrameDecoder {
    package enum Broken: Error {
        case frameTooLarge(bytes: Int)
        case frameTooShort
    }

    package var limits: PeerFrameLimits
    private var received: ByteBuffer?
    /// Of a frame that is too large for its kind, still to be passed over.
    private var skipBytes = 0
    /// An older version sends its requests with its hello: they are small enough to be answered in words.
    private static let greetingBytesMax = 16 << 10
    /// No frame below this is held against its kind's limit.
    private static let smallBytes = 4 << 10

    package init(limits: PeerFrameLimits = .replies) { self.limits = limits }

    /// What came and was not cut off yet.
    package var heldBytes: Int { received?.readableBytes ?? 0 }

    /// The bytes are copied, into room that is used again.
    package mutating func append(_ bytes: UnsafeRawBufferPointer) {
        var held = received ?? ByteBuffer()
        received = nil  // a second owner would make the write below copy everything held so far
        if held.readableBytes > 0 {
            held.discardReadBytes()
        } else if held.capacity > Self.roomBytesKept {
            held = ByteBuffer()
        } else {
            held.clear()
        }
        held.writeBytes(bytes)
        received = held
    }

    /// What a large message needed is given back behind it.
    private static let roomBytesKept = 256 << 10

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
        guard var held = received else { return nil }
        if skipBytes > 0 {
            let skipped = min(skipBytes, held.readableBytes)
            held.moveReaderIndex(forwardBy: skipped)
            skipBytes -= skipped
            received = held.readableBytes == 0 ? nil : held
            guard skipBytes == 0 else { return nil }
        }
        guard let length: UInt32 = held.getInteger(at: held.readerIndex, endianness: .little) else { return nil }
        guard length >= 8 else { throw .frameTooShort }
        guard length <= PeerFrame.bytesMax else { throw .frameTooLarge(bytes: Int(length)) }
        if case .greeting = limits, length > Self.greetingBytesMax { throw .frameTooLarge(bytes: Int(length)) }
        if length > Self.smallBytes, limits.areByKind {
            let kindAt = held.readerIndex + PeerFrame.headerBytes + RequestHead.bytes
            guard let kind: UInt8 = held.getInteger(at: kindAt) else { return nil }
            if let bytesMax = limits.bytesMax(kind: kind), length > bytesMax {
                let id: UInt64 = held.getInteger(at: held.readerIndex + 4, endianness: .little)!
                skipBytes = 4 + Int(length)
                return PeerFrame(id: id, message: ByteBuffer(), isOversized: true)
            }
        }
        guard held.readableBytes >= 4 + Int(length) else { return nil }
        held.moveReaderIndex(forwardBy: 4)
        let id = held.readWire(UInt64.self)!
        let message = held.readSlice(length: Int(length) - 8)!
        received = held
        return PeerFrame(id: id, message: message)
    }
}
