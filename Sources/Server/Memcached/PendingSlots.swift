// The places of replies that have to wait, each by its number, in the order of their requests.
//
// Unsafe: owns its slots' memory, so that they are looked at where they lie: a copy of one would count its references.

import Gather

/// How to put one reply on the wire, and what it waits for.
struct PendingSlot: ~Copyable {
    /// A key of a retrieval that another node answers, where it lies in the message to that node.
    struct Forwarded: ~Copyable {
        let batch: ForwardBatch
        let keyAt: Int
        let keyBytes: UInt8
        let answersUnique: Bool
        let isAlone: Bool
        /// Of the request, where that is one of the binary protocol.
        let binary: BinaryEcho?
    }

    let reply: PendingReply
    /// Beside the reply, and looked at in place: these come by far the most often.
    let forwarded: Forwarded?
    /// Of the value that its request took along.
    let valueBytes: Int
    /// A method answers it, not an item.
    let isCall: Bool
    private(set) var answer: PendingAnswer?
    /// That there is an answer, told without a look at it.
    private(set) var isAnswered = false
    /// Bytes of the session's `behind` to send once this slot has been answered, and before the next one.
    var followingBytes = 0
    /// How many of them, from the first on, were sent already.
    var sentBytes = 0
    /// Of a key of a retrieval of several: which retrieval, so that its keys need not wait for each other.
    var retrieval: UInt64?
    /// How many of the bytes that follow are values of the same retrieval; more may come behind the last slot.
    var ownBytes = 0
    /// It was answered ahead of its turn.
    var isWritten = false

    init(reply: consuming PendingReply, valueBytes: Int, isCall: Bool) {
        self.reply = reply
        forwarded = nil
        self.valueBytes = valueBytes
        self.isCall = isCall
    }

    init(_ forwarded: consuming Forwarded, isCall: Bool) {
        reply = .forwardedRetrieval
        self.forwarded = .some(forwarded)
        valueBytes = 0
        self.isCall = isCall
    }

    /// The first answer counts.
    @inline(__always)
    mutating func take(_ answer: consuming PendingAnswer) {
        guard !isAnswered else { return }
        self.answer = answer
        isAnswered = true
    }
}

/// A ring of them. Cost: one allocation whenever it has doubled; none while it is empty and was never large.
struct PendingSlots: ~Copyable {
    private static let capacityKept = 64

    private var ring: UnsafeMutablePointer<PendingSlot>?
    /// A power of two, or 0.
    private var capacity = 0
    /// Where the first one is.
    private var head = 0
    private(set) var count = 0
    /// The number of the first one: each has the number of those before it since the beginning.
    private(set) var firstNumber: UInt64 = 0

    deinit {
        for at in 0..<count { pointer(at).deinitialize(count: 1) }
        ring?.deallocate()
    }

    @inline(__always)
    var isEmpty: Bool { count == 0 }
    /// That of the slot that is appended next.
    @inline(__always)
    var nextNumber: UInt64 { firstNumber &+ UInt64(truncatingIfNeeded: count) }

    /// The slot at a place, from the first one on.
    @inline(__always)
    subscript(place: Int) -> PendingSlot {
        _read { yield pointer(place).pointee }
        _modify { yield &pointer(place).pointee }
    }

    /// The place of the slot with a number; nil where it is gone, or was never there.
    @inline(__always)
    func place(of number: UInt64) -> Int? {
        guard number >= firstNumber, number < nextNumber else { return nil }
        return Int(truncatingIfNeeded: number &- firstNumber)
    }

    mutating func append(_ slot: consuming PendingSlot) {
        if count == capacity { resize(to: max(16, 2 * capacity)) }
        pointer(count).initialize(to: slot)
        count &+= 1
    }

    mutating func removeFirst() {
        pointer(0).deinitialize(count: 1)
        head = (head &+ 1) & (capacity &- 1)
        count &-= 1
        firstNumber &+= 1
        if count == 0, capacity > Self.capacityKept { resize(to: 0) }
    }

    @inline(__always)
    private func pointer(_ place: Int) -> UnsafeMutablePointer<PendingSlot> {
        // `place` is below `count`, or for a new one equal to it and below `capacity`.
        ring.unsafelyUnwrapped + ((head &+ place) & (capacity &- 1))
    }

    private mutating func resize(to newCapacity: Int) {
        let larger: UnsafeMutablePointer<PendingSlot>? = newCapacity > 0 ? .allocate(capacity: newCapacity) : nil
        if let larger {
            for at in 0..<count { (larger + at).moveInitialize(from: pointer(at), count: 1) }
        }
        ring?.deallocate()
        (ring, capacity, head) = (larger, newCapacity, 0)
    }
}
