// One shard's items: reading and writing them under one short lock, from any thread.
//
// Unsafe: `ItemView` points into the store; it is good only while the closure that got it runs.

package struct ItemStoreConfiguration: Sendable {
    /// Memory for items, overhead included, in bytes.
    package var memoryBytes: Int
    /// Key, value and header of one item may take this much, in bytes (memcached's -I).
    package var itemBytesMax: Int
    /// Off (memcached's -M): a full store answers `outOfMemory` instead of evicting.
    package var evicts: Bool
    /// Values that stay are compressed.
    package var compresses: Bool
    /// Threads that read at the same time without waiting for each other; a writer waits for each of them.
    package var readers = 1
    package var environment: any Environment = SystemEnvironment()
    /// Hears of items that go to make room.
    package var events = NodeEvents()
    /// Runs what takes long beside the store; nil: at once, in the thread that stores.
    package var background: (@Sendable (@escaping @Sendable () -> Void) -> Void)?

    package init(
        memoryBytes: Int = 64 << 20, itemBytesMax: Int = 1 << 20, evicts: Bool = true, compresses: Bool = true,
        background: (@Sendable (@escaping @Sendable () -> Void) -> Void)? = nil
    ) {
        self.memoryBytes = memoryBytes
        self.itemBytesMax = itemBytesMax
        self.evicts = evicts
        self.compresses = compresses
        self.background = background
    }
}

/// An item as a reader sees it, for as long as the reader's closure runs.
package struct ItemView {
    package let value: UnsafeRawBufferPointer
    package let flags: UInt32
    /// The unique of the last store, for `gets` and `cas`.
    package let cas: UInt64
    /// 0: the value was expanded into a buffer.
    private let segment: UInt32
    private let store: Unmanaged<ItemStore>

    /// `value` is the item's as the client stored it; `isInPlace`: it lies in the store itself.
    @inline(__always)
    init(_ found: FoundItem, value: UnsafeRawBufferPointer, isInPlace: Bool, store: ItemStore) {
        self.value = value
        flags = found.item.flags
        cas = found.item.unique
        segment = isInPlace ? found.place.segment : 0
        self.store = .passUnretained(store)
    }

    /// Keeps the value where it is until `PinnedValue.unpin`, also when the item is changed or dropped meanwhile. Nil where
    /// that can't be done. To be called in the reader's closure only, and for a short while only: the store can't reuse
    /// the memory.
    package func pinned() -> PinnedValue? {
        guard segment != 0 else { return nil }
        let store = store.takeUnretainedValue()
        guard store.pin(segment) else { return nil }
        return PinnedValue(bytes: value, segment: segment, store: store)
    }
}

/// A value that stays where it is while it is being sent.
package struct PinnedValue {
    package let bytes: UnsafeRawBufferPointer
    fileprivate let segment: UInt32
    fileprivate let store: ItemStore

    /// Once, from any thread.
    package func unpin() { store.unpin(segment) }
}

/// What a reading thread writes with every read.
struct ReaderState {
    var hotKeys = HotKeys(capacity: 256)
    var random: UInt64 = 0x9E37_79B9_7F4A_7C15
}

