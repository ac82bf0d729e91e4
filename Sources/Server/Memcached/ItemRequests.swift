// What a session does for gets, sets and what changes an item: at once for keys of this node, through others for all the rest.
//
// Unsafe: keys and values are raw buffers into the input; what outlives the call is copied.

import Engine
import Gather

/// One thread at a time.
final class ItemRequests<Routing: CommandRouter> {
    private let context: SessionContext<Routing>
    private let router: Routing
    private let stores: ItemStores
    private let counters: SessionCounters
    private let events: KeyEvents
    private let replies: ReplyQueue
    private let forwards: ForwardQueue<Routing>
    private let methods: MethodRequests<Routing>

    init(
        _ context: SessionContext<Routing>, replies: ReplyQueue, forwards: ForwardQueue<Routing>,
        methods: MethodRequests<Routing>
    ) {
        self.context = context
        router = context.router
        stores = context.stores
        counters = context.counters
        events = context.statistics.events
        self.replies = replies
        self.forwards = forwards
        self.methods = methods
    }

    // MARK: Retrieval

    /// Answers one key. `place`: where it lives, if that is known. True when its `END`, or what stands for it, comes with a pending answer.
    @inline(__always)
    func retrieveKey(
        _ key: UnsafeRawBufferPointer, _ verb: RetrievalVerb, _ expiry: Expiry, isAlone: Bool, place: Place? = nil
    ) -> Bool {
        // Only of a short key it is told apart whether it has none.
        let colons = key.count < 8 && !key.contains(0x3A) ? 0 : Int.max
        switch router.kind(ofKey: key, colons: colons, virtual: context.configuration.allowsVirtualKeys, place: place) {
        case .ownItem(let hash): return retrieveOwn(key, hash, verb, expiry, isAlone)
        case .remoteItem(let place): return retrieveRemote(key, place, verb, expiry, isAlone)
        case .remoteMethod(let place):
            forwards.addRetrieval(key, place, isMethod: true, answersUnique: verb.answersUnique, isAlone: isAlone)
            return isAlone
        case .method(let method):
            return methods.answerAtOnce(method, key, verb, isAlone: isAlone)
                ?? retrieveOther(key, verb, expiry, isAlone)
        case .other: return retrieveOther(key, verb, expiry, isAlone)
        }
    }

    @inline(__always)
    private func retrieveOwn(
        _ key: UnsafeRawBufferPointer, _ hash: UInt64, _ verb: RetrievalVerb, _ expiry: Expiry, _ isAlone: Bool
    ) -> Bool {
        if verb.touches { return touchLocal(key, hash, verb, expiry, isAlone) }
        retrieveLocal(key, hash: hash, answersUnique: verb.answersUnique)
        return false
    }

    private func retrieveRemote(
        _ key: UnsafeRawBufferPointer, _ place: Place, _ verb: RetrievalVerb, _ expiry: Expiry, _ isAlone: Bool
    ) -> Bool {
        if verb.touches {
            forwards.add(
                .getAndTouch(expiry: expiry), key, place,
                .retrieval(key: Array(key), answersUnique: verb.answersUnique, isAlone: isAlone))
        } else {
            forwards.addRetrieval(key, place, isMethod: false, answersUnique: verb.answersUnique, isAlone: isAlone)
        }
        return isAlone
    }

    /// A key that is looked at closely: a service's, a method's that can't be called at once, or an item's after all.
    @inline(never)
    private func retrieveOther(
        _ key: UnsafeRawBufferPointer, _ verb: RetrievalVerb, _ expiry: Expiry, _ isAlone: Bool
    ) -> Bool {
        switch router.route(key, virtual: context.configuration.allowsVirtualKeys) {
        case .local(let hash): return retrieveOwn(key, hash, verb, expiry, isAlone)
        case .remote(let place): return retrieveRemote(key, place, verb, expiry, isAlone)
        case .virtual(let virtualKey):
            methods.call(
                virtualKey, data: nil,
                .retrieval(key: Array(key), answersUnique: verb.answersUnique, isAlone: isAlone))
            return isAlone
        }
    }

    /// Copies the value from the store straight into the output, or leaves it to be sent from there.
    @inline(__always)
    func retrieveLocal(_ key: UnsafeRawBufferPointer, hash: UInt64, answersUnique: Bool) {
        let isHit = stores.read(key: key, hash: hash, now: context.now) { item in
            let unique = answersUnique ? item.cas : nil
            if item.value.count < PinnedOutput.bytesMin || !replies.pin(item, key: key, unique: unique) {
                replies.written.writeValue(key: key, flags: item.flags, unique: unique, value: item.value)
            }
        }
        counters.add(.cmdGet)
        counters.add(isHit ? .getHits : .getMisses)
        events.record(key, .get(isHit: isHit))
    }

