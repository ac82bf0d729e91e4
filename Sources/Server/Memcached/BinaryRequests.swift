// What a session does for requests of memcached's binary protocol: the same services as the text protocol's, answered in its form.
//
// Unsafe: keys and values are raw buffers into the input; what outlives the call is copied.

import Engine
import Gather

/// One thread at a time.
final class BinaryRequests<Routing: CommandRouter> {
    private let context: SessionContext<Routing>
    private let counters: SessionCounters
    private let events: KeyEvents
    private let replies: ReplyQueue
    private let forwards: ForwardQueue<Routing>
    private let items: ItemRequests<Routing>
    private let methods: MethodRequests<Routing>
    private let administration: AdministrationRequests<Routing>
    private let permissions: RequestRoles<Routing>
    private let loginEnd: SessionLogin<Routing>
    private var login: BinaryLogin

    init(
        _ context: SessionContext<Routing>, replies: ReplyQueue, forwards: ForwardQueue<Routing>,
        items: ItemRequests<Routing>, methods: MethodRequests<Routing>,
        administration: AdministrationRequests<Routing>
    ) {
        self.context = context
        counters = context.counters
        events = context.statistics.events
        self.replies = replies
        self.forwards = forwards
        self.items = items
        self.methods = methods
        self.administration = administration
        permissions = RequestRoles(context)
        loginEnd = SessionLogin(context, replies: replies)
        login = BinaryLogin(context.configuration.credentials)
    }

    /// Nothing is done for the client before it has said who it is.
    var awaitsCredentials: Bool { !login.isAllowed }

    /// The client has said who it is, where it has to, and may do whatever a plain request asks for.
    var takesPlain: Bool { login.isAllowed && context.mayDoPlain }

    // MARK: Plain requests

    /// One that was found in `bytes` by looking ahead.
    @inline(__always)
    func perform(_ request: UnsafePointer<PlainRequest>, _ bytes: UnsafeRawBufferPointer) {
        let echo = BinaryRequestParser.echo(of: request, in: bytes)
        let key = request.pointee.key(in: bytes)
        if request.pointee.set == nil, request.pointee.place == nil, request.pointee.method == nil {
            retrieveLocal(echo, key, hash: request.pointee.hash)
        } else {
            performOther(request, echo, key, bytes)
        }
    }

    @inline(never)
    private func performOther(
        _ request: UnsafePointer<PlainRequest>, _ echo: BinaryEcho, _ key: UnsafeRawBufferPointer,
        _ bytes: UnsafeRawBufferPointer
    ) {
        if let block = request.pointee.set {
            var command = MetaCommand(.set)
            command.flags = block.flags
            command.expiry = Expiry(exptime: block.exptime, now: context.now)
            let value = request.pointee.value(block, in: bytes)
            if let place = request.pointee.place { return forward(command, echo, key, place, value) }
            performLocally(command, echo, key, hash: request.pointee.hash, value)
        } else if let place = request.pointee.place {
            forwards.addRetrieval(
                key, place, isMethod: request.pointee.isRemoteMethod, answersUnique: true, isAlone: true, binary: echo)
        } else if let method = request.pointee.method {
            if !methods.binaryAtOnce(method, echo, key: key, data: nil) { retrieve(.get, echo, key, .never) }
        }
    }

    // MARK: One request

    /// The request that `bytes` start with. Where it has to wait for those before it, `replies` says that it was postponed.
    func step(_ bytes: UnsafeRawBufferPointer) -> RequestStep {
        switch BinaryRequestParser.parse(bytes) {
        case .needsMore(let count): return .needs(bytes: count)
        case .notAClient: return .closes
        case .refused(let header, let status, let isFinal):
            guard login.isAllowed else { return refuseStranger(header) }
            replies.written.writeBinary(header.echo, status)
            return isFinal ? .closes : skip(header, bytes)
        case .request(let request):
            guard login.isAllowed || request.verb.isForStrangers else { return refuseStranger(request.header) }
            if request.verb.isBarrier, !replies.isEmpty {
                replies.postpone()
                return .needs(bytes: 0)
            }
            if context.roles != .all, let failure = permissions.refusal(of: request, bytes) {
                // As of any other key that it can't answer, a quiet get says nothing of it.
                let isTold = !request.header.echo.isQuiet || !request.verb.isRetrieval
                if isTold { replies.written.writeBinary(request.header.echo, failure) }
                return skip(request.header, bytes)
            }
            return perform(request, bytes)
        }
    }

    private func refuseStranger(_ header: BinaryHeader) -> RequestStep {
        replies.written.writeBinary(header.echo, .notAuthenticated)
        return .closes
    }

    /// The request was answered; what has not come of it is skipped.
    private func skip(_ header: BinaryHeader, _ bytes: UnsafeRawBufferPointer) -> RequestStep {
        let taken = min(bytes.count, header.requestBytes)
        return .done(bytes: taken, swallow: header.requestBytes - taken)
    }

