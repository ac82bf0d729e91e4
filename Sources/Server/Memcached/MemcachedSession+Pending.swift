// How a session waits for answers from elsewhere while keeping its replies in the order of their requests.

import DequeModule
import Engine
import Gather

extension MemcachedSession {
    // MARK: Asking

    /// The message to a node that a command with so many bytes besides its key goes into.
    private func batch(to node: Int, valueBytes: Int) -> ForwardBatch {
        if let at = batches.firstIndex(where: { $0.node == node }) {
            guard batches[at].isFull(for: valueBytes) else { return batches[at] }
            router.send(batches.remove(at: at), links: links)
        }
        let batch = ForwardBatch(node: node, sink: inbox)
        batches.append(batch)
        return batch
    }

    /// What other nodes are asked in this turn leaves. Before anything else is asked of them: they get it in its order.
    func sendBatches() {
        guard !batches.isEmpty else { return }
        var sent: [ForwardBatch] = []
        swap(&sent, &batches)
        for batch in sent { router.send(batch, links: links) }
    }

    /// `valueBytes`: of the value that goes with it, and is kept until it is answered.
    func forward(
        _ command: ItemCommand, _ key: UnsafeRawBufferPointer, _ node: Int, _ reply: PendingReply, valueBytes: Int = 0
    ) {
        counters.add(.forwards)
        let slot = openSlot(reply, valueBytes: valueBytes)
        _ = batch(to: node, valueBytes: valueBytes).add(command, key: key, tag: slot)
    }

    /// A get, or a call of a method that gets no data.
    func forwardRetrieval(
        _ key: UnsafeRawBufferPointer, _ node: Int, isMethod: Bool, answersUnique: Bool, isAlone: Bool
    ) {
        counters.add(isMethod ? .virtualCalls : .forwards)
        let batch = batch(to: node, valueBytes: 0)
        let tag = firstSlot &+ UInt64(slots.count)
        let keyAt = isMethod ? batch.add(method: key, tag: tag) : batch.add(get: key, tag: tag)
        let reply = PendingReply.forwardedRetrieval(
            batch, keyAt: keyAt, keyBytes: UInt8(truncatingIfNeeded: key.count), answersUnique: answersUnique,
            isAlone: isAlone)
        let slot = openSlot(reply, isCall: isMethod)
        assert(slot == tag)
    }

    func forwardSet(
        _ key: UnsafeRawBufferPointer, _ node: Int, flags: UInt32, expiry: UInt32, value: UnsafeRawBufferPointer,
        isSilent: Bool
    ) {
        counters.add(.forwards)
        let slot = openSlot(isSilent ? .silent(.store(.set)) : .line(.store(.set)), valueBytes: value.count)
        batch(to: node, valueBytes: value.count)
            .add(set: key, flags: flags, expiry: expiry, value: value, tag: slot)
    }

    func call(_ key: VirtualKey, data: [UInt8]?, _ reply: PendingReply) {
        let isService = router.holdsBack(key)
        if isService, !slots.isEmpty {
            // What it works on may be what the requests before it change.
            isPostponed = true
            return holdBack()
        }
        counters.add(.virtualCalls)
        if let node = router.node(of: key) {
            let slot = openSlot(reply, valueBytes: data?.count ?? 0, isCall: true)
            return batch(to: node, valueBytes: data?.count ?? 0).add(key, data: data, tag: slot)
        }
        sendBatches()
        let slot = openSlot(reply, valueBytes: data?.count ?? 0)
        isHeldBack = isHeldBack || isService
        let inbox = inbox
        router.callForText(key, data: data, links: links) { result in
            switch result {
            case .success(.bytes(let text)): inbox.post(.call(.success(.bytes(text))), slot: slot)
            case .success(.leased(let text)): inbox.post(.text(text), slot: slot)
            case .failure(let failure):
                // A miss is the answer of a method whose object is not there; a frame or job that is not there is an error.
                let isError = isService && failure.reason == .miss
                inbox.post(.call(.failure(isError ? Failure(.scriptError, failure.message) : failure)), slot: slot)
            }
        }
    }