    private func touchLocal(
        _ key: UnsafeRawBufferPointer, _ hash: UInt64, _ verb: RetrievalVerb, _ expiry: Expiry, _ isAlone: Bool
    ) -> Bool {
        let outcome = stores[hash].readAndTouch(key: key, hash: hash, expiry: expiry, now: context.now) { item in
            replies.written.writeValue(
                key: key, flags: item.flags, unique: verb.answersUnique ? item.cas : nil, value: item.value)
        }
        counters.add(.cmdTouch)
        counters.add(.cmdGet)
        counters.add(outcome == .touched ? .getHits : .getMisses)
        counters.add(outcome == .touched ? .touchHits : .touchMisses)
        events.record(key, .get(isHit: outcome == .touched))
        guard outcome == .outOfMemory, isAlone else { return false }
        replies.written.writeOutcome(outcome)
        return true
    }

    // MARK: Storage

    @inline(__always)
    func storeKey(_ request: StorageRequest, key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer) {
        let expiry = Expiry(exptime: request.exptime, now: context.now)
        if request.verb == .set, context.configuration.allowsVirtualKeys, let method = router.locate(key),
            methods.storeAtOnce(method, key, value, request.isSilent)
        {
            return
        }
        switch router.route(key, virtual: context.configuration.allowsVirtualKeys) {
        case .local(let hash):
            storeLocal(
                request.verb, key: key, hash: hash, flags: request.flags, expiry: expiry, cas: request.cas,
                value: value, isSilent: request.isSilent)
        case .remote(let place):
            guard request.verb != .set else {
                return forwards.addSet(
                    key, place, flags: request.flags, expiry: expiry, value: value, isSilent: request.isSilent)
            }
            let command = ItemCommand.store(
                request.verb, flags: request.flags, expiry: expiry, cas: request.cas, value: Array(value))
            let verb = SessionCommand.store(request.verb)
            forwards.add(
                command, key, place, request.isSilent ? .silent(verb) : .line(verb), valueBytes: value.count)
        case .virtual(var virtualKey):
            virtualKey.onlyIfAbsent = methods.makesOnlyIfAbsent(request.verb, virtualKey)
            guard request.verb == .set || virtualKey.onlyIfAbsent else {
                return methods.refuse(key, isSilent: request.isSilent)
            }
            virtualKey.expiry = expiry
            methods.call(virtualKey, data: Array(value), request.isSilent ? .silent(.virtualSet) : .line(.virtualSet))
        }
    }

    @inline(__always)
    func storeLocal(
        _ verb: StoreVerb, key: UnsafeRawBufferPointer, hash: UInt64, flags: UInt32, expiry: Expiry, cas: UInt64,
        value: UnsafeRawBufferPointer, isSilent: Bool
    ) {
        let outcome = stores.store(
            verb, key: key, hash: hash, flags: flags, expiry: expiry, cas: cas, value: value, now: context.now)
        counters.count(.store(verb), outcome)
        events.record(key, .set(isStored: outcome == .stored))
        if !isSilent { replies.written.writeOutcome(outcome) }
    }

    /// The block is larger than any item, or there is no memory to take it in: it is not read. A set removes what the client
    /// believes replaced.
    @inline(never)
    func refuse(_ request: StorageRequest, key: UnsafeRawBufferPointer, _ outcome: ItemOutcome) {
        counters.add(.cmdSet)
        counters.add(outcome == .tooLarge ? .storeTooLarge : .storeNoMemory)
        if request.verb == .set { remove(key) }
        if !request.isSilent { replies.written.writeOutcome(outcome) }
    }

    /// Removes what a client believes replaced by a value that was refused.
    func remove(_ key: UnsafeRawBufferPointer) {
        switch router.route(key, virtual: context.configuration.allowsVirtualKeys) {
        case .local(let hash): _ = stores[hash].delete(key: key, hash: hash, now: context.now)
        case .remote(let place): forwards.add(.delete, key, place, .silent(.delete))
        case .virtual: break
        }
    }

    // MARK: Updates

    func update(
        _ command: ItemCommand, _ kind: SessionCommand, _ key: UnsafeRawBufferPointer, _ isSilent: Bool
    ) {
        switch router.route(key, virtual: context.configuration.allowsVirtualKeys) {
        case .remote(let place): forwards.add(command, key, place, isSilent ? .silent(kind) : .line(kind))
        case .virtual: methods.refuse(key, isSilent: isSilent)
        case .local(let hash):
            let outcome = stores[hash].execute(command, key: key, hash: hash, now: context.now)
            counters.count(kind, outcome)
            if kind == .delete { events.record(key, .delete(isFound: outcome != .notFound)) }
            if !isSilent { replies.written.writeOutcome(outcome) }
        }
    }
}
