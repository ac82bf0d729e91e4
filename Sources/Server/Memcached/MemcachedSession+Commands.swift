// What a session does for each command: at once for keys of this node, through the router for all others.
//
// Unsafe: keys and values are raw buffers into the input; what outlives the call is copied.

import Engine
import Gather

extension MemcachedSession {
    // MARK: Retrieval

    /// Answers one key. `owner`: whose it is, where that is known. True when its `END`, or what stands for it, comes with a pending answer.
    @inline(__always)
    func retrieveKey(
        _ key: UnsafeRawBufferPointer, _ verb: RetrievalVerb, _ expiry: UInt32, isAlone: Bool, owner: Int? = nil
    ) -> Bool {
        // Only of a short key it is told apart whether it has none.
        let colons = key.count < 8 && !key.contains(0x3A) ? 0 : Int.max
        switch router.kind(ofKey: key, colons: colons, virtual: configuration.allowsVirtualKeys, owner: owner) {
        case .ownItem: return retrieveOwn(key, verb, expiry, isAlone)
        case .remoteItem(let node): return retrieveRemote(key, node, verb, expiry, isAlone)
        case .remoteMethod(let node):
            forwardRetrieval(key, node, isMethod: true, answersUnique: verb.answersUnique, isAlone: isAlone)
            return isAlone
        case .method(let method):
            return answerAtOnce(method, key, verb, isAlone: isAlone) ?? retrieveOther(key, verb, expiry, isAlone)
        case .other: return retrieveOther(key, verb, expiry, isAlone)
        }
    }

    @inline(__always)
    private func retrieveOwn(
        _ key: UnsafeRawBufferPointer, _ verb: RetrievalVerb, _ expiry: UInt32, _ isAlone: Bool
    ) -> Bool {
        if verb.touches { return touchLocal(key, verb, expiry, isAlone) }
        retrieveLocal(key, hash: keyHash(key), answersUnique: verb.answersUnique)
        return false
    }

    private func retrieveRemote(
        _ key: UnsafeRawBufferPointer, _ node: Int, _ verb: RetrievalVerb, _ expiry: UInt32, _ isAlone: Bool
    ) -> Bool {
        if verb.touches {
            forward(
                .getAndTouch(expiry: expiry), key, node,
                .retrieval(key: Array(key), answersUnique: verb.answersUnique, isAlone: isAlone))
        } else {
            forwardRetrieval(key, node, isMethod: false, answersUnique: verb.answersUnique, isAlone: isAlone)
        }
        return isAlone
    }

    /// A key that is looked at closely: a service's, a method's that can't be called at once, or an item's after all.
    @inline(never)
    private func retrieveOther(
        _ key: UnsafeRawBufferPointer, _ verb: RetrievalVerb, _ expiry: UInt32, _ isAlone: Bool
    ) -> Bool {
        switch router.route(key, virtual: configuration.allowsVirtualKeys) {
        case .local: return retrieveOwn(key, verb, expiry, isAlone)
        case .remote(let node): return retrieveRemote(key, node, verb, expiry, isAlone)
        case .virtual(let virtualKey):
            call(
                virtualKey, data: nil,
                .retrieval(key: Array(key), answersUnique: verb.answersUnique, isAlone: isAlone))
            return isAlone
        }
    }

    /// Copies the value from the store straight into the output, or leaves it to be sent from there.
    @inline(__always)
    func retrieveLocal(_ key: UnsafeRawBufferPointer, hash: UInt64, answersUnique: Bool) {
        let isHit = stores.read(key: key, hash: hash, now: now) { item in
            let unique = answersUnique ? item.cas : nil
            if item.value.count < PinnedOutput.bytesMin || !pin(item, key: key, unique: unique) {
                sending.written.writeValue(key: key, flags: item.flags, unique: unique, value: item.value)
            }
        }
        counters.add(.cmdGet)
        counters.add(isHit ? .getHits : .getMisses)
        statistics.prefixes.record(key, .get(isHit: isHit))
    }

    /// False when the value has to be copied after all.
    @inline(never)
    private func pin(_ item: ItemView, key: UnsafeRawBufferPointer, unique: UInt64?) -> Bool {
        guard slots.isEmpty, sending.pinned.isEmpty, let value = item.pinned() else { return false }
        sending.written.writeValueLine(key: key, flags: item.flags, unique: unique, valueBytes: item.value.count)
        sending.pinned.append(value, behind: sending.written)
        sending.written.writeLine("\r\n")
        return true
    }

