// Puts answers that came from elsewhere on the wire, as each command wants them.
//
// Unsafe: reads answers where they lie, through raw buffers.

import Engine
import Gather

struct AnswerWriter {
    private let counters: SessionCounters
    private let binary: BinaryAnswerWriter

    init(_ counters: SessionCounters) {
        self.counters = counters
        binary = BinaryAnswerWriter(counters)
    }

    /// Writes the reply of a slot that has its answer. `now`: unix seconds.
    func write(_ slot: borrowing PendingSlot, to out: inout SessionOutput, now: UInt32) {
        guard let answer = slot.answer else { return }
        guard case .forwarded(let answers, let at) = answer else { return write(answer, slot, &out, now) }
        if writePlain(answers, at, slot, &out) { return }
        let read: PendingAnswer =
            slot.isCall ? .call(ForwardAnswer.result(answers, at: at)) : .item(ForwardAnswer.outcome(answers, at: at))
        write(read, slot, &out, now)
    }

    /// Writes an answer from where it lies, if it is one of the usual ones.
    private func writePlain(
        _ answers: [UInt8], _ at: Int, _ slot: borrowing PendingSlot, _ out: inout SessionOutput
    ) -> Bool {
        ForwardAnswer.withPlain(answers, at: at) { plain in
            switch slot.forwarded {
            case .some(let forwarded): return writePlain(plain, forwarded, isCall: slot.isCall, &out)
            case nil: break
            }
            guard case .stored = plain else { return false }
            switch slot.reply {
            case .line(let command):
                counters.count(command, .stored)
                out.ready.writeLine("STORED\r\n")
                return true
            case .silent(let command):
                counters.count(command, .stored)
                return true
            default: return false
            }
        }
    }

    @inline(__always)
    private func writePlain(
        _ plain: ForwardAnswer.Plain, _ forwarded: borrowing PendingSlot.Forwarded, isCall: Bool,
        _ out: inout SessionOutput
    ) -> Bool {
        var (flags, unique): (UInt32, UInt64) = (0, 0)
        var value: UnsafeRawBufferPointer?
        switch plain {
        case .value(let itsFlags, let itsUnique, let bytes) where !isCall:
            (flags, unique, value) = (itsFlags, itsUnique, bytes)
        case .miss where !isCall: break
        case .text(let bytes) where isCall: value = bytes
        default: return false
        }
        if !isCall { counters.count(retrievalHit: value != nil) }
        if let echo = forwarded.binary {
            forwarded.batch.withKey(at: forwarded.keyAt, bytes: Int(forwarded.keyBytes)) { key in
                if let value {
                    out.ready.writeBinaryValue(echo, key: key, flags: flags, unique: unique, value: value)
                } else if !echo.isQuiet {
                    out.ready.writeBinaryMiss(echo, key: key)
                }
            }
            return true
        }
        if let value {
            let wanted = forwarded.answersUnique ? unique : nil
            forwarded.batch.withKey(at: forwarded.keyAt, bytes: Int(forwarded.keyBytes)) { key in
                out.ready.writeValue(key: key, flags: flags, unique: wanted, value: value)
            }
        }
        if forwarded.isAlone { out.ready.writeLine("END\r\n") }
        return true
    }

    private func write(
        _ answer: PendingAnswer, _ slot: borrowing PendingSlot, _ out: inout SessionOutput, _ now: UInt32
    ) {
        switch slot.forwarded {
        case .some(let forwarded):
            let key = forwarded.batch.withKey(at: forwarded.keyAt, bytes: Int(forwarded.keyBytes)) { Array($0) }
            if let echo = forwarded.binary {
                let reply = key.withUnsafeBytes { BinaryReply(echo, key: $0) }
                return binary.write(answer, reply, &out)
            }
            writeRetrieval(
                answer, key: key, answersUnique: forwarded.answersUnique, isAlone: forwarded.isAlone, &out)
        case nil: write(answer, slot.reply, &out, now)
        }
    }

    private func write(_ answer: PendingAnswer, _ reply: PendingReply, _ out: inout SessionOutput, _ now: UInt32) {
        switch reply {
        case .retrieval(let key, let answersUnique, let isAlone):
            writeRetrieval(answer, key: key, answersUnique: answersUnique, isAlone: isAlone, &out)
        case .forwardedRetrieval: preconditionFailure("told by what was forwarded")
        case .line(let command):
            if case .call(let result) = answer {
                writeVirtualSet(result, &out)
            } else if case .text = answer {
                out.ready.writeLine("STORED\r\n")
            } else if case .item(let outcome) = answer {
                counters.countForwarded(command, outcome)
                out.ready.writeOutcome(outcome)
            }
        case .meta(let reply): writeMeta(answer, reply, &out, now)
        case .binary(let reply): binary.write(answer, reply, &out)
        case .login(let echo):
            let isRight = if case .call(.success) = answer { true } else { false }
            out.ready.writeLogin(isRight: isRight, echo)
        case .acknowledgement:
            if case .call(.failure(let failure)) = answer {
                counters.add(.forwardErrors)
                out.ready.writeFailure(failure)
            } else {
                out.ready.writeLine("OK\r\n")
            }
        case .silent(let command):
            if case .item(let outcome) = answer { counters.countForwarded(command, outcome) }
            if case .call(.failure) = answer { counters.add(.virtualErrors) }
        }
    }

