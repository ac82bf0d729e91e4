// What a session has to send: replies as they are written, a large value among them, and what answers from elsewhere hold up.
//
// Unsafe: hands out raw bytes; they are good until the output is next changed.

struct SessionOutput: ~Copyable {
    /// Where replies are appended: behind the last pending slot if there is one.
    var written = ReplyBuffer()
    /// A large value among what was written, while no slots are pending.
    var pinned = PinnedOutput()
    /// What may be sent while slots are pending; empty while there is none.
    var ready = ReplyBuffer()
    /// Replies that stand between two slots, all of them, in their order: see `PendingSlot.followingBytes`.
    var behind = ReplyBuffer()
    /// How much of `behind` was sent ahead of its turn.
    var sentBehindBytes = 0

    /// What it takes of memory, but for what is on the account of the store or of jobs.
    var capacity: Int { written.capacity &+ ready.capacity &+ sentBehindBytes }

    /// How many bytes may be sent now. `isPending`: slots are.
    @inline(__always)
    func sendableBytes(isPending: Bool) -> Int {
        isPending ? ready.readableBytes : written.readableBytes &+ (pinned.isEmpty ? 0 : pinned.bytesLeft)
    }

    @inline(__always)
    func pieces(isPending: Bool) -> OutputPieces {
        isPending ? OutputPieces(head: ready.readable) : pinned.pieces(with: written)
    }

    @inline(__always)
    mutating func didSend(_ count: Int, isPending: Bool) {
        if isPending {
            ready.consume(count)
        } else if pinned.isEmpty {
            written.consume(count)
        } else {
            pinned.didSend(count, of: &written)
        }
    }

    /// The client takes no more for now: nothing of it may stay in the store.
    mutating func settle() { pinned.settle(into: &written) }

    /// The first slot is pending: what was written comes before it.
    mutating func beginPending() { swap(&ready, &written) }

    /// Nothing is pending any more: both parts become one.
    mutating func endPending() {
        ready.take(&written)
        swap(&ready, &written)
    }

    /// Takes a buffer to write to, where there is none.
    @inline(__always)
    mutating func borrow(_ buffer: inout ReplyBuffer) {
        if written.capacity == 0 { swap(&written, &buffer) }
    }

    /// Gives back what was lent and is empty again: a session without anything to send holds no memory for it.
    @inline(__always)
    mutating func giveBack(_ buffer: inout ReplyBuffer) {
        if written.capacity > 0, written.readableBytes == 0 {
            if buffer.capacity == 0 { swap(&written, &buffer) } else { written = ReplyBuffer() }
        }
        if ready.capacity > 0, ready.readableBytes == 0 {
            if buffer.capacity == 0 { swap(&ready, &buffer) } else { ready = ReplyBuffer() }
        }
        if behind.capacity > 0, behind.readableBytes == 0 { behind = ReplyBuffer() }
    }
}
