// How long a connection may take over its next request: pure, the time passed in.

/// A request has to come within so long of its first byte up to its body, whose bytes may not stall as long; and between two requests
/// nothing may come as long. Nor may a client take nothing of its answers as long.
package struct RequestClock: Sendable {
    package enum Verdict: Equatable, Sendable {
        /// To be asked again then.
        case wait(untilNanoseconds: UInt64)
        /// A request is half there, and was not answered: 408.
        case refuse
        case close
    }

    private let limitNanoseconds: UInt64
    private var sinceNanoseconds: UInt64
    /// Requests whose head has come and whose answer has not gone.
    private var pending = 0
    private var hasFirstBytes = false
    private var isReadingBody = false
    private var isAnswerBegun = false
    /// Since when the client has taken nothing of what waits for it.
    private var stalledNanoseconds: UInt64?

    package init(limitSeconds: Int, now: UInt64) {
        limitNanoseconds = UInt64(limitSeconds) * 1_000_000_000
        sinceNanoseconds = now
    }

    /// Some bytes of the connection, before anybody knows what they are.
    package mutating func bytesCame(now: UInt64) {
        guard isReadingBody || !hasFirstBytes else { return }
        hasFirstBytes = !isReadingBody
        sinceNanoseconds = now
    }

    /// Behind the end of a request some more bytes had come with it.
    package mutating func restCame(now: UInt64) {
        guard !hasFirstBytes else { return }
        hasFirstBytes = true
        sinceNanoseconds = now
    }

    package mutating func headCame(now: UInt64) {
        pending += 1
        hasFirstBytes = false
        isReadingBody = true
        isAnswerBegun = false
        sinceNanoseconds = now
    }

    package mutating func endCame() { isReadingBody = false }

    package mutating func answerBegan() { isAnswerBegun = true }

    package mutating func answerEnded(now: UInt64) {
        pending = max(0, pending - 1)
        sinceNanoseconds = now
    }

    /// Whether more than a little waits for the client to take it.
    package mutating func outputChanged(isStalled: Bool, now: UInt64) { stalledNanoseconds = isStalled ? now : nil }

    package func verdict(now: UInt64) -> Verdict {
        if let stalledNanoseconds {
            let due = stalledNanoseconds + limitNanoseconds
            return now >= due ? .close : .wait(untilNanoseconds: due)
        }
        // What is answered takes as long as it takes.
        guard pending == 0 || isReadingBody else { return .wait(untilNanoseconds: now + limitNanoseconds) }
        let due = sinceNanoseconds + limitNanoseconds
        guard now >= due else { return .wait(untilNanoseconds: due) }
        return hasFirstBytes || isReadingBody && !isAnswerBegun ? .refuse : .close
    }
}