    // MARK: get and set

    private func writeRetrieval(
        _ answer: PendingAnswer, key: [UInt8], answersUnique: Bool, isAlone: Bool, _ out: inout SessionOutput
    ) {
        var failure: Failure?
        switch answer {
        case .item(.value(let flags, let unique, let bytes)):
            counters.count(retrievalHit: true)
            Self.writeValue(key: key, flags: flags, unique: answersUnique ? unique : nil, bytes, &out)
        case .item(.failed(let reason)):
            counters.add(.forwardErrors)
            failure = reason
        case .item:
            counters.count(retrievalHit: false)
        case .call(.success(let value)):
            Self.writeValue(key: key, flags: 0, unique: answersUnique ? 0 : nil, value.answer, &out)
        case .call(.failure(.noSuchKey)):
            counters.count(retrievalHit: false)
        case .call(.failure(let reason)) where reason.reason == .miss:
            Self.writeValue(
                key: key, flags: 0, unique: answersUnique ? 0 : nil, Array("ERROR_CACHE_MISS".utf8), &out)
        case .call(.failure(let reason)):
            counters.add(.virtualErrors)
            failure = reason
        case .text(let text):
            key.withUnsafeBytes { key in
                out.ready.writeValueLine(
                    key: key, flags: 0, unique: answersUnique ? 0 : nil, valueBytes: text.bytes.count)
            }
            out.pin(text)
            out.ready.writeLine("\r\n")
        case .forwarded: preconditionFailure("read before")
        }
        guard isAlone else { return }
        if let failure { out.ready.writeFailure(failure) } else { out.ready.writeLine("END\r\n") }
    }

    private static func writeValue(
        key: [UInt8], flags: UInt32, unique: UInt64?, _ value: [UInt8], _ out: inout SessionOutput
    ) {
        key.withUnsafeBytes { key in
            value.withUnsafeBytes { value in
                out.ready.writeValue(key: key, flags: flags, unique: unique, value: value)
            }
        }
    }

    private func writeVirtualSet(_ result: Result<Value, Failure>, _ out: inout SessionOutput) {
        switch result {
        case .success: out.ready.writeLine("STORED\r\n")
        case .failure(let failure):
            if failure.reason == .miss {
                out.ready.writeLine("NOT_STORED\r\n")
            } else {
                counters.add(.virtualErrors)
                out.ready.writeFailure(failure)
            }
        }
    }

    // MARK: Meta commands

    private func writeMeta(_ answer: PendingAnswer, _ reply: MetaReply, _ out: inout SessionOutput, _ now: UInt32) {
        switch answer {
        case .item(.meta(let answer)):
            counters.count(reply.command, answer.status)
            var facts = answer.facts
            if answer.status != .found { facts.valueBytes = reply.valueBytes }
            Self.write(
                reply, answer.status, facts, answer.value, knownUnique: reply.command.knownUnique, &out, now)
        case .item(.failed(let failure)):
            counters.add(.forwardErrors)
            out.ready.writeFailure(failure)
        case .item: out.ready.writeFailure(PeerReply.notUnderstood)
        case .call(let result): writeMetaCall(result, reply, &out, now)
        case .text(let text): Self.writeMetaText(text, reply, &out, now)
        case .forwarded: preconditionFailure("read before")
        }
    }

    private func writeMetaCall(
        _ result: Result<Value, Failure>, _ reply: MetaReply, _ out: inout SessionOutput, _ now: UInt32
    ) {
        var value: [UInt8] = []
        switch result {
        case .success(let answer): value = answer.answer
        case .failure(.noSuchKey) where reply.verb == .get:
            return Self.write(reply, .miss, MetaFacts(), [], &out, now)
        case .failure(let failure) where failure.reason == .miss:
            if reply.verb == .set { return Self.write(reply, .notStored, MetaFacts(), [], &out, now) }
            value = Array("ERROR_CACHE_MISS".utf8)
        case .failure(let failure):
            counters.add(.virtualErrors)
            return out.ready.writeFailure(failure)
        }
        var facts = MetaFacts()
        facts.valueBytes = reply.verb == .set ? reply.valueBytes : value.count
        Self.write(reply, .found, facts, value, &out, now)
    }

    private static func writeMetaText(
        _ text: LeasedText, _ reply: MetaReply, _ out: inout SessionOutput, _ now: UInt32
    ) {
        var facts = MetaFacts()
        facts.valueBytes = text.bytes.count
        reply.withEcho { echo in
            let hasPlace = out.ready.writeMeta(echo, .found, facts, value: text.bytes, now: now, isPinned: true)
            if hasPlace { out.pin(text, bytesAfter: "\r\n".utf8.count) }
        }
    }

    private static func write(
        _ reply: MetaReply, _ status: MetaStatus, _ facts: MetaFacts, _ value: [UInt8], knownUnique: UInt64? = nil,
        _ out: inout SessionOutput, _ now: UInt32
    ) {
        reply.withEcho(knownUnique: knownUnique) { echo in
            value.withUnsafeBytes { _ = out.ready.writeMeta(echo, status, facts, value: $0, now: now) }
        }
    }
}
