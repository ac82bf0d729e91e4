// The replies of a session in the order of their requests: those that are written, and places for those that have to wait.

import Engine
import Gather

/// One thread at a time, but for the inbox.
final class ReplyQueue {
    private let pendingMax: Int
    private let answerBytesMax: Int
    private let queuedBytesMax: Int
    private let outputBytesHigh: Int
    private let inbox: CompletionInbox
    private let writer: AnswerWriter
    // One thread at a time uses a session, and nothing that it calls comes back to it: accesses can't overlap, and are not
    // checked for that at run time.
    @exclusivity(unchecked) private var sending = SessionOutput()
    @exclusivity(unchecked) private var slots = PendingSlots()
    /// Retrievals of several keys so far.
    private var retrievals: UInt64 = 0
    /// Bytes that wait in the slots, and values on their way to other nodes and to methods; what may be sent comes on top.
    private var queuedBytes = 0
    /// How large the next answer from elsewhere may be, by those that came lately: bounds how many are asked for at once.
    private var answerBytesExpected = 64 << 10
    /// The next request may ask for what one before it does, or changes what those before it work on: nothing is consumed
    /// until all is answered.
    private var isHeldBack = false
    /// The request at hand was not performed, as it has to wait for those before it: it will come again.
    private(set) var isPostponed = false
    private var awaitsVisit = false

    init(_ configuration: SessionConfiguration, counters: SessionCounters, inbox: CompletionInbox) {
        pendingMax = configuration.pendingMax
        answerBytesMax = configuration.answerBytesMax
        queuedBytesMax = configuration.queuedBytesMax
        outputBytesHigh = configuration.outputBytesHigh
        self.inbox = inbox
        writer = AnswerWriter(counters)
    }

    // MARK: Writing and sending

    /// Where replies are written; each has its place behind all before it.
    var written: ReplyBuffer {
        @inline(__always) _read { yield sending.written }
        @inline(__always) _modify { yield &sending.written }
    }

    /// Nothing is awaited from elsewhere.
    var isEmpty: Bool { slots.isEmpty }
    var count: Int { slots.count }

    /// How many bytes may be sent now.
    var outputBytes: Int { sending.sendableBytes(isPending: !slots.isEmpty) }

    /// What to send, good until something is called that changes the queue.
    var output: OutputPieces { sending.pieces(isPending: !slots.isEmpty) }

    @inline(__always)
    func didSend(_ count: Int) { sending.didSend(count, isPending: !slots.isEmpty) }

    /// A job's result is on its way, which is on the account of all jobs until it was sent.
    var holdsText: Bool { sending.hasPinnedText }

    func settle() { sending.settle() }

    @inline(__always)
    func borrow(_ buffer: inout ReplyBuffer) { sending.borrow(&buffer) }

    @inline(__always)
    func giveBack(_ buffer: inout ReplyBuffer) { sending.giveBack(&buffer) }

    /// What it holds of what is to go, in bytes.
    var bufferBytes: Int { sending.capacity &+ queuedBytes }

    /// Whether there is room for the replies of more requests.
    @inline(__always)
    var mayGrow: Bool {
        guard slots.isEmpty else {
            return !isHeldBack
                && slots.count < min(pendingMax, 1 + answerBytesMax / answerBytesExpected)
                && queuedBytes + sending.written.readableBytes < queuedBytesMax
                && sending.ready.readableBytes < outputBytesHigh
        }
        return sending.written.readableBytes < outputBytesHigh && !sending.hasPinned
    }

    /// Writes the reply to a get, its value to be sent from where it lies. False when it has to be copied after all.
    @inline(never)
    func pin(_ item: ItemView, key: UnsafeRawBufferPointer, unique: UInt64?) -> Bool {
        guard slots.isEmpty, !sending.hasPinned, let value = item.pinned() else { return false }
        sending.written.writeValueLine(key: key, flags: item.flags, unique: unique, valueBytes: item.value.count)
        sending.pin(value)
        sending.written.writeLine("\r\n")
        return true
    }

