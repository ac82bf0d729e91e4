// A large value that is sent from where it lies in the store, among the bytes that a session wrote.
//
// Unsafe: hands out raw bytes; they are good until the output is next changed.

import Engine

/// The pieces of an output, in their order; each may be empty.
package struct OutputPieces {
    package var head = UnsafeRawBufferPointer(start: nil, count: 0)
    package var value = UnsafeRawBufferPointer(start: nil, count: 0)
    package var tail = UnsafeRawBufferPointer(start: nil, count: 0)

    package var count: Int { head.count &+ value.count &+ tail.count }
}

/// Copying a large value only to copy it again into the kernel would be a quarter of what its request costs. So one value
/// at a time may stay in the store for one attempt at sending it: what the kernel did not take is copied then, so that a
/// client that does not read holds no memory of the store.
struct PinnedOutput: ~Copyable {
    /// From here on a value is not copied, in bytes.
    static let bytesMin = 16 << 10

    private var value: PinnedValue?
    /// How many of the written bytes come before the value.
    private var headBytes = 0
    /// How many of the value's were sent.
    private var sentBytes = 0

    deinit { value?.unpin() }

    @inline(__always)
    var isEmpty: Bool { value == nil }

    /// What is left of the value.
    var bytesLeft: Int { value.map { $0.bytes.count - sentBytes } ?? 0 }

    /// The value comes next, before whatever is written from now on.
    mutating func append(_ value: PinnedValue, behind written: borrowing ReplyBuffer) {
        precondition(isEmpty, "one value at a time")
        (self.value, headBytes, sentBytes) = (value, written.readableBytes, 0)
    }

    func pieces(with written: borrowing ReplyBuffer) -> OutputPieces {
        guard let value else { return OutputPieces(head: written.readable) }
        let bytes = written.readable
        return OutputPieces(
            head: UnsafeRawBufferPointer(rebasing: bytes[..<headBytes]),
            value: UnsafeRawBufferPointer(rebasing: value.bytes[sentBytes...]),
            tail: UnsafeRawBufferPointer(rebasing: bytes[headBytes...]))
    }

    mutating func didSend(_ count: Int, of written: inout ReplyBuffer) {
        let ofHead = min(count, headBytes)
        let ofValue = min(count - ofHead, bytesLeft)
        headBytes -= ofHead
        sentBytes += ofValue
        written.consume(ofHead)
        guard bytesLeft == 0 else { return }
        unpin()
        written.consume(count - ofHead - ofValue)
    }

    /// Lets go of the store: what is left of the value is copied among what was written.
    mutating func settle(into written: inout ReplyBuffer) {
        guard !isEmpty else { return }
        let left = pieces(with: written)
        var whole = ReplyBuffer(capacity: left.count)
        for piece in [left.head, left.value, left.tail] { whole.writeBytes(piece) }
        unpin()
        swap(&whole, &written)
    }

    private mutating func unpin() {
        value?.unpin()
        (value, headBytes, sentBytes) = (nil, 0, 0)
    }
}
