// What a session has to send: replies as they are written, a large value among them, and what answers from elsewhere hold up.
//
// Unsafe: hands out raw bytes; they are good until the output is next changed.

import Engine

struct SessionOutput: ~Copyable {
    /// Where replies are appended: behind the last pending slot if there is one.
    private var appended = ReplyBuffer()
    /// A large value among what was written, while no slots are pending.
    private var pinned = PinnedOutput()
    /// What may be sent while slots are pending; empty while there is none.
    private var free = ReplyBuffer()
    /// Replies that stand between two slots, all of them, in their order: see `PendingSlot.followingBytes`.
    private var behind = ReplyBuffer()
    /// How much of `behind` was sent ahead of its turn.
    private var sentBehindBytes = 0

    /// What is kept of that at least, so that it is not moved for little.
    private static let sentBytesKept = 64 << 10

    /// Where replies are written.
    var written: ReplyBuffer {
        @inline(__always) _read { yield appended }
        @inline(__always) _modify { yield &appended }
    }

    /// Where answers from elsewhere are written, when it is their turn.
    var ready: ReplyBuffer {
        @inline(__always) _read { yield free }
        @inline(__always) _modify { yield &free }
    }

    /// What it takes of memory, but for what is on the account of the store or of jobs.
    var capacity: Int { appended.capacity &+ free.capacity &+ sentBehindBytes }

    // MARK: Sending

    /// How many bytes may be sent now. `isPending`: slots are.
    @inline(__always)
    func sendableBytes(isPending: Bool) -> Int {
        isPending ? free.readableBytes : appended.readableBytes &+ (pinned.isEmpty ? 0 : pinned.bytesLeft)
    }

    @inline(__always)
    func pieces(isPending: Bool) -> OutputPieces {
        isPending ? OutputPieces(head: free.readable) : pinned.pieces(with: appended)
    }

    @inline(__always)
    mutating func didSend(_ count: Int, isPending: Bool) {
        if isPending {
            free.consume(count)
        } else if pinned.isEmpty {
            appended.consume(count)
        } else {
            pinned.didSend(count, of: &appended)
        }
    }

    // MARK: A large value

    @inline(__always)
    var hasPinned: Bool { !pinned.isEmpty }
    var hasPinnedText: Bool { pinned.isText }

    /// The value comes next, before whatever is written from now on.
    mutating func pin(_ value: PinnedValue) { pinned.append(value, behind: appended) }

    /// The text comes next among answers from elsewhere, before their last `bytesAfter` bytes.
    mutating func pin(_ text: LeasedText, bytesAfter: Int = 0) {
        pinned.append(text, behindBytes: free.readableBytes - bytesAfter)
    }

    /// The client takes no more for now: nothing of it may stay in the store.
    mutating func settle() { pinned.settle(into: &appended) }

    // MARK: Pending slots

    /// The first slot is pending: what was written comes before it.
    mutating func beginPending() { swap(&free, &appended) }

    /// Nothing is pending any more: both parts become one.
    mutating func endPending() {
        free.take(&appended)
        swap(&free, &appended)
    }

    /// What was written stands behind the last slot, and another one comes; returns how many bytes.
    mutating func putBehind() -> Int {
        let count = appended.readableBytes
        guard count > 0 else { return 0 }
        behind.writeBytes(appended.readable)
        appended.clear()
        return count
    }

    /// The first bytes that stand behind slots come next; `sentBytes` of these went ahead.
    @inline(__always)
    mutating func takeBehind(_ count: Int, sentBytes: Int) {
        guard count > 0 else { return }
        behind.consume(sentBytes)
        sentBehindBytes -= sentBytes
        let left = count - sentBytes
        free.writeBytes(UnsafeRawBufferPointer(rebasing: behind.readable[..<left]))
        behind.consume(left)
    }

    /// These of the bytes that stand behind slots go ahead of their turn.
    mutating func sendAhead(_ range: Range<Int>) {
        free.writeBytes(UnsafeRawBufferPointer(rebasing: behind.readable[range]))
        sentBehindBytes += range.count
    }

    /// The first bytes of what was written go ahead of their turn.
    mutating func sendWrittenAhead(_ count: Int) {
        free.writeBytes(UnsafeRawBufferPointer(rebasing: appended.readable[..<count]))
        appended.consume(count)
    }

    /// More of what stands behind slots went ahead than did not: it is worth moving the rest.
    var keepsMuchSent: Bool {
        sentBehindBytes > Self.sentBytesKept && 2 * sentBehindBytes > behind.readableBytes
    }

    /// Keeps only these of the bytes that stand behind slots: all that did not go ahead.
    mutating func keepBehind(_ ranges: [Range<Int>]) {
        var left = ReplyBuffer()
        for range in ranges { left.writeBytes(UnsafeRawBufferPointer(rebasing: behind.readable[range])) }
        behind = left
        sentBehindBytes = 0
    }

    // MARK: Memory

    /// Takes a buffer to write to, where there is none.
    @inline(__always)
    mutating func borrow(_ buffer: inout ReplyBuffer) {
        if appended.capacity == 0 { swap(&appended, &buffer) }
    }

    /// Gives back what was lent and is empty again: a session without anything to send holds no memory for it.
    @inline(__always)
    mutating func giveBack(_ buffer: inout ReplyBuffer) {
        if appended.capacity > 0, appended.readableBytes == 0 {
            if buffer.capacity == 0 { swap(&appended, &buffer) } else { appended = ReplyBuffer() }
        }
        if free.capacity > 0, free.readableBytes == 0 {
            if buffer.capacity == 0 { swap(&free, &buffer) } else { free = ReplyBuffer() }
        }
        if behind.capacity > 0, behind.readableBytes == 0 { behind = ReplyBuffer() }
    }
}