    /// What comes behind it waits until every node has answered: it would be flushed by one that is late.
    func flushAll(delaySeconds: UInt32, _ reply: PendingReply) {
        let slot = openSlot(reply)
        isHeldBack = true
        sendBatches()
        let inbox = inbox
        router.flushAll(delaySeconds: delaySeconds, now: now, links: links) { inbox.post(.call($0), slot: slot) }
    }

    /// Consumes no further before everything that was asked for is answered.
    func holdBack() {
        isHeldBack = true
        verdict = .stalled
    }

    /// Reserves the place of a reply; what is written from here on waits behind it.
    func openSlot(_ reply: PendingReply, valueBytes: Int = 0, isCall: Bool = false) -> UInt64 {
        if !awaitsVisit {
            awaitsVisit = true
            inbox.expectVisit()
        }
        var slot = PendingSlot(reply: reply)
        switch reply {
        case .retrieval(_, _, isAlone: false), .forwardedRetrieval(_, _, _, _, isAlone: false):
            slot.retrieval = retrievals
        default: break
        }
        if slots.isEmpty {
            sending.beginPending()
        } else if sending.written.readableBytes > 0 {
            let last = slots.index(before: slots.endIndex)
            queuedBytes += sending.written.readableBytes
            slots[last].followingBytes = sending.written.readableBytes
            sending.behind.writeBytes(sending.written.readable)
            sending.written.clear()
        }
        slot.valueBytes = valueBytes
        slot.isCall = isCall
        queuedBytes += valueBytes
        slots.append(slot)
        return firstSlot + UInt64(slots.count - 1)
    }

    // MARK: Answering

    /// Collects what has arrived and writes every reply whose turn it is.
    func takeAnswers() {
        let content = inbox.collect()
        for (number, answer) in content.answers { give(answer, to: number) }
        for (batch, answers) in content.forwarded { give(answers, to: batch) }
        guard !slots.isEmpty, slots[slots.startIndex].isAnswered else { return answerAhead() }
        while !slots.isEmpty, slots[slots.startIndex].isAnswered {
            let slot = slots.removeFirst()
            firstSlot += 1
            if !slot.isWritten, let answer = slot.answer { writeMeasured(answer, slot) }
            queuedBytes -= slot.followingBytes - slot.sentBytes + slot.valueBytes
            takeBehind(slot)
        }
        if slots.isEmpty {
            isHeldBack = false
            sending.endPending()
        } else {
            answerAhead()
        }
    }

    @inline(__always)
    private func give(_ answer: PendingAnswer, to number: UInt64) {
        guard number >= firstSlot, number - firstSlot < UInt64(slots.count) else { return }
        let at = slots.index(slots.startIndex, offsetBy: Int(number - firstSlot))
        slots[at].take(answer)
    }

    private func give(_ answers: ForwardAnswers, to batch: ForwardBatch) {
        switch answers {
        case .some(let bytes):
            ForwardAnswer.forEach(bytes) { index, at in give(.forwarded(bytes, at: at), to: batch.tags[index]) }
        case .failure(let failure):
            for number in batch.tags where number >= firstSlot {
                let isCall = slots[slots.index(slots.startIndex, offsetBy: Int(number - firstSlot))].isCall
                give(isCall ? .call(.failure(failure)) : .item(.failed(failure)), to: number)
            }
        }
    }

    /// What stands behind a slot that is done follows it.
    @inline(__always)
    private func takeBehind(_ slot: PendingSlot) {
        guard slot.followingBytes > 0 else { return }
        sending.behind.consume(slot.sentBytes)
        sending.sentBehindBytes -= slot.sentBytes
        let left = slot.followingBytes - slot.sentBytes
        sending.ready.writeBytes(UnsafeRawBufferPointer(rebasing: sending.behind.readable[..<left]))
        sending.behind.consume(left)
    }

    private func writeMeasured(_ answer: PendingAnswer, _ slot: PendingSlot) {
        let written = sending.ready.readableBytes
        if case .forwarded(let answers, let at) = answer {
            writeForwarded(answers, at, slot)
        } else {
            write(answer, slot.reply)
        }
        answerBytesExpected = max(sending.ready.readableBytes - written, answerBytesExpected - answerBytesExpected / 8)
    }

