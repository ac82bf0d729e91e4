// What a session does for mg, ms, md, ma and me.
//
// Unsafe: keys, flags and values are raw buffers into the input; what outlives the call is copied.

import Engine
import Gather

extension MemcachedSession {
    /// One meta command: how much of the input it took, 0 while its data block is not there yet.
    func performMeta(_ verb: MetaVerb, _ bytes: UnsafeRawBufferPointer, _ lineBytes: Int) -> MetaStep {
        let hasReturn = lineBytes > 1 && bytes[lineBytes - 2] == 0x0D
        let line = UnsafeRawBufferPointer(rebasing: bytes[..<(lineBytes - (hasReturn ? 2 : 1))])
        switch parser.parseMeta(verb, line, now: now) {
        case .refused(let refusal, let blockBytes):
            sending.written.writeLine(refusal.line)
            return .done(bytes: lineBytes, swallow: blockBytes.map { $0 + 2 } ?? 0)
        case .request(let request):
            guard verb == .set else {
                withKey(request, line) { performMeta(verb, request, line, key: $0, value: .init(start: nil, count: 0)) }
                if !isPostponed { counters.add(.cmdMeta) }
                return .done(bytes: lineBytes, swallow: 0)
            }
            return metaSet(request, line, bytes, lineBytes)
        }
    }

    private func metaSet(
        _ request: MetaRequest, _ line: UnsafeRawBufferPointer, _ bytes: UnsafeRawBufferPointer, _ lineBytes: Int
    ) -> MetaStep {
        guard request.valueBytes <= configuration.itemBytesMax else {
            counters.add(.cmdMeta)
            withKey(request, line) { removeRefused($0, .storeTooLarge) }
            sending.written.writeOutcome(.tooLarge)
            return .done(bytes: lineBytes, swallow: request.valueBytes + 2)
        }
        let blockEnd = lineBytes + request.valueBytes
        guard bytes.count >= blockEnd + 2 else { return .needs(bytes: blockEnd + 2) }
        defer { if !isPostponed { counters.add(.cmdMeta) } }
        if bytes[blockEnd] != 0x0D || bytes[blockEnd + 1] != 0x0A {
            sending.written.writeLine("CLIENT_ERROR bad data chunk\r\n")
        } else {
            let value = UnsafeRawBufferPointer(rebasing: bytes[lineBytes..<blockEnd])
            withKey(request, line) { performMeta(.set, request, line, key: $0, value: value) }
        }
        return .done(bytes: blockEnd + 2, swallow: 0)
    }

    /// There is no memory to take in the block of this line.
    func refuseMetaBlock(_ verb: MetaVerb, _ bytes: UnsafeRawBufferPointer, _ lineBytes: Int) {
        let hasReturn = lineBytes > 1 && bytes[lineBytes - 2] == 0x0D
        let line = UnsafeRawBufferPointer(rebasing: bytes[..<(lineBytes - (hasReturn ? 2 : 1))])
        guard case .request(let request) = parser.parseMeta(verb, line, now: now) else { return }
        counters.add(.cmdMeta)
        withKey(request, line) { removeRefused($0, .storeNoMemory) }
        sending.written.writeOutcome(.outOfMemory)
    }