    private func perform(_ request: BinaryRequest, _ bytes: UnsafeRawBufferPointer) -> RequestStep {
        let header = request.header
        let echo = header.echo
        let key = UnsafeRawBufferPointer(rebasing: bytes[request.key])
        if request.verb.takesValue {
            // A name and a password need little; an item's value may be as large as an item.
            let valueBytesMax =
                request.verb.isStorage ? context.configuration.itemBytesMax : RequestParser.lineBytesMax
            guard header.valueBytes <= valueBytesMax else {
                refuse(request, key, .tooLarge)
                return skip(header, bytes)
            }
            guard bytes.count >= header.requestBytes else { return .needs(bytes: header.requestBytes) }
        }
        let value = UnsafeRawBufferPointer(rebasing: bytes[header.valueStart..<header.requestBytes])
        switch request.verb {
        case .get, .touch, .getAndTouch: retrieve(request.verb, echo, key, expiry(request))
        case .set, .add, .replace, .append, .prepend: store(request, key, value)
        case .delete:
            var command = MetaCommand(.delete)
            command.compare(with: header.unique)
            perform(command, echo, key)
        case .increment, .decrement: perform(arithmetic(request), echo, key)
        case .noop: replies.written.writeBinary(echo, .done)
        case .version: replies.written.writeBinary(echo, CacheismoVersion.memcached)
        case .flush: administration.flush(Int64(request.exptime ?? 0), echo)
        case .statistics: administration.writeStatistics(key, echo)
        case .quit:
            if !echo.isQuiet { replies.written.writeBinary(echo, .done) }
            return .closes
        case .listMechanisms, .authenticate, .authenticateFurther: logIn(request.verb, echo, mechanism: key, value)
        }
        return .done(bytes: header.requestBytes)
    }

    private func expiry(_ request: BinaryRequest) -> Expiry {
        Expiry(exptime: Int64(request.exptime ?? 0), now: context.now)
    }

    // MARK: Retrieval

    /// Copies the value from the store straight into the output, or leaves it to be sent from there.
    @inline(__always)
    private func retrieveLocal(_ echo: BinaryEcho, _ key: UnsafeRawBufferPointer, hash: UInt64) {
        let isHit = context.stores.read(key: key, hash: hash, now: context.now) { item in
            if item.value.count < PinnedOutput.bytesMin || !replies.pin(item, key: key, echo) {
                replies.written.writeBinaryValue(
                    echo, key: key, flags: item.flags, unique: item.cas, value: item.value)
            }
        }
        if !isHit, !echo.isQuiet { replies.written.writeBinaryMiss(echo, key: key) }
        counters.count(retrievalHit: isHit)
        events.record(key, .get(isHit: isHit))
    }

    private func retrieve(_ verb: BinaryVerb, _ echo: BinaryEcho, _ key: UnsafeRawBufferPointer, _ expiry: Expiry) {
        switch context.router.route(key, virtual: context.configuration.allowsVirtualKeys) {
        case .local(let hash):
            if verb == .get { retrieveLocal(echo, key, hash: hash) } else { touch(verb, echo, key, hash: hash, expiry) }
        case .remote(let place):
            guard verb == .get else {
                return forwards.add(
                    .getAndTouch(expiry: expiry), key, place, .binary(BinaryReply(echo, key: key)))
            }
            forwards.addRetrieval(
                key, place, isMethod: false, answersUnique: true, isAlone: true, binary: echo)
        case .virtual(let virtualKey):
            guard verb != .touch else { return methods.refuse(key, echo) }
            methods.call(virtualKey, data: nil, .binary(BinaryReply(echo, key: key)))
        }
    }

    private func touch(
        _ verb: BinaryVerb, _ echo: BinaryEcho, _ key: UnsafeRawBufferPointer, hash: UInt64, _ expiry: Expiry
    ) {
        let outcome = context.stores[hash].readAndTouch(key: key, hash: hash, expiry: expiry, now: context.now) {
            item in
            if verb == .touch {
                replies.written.writeBinaryTouched(echo, flags: item.flags, unique: item.cas)
            } else {
                replies.written.writeBinaryValue(
                    echo, key: key, flags: item.flags, unique: item.cas, value: item.value)
            }
        }
        let isHit = outcome == .touched
        counters.count(echo, isHit: isHit)
        if verb != .touch { events.record(key, .get(isHit: isHit)) }
        if outcome == .outOfMemory {
            replies.written.writeBinary(echo, .outOfMemory)
        } else if !isHit, !echo.isQuiet {
            replies.written.writeBinaryMiss(echo, key: key)
        }
    }

    // MARK: Storage

