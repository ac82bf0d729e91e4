// Which of memcached's counters the outcome of a command raises.

import Engine

extension SessionCounters {
    func count(retrievalHit isHit: Bool) {
        add(.cmdGet)
        add(isHit ? .getHits : .getMisses)
    }

    func count(_ command: SessionCommand, _ outcome: ItemOutcome) {
        // One look: to compare outcomes, which may have values, takes as long as to store one.
        var (isMissing, isStored, hasChanged) = (false, false, false)
        switch outcome {
        case .stored: isStored = true
        case .notFound, .miss: isMissing = true
        case .exists: hasChanged = true
        case .tooLarge: add(.storeTooLarge)
        case .outOfMemory: add(.storeNoMemory)
        default: break
        }
        switch command {
        case .store(let verb):
            add(.cmdSet)
            guard verb == .cas else { return }
            if isStored { add(.casHits) }
            if hasChanged { add(.casBadval) }
            if isMissing { add(.casMisses) }
        case .delete: add(isMissing ? .deleteMisses : .deleteHits)
        case .arithmetic(.increment): add(isMissing ? .incrMisses : .incrHits)
        case .arithmetic(.decrement): add(isMissing ? .decrMisses : .decrHits)
        case .touch:
            add(.cmdTouch)
            add(isMissing ? .touchMisses : .touchHits)
        case .flush, .virtualSet: break
        }
    }

    /// What a get, a touch or both of the binary protocol found.
    func count(_ echo: BinaryEcho, isHit: Bool) {
        let verb = BinaryVerb(opcode: echo.opcode)
        if verb != .touch { count(retrievalHit: isHit) }
        guard verb != .get else { return }
        add(.cmdTouch)
        add(isHit ? .touchHits : .touchMisses)
    }

    /// The same for a command that another node was asked for.
    func countForwarded(_ command: SessionCommand, _ outcome: ItemOutcome) {
        if case .failed = outcome { add(.forwardErrors) } else { count(command, outcome) }
    }

    func count(_ command: MetaCommand, _ status: MetaStatus) {
        if status == .tooLarge { add(.storeTooLarge) }
        if status == .outOfMemory { add(.storeNoMemory) }
        let isMiss = status == .miss
        switch command.verb {
        case .get:
            add(.cmdGet)
            add(isMiss ? .getMisses : .getHits)
            guard command.options.contains(.touches) else { return }
            add(.cmdTouch)
            add(isMiss ? .touchMisses : .touchHits)
        case .set:
            add(.cmdSet)
            guard command.options.contains(.comparesUnique) else { return }
            if status == .found { add(.casHits) }
            if status == .exists { add(.casBadval) }
            if isMiss { add(.casMisses) }
        case .delete: add(status == .found ? .deleteHits : .deleteMisses)
        case .increment: add(isMiss ? .incrMisses : .incrHits)
        case .decrement: add(isMiss ? .decrMisses : .decrHits)
        case .inspect: break
        }
    }
}
