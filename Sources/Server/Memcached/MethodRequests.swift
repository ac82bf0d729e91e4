// Methods that a session calls: at once, where no place is kept for their answers and nobody is woken, or with a place.
//
// Unsafe: keys and values are raw buffers into the input; what outlives the call is copied.

import Engine
import Gather

/// One thread at a time.
final class MethodRequests<Routing: CommandRouter> {
    private let context: SessionContext<Routing>
    private let counters: SessionCounters
    private let replies: ReplyQueue
    private let forwards: ForwardQueue<Routing>

    init(_ context: SessionContext<Routing>, replies: ReplyQueue, forwards: ForwardQueue<Routing>) {
        self.context = context
        counters = context.counters
        self.replies = replies
        self.forwards = forwards
    }

    // MARK: At once

    /// The answer to a key that names a method, if it is to be had at once. Whether its `END`, or what stands for it, is
    /// written already or comes with a pending answer; nil when nothing has happened.
    @inline(__always)
    func answerAtOnce(
        _ method: LocatedMethod, _ key: UnsafeRawBufferPointer, _ verb: RetrievalVerb, isAlone: Bool
    ) -> Bool? {
        guard let objects = context.objects else { return nil }
        let outcome = objects.callAtOnce(method, key: key, data: nil) { value in
            replies.written.writeValue(key: key, flags: 0, unique: verb.answersUnique ? 0 : nil, value: value)
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
        replies.written.writeValue(key: key, flags: 0, unique: verb.answersUnique ? 0 : nil, value: Self.missBytes)
        return false
    }

    @inline(never)
    private func answerFailure(_ failure: Failure, _ isAlone: Bool) -> Bool {
        counters.add(.virtualCalls)
        counters.add(.virtualErrors)
        if isAlone { replies.written.writeFailure(failure) }
        return isAlone
    }

    /// Calls the method that a `set` names, with its data block. False when nothing has happened.
    func storeAtOnce(
        _ method: LocatedMethod, _ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, _ isSilent: Bool
    ) -> Bool {
        guard let objects = context.objects else { return false }
        switch objects.callAtOnce(method, key: key, data: value, answer: { _ in }) {
        case .declined: return false
        case .answered:
            counters.add(.virtualCalls)
            if !isSilent { replies.written.writeLine("STORED\r\n") }
        case .missed:
            counters.add(.virtualCalls)
            if !isSilent { replies.written.writeLine("NOT_STORED\r\n") }
        case .failed(let failure):
            counters.add(.virtualCalls)
            counters.add(.virtualErrors)
            if !isSilent { replies.written.writeFailure(failure) }
        case .paused(let call): awaitAnswer(of: call, isSilent ? .silent(.virtualSet) : .line(.virtualSet))
        }
        return true
    }

    /// Calls the method that an `mg` or `ms` names. `data`: the block of an `ms`. False when nothing has happened.
    func metaAtOnce(
        _ method: LocatedMethod, _ command: MetaCommand, _ echo: MetaEcho, key: UnsafeRawBufferPointer,
        data: UnsafeRawBufferPointer?
    ) -> Bool {
        guard let objects = context.objects else { return false }
        func write(_ status: MetaStatus, _ value: UnsafeRawBufferPointer) {
            var facts = MetaFacts()
            facts.valueBytes = data?.count ?? value.count
            replies.written.writeMeta(
                echo, status, facts, value: data == nil ? value : .init(start: nil, count: 0), now: context.now)
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
            replies.written.writeFailure(failure)
        case .paused(let call):
            awaitAnswer(of: call, .meta(MetaReply(echo, command, valueBytes: data?.count ?? 0)))
        }
        return true
    }

    /// Calls the method that a request of the binary protocol names. `data`: the value of a set, nil for a get. False when nothing
    /// has happened.
    func binaryAtOnce(
        _ method: LocatedMethod, _ echo: BinaryEcho, key: UnsafeRawBufferPointer, data: UnsafeRawBufferPointer?
    ) -> Bool {
        guard let objects = context.objects else { return false }
        func write(_ value: UnsafeRawBufferPointer) {
            guard data == nil else { return echo.isQuiet ? () : replies.written.writeBinary(echo, .done) }
            replies.written.writeBinaryValue(echo, key: key, flags: 0, unique: 0, value: value)
        }
        switch objects.callAtOnce(method, key: key, data: data, answer: write) {
        case .declined: return false
        case .answered: counters.add(.virtualCalls)
        case .missed:
            counters.add(.virtualCalls)
            if data == nil { write(Self.missBytes) } else { replies.written.writeBinary(echo, .notStored) }
        case .failed(let failure):
            counters.add(.virtualCalls)
            counters.add(.virtualErrors)
            // A quiet get leaves out what it can't answer.
            if data != nil || !echo.isQuiet { replies.written.writeBinary(echo, failure) }
        case .paused(let call): awaitAnswer(of: call, .binary(BinaryReply(echo, key: key)))
        }
        return true
    }

    /// The answer of a method that goes on elsewhere gets its place.
    @inline(never)
    private func awaitAnswer(of call: PausedCall, _ reply: PendingReply) {
        counters.add(.virtualCalls)
        let slot = replies.openSlot(reply)
        let inbox = context.inbox
        call.finish { result in inbox.post(.call(result.map { .bytes($0.answer) }), slot: slot) }
    }

    // MARK: With a place for the answer

    /// Calls a method of whichever node has its object, or of a service.
    func call(_ key: VirtualKey, data: [UInt8]?, _ reply: PendingReply) {
        let isService = context.router.holdsBack(key)
        // What it works on may be what the requests before it change.
        if isService, !replies.isEmpty { return replies.postpone() }
        counters.add(.virtualCalls)
        if let place = context.router.place(of: key) { return forwards.addCall(key, data: data, place, reply) }
        forwards.send()
        let slot = replies.openSlot(reply, valueBytes: data?.count ?? 0)
        if isService { replies.holdBack() }
        let inbox = context.inbox
        context.router.callForText(key, data: data, links: context.links, roles: context.roles) { result in
            switch result {
            case .success(.bytes(let text)): inbox.post(.call(.success(.bytes(text))), slot: slot)
            case .success(.leased(let text)): inbox.post(.text(text), slot: slot)
            case .failure(let failure):
                // A miss is the answer of a method whose object is not there; a frame or job that is not there is an error.
                let isError = isService && failure.reason == .miss
                inbox.post(.call(.failure(isError ? failure.because(of: .scriptError) : failure)), slot: slot)
            }
        }
    }

    // MARK: None

    /// Whether an `add` of this key is a `new` that makes its object only where there is none.
    func makesOnlyIfAbsent(_ verb: StoreVerb, _ key: VirtualKey) -> Bool {
        verb == .add && key.method == "new" && !context.router.holdsBack(key)
    }

    /// What a command that calls no method answers for a key that names one: an item under it could never be read.
    @inline(never)
    func refuse(_ key: UnsafeRawBufferPointer, isSilent: Bool) {
        counters.add(.virtualErrors)
        if !isSilent { replies.written.writeFailure(Self.refusal(of: key)) }
    }

    /// The same in the binary protocol.
    @inline(never)
    func refuse(_ key: UnsafeRawBufferPointer, _ echo: BinaryEcho) {
        counters.add(.virtualErrors)
        replies.written.writeBinary(echo, Self.refusal(of: key))
    }

    private static func refusal(of key: UnsafeRawBufferPointer) -> Failure {
        let shown = String(decoding: key.prefix(80), as: UTF8.self)
        return Failure(
            .scriptError,
            "\(shown) names a method: get, set, mg and ms call it (add and ms with ME a new), other commands are for "
                + "plain keys")
    }
}
