// Says in the log whom this node has refused, once for each caller and reason.

import Coordination
import Logging
import Synchronization

final class RefusalLog: Sendable {
    /// Callers that nobody knows are all one: their names can't fill the log, nor this.
    private static let saidMax = 256
    private let logger: Logger
    private let said = Mutex([String: String]())

    init(logger: Logger) { self.logger = logger }

    func note(_ refusal: Refusal, name: String, address: String) {
        let host = address.split(separator: ":").dropLast().joined(separator: ":")
        let who = name.isEmpty ? "client at \(host)" : "peer \(name.prefix(64)) at \(host)"
        let isNew = said.withLock { said in
            guard said[who] != refusal.message, said.count < Self.saidMax else { return false }
            said[who] = refusal.message
            return true
        }
        if isNew { logger.warning("refused \(who): \(refusal.message)") }
    }

    /// It was taken now: another refusal is news.
    func forget(_ name: String) {
        said.withLock { said in
            for who in said.keys where who.hasPrefix("peer \(name) at ") { said[who] = nil }
        }
    }
}
