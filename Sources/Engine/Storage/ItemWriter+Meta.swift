// What the meta commands mean, for whoever holds the store's lock.
//
// Unsafe: hands out values through pointers into the log, good only while the closure that got them runs.

extension ItemWriter {
    /// Runs one meta command; see `ItemStore.meta`. `isHit`: a value was read, and that leaves a trace.
    mutating func perform(
        _ target: MetaTarget, _ value: UnsafeRawBufferPointer, isHit: inout Bool,
        _ body: (MetaFacts, UnsafeRawBufferPointer) -> Void
    ) -> MetaStatus {
        switch target.command.verb {
        case .get: return metaGet(target, &isHit, body)
        case .set: return metaSet(target, value, body)
        case .delete: return metaDelete(target, body)
        case .increment, .decrement: return metaArithmetic(target, body)
        case .inspect:
            guard let found = find(target.key, hash: target.hash, now: target.now) else { return .miss }
            body(facts(of: found.item, target.now), UnsafeRawBufferPointer(start: nil, count: 0))
            return .found
        }
    }

    // MARK: Get

    private mutating func metaGet(
        _ target: MetaTarget, _ isHit: inout Bool, _ body: (MetaFacts, UnsafeRawBufferPointer) -> Void
    ) -> MetaStatus {
        let options = target.command.options
        guard let found = find(target.key, hash: target.hash, now: target.now) else {
            noteMiss(target.hash, now: target.now)
            return options.contains(.vivifies) ? vivify(target, [], extra: .won, body) : .miss
        }
        var facts = facts(of: found.item, target.now)
        facts.hasWon = wins(found.item, facts, target.command)
        if options.contains(.touches) { facts.expiry = target.command.expiry }
        var current = found
        let needsExtra = facts.hasWon || (options.contains(.keepsAccess) && !options.contains(.leavesNoTrace))
        if needsExtra || options.contains(.touches) {
            guard let amended = amend(found, target, needsExtra: needsExtra, facts) else { return .outOfMemory }
            current = amended
        }
        let item = current.item
        if !options.contains(.leavesNoTrace) {
            item.countUse()
            if item.hasExtra { item.setLastAccess(target.now) }
            isHit = true
        }
        body(facts, value(of: current))
        return .found
    }

    /// A stale item is won by the first who reads it, one near its end by the first who asks with R.
    private func wins(_ item: ItemPointer, _ facts: MetaFacts, _ command: MetaCommand) -> Bool {
        guard !facts.wasWonBefore else { return false }
        if facts.isStale { return true }
        let expiry = command.options.contains(.recachesTouched) ? command.expiry : item.expiry
        return command.options.contains(.recaches) && !expiry.isNever && expiry.stored < command.recacheExpiry.stored
    }

    private func amend(
        _ found: FoundItem, _ target: MetaTarget, needsExtra: Bool, _ facts: MetaFacts
    ) -> FoundItem? {
        amend(found, key: target.key, hash: target.hash, now: target.now) { stored in
            stored.expiry = facts.expiry
            guard needsExtra || stored.extra != nil else { return }
            var extra = stored.extra ?? ItemExtra(lastAccess: target.now &- facts.idleSeconds)
            if facts.hasWon { extra.isWon = true }
            stored.extra = extra
        }
    }

    private enum VivifiedExtra { case none, won }

    /// Creates the item of a miss with the expiry of N.
    private mutating func vivify(
        _ target: MetaTarget, _ value: [UInt8], extra kind: VivifiedExtra,
        _ body: (MetaFacts, UnsafeRawBufferPointer) -> Void
    ) -> MetaStatus {
        let command = target.command
        var extra: ItemExtra?
        if kind == .won || command.options.contains(.setsUnique) {
            extra = ItemExtra(lastAccess: target.now, isWon: kind == .won)
        }
        let stored = ItemFacts(
            keyBytes: target.key.count, valueBytes: value.count, flags: 0, expiry: command.vivifyExpiry,
            unique: unique(command, target.now), extra: extra)
        guard let item = create(stored, value, key: target.key, hash: target.hash, now: target.now) else {
            return .outOfMemory
        }
        var facts = facts(of: item, target.now)
        facts.hasWon = true
        facts.expiryBefore = .never
        facts.wasWonBefore = false
        if kind == .won, !command.options.contains(.leavesNoTrace) { item.countUse() }
        body(facts, UnsafeRawBufferPointer(item.value))
        return .found
    }

