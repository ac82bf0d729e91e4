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
        case .lost(let why): logger.warning("peer \(name) (\(address)) is lost: \(why)")
        case .notReached(let why): logger.notice("peer \(name) (\(address)) is not there yet: \(why)")
        case .reached: logger.notice("peer \(name) (\(address)) is there")
        case .back: logger.notice("peer \(name) (\(address)) is back")
        case .refused(let why): logger.warning("peer \(name) (\(address)) is refused: \(why)")
        }
    }
}