/// Items of one shard within a fixed memory. Every operation takes the lock once, for well under a microsecond where
/// the value is small; reads of several threads take it beside each other. Keys are 1...250 bytes here by the protocol's
/// rule; up to 255 would fit.
package final class ItemStore: @unchecked Sendable {
    // Everything below is guarded by `lock`, which is why nobody needs to check for overlapping accesses at run time.
    private let lock: StoreLock<ReaderState>
    private let log: ItemLog
    @exclusivity(unchecked) private var writer: ItemWriter
    /// A flush that is due at this second; `UInt32.max` when none is.
    private var flushSecond = UInt32.max

    package let configuration: ItemStoreConfiguration

    package init(_ configuration: ItemStoreConfiguration) {
        self.configuration = configuration
        lock = StoreLock(readers: configuration.readers) { ReaderState() }
        log = ItemLog(
            memoryBytes: configuration.memoryBytes, evicts: configuration.evicts, compresses: configuration.compresses,
            events: configuration.events)
        writer = ItemWriter(log, itemBytesMax: configuration.itemBytesMax)
    }

    // MARK: The lock

    /// Runs `body` alone on the items, a flush carried out that is due. It must not call back into the store.
    @inline(__always)
    func alone<R>(_ now: UInt32, _ body: (ItemLog, inout ItemWriter) -> R) -> R {
        lock.withLock {
            flushIfDue(now)
            return body(log, &writer)
        }
    }

    /// To be called in a reader's closure.
    fileprivate func pin(_ segment: UInt32) -> Bool { log.pin(segment) }
    fileprivate func unpin(_ segment: UInt32) { lock.withLock { log.unpin(segment) } }

    // MARK: Reading

    /// Runs `body` under the lock on the item of this key; false when there is none. Counts the hit for eviction and
    /// for the hot keys. Neither allocates nor copies; `body` must not call back into the store.
    @discardableResult
    package func read(
        key: UnsafeRawBufferPointer, hash: UInt64, now: UInt32, _ body: (ItemView) -> Void
    ) -> Bool {
        let isThere = lock.withReaderLock { reader in
            withUnchanging(key, hash: hash, now: now) { item, view in
                if item.hasExtra { item.setLastAccess(now) }
                _ = item.countHit(&reader.random)
                reader.hotKeys.record(key, hash: hash)
                body(view)
            }
        }
        return isThere ?? readAlone(key: key, hash: hash, now: now, body)
    }

    /// To be called by a reader: runs `body` on the item of this key and answers whether there is one; nil, before anything
    /// is done, where more than a reader may do is called for: a flush is due, the item's time is over, or it has to be
    /// expanded, for which all readers share the memory.
    @inline(__always)
    private func withUnchanging(
        _ key: UnsafeRawBufferPointer, hash: UInt64, now: UInt32, _ body: (ItemPointer, ItemView) -> Void
    ) -> Bool? {
        guard now < flushSecond else { return nil }
        guard let found = log.findAny(key, hash: hash) else { return writer.remembersFlush ? nil : false }
        guard !found.item.isCompressed, !found.item.isExpired(at: now) else { return nil }
        let value = UnsafeRawBufferPointer(found.item.value)
        body(found.item, ItemView(found, value: value, isInPlace: true, store: self))
        return true
    }

    @inline(never)
    private func readAlone(
        key: UnsafeRawBufferPointer, hash: UInt64, now: UInt32, _ body: (ItemView) -> Void
    ) -> Bool {
        lock.withLock {
            flushIfDue(now)
            guard let found = log.find(key, hash: hash, now: now) else {
                writer.noteMiss(hash, now: now)
                return false
            }
            if found.item.hasExtra { found.item.setLastAccess(now) }
            let isHotNow = lock.withOwnState { reader in
                reader.hotKeys.record(key, hash: hash)
                return found.item.countHit(&reader.random)
            }
            body(view(found))
            if isHotNow, found.item.isCompressed { log.expandHot(found, key: key, hash: hash, now: now) }
            return true
        }
    }

    /// Starts to bring in the index slots of those hashes that are this store's.
    @inline(__always)
    func prefetchSlots(_ hashes: UnsafeBufferPointer<UInt64>, where isOwn: (UInt64) -> Bool) {
        lock.withReaderLock { _ in
            for hash in hashes where isOwn(hash) { log.prefetchSlot(hash: hash) }
        }
    }

    /// Once the slots are there: starts to bring in the items.
    @inline(__always)
    func prefetchItems(_ hashes: UnsafeBufferPointer<UInt64>, where isOwn: (UInt64) -> Bool) {
        lock.withReaderLock { _ in
            for hash in hashes where isOwn(hash) { log.prefetchItem(hash: hash) }
        }
    }

    @inline(__always)
    private func view(_ found: FoundItem) -> ItemView {
        let isStoredAsIs = !found.item.isCompressed
        return ItemView(
            found, value: isStoredAsIs ? UnsafeRawBufferPointer(found.item.value) : log.expandedValue(found),
            isInPlace: isStoredAsIs, store: self)
    }

    /// As `read`, and gives the item another expiry.
    package func readAndTouch(
        key: UnsafeRawBufferPointer, hash: UInt64, expiry: Expiry, now: UInt32, _ body: (ItemView) -> Void
    ) -> ItemOutcome {
        lock.withLock {
            flushIfDue(now)
            guard let found = log.find(key, hash: hash, now: now) else { return .miss }
            recordHit(key, hash: hash)
            guard let touched = writer.setExpiry(found, expiry, key: key, hash: hash, now: now) else {
                return .outOfMemory
            }
            body(view(touched))
            return .touched
        }
    }

    // MARK: Writing

    /// One of memcached's storage commands. `value` is copied before this returns.
    package func store(
        _ verb: StoreVerb, key: UnsafeRawBufferPointer, hash: UInt64, flags: UInt32, expiry: Expiry, cas: UInt64,
        value: UnsafeRawBufferPointer, now: UInt32
    ) -> ItemOutcome {
        let (outcome, isTrainingDue) = lock.withLock {
            flushIfDue(now)
            let outcome = writer.store(
                verb, key: key, hash: hash, flags: flags, expiry: expiry, cas: cas, value: value, now: now)
            return (outcome, log.isTrainingDue)
        }
        if isTrainingDue { train(now: now) }
        return outcome
    }

    /// Trains a dictionary on what was sampled, without the lock.
    @inline(never)
    private func train(now: UInt32) {
        guard let (sample, present) = lock.withLock({ log.takeSample(now: now) }) else { return }
        let work: @Sendable () -> Void = { [weak self] in
            let result = sample.train(against: present)
            self?.lock.withLock { self?.log.finishTraining(result) }
        }
        if let background = configuration.background { background(work) } else { work() }
    }

    package func delete(key: UnsafeRawBufferPointer, hash: UInt64, now: UInt32) -> ItemOutcome {
        lock.withLock {
            flushIfDue(now)
            guard let found = log.find(key, hash: hash, now: now) else { return .notFound }
            log.remove(found)
            return .deleted
        }
    }

    package func touch(key: UnsafeRawBufferPointer, hash: UInt64, expiry: Expiry, now: UInt32) -> ItemOutcome {
        lock.withLock {
            flushIfDue(now)
            guard let found = log.find(key, hash: hash, now: now) else { return .notFound }
            return writer.setExpiry(found, expiry, key: key, hash: hash, now: now) == nil ? .outOfMemory : .touched
        }
    }

    package func arithmetic(
        _ verb: ArithmeticVerb, delta: UInt64, key: UnsafeRawBufferPointer, hash: UInt64, now: UInt32
    ) -> ItemOutcome {
        lock.withLock {
            flushIfDue(now)
            return writer.arithmetic(verb, delta: delta, key: key, hash: hash, now: now)
        }
    }

    /// Any command, its answer as a value: for forwarded requests and scripts. Copies the value it answers.
    package func execute(
        _ command: ItemCommand, key: UnsafeRawBufferPointer, hash: UInt64, now: UInt32
    ) -> ItemOutcome {
        switch command {
        case .get:
            var outcome = ItemOutcome.miss
            read(key: key, hash: hash, now: now) { outcome = Self.copied($0) }
            return outcome
        case .getAndTouch(let expiry):
            var value = ItemOutcome.miss
            let outcome = readAndTouch(key: key, hash: hash, expiry: expiry, now: now) { value = Self.copied($0) }
            return outcome == .touched ? value : outcome
        case .store(let verb, let flags, let expiry, let cas, let value):
            return value.withUnsafeBytes {
                store(verb, key: key, hash: hash, flags: flags, expiry: expiry, cas: cas, value: $0, now: now)
            }
        case .delete: return delete(key: key, hash: hash, now: now)
        case .arithmetic(let verb, let delta):
            return arithmetic(verb, delta: delta, key: key, hash: hash, now: now)
        case .touch(let expiry): return touch(key: key, hash: hash, expiry: expiry, now: now)
        case .meta(let command, let value):
            var answer = MetaAnswer()
            answer.status = value.withUnsafeBytes {
                meta(command, value: $0, key: key, hash: hash, now: now) { facts, value in
                    answer.facts = facts
                    if command.options.contains(.wantsValue) { answer.value = Array(value) }
                }
            }
            return .meta(answer)
        }
    }

    private static func copied(_ view: ItemView) -> ItemOutcome {
        .value(flags: view.flags, cas: view.cas, bytes: Array(view.value))
    }

    // MARK: Meta commands

    /// Runs one meta command. Unless it fails, `body` gets the item's facts and its value (of increment and decrement, the
    /// new number's digits) under the lock; it must not call back into the store. `value`: the data block of a set.
    /// Copies nothing but what is stored.
    package func meta(
        _ command: MetaCommand, value: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer, hash: UInt64, now: UInt32,
        _ body: (MetaFacts, UnsafeRawBufferPointer) -> Void
    ) -> MetaStatus {
        let target = MetaTarget(command: command, key: key, hash: hash, now: now)
        if command.changesNothing, let isThere = metaGetShared(target, body) { return isThere ? .found : .miss }
        return lock.withLock {
            flushIfDue(now)
            var isHit = false
            let status = writer.perform(target, value, isHit: &isHit, body)
            if isHit { recordHit(key, hash: hash) }
            return status
        }
    }

    /// A get that changes nothing, beside other readers; nil where that is not enough.
    private func metaGetShared(
        _ target: MetaTarget, _ body: (MetaFacts, UnsafeRawBufferPointer) -> Void
    ) -> Bool? {
        lock.withReaderLock { reader -> Bool? in
            var isForWinners = false
            let isThere = withUnchanging(target.key, hash: target.hash, now: target.now) { item, view in
                let facts = writer.facts(of: item, target.now)
                // The first who reads a stale item wins it, which is a change.
                isForWinners = facts.isStale && !facts.wasWonBefore
                if isForWinners { return }
                if !target.command.options.contains(.leavesNoTrace) {
                    item.countUse()
                    if item.hasExtra { item.setLastAccess(target.now) }
                    reader.hotKeys.record(target.key, hash: target.hash)
                }
                body(facts, view.value)
            }
            return isForWinners ? nil : isThere
        }
    }

    // MARK: Flushing

    /// Everything stored up to `second` is gone: now where that has passed, else once it has come.
    package func flushAll(at second: UInt32, now: UInt32) {
        lock.withLock {
            // The latest word counts: a flush now takes the place of one to come.
            if second <= now { flushDue(now) } else { flushSecond = second }
        }
    }

    /// A flush to come at this second, in place of any other; `UInt32.max`: none.
    func orderFlush(at second: UInt32) { lock.withLock { flushSecond = second } }

    /// Carries a flush out whose second has come, before anybody has looked.
    func flushIfOrdered(now: UInt32) { lock.withLock { flushIfDue(now) } }

    /// Drops all items at once and gives their memory back. The counters go on. A flush to come stays.
    package func removeAll(now: UInt32 = 0) { lock.withLock { writer.flush(now) } }

    @inline(__always)
    private func flushIfDue(_ now: UInt32) {
        if now >= flushSecond { flushDue(now) }
    }

    @inline(never)
    private func flushDue(_ now: UInt32) {
        flushSecond = .max
        writer.flush(now)
    }

    // MARK: Inspecting

    /// The keys hit most, by count (descending), then by their bytes. `error`: how much too high a count may be.
    package func hotKeys(limit: Int) -> [HotKey] {
        lock.withLock { HotKeys.top(limit, of: lock.states.map(\.hotKeys)) }
    }

    /// To be called by who is alone.
    private func recordHit(_ key: UnsafeRawBufferPointer, hash: UInt64) {
        lock.withOwnState { $0.hotKeys.record(key, hash: hash) }
    }

    /// Traps when the store's parts disagree. For tests: walks over everything.
    package func checkInvariants() { lock.withLock { log.checkInvariants() } }
}
