// A large value that is sent from where it lies, in the store or as the text of a job's result, among the bytes that a session
// wrote.
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
/// client that does not read holds no memory of the store. A text stays where it is: it is on the account of jobs until it was sent.
struct PinnedOutput: ~Copyable {
    /// From here on a value is not copied, in bytes.
    static let bytesMin = 16 << 10

    private enum Source {
        case item(PinnedValue)
        case text(LeasedText)

        var bytes: UnsafeRawBufferPointer {
            switch self {
            case .item(let value): value.bytes
            case .text(let text): text.bytes
            }
        }

        func unpin() { if case .item(let value) = self { value.unpin() } }
    }

    private var value: Source?
    /// How many of the written bytes come before the value.
    private var headBytes = 0
    /// How many of the value's were sent.
    private var sentBytes = 0

    deinit { value?.unpin() }

    @inline(__always)
    var isEmpty: Bool { value == nil }

    /// What is left of the value.
    var bytesLeft: Int { value.map { $0.bytes.count - sentBytes } ?? 0 }

    /// A job's result is not all sent yet.
    var isText: Bool { if case .text = value { true } else { false } }

    /// The value comes next, before whatever is written from now on.
    mutating func append(_ value: PinnedValue, behind written: borrowing ReplyBuffer) {
        append(.item(value), behindBytes: written.readableBytes)
    }

    /// The text comes behind so many of the bytes that are written.
    mutating func append(_ text: LeasedText, behindBytes bytes: Int) { append(.text(text), behindBytes: bytes) }

    private mutating func append(_ value: Source, behindBytes bytes: Int) {
        precondition(isEmpty, "one value at a time")
        (self.value, headBytes, sentBytes) = (value, bytes, 0)
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

    /// Lets go of the store: what is left of its value is copied among what was written.
    mutating func settle(into written: inout ReplyBuffer) {
        guard case .item = value else { return }
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