    private func touchLocal(
        _ key: UnsafeRawBufferPointer, _ verb: RetrievalVerb, _ expiry: UInt32, _ isAlone: Bool
    ) -> Bool {
        let hash = keyHash(key)
        let outcome = stores[hash].readAndTouch(key: key, hash: hash, expiry: expiry, now: now) { item in
            sending.written.writeValue(
                key: key, flags: item.flags, unique: verb.answersUnique ? item.cas : nil, value: item.value)
        }
        counters.add(.cmdTouch)
        counters.add(.cmdGet)
        counters.add(outcome == .touched ? .getHits : .getMisses)
        counters.add(outcome == .touched ? .touchHits : .touchMisses)
        statistics.prefixes.record(key, .get(isHit: outcome == .touched))
        guard outcome == .outOfMemory, isAlone else { return false }
        sending.written.writeOutcome(outcome)
        return true
    }

    // MARK: Storage

    @inline(__always)
    func storeKey(_ request: StorageRequest, key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer) {
        let expiry = expiryInstant(request.exptime, now: now)
        if request.verb == .set, configuration.allowsVirtualKeys, let method = router.locate(key),
            storeAtOnce(method, key, value, request.isSilent)
        {
            return
        }
        switch router.route(key, virtual: configuration.allowsVirtualKeys) {
        case .local:
            storeLocal(
                request.verb, key: key, hash: keyHash(key), flags: request.flags, expiry: expiry, cas: request.cas,
                value: value, isSilent: request.isSilent)
        case .remote(let node):
            guard request.verb != .set else {
                return forwardSet(
                    key, node, flags: request.flags, expiry: expiry, value: value, isSilent: request.isSilent)
            }
            let command = ItemCommand.store(
                request.verb, flags: request.flags, expiry: expiry, cas: request.cas, value: Array(value))
            let verb = SessionCommand.store(request.verb)
            forward(
                command, key, node, request.isSilent ? .silent(verb) : .line(verb), valueBytes: value.count)
        case .virtual(var virtualKey):
            virtualKey.onlyIfAbsent = makesOnlyIfAbsent(request.verb, virtualKey)
            guard request.verb == .set || virtualKey.onlyIfAbsent else {
                return refuseVirtual(key, isSilent: request.isSilent)
            }
            virtualKey.expiry = expiry
            call(virtualKey, data: Array(value), request.isSilent ? .silent(.virtualSet) : .line(.virtualSet))
        }
    }

    @inline(__always)
    func storeLocal(
        _ verb: StoreVerb, key: UnsafeRawBufferPointer, hash: UInt64, flags: UInt32, expiry: UInt32, cas: UInt64,
        value: UnsafeRawBufferPointer, isSilent: Bool
    ) {
        let outcome = stores.store(
            verb, key: key, hash: hash, flags: flags, expiry: expiry, cas: cas, value: value, now: now)
        count(.store(verb), outcome)
        statistics.prefixes.record(key, .set)
        if !isSilent { sending.written.writeOutcome(outcome) }
    }

    /// The block is larger than any item, or there is no memory to take it in: it is not read. A set removes what the client
    /// believes replaced.
    @inline(never)
    func refuse(_ request: StorageRequest, key: UnsafeRawBufferPointer, _ outcome: ItemOutcome) {
        counters.add(.cmdSet)
        counters.add(outcome == .tooLarge ? .storeTooLarge : .storeNoMemory)
        if request.verb == .set {
            switch router.route(key, virtual: configuration.allowsVirtualKeys) {
            case .local:
                let hash = keyHash(key)
                _ = stores[hash].delete(key: key, hash: hash, now: now)
            case .remote(let node): forward(.delete, key, node, .silent(.delete))
            case .virtual: break
            }
        }
        if !request.isSilent { sending.written.writeOutcome(outcome) }
    }

    // MARK: Updates and administration

    func performOther(_ request: Request, _ bytes: UnsafeRawBufferPointer) {
        switch request {
        case .delete(let key, let isSilent):
            update(.delete, .delete, UnsafeRawBufferPointer(rebasing: bytes[key]), isSilent)
        case .arithmetic(let verb, let key, let delta, let isSilent):
            update(
                .arithmetic(verb, delta: delta), .arithmetic(verb), UnsafeRawBufferPointer(rebasing: bytes[key]),
                isSilent)
        case .touch(let key, let exptime, let isSilent):
            let expiry = expiryInstant(exptime, now: now)
            update(.touch(expiry: expiry), .touch, UnsafeRawBufferPointer(rebasing: bytes[key]), isSilent)
        case .flushAll(let delaySeconds, let isSilent): flush(delaySeconds, isSilent)
        case .stats(let arguments):
            let report = StatisticsReport(
                statistics: statistics, configuration: configuration, stores: stores.all, crawls: stores.crawls,
                own: router.ownStatistics, scripts: router.scripts, now: now)
            report.write(arguments: UnsafeRawBufferPointer(rebasing: bytes[arguments]), to: &sending.written)
        case .verbosity(let isSilent): if !isSilent { sending.written.writeLine("OK\r\n") }
        case .version: sending.written.writeString("VERSION \(CacheismoVersion.memcached)\r\n")
        case .metaNoop: sending.written.writeLine("MN\r\n")
        case .acknowledged: sending.written.writeLine("OK\r\n")
        case .crawl(let isEmpty): crawl(isEmpty: isEmpty)
        case .allowCrawls(let allows):
            statistics.allowsCrawls = allows
            sending.written.writeLine("OK\r\n")
        case .memoryLimit(let megabytes, let isSilent):
            let line = setMemoryLimit(megabytes)
            if !isSilent { sending.written.writeLine(line) }
        case .retrieval, .storage, .meta, .quit, .shutdown, .dump: preconditionFailure("handled before")
        }
    }

