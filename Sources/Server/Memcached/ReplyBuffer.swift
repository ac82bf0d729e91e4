// Bytes on their way out of a session: written at one end, sent from the other.
//
// Unsafe: owns raw memory. A pointer into it is good until the next write.

import Glibc

/// A byte queue that grows at need. Made for one writer that fills it and one sender that empties it: when all bytes are
/// gone it starts from its beginning again, so that a buffer in use stays in the processor's cache. Nothing is allocated
/// before the first byte.
package struct ReplyBuffer: ~Copyable {
    private var base: UnsafeMutableRawPointer?
    package private(set) var capacity = 0
    private var head = 0
    private var tail = 0

    package init() {}

    package init(capacity: Int) { grow(to: capacity) }

    deinit { free(base) }

    @inline(__always)
    package var readableBytes: Int { tail &- head }

    /// The bytes that were written and not consumed.
    package var readable: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: base.map { UnsafeRawPointer($0 + head) }, count: tail - head)
    }

    // MARK: Writing

    /// Room for `count` more bytes; what is written there counts once `didWrite` says so.
    @inline(__always)
    package mutating func room(for count: Int) -> UnsafeMutableRawPointer {
        if capacity &- tail < count { makeRoom(for: count) }
        return base.unsafelyUnwrapped + tail
    }

    @inline(__always)
    package mutating func didWrite(_ count: Int) { tail &+= count }

    @inline(__always)
    package mutating func writeLine(_ line: StaticString) {
        let count = line.utf8CodeUnitCount
        room(for: count).copyMemory(from: line.utf8Start, byteCount: count)
        tail &+= count
    }

    package mutating func writeBytes(_ bytes: UnsafeRawBufferPointer) {
        guard let source = bytes.baseAddress, bytes.count > 0 else { return }
        room(for: bytes.count).copyMemory(from: source, byteCount: bytes.count)
        tail += bytes.count
    }

    package mutating func writeBytes(_ bytes: [UInt8]) { bytes.withUnsafeBytes { writeBytes($0) } }

    package mutating func writeString(_ string: String) {
        var string = string
        string.withUTF8 { writeBytes(UnsafeRawBufferPointer($0)) }
    }

    package mutating func writeByte(_ byte: UInt8) {
        room(for: 1).storeBytes(of: byte, as: UInt8.self)
        tail += 1
    }

    /// Moves all of another buffer's bytes behind this one's.
    mutating func take(_ other: inout ReplyBuffer) {
        if readableBytes == 0 {
            swap(&self, &other)
        } else {
            writeBytes(other.readable)
        }
        other.clear()
    }

    // MARK: Sending

    package mutating func consume(_ count: Int) {
        precondition(count <= tail - head)
        head += count
        if head == tail { clear() }
    }

    package mutating func clear() { (head, tail) = (0, 0) }

    @inline(never)
    private mutating func makeRoom(for count: Int) {
        if head > 0, capacity - (tail - head) >= count, head >= tail - head {
            // What was sent makes enough room: the rest moves to the front, not farther than it is long.
            base!.copyMemory(from: base! + head, byteCount: tail - head)
            (head, tail) = (0, tail - head)
        } else {
            grow(to: max(tail + count, capacity * 2, 1024))
        }
    }

    private mutating func grow(to bytes: Int) {
        guard let grown = realloc(base, bytes) else { fatalError("no memory is left for a reply") }
        base = grown
        capacity = bytes
    }
}
