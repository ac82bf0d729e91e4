// What this node knows of one other node from all its links to it: whether it is there, since when it is silent.

package import Coordination
package import Logging
import Synchronization

/// Shared by the links of all event loops to one node. Says in the log what changes, once.
package final class PeerStatus: Sendable {
    package let name: String
    private let address: String
    private let logger: Logger
    private let presence = Mutex(PeerPresence())
    private let heardNanoseconds = Atomic<UInt64>(0)
    /// Smoothed; 0 before the first.
    private let roundTrip = Atomic<UInt64>(0)
    private let forwardedCommands = Atomic<UInt64>(0)
    private let silentLinks = Atomic<Bool>(false)
    private let lastIncarnation = Mutex<UInt64?>(nil)

    package init(name: String, address: String, logger: Logger) {
        self.name = name
        self.address = address
        self.logger = logger
    }

    package var state: PeerPresence.State { presence.withLock { $0.state } }

    /// Milliseconds since any link heard of the node; nil when none ever has.
    package func silentMilliseconds(now: Instant) -> Int? {
        let heard = heardNanoseconds.load(ordering: .relaxed)
        return heard == 0 ? nil : now.milliseconds(since: Instant(nanoseconds: heard))
    }

    /// How long a question about the connection itself takes there and back, on the average of the last few; nil before the
    /// first. They are asked where nothing else was heard for half a second.
    package var roundTripNanoseconds: UInt64? {
        let nanoseconds = roundTrip.load(ordering: .relaxed)
        return nanoseconds == 0 ? nil : nanoseconds
    }

    /// Weighs an eighth, as TCP weighs its round trips.
    func measured(roundTrip nanoseconds: UInt64) {
        let before = roundTrip.load(ordering: .relaxed)
        let smooth = before == 0 ? nanoseconds : before - before / 8 + nanoseconds / 8
        roundTrip.store(max(1, smooth), ordering: .relaxed)
    }

    /// Commands of clients and calls of methods that this node had it carry out.
    package var forwarded: UInt64 { forwardedCommands.load(ordering: .relaxed) }

    func forwarded(_ commands: Int) { forwardedCommands.add(UInt64(commands), ordering: .relaxed) }

    /// A link has found the node silent, and none has heard of it since.
    var isSilent: Bool { silentLinks.load(ordering: .relaxed) }

    func heard(_ now: Instant) { heardNanoseconds.store(now.nanoseconds, ordering: .relaxed) }

    func foundSilent() { silentLinks.store(true, ordering: .relaxed) }

    /// The run of its process that last greeted us, or was greeted; nil before the first.
    package var incarnation: UInt64? { lastIncarnation.withLock { $0 } }

    package func met(incarnation: UInt64) { lastIncarnation.withLock { $0 = incarnation } }

    func note(_ event: PeerPresence.Event) {
        if case .up(let now) = event {
            silentLinks.store(false, ordering: .relaxed)
            heard(now)
        }
        guard let report = presence.withLock({ $0.receive(event) }) else { return }
        switch report {
        case .lost(let why): tell(.warning, "is lost: \(why)", "peer_lost", why)
        case .notReached(let why): tell(.notice, "is not there yet: \(why)", "peer_not_reached", why)
        case .reached: tell(.notice, "is there", "peer_reached")
        case .back: tell(.notice, "is back", "peer_back")
        case .refused(let why): tell(.warning, "is refused: \(why)", "peer_refused", why)
        }
    }

    private func tell(_ level: Logger.Level, _ what: String, _ event: String, _ reason: String? = nil) {
        var fields: Logger.Metadata = ["event": .string(event), "peer": .string(name), "address": .string(address)]
        if let reason { fields["reason"] = .string(reason) }
        logger.log(level: level, "peer \(name) (\(address)) \(what)", metadata: fields)
    }
}
