// How many logins have failed from which address lately, and how long the next one's answer waits for that: pure, the time is passed in.

package import Coordination

package struct LoginFailures: Sendable {
    /// So many within the window are nobody's fault.
    private static let freeCount = 3
    private static let windowMilliseconds = 60_000
    package static let addressesMax = 1_024
    private static let delayMilliseconds = 100
    package static let delayMillisecondsMax = 2_000
    /// After so many more the delay grows no further.
    private static let doublingsMax = 5
    private static let lineMilliseconds = 1_000

    private struct Account {
        /// When the last ones were, as many as the delay depends on.
        var times: [Instant] = []
        var usedAt: UInt64 = 0
        var saidAt: Instant?
        /// Failures since the last line was said.
        var unsaid = 0
    }

    private var accounts: [String: Account] = [:]
    /// Goes up by one with each failure: who has the least was used least recently.
    private var uses: UInt64 = 0

    package init() {}

    /// How many addresses it remembers.
    package var addressCount: Int { accounts.count }

    /// How long an attempt waits for its answer, in milliseconds. A right one too: else whoever hangs up at the first wait would know
    /// at once that a password is wrong.
    package func delayMilliseconds(of address: String, now: Instant) -> Int {
        guard let account = accounts[address] else { return 0 }
        let count = account.times.count { now.milliseconds(since: $0) < Self.windowMilliseconds }
        guard count >= Self.freeCount else { return 0 }
        return min(Self.delayMilliseconds << (count - Self.freeCount), Self.delayMillisecondsMax)
    }

    /// Notes a failure. How many there were since the last line about that address, where another is due: at most one a second.
    package mutating func failed(_ address: String, now: Instant) -> Int? {
        uses += 1
        makeRoom(for: address)
        var account = accounts[address] ?? Account()
        if account.times.count > Self.freeCount + Self.doublingsMax { account.times.removeFirst() }
        account.times.append(now)
        account.usedAt = uses
        account.unsaid += 1
        defer { accounts[address] = account }
        if let saidAt = account.saidAt, now.milliseconds(since: saidAt) < Self.lineMilliseconds { return nil }
        defer { account.unsaid = 0 }
        account.saidAt = now
        return account.unsaid
    }

    /// The address that was used least recently goes.
    private mutating func makeRoom(for address: String) {
        guard accounts[address] == nil, accounts.count >= Self.addressesMax,
            let oldest = accounts.min(by: { $0.value.usedAt < $1.value.usedAt })?.key
        else { return }
        accounts[oldest] = nil
    }
}
