// Says in the log whom this node has refused, once for each caller and reason.

import Coordination
import Logging
import Synchronization

final class RefusalLog: Sendable {
    /// Beyond these nothing more is said: whoever calls from many addresses can't fill the log.
    private static let saidMax = 256
    private let logger: Logger
    private let peers: Set<String>
    private let said = Mutex(Set<String>())

    init(peers: Set<String>, logger: Logger) {
        self.peers = peers
        self.logger = logger
    }

    /// `name`: what the caller calls itself, which counts where a peer is called so.
    func note(_ refusal: Refusal, name: String, address: String) {
        let host = address.split(separator: ":").dropLast().joined(separator: ":")
        let who = peers.contains(name) ? "peer \(name) at \(host)" : "a caller at \(host)"
        let isNew = said.withLock { $0.count < Self.saidMax && $0.insert("\(who) \(refusal.kind)").inserted }
        if isNew { logger.warning("refused \(who): \(refusal.message)") }
    }

    /// It was taken now: another refusal is news.
    func forget(_ name: String) {
        said.withLock { said in said = said.filter { !$0.hasPrefix("peer \(name) at ") } }
    }
}
