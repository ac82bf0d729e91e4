// The commands of one turn of a session on another node's keys: one message there, and as few as can be back.
//
// Unsafe: keys and values are raw buffers, copied before the calls return.

package import Engine
package import NIOCore

/// Where the answers to a batch go, from any thread.
package protocol ForwardSink: AnyObject, Sendable {
    func post(_ answers: ForwardAnswers, to batch: ForwardBatch)
}

package enum ForwardAnswers: Sendable {
    /// Those of some commands: see `ForwardAnswer`. `first`: the number that the batch's first command has there.
    case some([UInt8], first: Int)
    /// That of each command that had none so far.
    case failure(Failure)
}

/// Written by the thread that asks until it is sent; from then on nothing of it changes for as long as anybody holds it.
package final class ForwardBatch: @unchecked Sendable {
    /// What a command is, before its key. A command has a kind (u8), the key's bytes (u8), its partition (u16), the key, and
    /// what the kind says.
    enum Kind: UInt8 {
        /// Nothing else.
        case get = 1
        /// Flags, expiry, the value's bytes (u32 each), the value.
        case set
        /// Bytes (u32) of an `ItemCommand`, and that.
        case item
        /// Nothing else: the key names a method, which gets no data.
        case method
        /// Bytes (u32) of a call, and that; no key. The partition is the object's.
        case call
    }

    /// A message is closed before it has more than this, unless one command alone does.
    package static let bytesHigh = 64 << 10
    package static let commandsMax = 1_024

    @exclusivity(unchecked) package private(set) var node: Int
    @exclusivity(unchecked) private var sink: any ForwardSink
    // One thread at a time, as above: accesses can't overlap, and are not checked for that at run time.
    @exclusivity(unchecked) package private(set) var bytes: ByteBuffer
    /// What the asker knows each command by.
    @exclusivity(unchecked) package private(set) var tags: [UInt64] = []

    /// Cost: three allocations, and one more whenever the bytes have doubled.
    package init(node: Int, sink: any ForwardSink) {
        self.node = node
        self.sink = sink
        bytes = ByteBufferAllocator().buffer(capacity: 1_024)
        tags.reserveCapacity(32)
    }

    package var count: Int { tags.count }
    /// What it takes of memory, about, in bytes.
    var capacity: Int { bytes.capacity + tags.capacity * MemoryLayout<UInt64>.stride }

    /// Empties it, for others. Nobody else may hold it.
    func begin(node: Int, sink: any ForwardSink) {
        self.node = node
        self.sink = sink
        bytes.clear()
        tags.removeAll(keepingCapacity: true)
    }

    /// Whether a command with so many bytes besides its key has to go into the next batch.
    package func isFull(for valueBytes: Int) -> Bool {
        count >= Self.commandsMax || count > 0 && bytes.readableBytes + valueBytes > Self.bytesHigh
    }

    // MARK: Asking

    /// Appends a get; returns where its key starts in `bytes`.
    package func add(get key: UnsafeRawBufferPointer, in partition: Int, tag: UInt64) -> Int {
        add(.get, key, partition, tag)
    }

    /// Appends a call of the method that the key names.
    package func add(method key: UnsafeRawBufferPointer, in partition: Int, tag: UInt64) -> Int {
        add(.method, key, partition, tag)
    }

    package func add(
        set key: UnsafeRawBufferPointer, in partition: Int, flags: UInt32, expiry: Expiry,
        value: UnsafeRawBufferPointer, tag: UInt64
    ) {
        _ = add(.set, key, partition, tag)
        bytes.writeWire(flags)
        bytes.writeWire(expiry.stored)
        bytes.writeWire(UInt32(value.count))
        bytes.writeBytes(value)
    }

    /// Returns where the key starts in `bytes`.
    package func add(_ command: ItemCommand, key: UnsafeRawBufferPointer, in partition: Int, tag: UInt64) -> Int {
        let keyAt = add(.item, key, partition, tag)
        addCounted { command.encode(into: &$0) }
        return keyAt
    }

    package func add(_ key: VirtualKey, in partition: Int, data: [UInt8]?, tag: UInt64) {
        _ = add(.call, UnsafeRawBufferPointer(start: nil, count: 0), partition, tag)
        addCounted { PeerRequest.call(key, data: data, deadlineMilliseconds: 0).encode(into: &$0) }
    }

    private func add(_ kind: Kind, _ key: UnsafeRawBufferPointer, _ partition: Int, _ tag: UInt64) -> Int {
        precondition(key.count <= Key.bytesMax, "a longer key is refused before it is forwarded")
        tags.append(tag)
        let headBytes = ForwardedCommand.headBytes
        let keyAt = bytes.writerIndex + headBytes
        bytes.writeWithUnsafeMutableBytes(minimumWritableBytes: headBytes + key.count) { room in
            room[0] = kind.rawValue
            room[1] = UInt8(truncatingIfNeeded: key.count)
            room.storeBytes(of: UInt16(truncatingIfNeeded: partition).littleEndian, toByteOffset: 2, as: UInt16.self)
            UnsafeMutableRawBufferPointer(rebasing: room[headBytes...]).copyMemory(from: key)
            return headBytes + key.count
        }
        return keyAt
    }

    private func addCounted(_ encode: (inout ByteBuffer) -> Void) {
        let at = bytes.writerIndex
        bytes.writeWire(UInt32(0))
        encode(&bytes)
        bytes.setInteger(UInt32(bytes.writerIndex - at - 4), at: at, endianness: .little)
    }

    /// A key that was added, as it lies in the batch.
    package func withKey<R>(at keyAt: Int, bytes keyBytes: Int, _ body: (UnsafeRawBufferPointer) -> R) -> R {
        bytes.withUnsafeReadableBytes { body(UnsafeRawBufferPointer(rebasing: $0[keyAt..<keyAt + keyBytes])) }
    }

    // MARK: Answering

    /// None of those that have no answer will get one.
    package func fail(_ failure: Failure) { sink.post(.failure(failure), to: self) }

    /// Passes on the answers of some commands. `first`: the number that the first one has there.
    func answer(_ answers: [UInt8], first: Int) { sink.post(.some(answers, first: first), to: self) }

    /// The commands on items, for who carries them out one by one.
    package func forEachItem(_ body: (_ index: Int, _ command: ItemCommand, _ key: [UInt8]) -> Void) {
        bytes.withUnsafeReadableBytes { bytes in
            var (at, index) = (0, 0)
            while let command = ForwardedCommand(bytes, at) {
                if let item = command.item(in: bytes) { body(index, item, Array(command.key(in: bytes))) }
                (at, index) = (command.end, index + 1)
            }
        }
    }

    /// The answer of one command, from any thread.
    package func answer(_ index: Int, _ outcome: ItemOutcome) {
        var buffer = ByteBuffer()
        ForwardAnswer.write(outcome, index: index, into: &buffer)
        answer(Array(buffer.readableBytesView), first: 0)
    }
}