    private mutating func unique(_ command: MetaCommand, _ now: UInt32) -> UInt64 {
        command.options.contains(.setsUnique) ? command.newUnique : nextUnique(now)
    }

    // MARK: Set

    private mutating func metaSet(
        _ target: MetaTarget, _ value: UnsafeRawBufferPointer, _ body: (MetaFacts, UnsafeRawBufferPointer) -> Void
    ) -> MetaStatus {
        let command = target.command
        let found = find(target.key, hash: target.hash, now: target.now)
        var verb = command.storeVerb
        var expiry = command.expiry
        var unique = command.unique
        var staleExtra: ItemExtra?
        let joins = verb == .append || verb == .prepend
        if joins, found == nil, command.options.contains(.vivifies) {
            verb = .set
            expiry = command.vivifyExpiry
        } else if command.options.contains(.comparesUnique) {
            if joins, let found, unique != 0, found.item.unique != unique { return .exists }
            if verb == .set || verb == .replace { verb = .cas }
            if verb == .cas, let item = found?.item, command.options.contains(.invalidates), unique != 0,
                unique < item.unique
            {
                // A late writer with an old unique may store, but what it stores is stale.
                staleExtra = ItemExtra(lastAccess: target.now, isStale: true, isWon: item.extra?.isWon ?? false)
                expiry = item.expiry
                unique = item.unique
            }
        }
        let outcome = store(
            verb, key: target.key, hash: target.hash, flags: command.flags, expiry: expiry, cas: unique, value: value,
            now: target.now, keepsWhatIsThere: command.options.contains(.keepsWhatIsThere))
        guard outcome == .stored else { return Self.status(outcome) }
        return finishSet(target, staleExtra, body)
    }

    /// Gives what was just stored its unique of the client's own, and its state, where it has one.
    private func finishSet(
        _ target: MetaTarget, _ staleExtra: ItemExtra?, _ body: (MetaFacts, UnsafeRawBufferPointer) -> Void
    ) -> MetaStatus {
        let command = target.command
        guard let found = findAny(target.key, hash: target.hash) else { return .outOfMemory }
        var item = found.item
        if staleExtra != nil || command.options.contains(.setsUnique) {
            let amended = amend(found, key: target.key, hash: target.hash, now: target.now) { stored in
                stored.extra = staleExtra ?? ItemExtra(lastAccess: target.now)
                if command.options.contains(.setsUnique) { stored.unique = command.newUnique }
            }
            guard let amended else { return .outOfMemory }
            item = amended.item
        }
        body(facts(of: item, target.now), UnsafeRawBufferPointer(start: nil, count: 0))
        return .found
    }

    // MARK: Delete

    private mutating func metaDelete(
        _ target: MetaTarget, _ body: (MetaFacts, UnsafeRawBufferPointer) -> Void
    ) -> MetaStatus {
        let command = target.command
        guard let found = find(target.key, hash: target.hash, now: target.now) else { return .miss }
        if command.options.contains(.comparesUnique), found.item.unique != command.unique { return .exists }
        let nothing = UnsafeRawBufferPointer(start: nil, count: 0)
        guard !command.options.isDisjoint(with: [.invalidates, .removesValue]) else {
            let facts = facts(of: found.item, target.now)
            remove(found)
            body(facts, nothing)
            return .found
        }
        guard let invalidated = invalidate(found, target) else { return .outOfMemory }
        body(facts(of: invalidated.item, target.now), nothing)
        return .found
    }