    /// The same in the binary protocol.
    @inline(never)
    func pin(_ item: ItemView, key: UnsafeRawBufferPointer, _ echo: BinaryEcho) -> Bool {
        guard slots.isEmpty, !sending.hasPinned, let value = item.pinned() else { return false }
        sending.written.writeBinaryValueHead(
            echo, key: key, flags: item.flags, unique: item.cas, valueBytes: item.value.count)
        sending.pin(value)
        return true
    }

    // MARK: Order

    /// Nothing more is consumed before everything that was asked for is answered.
    func holdBack() { isHeldBack = true }

    /// The request at hand waits for that, too.
    func postpone() {
        isPostponed = true
        isHeldBack = true
    }

    /// Whether the request at hand was postponed; it is no longer at hand.
    @inline(__always)
    func takePostponement() -> Bool {
        guard isPostponed else { return false }
        isPostponed = false
        return true
    }

    /// From here on slots are those of a retrieval of several keys, until its end.
    @inline(__always)
    func beginRetrieval() { retrievals &+= 1 }

    /// All its keys were asked for; its `END` comes next.
    @inline(__always)
    func endRetrieval() {
        guard !slots.isEmpty, slots[slots.count - 1].retrieval == retrievals else { return }
        slots[slots.count - 1].ownBytes = sending.written.readableBytes
    }

    // MARK: Slots

    /// The number of the slot that is opened next.
    @inline(__always)
    var nextSlot: UInt64 { slots.nextNumber }

    /// Whether a slot with a lower number has no answer yet, or one that is not written.
    @inline(__always)
    func isPending(before slot: UInt64) -> Bool { slots.firstNumber < slot && !slots.isEmpty }

    /// Reserves the place of a reply; what is written from here on waits behind it.
    /// - Parameters:
    ///   - valueBytes: of the value that its request took along, and that is kept until it is answered.
    ///   - isCall: a method answers it, not an item.
    func openSlot(_ reply: PendingReply, valueBytes: Int = 0, isCall: Bool = false) -> UInt64 {
        var slot = PendingSlot(reply: reply, valueBytes: valueBytes, isCall: isCall)
        if case .retrieval(_, _, isAlone: false) = reply { slot.retrieval = retrievals }
        queuedBytes += valueBytes
        return open(slot)
    }

    /// The same of a key of a retrieval that goes to another node.
    @inline(__always)
    func openSlot(_ forwarded: consuming PendingSlot.Forwarded, isCall: Bool) -> UInt64 {
        let retrieval = forwarded.isAlone ? nil : retrievals
        var slot = PendingSlot(forwarded, isCall: isCall)
        slot.retrieval = retrieval
        return open(slot)
    }

    private func open(_ slot: consuming PendingSlot) -> UInt64 {
        if !awaitsVisit {
            awaitsVisit = true
            inbox.expectVisit()
        }
        if slots.isEmpty {
            sending.beginPending()
        } else {
            let count = sending.putBehind()
            if count > 0 {
                queuedBytes += count
                slots[slots.count - 1].followingBytes = count
            }
        }
        let number = slots.nextNumber
        slots.append(slot)
        return number
    }

    // MARK: Answering

    /// Slots were opened since the last time: whoever is at work looks in for their answers.
    @inline(__always)
    func takeVisit() -> Bool {
        guard awaitsVisit else { return false }
        awaitsVisit = false
        return true
    }

