// How a session waits for answers from elsewhere while keeping its replies in the order of their requests.

import DequeModule
import Engine
import Gather

extension MemcachedSession {
    // MARK: Asking

    /// `valueBytes`: of the value that goes with it, and is kept until it is answered.
    func forward(
        _ command: ItemCommand, _ key: UnsafeRawBufferPointer, _ node: Int, _ reply: PendingReply, valueBytes: Int = 0
    ) {
        counters.add(.forwards)
        let slot = openSlot(reply, valueBytes: valueBytes)
        let inbox = inbox
        router.forward(command, key: Array(key), node: node, links: links) { inbox.post(.item($0), slot: slot) }
    }

    func call(_ key: VirtualKey, data: [UInt8]?, _ reply: PendingReply) {
        let isService = router.holdsBack(key)
        if isService, !slots.isEmpty {
            // What it works on may be what the requests before it change.
            isPostponed = true
            return holdBack()
        }
        counters.add(.virtualCalls)
        let slot = openSlot(reply, valueBytes: data?.count ?? 0)
        isHeldBack = isHeldBack || isService
        let inbox = inbox
        // Text is made of the answer where it comes from: JSON of a large one takes long, and this is an event loop.
        router.call(key, data: data, links: links) { result in
            // A miss is the answer of a method whose object is not there; a frame or job that is not there is an error.
            let answer = result.map { Value.bytes($0.answer) }.mapError { failure in
                isService && failure.reason == .miss ? Failure(.scriptError, failure.message) : failure
            }
            inbox.post(.call(answer), slot: slot)
        }
    }

    /// What comes behind it waits until every node has answered: it would be flushed by one that is late.
    func flushAll(delaySeconds: UInt32, _ reply: PendingReply) {
        let slot = openSlot(reply)
        isHeldBack = true
        let inbox = inbox
        router.flushAll(delaySeconds: delaySeconds, now: now, links: links) { inbox.post(.call($0), slot: slot) }
    }

    /// Consumes no further before everything that was asked for is answered.
    func holdBack() {
        isHeldBack = true
        verdict = .stalled
    }

    /// Reserves the place of a reply; what is written from here on waits behind it.
    func openSlot(_ reply: PendingReply, valueBytes: Int = 0) -> UInt64 {
        if !awaitsVisit {
            awaitsVisit = true
            inbox.expectVisit()
        }
        var slot = PendingSlot(reply: reply)
        if case .retrieval(_, _, isAlone: false) = reply { slot.retrieval = retrievals }
        if slots.isEmpty {
            swap(&ready, &out)
        } else if out.readableBytes > 0 {
            let last = slots.index(before: slots.endIndex)
            queuedBytes += out.readableBytes
            slots[last].following = out.takeArray()
        }
        slot.valueBytes = valueBytes
        queuedBytes += valueBytes
        slots.append(slot)
        return firstSlot + UInt64(slots.count - 1)
    }

    // MARK: Answering

    /// Collects what has arrived and writes every reply whose turn it is.
    func takeAnswers() {
        for (number, answer) in inbox.collect() {
            guard number >= firstSlot, number - firstSlot < UInt64(slots.count) else { continue }
            let at = slots.index(slots.startIndex, offsetBy: Int(number - firstSlot))
            if slots[at].answer == nil { slots[at].answer = answer }
        }
        guard slots.first?.answer != nil else { return answerAhead() }
        while let answer = slots.first?.answer {
            let slot = slots.removeFirst()
            firstSlot += 1
            if !slot.isWritten { writeMeasured(answer, slot.reply) }
            queuedBytes -= slot.following.count + slot.valueBytes
            ready.writeBytes(slot.following)
        }
        if slots.isEmpty {
            isHeldBack = false
            // Nothing is pending any more: both parts of the output become one.
            ready.take(&out)
            swap(&ready, &out)
        } else {
            answerAhead()
        }
    }

    private func writeMeasured(_ answer: PendingAnswer, _ reply: PendingReply) {
        let written = ready.readableBytes
        write(answer, reply)
        answerBytesExpected = max(ready.readableBytes - written, answerBytesExpected - answerBytesExpected / 8)
    }

    /// The keys of one retrieval may be answered in any order: once a later one's answer has overtaken the first one's, whose
    /// node is slow or hangs, none of those that are there waits for it. Only the `END` does.
    private func answerAhead() {
        guard let retrieval = slots.first?.retrieval,
            slots.contains(where: { $0.retrieval == retrieval && $0.answer != nil && !$0.isWritten })
        else { return }
        for at in slots.indices {
            guard slots[at].retrieval == retrieval else { return }
            if let answer = slots[at].answer, !slots[at].isWritten {
                slots[at].isWritten = true
                writeMeasured(answer, slots[at].reply)
            }
            writeOwn(behind: at, retrieval)
        }
    }

    /// The values of a retrieval that stand behind one of its slots: all that is between two of them, and what comes before
    /// its `END`.
    private func writeOwn(behind at: Int, _ retrieval: UInt64) {
        let isLast = at + 1 == slots.endIndex
        let isBetween = !isLast && slots[at + 1].retrieval == retrieval
        let own = isBetween ? slots[at].following.count : slots[at].ownBytes
        guard own > 0 else { return }
        slots[at].ownBytes = 0
        if isLast {
            ready.writeBytes(UnsafeRawBufferPointer(rebasing: out.readable[..<own]))
            out.consume(own)
        } else {
            slots[at].following.withUnsafeBytes { ready.writeBytes(UnsafeRawBufferPointer(rebasing: $0[..<own])) }
            slots[at].following.removeFirst(own)
            queuedBytes -= own
        }
    }

    private func write(_ answer: PendingAnswer, _ reply: PendingReply) {
        switch reply {
        case .retrieval(let key, let answersUnique, let isAlone):
            writeRetrieval(answer, key: key, answersUnique: answersUnique, isAlone: isAlone)
        case .line(let command):
            if case .call(let result) = answer {
                writeVirtualSet(result)
            } else if case .item(let outcome) = answer {
                countAnswered(command, outcome)
                ready.writeOutcome(outcome)
            }
        case .meta(let reply): writeMetaAnswer(answer, reply)
        case .acknowledgement:
            if case .call(.failure(let failure)) = answer {
                counters.add(.forwardErrors)
                ready.writeFailure(failure)
            } else {
                ready.writeLine("OK\r\n")
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
        }
        guard isAlone else { return }
        if let failure { ready.writeFailure(failure) } else { ready.writeLine("END\r\n") }
    }

    private func writeValue(key: [UInt8], flags: UInt32, unique: UInt64?, _ value: [UInt8]) {
        key.withUnsafeBytes { key in
            value.withUnsafeBytes { value in
                ready.writeValue(key: key, flags: flags, unique: unique, value: value)
            }
        }
    }

    private func writeVirtualSet(_ result: Result<Value, Failure>) {
        switch result {
        case .success: ready.writeLine("STORED\r\n")
        case .failure(let failure):
            if failure.reason == .miss {
                ready.writeLine("NOT_STORED\r\n")
            } else {
                counters.add(.virtualErrors)
                ready.writeFailure(failure)
            }
        }
    }
}