    /// Empties the item, marks it stale, or both. Nil when there is no room.
    private mutating func invalidate(_ found: FoundItem, _ target: MetaTarget) -> FoundItem? {
        let command = target.command
        var current = found
        if command.options.contains(.removesValue) {
            let old = found.item
            let stored = ItemFacts(
                keyBytes: target.key.count, valueBytes: 0, flags: command.flags, expiry: command.expiry,
                unique: old.unique, extra: old.unique > ItemPointer.uniqueMax ? ItemExtra(lastAccess: target.now) : nil)
            guard let emptied = empty(found, stored, key: target.key, hash: target.hash, now: target.now) else {
                return nil
            }
            current = emptied
        }
        return amend(current, key: target.key, hash: target.hash, now: target.now) { stored in
            if command.options.contains(.setsUnique), stored.extra == nil {
                stored.extra = ItemExtra(lastAccess: target.now)
            }
            if command.options.contains(.invalidates) {
                if command.options.contains(.touches) { stored.expiry = command.expiry }
                var extra = stored.extra ?? ItemExtra(lastAccess: lastAccess(current.item, target.now))
                extra.isStale = true
                // The next reader can win.
                extra.isWon = false
                stored.extra = extra
                stored.unique = unique(command, target.now)
            } else if command.options.contains(.setsUnique) {
                stored.unique = command.newUnique
            }
        }
    }

    // MARK: Arithmetic

    private mutating func metaArithmetic(
        _ target: MetaTarget, _ body: (MetaFacts, UnsafeRawBufferPointer) -> Void
    ) -> MetaStatus {
        let command = target.command
        guard let found = find(target.key, hash: target.hash, now: target.now) else {
            guard command.options.contains(.vivifies) else { return .miss }
            return vivify(target, Array(String(command.initial).utf8), extra: .none, body)
        }
        if command.options.contains(.comparesUnique), command.unique != 0, found.item.unique != command.unique {
            return .exists
        }
        let expiryBefore = found.item.expiry
        let outcome = arithmetic(
            command.verb == .increment ? .increment : .decrement, delta: command.delta, key: target.key,
            hash: target.hash, now: target.now)
        guard case .number(let number) = outcome else { return Self.status(outcome) }
        guard var item = findAny(target.key, hash: target.hash)?.item else { return .outOfMemory }
        if !command.options.isDisjoint(with: [.touches, .setsUnique]) {
            guard let amended = amendNumber(target) else { return .outOfMemory }
            item = amended.item
        }
        var facts = facts(of: item, target.now)
        facts.expiryBefore = expiryBefore
        withUnsafeTemporaryAllocation(byteCount: Decimal.digitsMax, alignment: 1) { digits in
            facts.valueBytes = Decimal.write(number, to: digits)
            body(facts, UnsafeRawBufferPointer(rebasing: digits[..<facts.valueBytes]))
        }
        return .found
    }

    private func amendNumber(_ target: MetaTarget) -> FoundItem? {
        guard let found = findAny(target.key, hash: target.hash) else { return nil }
        let command = target.command
        return amend(found, key: target.key, hash: target.hash, now: target.now) { stored in
            if command.options.contains(.touches) { stored.expiry = command.expiry }
            guard command.options.contains(.setsUnique) else { return }
            stored.extra = stored.extra ?? ItemExtra(lastAccess: target.now)
            stored.unique = command.newUnique
        }
    }

    // MARK: Facts

    func facts(of item: ItemPointer, _ now: UInt32) -> MetaFacts {
        var facts = MetaFacts()
        facts.valueBytes =
            item.isCompressed ? ZstdCodec.rawBytes(UnsafeRawBufferPointer(item.value)) : item.valueBytes
        facts.flags = item.flags
        facts.expiryBefore = item.expiry
        facts.expiry = facts.expiryBefore
        facts.unique = item.unique
        facts.wasRead = item.isRead
        let access = lastAccess(item, now)
        facts.idleSeconds = now > access ? now - access : 0
        facts.isStale = item.extra?.isStale ?? false
        facts.wasWonBefore = item.extra?.isWon ?? false
        facts.totalBytes = item.strideBytes
        return facts
    }

    private static func status(_ outcome: ItemOutcome) -> MetaStatus {
        switch outcome {
        case .stored, .number: .found
        case .exists: .exists
        case .notFound, .miss: .miss
        case .notStored: .notStored
        case .notANumber: .notANumber
        case .tooLarge: .tooLarge
        default: .outOfMemory
        }
    }
}

extension MetaCommand {
    /// A get that never has to write anything but the traces of a read, unless the item is stale.
    var changesNothing: Bool {
        verb == .get && options.isDisjoint(with: [.touches, .vivifies, .recaches, .recachesTouched, .keepsAccess])
    }
}

/// A meta command and the key it is for.
struct MetaTarget {
    let command: MetaCommand
    let key: UnsafeRawBufferPointer
    let hash: UInt64
    let now: UInt32
}
