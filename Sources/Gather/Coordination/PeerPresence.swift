// Whether a node is there, put together from what several connections to it found; and what is worth a line in the log.

package struct PeerPresence: Sendable {
    package enum State: Sendable, Equatable {
        /// Nobody has asked for it yet.
        case unknown
        case up
        case down(String)
        /// It is there and does not want us, or we do not want it.
        case refused(String)
    }

    package enum Event: Sendable {
        case up(now: Instant)
        /// `since`: when the connection that was lost had come up; nil for one that never did.
        case lost(since: Instant?, message: String)
        case refused(message: String)
    }

    /// What happened, to be said once.
    package enum Report: Sendable, Equatable {
        case lost(String)
        case notReached(String)
        /// For the first time, after that was said.
        case reached
        case back
        case refused(String)
    }

    package private(set) var state = State.unknown
    private var upSince: Instant?
    private var wasUp = false

    package init() {}

    package mutating func receive(_ event: Event) -> Report? {
        let before = state
        switch event {
        case .up(let now):
            if before != .up { upSince = now }
            state = .up
            defer { wasUp = true }
            return before == .up || before == .unknown ? nil : wasUp ? .back : .reached
        case .lost(let since, let message):
            // An older connection of a node that has come back since says nothing new.
            if before == .up, let upSince, since.map({ $0 < upSince }) ?? true { return nil }
            if case .down = before { return nil }
            state = .down(message)
            return wasUp ? .lost(message) : .notReached(message)
        case .refused(let message):
            guard before != .refused(message) else { return nil }
            state = .refused(message)
            return .refused(message)
        }
    }
}
