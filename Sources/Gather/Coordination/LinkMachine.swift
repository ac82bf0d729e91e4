// One connection to one other node, as a state machine: when to connect, ask, give up and try again.

/// Driven by the events of a connection and by one timer; never looks at a clock. Whoever drives it carries the effects
/// out in their order.
package struct LinkMachine: Sendable {
    package enum Phase: Sendable, Equatable {
        case idle, connecting, greeting, up, down, closed
    }

    /// Why a node can't be asked.
    package enum Cause: Sendable, Equatable {
        /// The connection was refused, or ended: there is nobody. Tried again when somebody asks.
        case gone
        /// Nothing came back to a connection attempt or to a hello.
        case noAnswer
        /// A connection that was up fell silent.
        case silent
        /// The other side does not want us, or we do not want it.
        case declined
    }

    package enum Event: Sendable, Equatable {
        /// Somebody wants to send.
        case wanted
        case connected
        case connectFailed(Cause)
        /// The other side has taken us, and we have taken it.
        case welcomed
        case declined
        /// Something came that the other side can only have said after it heard from us.
        case heard
        /// A request ended without an answer, and was sent then.
        case unanswered(sent: Instant)
        /// Another connection to the same node has found it silent.
        case suspected
        case disconnected
        case timer
        case close
    }

    package enum Effect: Sendable, Equatable {
        case connect
        case greet
        case ping
        /// Send what waited for the connection.
        case flush
        /// Close the connection, or give up making it.
        case abandon
        /// Everybody who waits, and whoever asks while the node is down.
        case fail(Cause)
        /// Set the timer to this instant, in place of an earlier one.
        case schedule(Instant)
    }

    package struct Timing: Sendable {
        package var connectMilliseconds = 500
        package var greetMilliseconds = 500
        /// After a refused connection: it costs little to ask again.
        package var pauseAfterRefusalMilliseconds = 10
        /// Between attempts to reach a node that does not answer: doubled up to the longest.
        package var probePauseMilliseconds = 200
        package var probePauseMillisecondsMax = 500
        package var declinedPauseMilliseconds = 1_000
        /// A connection on which nothing came for so long is asked whether it lives.
        package var quietMilliseconds = 500
        /// Who does not answer that for so long is silent.
        package var silenceMilliseconds = 1_000
        package var tickMilliseconds = 250
        /// A timer that comes so much late was not late alone: this process was stopped, and knows nothing.
        package var pausedMilliseconds = 250

        package init() {}
    }

    package private(set) var phase = Phase.idle
    /// Of a node that is down or that is being tried again: requests fail at once with this.
    package private(set) var cause: Cause?
    /// When the other side was last heard of.
    package private(set) var heardAt: Instant?
    private let timing: Timing
    /// When the timer is due; `never` when none is set.
    private var due = Instant.never
    /// Since when an answer to a ping is awaited.
    private var askedAt: Instant?
    private var pausedUntil = Instant(nanoseconds: 0)
    private var probePause: Int

    package init(timing: Timing = Timing()) {
        self.timing = timing
        probePause = timing.probePauseMilliseconds
    }

    /// Requests may be queued or sent. Otherwise they fail at once with `cause`, unless `wanted` changes that.
    package var takesRequests: Bool {
        switch phase {
        case .up: true
        case .idle, .connecting, .greeting: cause == nil
        case .down, .closed: false
        }
    }

    package mutating func receive(_ event: Event, now: Instant) -> [Effect] {
        switch (event, phase) {
        case (_, .closed): return []
        case (.close, _): return close()
        case (.wanted, .idle): return connect(now)
        case (.wanted, .down):
            // Who is merely gone is asked again at once; who was silent is only tried in the background.
            guard cause == .gone, now >= pausedUntil else { return [] }
            cause = nil
            return connect(now)
        case (.connected, .connecting):
            phase = .greeting
            return [.greet, schedule(now.adding(milliseconds: timing.greetMilliseconds))]
        case (.connectFailed(let cause), .connecting): return goDown(cause, now, abandons: false)
        case (.welcomed, .greeting):
            phase = .up
            cause = nil
            probePause = timing.probePauseMilliseconds
            (heardAt, askedAt) = (now, nil)
            return [.flush, schedule(now.adding(milliseconds: timing.tickMilliseconds))]
        case (.declined, .connecting), (.declined, .greeting), (.declined, .up):
            return goDown(.declined, now, abandons: true)
        case (.heard, .up):
            (heardAt, askedAt) = (now, nil)
            return []
        case (.unanswered(let sent), .up):
            // The first request that a hung node does not answer is enough, if nothing else came from it since.
            guard isUnheard(since: sent), now.milliseconds(since: sent) >= timing.silenceMilliseconds * 9 / 10 else {
                return []
            }
            return goDown(.silent, now, abandons: true)
        case (.suspected, .idle): return goDown(.silent, now, abandons: false)
        case (.suspected, .up):
            guard now.milliseconds(since: heardAt ?? now) >= timing.quietMilliseconds else { return [] }
            return goDown(.silent, now, abandons: true)
        case (.disconnected, .greeting), (.disconnected, .up): return goDown(.gone, now, abandons: false)
        case (.timer, _): return tick(now)
        default: return []
        }
    }

    /// Nothing has come since then.
    private func isUnheard(since sent: Instant) -> Bool { heardAt.map { $0 <= sent } ?? true }

    // MARK: Timer

    private mutating func tick(_ now: Instant) -> [Effect] {
        guard now >= due else { return due == .never ? [] : [.schedule(due)] }
        let wasPaused = now.milliseconds(since: due) >= timing.pausedMilliseconds
        due = .never
        switch phase {
        case .idle, .closed: return []
        case .down:
            guard cause != .gone else { return [] }
            return connect(now)
        case .connecting, .greeting:
            // What came while this process was stopped is read before the timer goes off again.
            guard !wasPaused else { return [schedule(now.adding(milliseconds: timing.greetMilliseconds))] }
            return goDown(.noAnswer, now, abandons: true)
        case .up:
            if wasPaused { (heardAt, askedAt) = (now, nil) }
            if let askedAt, now.milliseconds(since: askedAt) >= timing.silenceMilliseconds {
                return goDown(.silent, now, abandons: true)
            }
            let next = schedule(now.adding(milliseconds: timing.tickMilliseconds))
            guard now.milliseconds(since: heardAt ?? now) >= timing.quietMilliseconds else { return [next] }
            askedAt = askedAt ?? now
            return [.ping, next]
        }
    }

    private mutating func schedule(_ instant: Instant) -> Effect {
        due = instant
        return .schedule(instant)
    }

    // MARK: Changes

    private mutating func connect(_ now: Instant) -> [Effect] {
        phase = .connecting
        return [.connect, schedule(now.adding(milliseconds: timing.connectMilliseconds))]
    }

    private mutating func goDown(_ cause: Cause, _ now: Instant, abandons: Bool) -> [Effect] {
        // A node that was silent and is now refused is gone: asked again whenever somebody wants to.
        self.cause = cause
        phase = .down
        askedAt = nil
        due = .never
        var effects: [Effect] = abandons ? [.abandon, .fail(cause)] : [.fail(cause)]
        switch cause {
        case .gone:
            pausedUntil = now.adding(milliseconds: timing.pauseAfterRefusalMilliseconds)
            probePause = timing.probePauseMilliseconds
        case .noAnswer, .silent:
            effects.append(schedule(now.adding(milliseconds: probePause)))
            probePause = min(probePause * 2, timing.probePauseMillisecondsMax)
        case .declined: effects.append(schedule(now.adding(milliseconds: timing.declinedPauseMilliseconds)))
        }
        return effects
    }

    private mutating func close() -> [Effect] {
        let hasConnection = phase == .connecting || phase == .greeting || phase == .up
        phase = .closed
        (cause, due, askedAt) = (.gone, .never, nil)
        return hasConnection ? [.abandon, .fail(.gone)] : [.fail(.gone)]
    }

    /// What never holds, in words; nil when all is well. For tests.
    package var brokenInvariant: String? {
        switch phase {
        case .connecting, .greeting, .up:
            if due == .never { return "\(phase) without a timer: it could last for ever" }
        case .down:
            if cause == nil { return "down without a cause" }
            if cause != .gone, due == .never { return "down for \(cause!), and never tried again" }
        case .closed: if due != .never { return "closed, and still waiting for something" }
        case .idle: break
        }
        if phase == .up, cause != nil { return "up, and down" }
        if phase != .up, askedAt != nil { return "waiting for an answer to a ping without a connection" }
        return nil
    }
}