    /// The keys of one retrieval may be answered in any order: once a later one's answer has overtaken the first one's, whose
    /// node is slow or hangs, none of those that are there waits for it. Only the `END` does.
    private func answerAhead() {
        guard !slots.isEmpty, let retrieval = slots[slots.startIndex].retrieval, hasNews(of: retrieval) else { return }
        defer { forgetSent() }
        // Where what stands behind a slot begins in `behind`.
        var start = 0
        for at in slots.indices {
            guard slots[at].retrieval == retrieval else { return }
            if slots[at].isAnswered, !slots[at].isWritten, let answer = slots[at].answer {
                slots[at].isWritten = true
                writeMeasured(answer, slots[at])
            }
            writeOwn(behind: at, retrieval, start)
            start += slots[at].followingBytes
        }
    }

    /// One of the retrieval's keys, which come first of all, is answered and not written.
    private func hasNews(of retrieval: UInt64) -> Bool {
        for at in slots.indices {
            guard slots[at].retrieval == retrieval else { return false }
            if slots[at].isAnswered, !slots[at].isWritten { return true }
        }
        return false
    }

    /// The values of a retrieval that stand behind one of its slots: all that is between two of them, and what comes before
    /// its `END`.
    private func writeOwn(behind at: Int, _ retrieval: UInt64, _ start: Int) {
        let isLast = at + 1 == slots.endIndex
        let isBetween = !isLast && slots[at + 1].retrieval == retrieval
        let own = isBetween ? slots[at].followingBytes - slots[at].sentBytes : slots[at].ownBytes
        guard own > 0 else { return }
        slots[at].ownBytes = 0
        if isLast {
            sending.ready.writeBytes(UnsafeRawBufferPointer(rebasing: sending.written.readable[..<own]))
            sending.written.consume(own)
        } else {
            let first = start + slots[at].sentBytes
            sending.ready.writeBytes(UnsafeRawBufferPointer(rebasing: sending.behind.readable[first..<first + own]))
            slots[at].sentBytes += own
            sending.sentBehindBytes += own
            queuedBytes -= own
        }
    }

    /// What was sent ahead of its turn is kept until that comes, or until it is more than what was not.
    private func forgetSent() {
        guard sending.sentBehindBytes > Self.sentBytesKept, 2 * sending.sentBehindBytes > sending.behind.readableBytes
        else { return }
        var left = ReplyBuffer()
        var start = 0
        for at in slots.indices where slots[at].followingBytes > 0 {
            let end = start + slots[at].followingBytes
            left.writeBytes(
                UnsafeRawBufferPointer(rebasing: sending.behind.readable[start + slots[at].sentBytes..<end]))
            slots[at].followingBytes -= slots[at].sentBytes
            slots[at].sentBytes = 0
            start = end
        }
        sending.behind = left
        sending.sentBehindBytes = 0
    }

    private static var sentBytesKept: Int { 64 << 10 }

    /// Writes an answer from where it lies, if it is one of the usual ones.
    private func writeForwarded(_ answers: [UInt8], _ at: Int, _ slot: PendingSlot) {
        let isWritten = ForwardAnswer.withPlain(answers, at: at) { plain in
            switch (slot.reply, plain) {
            case (.forwardedRetrieval(let batch, let keyAt, let keyBytes, let answersUnique, let isAlone), _):
                var (flags, unique): (UInt32, UInt64) = (0, 0)
                var value: UnsafeRawBufferPointer?
                switch plain {
                case .value(let itsFlags, let itsUnique, let bytes) where !slot.isCall:
                    (flags, unique, value) = (itsFlags, itsUnique, bytes)
                case .miss where !slot.isCall: break
                case .text(let bytes) where slot.isCall: value = bytes
                default: return false
                }
                if !slot.isCall {
                    counters.add(.cmdGet)
                    counters.add(value == nil ? .getMisses : .getHits)
                }
                if let value {
                    batch.withKey(at: keyAt, bytes: Int(keyBytes)) { key in
                        sending.ready.writeValue(
                            key: key, flags: flags, unique: answersUnique ? unique : nil, value: value)
                    }
                }
                if isAlone { sending.ready.writeLine("END\r\n") }
                return true
            case (.line(let command), .stored):
                count(command, .stored)
                sending.ready.writeLine("STORED\r\n")
                return true
            case (.silent(let command), .stored):
                count(command, .stored)
                return true
            default: return false
            }
        }
        if !isWritten {
            let answer: PendingAnswer =
                slot.isCall
                ? .call(ForwardAnswer.result(answers, at: at)) : .item(ForwardAnswer.outcome(answers, at: at))
            write(answer, slot.reply)
        }
    }