    private func store(_ request: BinaryRequest, _ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) {
        let echo = request.header.echo
        // A method knows no unique that it could compare.
        let isSet = request.verb == .set && request.header.unique == 0
        if isSet, context.configuration.allowsVirtualKeys, let method = context.router.locate(key),
            methods.binaryAtOnce(method, echo, key: key, data: value)
        {
            return
        }
        let command = storage(request)
        switch context.router.route(key, virtual: context.configuration.allowsVirtualKeys) {
        case .local(let hash): performLocally(command, echo, key, hash: hash, value)
        case .remote(let place): forward(command, echo, key, place, value)
        case .virtual(var virtualKey):
            virtualKey.onlyIfAbsent = methods.makesOnlyIfAbsent(command.storeVerb, virtualKey)
            guard isSet || virtualKey.onlyIfAbsent else { return methods.refuse(key, echo) }
            virtualKey.expiry = command.expiry
            methods.call(virtualKey, data: Array(value), .binary(BinaryReply(echo, key: key)))
        }
    }

    private func storage(_ request: BinaryRequest) -> MetaCommand {
        var command = MetaCommand(.set)
        command.flags = request.flags
        command.expiry = expiry(request)
        command.compare(with: request.header.unique)
        switch request.verb {
        case .append: command.storeVerb = .append
        case .prepend: command.storeVerb = .prepend
        // With a unique these are a cas, as in memcached.
        case .add where request.header.unique == 0: command.storeVerb = .add
        case .replace where request.header.unique == 0: command.storeVerb = .replace
        default: command.storeVerb = .set
        }
        return command
    }

    /// The value is larger than any item, or a login's than any password, or there is no memory to take it in: it is not read.
    private func refuse(_ request: BinaryRequest, _ key: UnsafeRawBufferPointer, _ status: BinaryStatus) {
        if request.verb.isStorage {
            counters.add(.cmdSet)
            counters.add(status == .tooLarge ? .storeTooLarge : .storeNoMemory)
            if request.verb == .set { items.remove(key) }
        }
        replies.written.writeBinary(request.header.echo, status)
    }

    /// There is no memory for the rest of the request that `bytes` begin with. False where it has no value that could be skipped.
    func refuseHeld(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard case .request(let request) = BinaryRequestParser.parse(bytes), request.verb.takesValue else {
            return false
        }
        refuse(request, UnsafeRawBufferPointer(rebasing: bytes[request.key]), .outOfMemory)
        return true
    }

    // MARK: Updates

    private func arithmetic(_ request: BinaryRequest) -> MetaCommand {
        var command = MetaCommand(request.verb == .increment ? .increment : .decrement)
        command.delta = request.delta
        command.compare(with: request.header.unique)
        command.options.insert(.wantsValue)
        if request.exptime != BinaryRequest.exptimeOfNone {
            command.options.insert(.vivifies)
            command.initial = request.initial
            command.vivifyExpiry = expiry(request)
        }
        return command
    }

    /// A command that takes no value.
    private func perform(_ command: MetaCommand, _ echo: BinaryEcho, _ key: UnsafeRawBufferPointer) {
        let nothing = UnsafeRawBufferPointer(start: nil, count: 0)
        switch context.router.route(key, virtual: context.configuration.allowsVirtualKeys) {
        case .local(let hash): performLocally(command, echo, key, hash: hash, nothing)
        case .remote(let place): forward(command, echo, key, place, nothing)
        case .virtual: methods.refuse(key, echo)
        }
    }

    private func performLocally(
        _ command: MetaCommand, _ echo: BinaryEcho, _ key: UnsafeRawBufferPointer, hash: UInt64,
        _ value: UnsafeRawBufferPointer
    ) {
        let status = context.stores[hash].meta(command, value: value, key: key, hash: hash, now: context.now) {
            facts, number in replies.written.writeBinary(echo, .found, facts, number)
        }
        if status != .found {
            replies.written.writeBinary(echo, status, MetaFacts(), UnsafeRawBufferPointer(start: nil, count: 0))
        }
        counters.count(command, status)
        events.record(key, command, status)
    }

    private func forward(
        _ command: MetaCommand, _ echo: BinaryEcho, _ key: UnsafeRawBufferPointer, _ place: Place,
        _ value: UnsafeRawBufferPointer
    ) {
        forwards.add(
            .meta(command, value: Array(value)), key, place, .binary(BinaryReply(echo, command)),
            valueBytes: value.count)
    }

    // MARK: Logins

    private func logIn(
        _ verb: BinaryVerb, _ echo: BinaryEcho, mechanism: UnsafeRawBufferPointer, _ data: UnsafeRawBufferPointer
    ) {
        let answer = login.answer(verb, mechanism: mechanism, data)
        switch answer {
        case .none: replies.written.writeBinary(echo, .unknownCommand)
        case .mechanisms: replies.written.writeBinary(echo, "PLAIN")
        case .invalid: replies.written.writeBinary(echo, .invalid)
        case .goOn: replies.written.writeBinary(echo, .authenticateFurther)
        case .right(let roles): loginEnd.end(roles, as: echo)
        case .wrong: loginEnd.end(nil, as: echo)
        }
    }
}

extension MetaCommand {
    /// Only what has this unique is changed; 0 is any.
    fileprivate mutating func compare(with unique: UInt64) {
        guard unique != 0 else { return }
        options.insert(.comparesUnique)
        self.unique = unique
    }
}
