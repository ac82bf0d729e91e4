// A batch of commands as it came from another node, and how far it is worked through.
//
// Unsafe: reads raw memory, after its bounds were checked.

package import Engine
package import NIOCore

/// The message of a `ForwardBatch`, at the node that got it.
package struct ForwardedBatch {
    /// Of the message's frame.
    package let id: UInt64
    /// The commands, one behind the other.
    let bytes: ByteBuffer
    /// By when a command has to be begun.
    let due: Deadline
    /// Where the next command starts, from the first one on, and its number.
    var at = 0
    var index = 0

    package init(id: UInt64, bytes: ByteBuffer, due: Deadline) {
        self.id = id
        self.bytes = bytes
        self.due = due
    }

    /// What is kept of it.
    package var heldBytes: Int { bytes.readableBytes }
}

/// How a run through a batch ended.
package enum ForwardedProgress: Sendable, Equatable {
    /// Every command is answered, or will be.
    case done
    /// The answers so far have to leave first.
    case paused
    /// What was left of it has not been done: it came too late, or has come to be.
    case late
    /// What was left of it can't be read.
    case malformed
}

/// One command: where its parts are.
struct ForwardedCommand {
    /// What comes before the key.
    static let headBytes = 4

    let kind: ForwardBatch.Kind
    /// Where the sender found the key, or the object that a call names.
    let partition: Int
    let keyAt: Int
    let keyBytes: Int
    /// What follows the key, without its count.
    let restAt: Int
    let end: Int

    private static let setBytes = 12

    /// Nil where the bytes hold no whole one from `at` on.
    @inline(__always)
    init?(_ bytes: UnsafeRawBufferPointer, _ at: Int) {
        guard bytes.count &- at >= Self.headBytes, let base = bytes.baseAddress,
            let kind = ForwardBatch.Kind(rawValue: base.load(fromByteOffset: at, as: UInt8.self))
        else { return nil }
        partition = Int(UInt16(littleEndian: base.loadUnaligned(fromByteOffset: at &+ 2, as: UInt16.self)))
        keyAt = at &+ Self.headBytes
        keyBytes = Int(base.load(fromByteOffset: at &+ 1, as: UInt8.self))
        let keyEnd = keyAt &+ keyBytes
        let isKeySane = kind == .call ? keyBytes == 0 : keyBytes > 0 && keyBytes <= Key.bytesMax
        guard isKeySane, keyEnd <= bytes.count, partition < Partition.count else { return nil }
        self.kind = kind
        switch kind {
        case .get, .method: (restAt, end) = (keyEnd, keyEnd)
        case .set:
            guard bytes.count &- keyEnd >= Self.setBytes else { return nil }
            let count = UInt32(littleEndian: base.loadUnaligned(fromByteOffset: keyEnd &+ 8, as: UInt32.self))
            restAt = keyEnd
            guard Int(count) <= bytes.count &- keyEnd &- Self.setBytes else { return nil }
            end = keyEnd &+ Self.setBytes &+ Int(count)
        case .item, .call:
            guard bytes.count &- keyEnd >= 4 else { return nil }
            let count = UInt32(littleEndian: base.loadUnaligned(fromByteOffset: keyEnd, as: UInt32.self))
            restAt = keyEnd &+ 4
            guard Int(count) <= bytes.count &- restAt else { return nil }
            end = restAt &+ Int(count)
        }
    }

    @inline(__always)
    func key(in bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: bytes[keyAt..<keyAt &+ keyBytes])
    }

    /// What finds the key in the stores of its node.
    @inline(__always)
    func hash(of key: UnsafeRawBufferPointer) -> UInt64 { Partition.hash(of: key, in: partition) }

    /// Of a set.
    @inline(__always)
    func store(in bytes: UnsafeRawBufferPointer) -> (flags: UInt32, expiry: Expiry, value: UnsafeRawBufferPointer) {
        let flags = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: restAt, as: UInt32.self))
        let expiry = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: restAt &+ 4, as: UInt32.self))
        return (flags, Expiry(stored: expiry), UnsafeRawBufferPointer(rebasing: bytes[restAt &+ Self.setBytes..<end]))
    }

    /// What a command on an item is otherwise; nil where it can't be read, or is none.
    func item(in bytes: UnsafeRawBufferPointer) -> ItemCommand? {
        switch kind {
        case .get: return .get
        case .set:
            let (flags, expiry, value) = store(in: bytes)
            return .store(.set, flags: flags, expiry: expiry, cas: 0, value: Array(value))
        case .item:
            var rest = ByteBuffer(bytes: bytes[restAt..<end])
            guard let command = ItemCommand(decoding: &rest), rest.readableBytes == 0 else { return nil }
            return command
        case .method, .call: return nil
        }
    }

    /// What a call is, checked as any request; nil where it is none.
    func call(in bytes: UnsafeRawBufferPointer) -> (VirtualKey, data: [UInt8]?)? {
        var rest = ByteBuffer(bytes: bytes[restAt..<end])
        guard kind == .call, case .call(let key, let data, _)? = PeerRequest(decoding: &rest) else { return nil }
        return (key, data)
    }
}