    private func write(_ answer: PendingAnswer, _ reply: PendingReply) {
        switch reply {
        case .retrieval(let key, let answersUnique, let isAlone):
            writeRetrieval(answer, key: key, answersUnique: answersUnique, isAlone: isAlone)
        case .forwardedRetrieval(let batch, let keyAt, let keyBytes, let answersUnique, let isAlone):
            let key = batch.withKey(at: keyAt, bytes: Int(keyBytes)) { Array($0) }
            writeRetrieval(answer, key: key, answersUnique: answersUnique, isAlone: isAlone)
        case .line(let command):
            if case .call(let result) = answer {
                writeVirtualSet(result)
            } else if case .text = answer {
                sending.ready.writeLine("STORED\r\n")
            } else if case .item(let outcome) = answer {
                countAnswered(command, outcome)
                sending.ready.writeOutcome(outcome)
            }
        case .meta(let reply): writeMetaAnswer(answer, reply)
        case .acknowledgement:
            if case .call(.failure(let failure)) = answer {
                counters.add(.forwardErrors)
                sending.ready.writeFailure(failure)
            } else {
                sending.ready.writeLine("OK\r\n")
            }
        case .silent(let command):
            if case .item(let outcome) = answer { countAnswered(command, outcome) }
            if case .call(.failure) = answer { counters.add(.virtualErrors) }
        }
    }

    private func countAnswered(_ command: SessionCommand, _ outcome: ItemOutcome) {
        if case .failed = outcome { counters.add(.forwardErrors) } else { count(command, outcome) }
    }

    private func writeRetrieval(_ answer: PendingAnswer, key: [UInt8], answersUnique: Bool, isAlone: Bool) {
        var failure: Failure?
        switch answer {
        case .item(.value(let flags, let unique, let bytes)):
            counters.add(.cmdGet)
            counters.add(.getHits)
            writeValue(key: key, flags: flags, unique: answersUnique ? unique : nil, bytes)
        case .item(.failed(let reason)):
            counters.add(.forwardErrors)
            failure = reason
        case .item:
            counters.add(.cmdGet)
            counters.add(.getMisses)
        case .call(.success(let value)):
            writeValue(key: key, flags: 0, unique: answersUnique ? 0 : nil, value.answer)
        case .call(.failure(.noSuchKey)):
            counters.add(.cmdGet)
            counters.add(.getMisses)
        case .call(.failure(let reason)) where reason.reason == .miss:
            writeValue(key: key, flags: 0, unique: answersUnique ? 0 : nil, Array("ERROR_CACHE_MISS".utf8))
        case .call(.failure(let reason)):
            counters.add(.virtualErrors)
            failure = reason
        case .text(let text):
            key.withUnsafeBytes { key in
                sending.ready.writeValueLine(
                    key: key, flags: 0, unique: answersUnique ? 0 : nil, valueBytes: text.bytes.count)
            }
            sending.pinned.append(text, behindBytes: sending.ready.readableBytes)
            sending.ready.writeLine("\r\n")
        case .forwarded: preconditionFailure("read before")
        }
        guard isAlone else { return }
        if let failure { sending.ready.writeFailure(failure) } else { sending.ready.writeLine("END\r\n") }
    }

    private func writeValue(key: [UInt8], flags: UInt32, unique: UInt64?, _ value: [UInt8]) {
        key.withUnsafeBytes { key in
            value.withUnsafeBytes { value in
                sending.ready.writeValue(key: key, flags: flags, unique: unique, value: value)
            }
        }
    }

    private func writeVirtualSet(_ result: Result<Value, Failure>) {
        switch result {
        case .success: sending.ready.writeLine("STORED\r\n")
        case .failure(let failure):
            if failure.reason == .miss {
                sending.ready.writeLine("NOT_STORED\r\n")
            } else {
                counters.add(.virtualErrors)
                sending.ready.writeFailure(failure)
            }
        }
    }
}