    /// Collects what has arrived and writes every reply whose turn it is. `now`: unix seconds.
    func takeAnswers(now: UInt32) {
        let content = inbox.collect()
        for (number, answer) in content.answers { give(answer, to: number) }
        for (batch, answers) in content.forwarded { give(answers, to: batch) }
        guard !slots.isEmpty, slots[0].isAnswered else { return answerAhead(now) }
        while !slots.isEmpty, slots[0].isAnswered {
            if !slots[0].isWritten { write(0, now) }
            queuedBytes -= slots[0].followingBytes - slots[0].sentBytes + slots[0].valueBytes
            // What stands behind a slot that is done follows it.
            sending.takeBehind(slots[0].followingBytes, sentBytes: slots[0].sentBytes)
            slots.removeFirst()
        }
        if slots.isEmpty {
            isHeldBack = false
            sending.endPending()
        } else {
            answerAhead(now)
        }
    }

    @inline(__always)
    private func give(_ answer: PendingAnswer, to number: UInt64) {
        if let at = slots.place(of: number) { slots[at].take(answer) }
    }

    private func give(_ answers: ForwardAnswers, to batch: ForwardBatch) {
        switch answers {
        case .some(let bytes, let first):
            ForwardAnswer.forEach(bytes) { index, at in
                give(.forwarded(bytes, at: at), to: batch.tags[index - first])
            }
        case .failure(let failure):
            for number in batch.tags {
                guard let at = slots.place(of: number) else { continue }
                slots[at].take(slots[at].isCall ? .call(.failure(failure)) : .item(.failed(failure)))
            }
        }
    }

    /// Writes the reply of the slot at a place, which has its answer.
    private func write(_ at: Int, _ now: UInt32) {
        let written = sending.ready.readableBytes
        writer.write(slots[at], to: &sending, now: now)
        answerBytesExpected = max(sending.ready.readableBytes - written, answerBytesExpected - answerBytesExpected / 8)
    }

    // MARK: Ahead of their turn

    /// The keys of one retrieval may be answered in any order: once a later one's answer has overtaken the first one's, whose
    /// node is slow or hangs, none of those that are there waits for it. Only the `END` does.
    private func answerAhead(_ now: UInt32) {
        guard !slots.isEmpty, let retrieval = slots[0].retrieval, hasNews(of: retrieval) else { return }
        defer { forgetSent() }
        // Where what stands behind a slot begins.
        var start = 0
        for at in 0..<slots.count {
            guard slots[at].retrieval == retrieval else { return }
            if slots[at].isAnswered, !slots[at].isWritten {
                slots[at].isWritten = true
                write(at, now)
            }
            writeOwn(behind: at, retrieval, start)
            start += slots[at].followingBytes
        }
    }

    /// One of the retrieval's keys, which come first of all, is answered and not written.
    private func hasNews(of retrieval: UInt64) -> Bool {
        for at in 0..<slots.count {
            guard slots[at].retrieval == retrieval else { return false }
            if slots[at].isAnswered, !slots[at].isWritten { return true }
        }
        return false
    }

    /// The values of a retrieval that stand behind one of its slots: all that is between two of them, and what comes before
    /// its `END`.
    private func writeOwn(behind at: Int, _ retrieval: UInt64, _ start: Int) {
        let isLast = at + 1 == slots.count
        let isBetween = !isLast && slots[at + 1].retrieval == retrieval
        let own = isBetween ? slots[at].followingBytes - slots[at].sentBytes : slots[at].ownBytes
        guard own > 0 else { return }
        slots[at].ownBytes = 0
        if isLast {
            sending.sendWrittenAhead(own)
        } else {
            let first = start + slots[at].sentBytes
            sending.sendAhead(first..<first + own)
            slots[at].sentBytes += own
            queuedBytes -= own
        }
    }

    /// What was sent ahead of its turn is kept until that comes, or until it is more than what was not.
    private func forgetSent() {
        guard sending.keepsMuchSent else { return }
        var left: [Range<Int>] = []
        var start = 0
        for at in 0..<slots.count where slots[at].followingBytes > 0 {
            let end = start + slots[at].followingBytes
            left.append(start + slots[at].sentBytes..<end)
            slots[at].followingBytes -= slots[at].sentBytes
            slots[at].sentBytes = 0
            start = end
        }
        sending.keepBehind(left)
    }
}
