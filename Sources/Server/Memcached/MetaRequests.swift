// What a session does for mg, ms, md, ma and me.
//
// Unsafe: keys, flags and values are raw buffers into the input; what outlives the call is copied.

import Engine
import Gather

/// One thread at a time.
final class MetaRequests<Routing: CommandRouter> {
    private let context: SessionContext<Routing>
    private let counters: SessionCounters
    private let replies: ReplyQueue
    private let forwards: ForwardQueue<Routing>
    private let methods: MethodRequests<Routing>
    private let items: ItemRequests<Routing>
    private let permissions: RequestRoles<Routing>

    init(
        _ context: SessionContext<Routing>, replies: ReplyQueue, forwards: ForwardQueue<Routing>,
        methods: MethodRequests<Routing>, items: ItemRequests<Routing>
    ) {
        self.context = context
        counters = context.counters
        self.replies = replies
        self.forwards = forwards
        self.methods = methods
        self.items = items
        permissions = RequestRoles(context)
    }

    /// One meta command: how much of the input it took, 0 while its data block is not there yet.
    func perform(_ verb: MetaVerb, _ bytes: UnsafeRawBufferPointer, _ lineBytes: Int) -> RequestStep {
        let hasReturn = lineBytes > 1 && bytes[lineBytes - 2] == 0x0D
        let line = UnsafeRawBufferPointer(rebasing: bytes[..<(lineBytes - (hasReturn ? 2 : 1))])
        switch context.parser.parseMeta(verb, line, now: context.now) {
        case .refused(let refusal, let blockBytes):
            replies.written.writeLine(refusal.line)
            return .done(bytes: lineBytes, swallow: blockBytes.map { $0 + 2 } ?? 0)
        case .request(let request):
            if context.roles != .all, refuses(verb, request, line) {
                return .done(bytes: lineBytes, swallow: verb == .set ? request.valueBytes + 2 : 0)
            }
            guard verb == .set else {
                withKey(request, line) {
                    performWithKey(verb, request, line, key: $0, value: .init(start: nil, count: 0))
                }
                if !replies.isPostponed { counters.add(.cmdMeta) }
                return .done(bytes: lineBytes, swallow: 0)
            }
            return metaSet(request, line, bytes, lineBytes)
        }
    }

    /// Whether the client may not do this, which it is told then.
    private func refuses(_ verb: MetaVerb, _ request: MetaRequest, _ line: UnsafeRawBufferPointer) -> Bool {
        var failure: Failure?
        withKey(request, line) { failure = permissions.refusal(of: verb, request.command, $0) }
        guard let failure else { return false }
        replies.written.writeFailure(failure)
        return true
    }

    private func metaSet(
        _ request: MetaRequest, _ line: UnsafeRawBufferPointer, _ bytes: UnsafeRawBufferPointer, _ lineBytes: Int
    ) -> RequestStep {
        guard request.valueBytes <= context.configuration.itemBytesMax else {
            counters.add(.cmdMeta)
            withKey(request, line) { removeRefused($0, .storeTooLarge) }
            replies.written.writeOutcome(.tooLarge)
            return .done(bytes: lineBytes, swallow: request.valueBytes + 2)
        }
        let blockEnd = lineBytes + request.valueBytes
        guard bytes.count >= blockEnd + 2 else { return .needs(bytes: blockEnd + 2) }
        defer { if !replies.isPostponed { counters.add(.cmdMeta) } }
        if bytes[blockEnd] != 0x0D || bytes[blockEnd + 1] != 0x0A {
            replies.written.writeLine("CLIENT_ERROR bad data chunk\r\n")
        } else {
            let value = UnsafeRawBufferPointer(rebasing: bytes[lineBytes..<blockEnd])
            withKey(request, line) { performWithKey(.set, request, line, key: $0, value: value) }
        }
        return .done(bytes: blockEnd + 2, swallow: 0)
    }

    /// There is no memory to take in the block of this line.
    func refuseBlock(_ verb: MetaVerb, _ bytes: UnsafeRawBufferPointer, _ lineBytes: Int) {
        let hasReturn = lineBytes > 1 && bytes[lineBytes - 2] == 0x0D
        let line = UnsafeRawBufferPointer(rebasing: bytes[..<(lineBytes - (hasReturn ? 2 : 1))])
        guard case .request(let request) = context.parser.parseMeta(verb, line, now: context.now) else { return }
        counters.add(.cmdMeta)
        withKey(request, line) { removeRefused($0, .storeNoMemory) }
        replies.written.writeOutcome(.outOfMemory)
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
        items.remove(key)
    }

    private func performWithKey(
        _ verb: MetaVerb, _ request: MetaRequest, _ line: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer,
        value: UnsafeRawBufferPointer
    ) {
        let echo = MetaEcho(
            verb: verb, key: UnsafeRawBufferPointer(rebasing: line[request.key]), isBinaryKey: request.isBinaryKey,
            flags: UnsafeRawBufferPointer(rebasing: line[request.flags]), isQuiet: request.isQuiet,
            wantsValue: request.command.options.contains(.wantsValue))
        let mayBeVirtual = verb == .get || (verb == .set && request.command.storeVerb == .set)
        if mayBeVirtual, context.configuration.allowsVirtualKeys, let method = context.router.locate(key),
            methods.metaAtOnce(method, request.command, echo, key: key, data: verb == .set ? value : nil)
        {
            return
        }
        switch context.router.route(key, virtual: context.configuration.allowsVirtualKeys) {
        case .local(let hash):
            var echo = echo
            echo.knownUnique = request.command.knownUnique
            metaLocally(request.command, echo, key: key, hash: hash, value: value)
        case .remote(let place):
            let reply = MetaReply(echo, request.command, valueBytes: value.count)
            forwards.add(.meta(request.command, value: Array(value)), key, place, .meta(reply), valueBytes: value.count)
        case .virtual(var virtualKey):
            virtualKey.onlyIfAbsent = verb == .set && methods.makesOnlyIfAbsent(request.command.storeVerb, virtualKey)
            guard mayBeVirtual || virtualKey.onlyIfAbsent else {
                return methods.refuse(key, isSilent: false)
            }
            virtualKey.expiry = verb == .set ? request.command.expiry : .never
            let reply = MetaReply(echo, request.command, valueBytes: value.count)
            methods.call(virtualKey, data: verb == .set ? Array(value) : nil, .meta(reply))
        }
    }

    /// The value goes from the store straight into the output.
    private func metaLocally(
        _ command: MetaCommand, _ echo: MetaEcho, key: UnsafeRawBufferPointer, hash: UInt64,
        value: UnsafeRawBufferPointer
    ) {
        let status = context.stores[hash].meta(command, value: value, key: key, hash: hash, now: context.now) {
            facts, value in
            replies.written.writeMeta(echo, .found, facts, value: value, now: context.now)
        }
        if status != .found {
            var facts = MetaFacts()
            facts.valueBytes = value.count
            replies.written.writeMeta(
                echo, status, facts, value: UnsafeRawBufferPointer(start: nil, count: 0), now: context.now)
        }
        counters.count(command, status)
        context.statistics.events.record(key, command, status)
    }
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

    /// Gives `body` what an answer repeats of its command.
    func withEcho(knownUnique: UInt64? = nil, _ body: (MetaEcho) -> Void) {
        key.withUnsafeBytes { key in
            flags.withUnsafeBytes { flags in
                body(
                    MetaEcho(
                        verb: verb, key: key, isBinaryKey: isBinaryKey, flags: flags, isQuiet: isQuiet,
                        wantsValue: command.options.contains(.wantsValue), knownUnique: knownUnique))
            }
        }
    }
}