    /// Runs `body` on the key, decoded where it came as base64.
    private func withKey(
        _ request: MetaRequest, _ line: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer) -> Void
    ) {
        let sent = UnsafeRawBufferPointer(rebasing: line[request.key])
        guard request.isBinaryKey else { return body(sent) }
        withUnsafeTemporaryAllocation(byteCount: RequestParser.keyBytesMax, alignment: 1) { buffer in
            let count = Base64.decode(sent, into: buffer)
            body(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        }
    }

    /// As memcached does for every mode: what is too large to be stored must not leave an old value behind.
    private func removeRefused(_ key: UnsafeRawBufferPointer, _ counter: SessionCounter) {
        counters.add(.cmdSet)
        counters.add(counter)
        switch router.route(key, virtual: configuration.allowsVirtualKeys) {
        case .local:
            let hash = keyHash(key)
            _ = stores[hash].delete(key: key, hash: hash, now: now)
        case .remote(let node): forward(.delete, key, node, .silent(.delete))
        case .virtual: break
        }
    }

    private func performMeta(
        _ verb: MetaVerb, _ request: MetaRequest, _ line: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer,
        value: UnsafeRawBufferPointer
    ) {
        let echo = MetaEcho(
            verb: verb, key: UnsafeRawBufferPointer(rebasing: line[request.key]), isBinaryKey: request.isBinaryKey,
            flags: UnsafeRawBufferPointer(rebasing: line[request.flags]), isQuiet: request.isQuiet,
            wantsValue: request.command.options.contains(.wantsValue))
        let mayBeVirtual = verb == .get || (verb == .set && request.command.storeVerb == .set)
        if mayBeVirtual, configuration.allowsVirtualKeys, let method = router.locate(key),
            metaAtOnce(method, request.command, echo, key: key, data: verb == .set ? value : nil)
        {
            return
        }
        switch router.route(key, virtual: configuration.allowsVirtualKeys) {
        case .local:
            var echo = echo
            echo.knownUnique = request.command.knownUnique
            metaLocally(request.command, echo, key: key, value: value)
        case .remote(let node):
            let reply = MetaReply(echo, request.command, valueBytes: value.count)
            forward(.meta(request.command, value: Array(value)), key, node, .meta(reply), valueBytes: value.count)
        case .virtual(var virtualKey):
            virtualKey.onlyIfAbsent = verb == .set && makesOnlyIfAbsent(request.command.storeVerb, virtualKey)
            guard mayBeVirtual || virtualKey.onlyIfAbsent else {
                return refuseVirtual(key, isSilent: false)
            }
            virtualKey.expiry = verb == .set ? request.command.expiry : 0
            let reply = MetaReply(echo, request.command, valueBytes: value.count)
            call(virtualKey, data: verb == .set ? Array(value) : nil, .meta(reply))
        }
    }

    /// The value goes from the store straight into the output.
    private func metaLocally(
        _ command: MetaCommand, _ echo: MetaEcho, key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer
    ) {
        let hash = keyHash(key)
        let status = stores[hash].meta(command, value: value, key: key, hash: hash, now: now) {
            facts, value in
            sending.written.writeMeta(echo, .found, facts, value: value, now: now)
        }
        if status != .found {
            var facts = MetaFacts()
            facts.valueBytes = value.count
            sending.written.writeMeta(
                echo, status, facts, value: UnsafeRawBufferPointer(start: nil, count: 0), now: now)
        }
        countMeta(command, status)
        switch command.verb {
        case .get: statistics.prefixes.record(key, .get(isHit: status == .found))
        case .set: statistics.prefixes.record(key, .set)
        case .delete: statistics.prefixes.record(key, .delete)
        default: break
        }
    }

    // MARK: Answers from elsewhere

    func writeMetaAnswer(_ answer: PendingAnswer, _ reply: MetaReply) {
        switch answer {
        case .item(.meta(let answer)):
            countMeta(reply.command, answer.status)
            var facts = answer.facts
            if answer.status != .found { facts.valueBytes = reply.valueBytes }
            write(reply, answer.status, facts, answer.value, knownUnique: reply.command.knownUnique)
        case .item(.failed(let failure)):
            counters.add(.forwardErrors)
            sending.ready.writeFailure(failure)
        case .item: sending.ready.writeFailure(PeerReply.notUnderstood)
        case .call(let result): writeMetaCall(result, reply)
        case .text(let text): writeMetaText(text, reply)
        case .forwarded: preconditionFailure("read before")
        }
    }

    private func writeMetaCall(_ result: Result<Value, Failure>, _ reply: MetaReply) {
        var value: [UInt8] = []
        switch result {
        case .success(let answer): value = answer.answer
        case .failure(.noSuchKey) where reply.verb == .get: return write(reply, .miss, MetaFacts(), [])
        case .failure(let failure) where failure.reason == .miss:
            if reply.verb == .set { return write(reply, .notStored, MetaFacts(), []) }
            value = Array("ERROR_CACHE_MISS".utf8)
        case .failure(let failure):
            counters.add(.virtualErrors)
            return sending.ready.writeFailure(failure)
        }
        var facts = MetaFacts()
        facts.valueBytes = reply.verb == .set ? reply.valueBytes : value.count
        write(reply, .found, facts, value)
    }

    private func writeMetaText(_ text: LeasedText, _ reply: MetaReply) {
        var facts = MetaFacts()
        facts.valueBytes = text.bytes.count
        withEcho(of: reply) { echo in
            let hasPlace = sending.ready.writeMeta(echo, .found, facts, value: text.bytes, now: now, isPinned: true)
            if hasPlace { sending.pinned.append(text, behindBytes: sending.ready.readableBytes - "\r\n".utf8.count) }
        }
    }

    private func write(
        _ reply: MetaReply, _ status: MetaStatus, _ facts: MetaFacts, _ value: [UInt8], knownUnique: UInt64? = nil
    ) {
        withEcho(of: reply, knownUnique: knownUnique) { echo in
            value.withUnsafeBytes { _ = sending.ready.writeMeta(echo, status, facts, value: $0, now: now) }
        }
    }

    private func withEcho(of reply: MetaReply, knownUnique: UInt64? = nil, _ body: (MetaEcho) -> Void) {
        reply.key.withUnsafeBytes { key in
            reply.flags.withUnsafeBytes { flags in
                body(
                    MetaEcho(
                        verb: reply.verb, key: key, isBinaryKey: reply.isBinaryKey, flags: flags,
                        isQuiet: reply.isQuiet, wantsValue: reply.command.options.contains(.wantsValue),
                        knownUnique: knownUnique))
            }
        }
    }

    // MARK: Counting

    private func countMeta(_ command: MetaCommand, _ status: MetaStatus) {
        if status == .tooLarge { counters.add(.storeTooLarge) }
        if status == .outOfMemory { counters.add(.storeNoMemory) }
        let isMiss = status == .miss
        switch command.verb {
        case .get:
            counters.add(.cmdGet)
            counters.add(isMiss ? .getMisses : .getHits)
            guard command.options.contains(.touches) else { return }
            counters.add(.cmdTouch)
            counters.add(isMiss ? .touchMisses : .touchHits)
        case .set:
            counters.add(.cmdSet)
            guard command.options.contains(.comparesUnique) else { return }
            if status == .found { counters.add(.casHits) }
            if status == .exists { counters.add(.casBadval) }
            if isMiss { counters.add(.casMisses) }
        case .delete: counters.add(status == .found ? .deleteHits : .deleteMisses)
        case .increment: counters.add(isMiss ? .incrMisses : .incrHits)
        case .decrement: counters.add(isMiss ? .decrMisses : .decrHits)
        case .inspect: break
        }
    }
}

/// How far a meta command got.
enum MetaStep {
    /// It took the line and its data block; `swallow` more bytes are to be skipped.
    case done(bytes: Int, swallow: Int)
    case needs(bytes: Int)
}

/// What the answer to a meta command needs once its line is gone.
struct MetaReply {
    let verb: MetaVerb
    let command: MetaCommand
    let key: [UInt8]
    let isBinaryKey: Bool
    let flags: [UInt8]
    let isQuiet: Bool
    /// Of the data block of a set.
    let valueBytes: Int

    init(_ echo: MetaEcho, _ command: MetaCommand, valueBytes: Int) {
        verb = echo.verb
        self.command = command
        key = Array(echo.key)
        isBinaryKey = echo.isBinaryKey
        flags = Array(echo.flags)
        isQuiet = echo.isQuiet
        self.valueBytes = valueBytes
    }
}