    private func update(
        _ command: ItemCommand, _ kind: SessionCommand, _ key: UnsafeRawBufferPointer, _ isSilent: Bool
    ) {
        switch router.route(key, virtual: configuration.allowsVirtualKeys) {
        case .remote(let node): forward(command, key, node, isSilent ? .silent(kind) : .line(kind))
        case .virtual: refuseVirtual(key, isSilent: isSilent)
        case .local:
            let hash = keyHash(key)
            let outcome = stores[hash].execute(command, key: key, hash: hash, now: now)
            count(kind, outcome)
            if kind == .delete { statistics.prefixes.record(key, .delete) }
            if !isSilent { sending.written.writeOutcome(outcome) }
        }
    }

    /// Flushes the cluster. A delay is in seconds, or an instant where it is longer than 30 days.
    private func flush(_ delaySeconds: Int64, _ isSilent: Bool) {
        counters.add(.cmdFlush)
        guard configuration.allowsFlush else {
            if !isSilent { sending.written.writeLine("CLIENT_ERROR flush_all not allowed\r\n") }
            return
        }
        let instant = delaySeconds <= 0 ? now : expiryInstant(delaySeconds, now: now)
        flushAll(delaySeconds: instant > now ? instant - now : 0, isSilent ? .silent(.flush) : .acknowledgement)
    }

    /// As memcached answers; what has to go for a lower limit goes in the background.
    private func setMemoryLimit(_ megabytes: UInt64) -> StaticString {
        guard megabytes >= 8 || megabytes == UInt64(configuration.memoryBytes >> 20) else {
            return "MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m\r\n"
        }
        guard megabytes <= 1 << 30 else {
            return "MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes\r\n"
        }
        guard megabytes <= UInt64(RawMemory.systemBytes >> 20) else {
            return "MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust\r\n"
        }
        let bytes = Int(megabytes) << 20
        stores.resize(memoryBytes: EngineConfiguration.itemMemoryBytes(of: bytes), now: now)
        statistics.memoryBytes = bytes
        return "OK\r\n"
    }

    private func crawl(isEmpty: Bool) {
        guard statistics.allowsCrawls else { return sending.written.writeLine("CLIENT_ERROR lru crawler disabled\r\n") }
        let isUnderWay = !isEmpty && !stores.crawlExpired(now: now)
        sending.written.writeLine(isUnderWay ? "BUSY currently processing crawler request\r\n" : "OK\r\n")
    }

    // MARK: Lists of keys

    func beginDump(_ style: KeyDumpStyle, isEmpty: Bool) {
        guard statistics.allowsCrawls else { return sending.written.writeLine("CLIENT_ERROR lru crawler disabled\r\n") }
        guard configuration.allowsDump else {
            return sending.written.writeLine(
                style == .facts ? "ERROR metadump not allowed\r\n" : "ERROR key dump not allowed\r\n")
        }
        sending.written.writeLine("OK\r\n")
        if isEmpty { sending.written.writeLine(style.end) } else { dump = KeyDump(style) }
    }

    /// The next keys, few enough to keep nobody waiting for the store.
    func continueDump() {
        if dump?.writeSlice(of: stores, to: &sending.written, now: now) == false { dump = nil }
    }

    // MARK: Counting

    func count(_ command: SessionCommand, _ outcome: ItemOutcome) {
        // One look: to compare outcomes, which may have values, takes as long as to store one.
        var (isMissing, isStored, hasChanged) = (false, false, false)
        switch outcome {
        case .stored: isStored = true
        case .notFound, .miss: isMissing = true
        case .exists: hasChanged = true
        case .tooLarge: counters.add(.storeTooLarge)
        case .outOfMemory: counters.add(.storeNoMemory)
        default: break
        }
        switch command {
        case .store(let verb):
            counters.add(.cmdSet)
            guard verb == .cas else { return }
            if isStored { counters.add(.casHits) }
            if hasChanged { counters.add(.casBadval) }
            if isMissing { counters.add(.casMisses) }
        case .delete: counters.add(isMissing ? .deleteMisses : .deleteHits)
        case .arithmetic(.increment): counters.add(isMissing ? .incrMisses : .incrHits)
        case .arithmetic(.decrement): counters.add(isMissing ? .decrMisses : .decrHits)
        case .touch:
            counters.add(.cmdTouch)
            counters.add(isMissing ? .touchMisses : .touchHits)
        case .flush, .virtualSet: break
        }
    }
}
