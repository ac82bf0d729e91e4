// Puts answers that came from elsewhere on the wire for clients of the binary protocol.

import Engine
import Gather

struct BinaryAnswerWriter {
    private let counters: SessionCounters

    init(_ counters: SessionCounters) { self.counters = counters }

    func write(_ answer: PendingAnswer, _ reply: BinaryReply, _ out: inout SessionOutput) {
        let echo = reply.echo
        let isRetrieval = BinaryVerb(opcode: echo.opcode)?.isRetrieval ?? false
        switch answer {
        case .item(.meta(let answer)):
            if let command = reply.command { counters.count(command, answer.status) }
            out.ready.writeBinary(echo, answer.status, answer.facts, answer.value)
        case .item(.value(let flags, let unique, let bytes)):
            counters.count(echo, isHit: true)
            Self.writeValue(reply, flags: flags, unique: unique, bytes, &out)
        case .item(.failed(let failure)):
            counters.add(.forwardErrors)
            writeFailure(failure, echo, &out)
        case .item(.outOfMemory): out.ready.writeBinary(echo, .outOfMemory)
        case .item(.miss):
            counters.count(echo, isHit: false)
            writeMiss(reply, &out)
        case .item: out.ready.writeBinary(echo, PeerReply.notUnderstood)
        case .call(.success(let value)):
            if isRetrieval { return Self.writeValue(reply, flags: 0, unique: 0, value.answer, &out) }
            if !echo.isQuiet { out.ready.writeBinary(echo, .done) }
        case .call(.failure(.noSuchKey)) where isRetrieval:
            counters.count(echo, isHit: false)
            writeMiss(reply, &out)
        case .call(.failure(let failure)) where failure.reason == .miss:
            guard !isRetrieval else {
                return Self.writeValue(reply, flags: 0, unique: 0, Array("ERROR_CACHE_MISS".utf8), &out)
            }
            out.ready.writeBinary(echo, BinaryStatus(.notStored, of: BinaryVerb(opcode: echo.opcode)))
        case .call(.failure(let failure)):
            counters.add(BinaryVerb(opcode: echo.opcode) == .flush ? .forwardErrors : .virtualErrors)
            writeFailure(failure, echo, &out)
        case .text(let text): writeText(text, reply, isRetrieval, &out)
        case .forwarded: preconditionFailure("read before")
        }
    }

    private static func writeValue(
        _ reply: BinaryReply, flags: UInt32, unique: UInt64, _ value: [UInt8], _ out: inout SessionOutput
    ) {
        if BinaryVerb(opcode: reply.echo.opcode) == .touch {
            return out.ready.writeBinaryTouched(reply.echo, flags: flags, unique: unique)
        }
        reply.key.withUnsafeBytes { key in
            value.withUnsafeBytes { value in
                out.ready.writeBinaryValue(reply.echo, key: key, flags: flags, unique: unique, value: value)
            }
        }
    }

    private func writeText(
        _ text: LeasedText, _ reply: BinaryReply, _ isRetrieval: Bool, _ out: inout SessionOutput
    ) {
        guard isRetrieval else { return reply.echo.isQuiet ? () : out.ready.writeBinary(reply.echo, .done) }
        reply.key.withUnsafeBytes { key in
            out.ready.writeBinaryValueHead(reply.echo, key: key, flags: 0, unique: 0, valueBytes: text.bytes.count)
        }
        out.pin(text)
    }

    private func writeMiss(_ reply: BinaryReply, _ out: inout SessionOutput) {
        if reply.echo.isQuiet { return }
        reply.key.withUnsafeBytes { out.ready.writeBinaryMiss(reply.echo, key: $0) }
    }

    /// A quiet get leaves out what it can't answer, as one of the text protocol does of several keys: what comes behind it is answered.
    private func writeFailure(_ failure: Failure, _ echo: BinaryEcho, _ out: inout SessionOutput) {
        if echo.isQuiet, BinaryVerb(opcode: echo.opcode)?.isRetrieval ?? false { return }
        out.ready.writeBinary(echo, failure)
    }
}
