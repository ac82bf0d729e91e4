// Methods that are answered before the session goes on: no place is kept for their answers, nobody is woken.
//
// Unsafe: keys and values are raw buffers into the input.

import Engine
import Gather

extension MemcachedSession {
    /// The answer to a key that names a method, if it is to be had at once. Whether its `END`, or what stands for it, is
    /// written already or comes with a pending answer; nil when nothing has happened.
    @inline(__always)
    func answerAtOnce(
        _ method: LocatedMethod, _ key: UnsafeRawBufferPointer, _ verb: RetrievalVerb, isAlone: Bool
    ) -> Bool? {
        guard let objects else { return nil }
        let outcome = objects.callAtOnce(method, key: key, data: nil) { value in
            sending.written.writeValue(key: key, flags: 0, unique: verb.answersUnique ? 0 : nil, value: value)
        }
        switch outcome {
        case .declined: return nil
        case .answered:
            counters.add(.virtualCalls)
            return false
        case .missed: return answerMiss(key, verb)
        case .failed(let failure): return answerFailure(failure, isAlone)
        case .paused(let call):
            awaitAnswer(of: call, .retrieval(key: Array(key), answersUnique: verb.answersUnique, isAlone: isAlone))
            return isAlone
        }
    }

    /// What a method of an object that is not there answers.
    private static var missBytes: UnsafeRawBufferPointer {
        let word: StaticString = "ERROR_CACHE_MISS"
        return UnsafeRawBufferPointer(start: word.utf8Start, count: word.utf8CodeUnitCount)
    }

    @inline(never)
    private func answerMiss(_ key: UnsafeRawBufferPointer, _ verb: RetrievalVerb) -> Bool {
        counters.add(.virtualCalls)
        sending.written.writeValue(key: key, flags: 0, unique: verb.answersUnique ? 0 : nil, value: Self.missBytes)
        return false
    }

    @inline(never)
    private func answerFailure(_ failure: Failure, _ isAlone: Bool) -> Bool {
        counters.add(.virtualCalls)
        counters.add(.virtualErrors)
        if isAlone { sending.written.writeFailure(failure) }
        return isAlone
    }

    /// Calls the method that a `set` names, with its data block. False when nothing has happened.
    func storeAtOnce(
        _ method: LocatedMethod, _ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, _ isSilent: Bool
    ) -> Bool {
        guard let objects else { return false }
        switch objects.callAtOnce(method, key: key, data: value, answer: { _ in }) {
        case .declined: return false
        case .answered:
            counters.add(.virtualCalls)
            if !isSilent { sending.written.writeLine("STORED\r\n") }
        case .missed:
            counters.add(.virtualCalls)
            if !isSilent { sending.written.writeLine("NOT_STORED\r\n") }
        case .failed(let failure):
            counters.add(.virtualCalls)
            counters.add(.virtualErrors)
            if !isSilent { sending.written.writeFailure(failure) }
        case .paused(let call): awaitAnswer(of: call, isSilent ? .silent(.virtualSet) : .line(.virtualSet))
        }
        return true
    }

    /// Calls the method that an `mg` or `ms` names. `data`: the block of an `ms`. False when nothing has happened.
    func metaAtOnce(
        _ method: LocatedMethod, _ command: MetaCommand, _ echo: MetaEcho, key: UnsafeRawBufferPointer,
        data: UnsafeRawBufferPointer?
    ) -> Bool {
        guard let objects else { return false }
        func write(_ status: MetaStatus, _ value: UnsafeRawBufferPointer) {
            var facts = MetaFacts()
            facts.valueBytes = data?.count ?? value.count
            sending.written.writeMeta(
                echo, status, facts, value: data == nil ? value : .init(start: nil, count: 0), now: now)
        }
        switch objects.callAtOnce(method, key: key, data: data, answer: { write(.found, $0) }) {
        case .declined: return false
        case .answered: counters.add(.virtualCalls)
        case .missed:
            counters.add(.virtualCalls)
            write(data == nil ? .found : .notStored, Self.missBytes)
        case .failed(let failure):
            counters.add(.virtualCalls)
            counters.add(.virtualErrors)
            sending.written.writeFailure(failure)
        case .paused(let call):
            awaitAnswer(of: call, .meta(MetaReply(echo, command, valueBytes: data?.count ?? 0)))
        }
        return true
    }

    /// The answer of a method that goes on elsewhere gets its place.
    @inline(never)
    private func awaitAnswer(of call: PausedCall, _ reply: PendingReply) {
        counters.add(.virtualCalls)
        let slot = openSlot(reply)
        let inbox = inbox
        call.finish { result in inbox.post(.call(result.map { .bytes($0.answer) }), slot: slot) }
    }
}
