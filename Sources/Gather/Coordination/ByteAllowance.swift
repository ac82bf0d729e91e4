// How much one peer connection may have under way: requests that are worked on, and replies that it has not taken.

/// Bookkeeping only: whoever drives it says what came and what was answered, and asks whether to read on.
package struct ByteAllowance: Sendable {
    package struct Limits: Sendable {
        /// Beyond this nothing more is read; the replies still to come are reckoned in.
        package var bytes: Int
        /// Beyond this a reply is not kept: a failure takes its place.
        package var untakenBytes: Int
        package var requests: Int

        package init(bytes: Int, untakenBytes: Int, requests: Int) {
            self.bytes = bytes
            self.untakenBytes = untakenBytes
            self.requests = requests
        }
    }

    package let limits: Limits
    /// Requests that are worked on, and their bytes.
    package private(set) var requests = 0
    package private(set) var requestBytes = 0
    /// How large the next reply may be, by those that came lately.
    package private(set) var replyBytesExpected = ByteAllowance.replyBytesExpectedFirst
    private static let replyBytesExpectedFirst = 4 << 10
    /// So many are taken on whatever they may answer: one that takes long must not hold up those behind it.
    private static let requestsAlways = 64

    package init(_ limits: Limits) { self.limits = limits }

    /// Whether another request may be taken on, while so many bytes of replies were not taken.
    package func mayTake(untakenBytes: Int) -> Bool {
        let left = limits.bytes - untakenBytes - requestBytes
        return requests < limits.requests && left > 0
            && (requests < Self.requestsAlways || requests <= left / replyBytesExpected)
    }

    package mutating func took(requestBytes bytes: Int) {
        requests += 1
        requestBytes += bytes
    }

    /// A request is done with. Whether its reply may be kept beside those that were not taken yet; the first one always may.
    package mutating func answered(requestBytes: Int, replyBytes: Int, untakenBytes: Int) -> Bool {
        requests -= 1
        self.requestBytes -= requestBytes
        assert(requests >= 0 && self.requestBytes >= 0)
        // Larger replies are believed at once, smaller ones by and by.
        replyBytesExpected = max(1, replyBytes, replyBytesExpected - replyBytesExpected / 8)
        return untakenBytes == 0 || untakenBytes + replyBytes <= limits.untakenBytes
    }
}
