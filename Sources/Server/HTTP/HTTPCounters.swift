// Gets, sets and calls over HTTP, counted as memcached's are.

import Engine
import Gather
import Synchronization

/// A set of counters that the threads of HTTP write in turn: each is a few nanoseconds of a request's twenty microseconds.
final class HTTPCounters: Sendable {
    private let counters: Mutex<SessionCounters>
    private let router: Router

    init(_ statistics: MemcachedStatistics, _ router: Router) {
        counters = Mutex(statistics.makeCounters())
        self.router = router
    }

    /// What a key of a get was answered: an item, or a method or service.
    func count(retrieval answer: Result<Value, Failure>, of key: [UInt8]) {
        let isItem = router.isItem(key)
        counters.withLock { counters in
            guard isItem else { return Self.count(call: answer, counters) }
            switch answer {
            case .success: counters.count(retrievalHit: true)
            case .failure(let failure) where failure.reason == .miss: counters.count(retrievalHit: false)
            case .failure: counters.add(.forwardErrors)
            }
        }
    }

    func count(call answer: Result<Value, Failure>) { counters.withLock { Self.count(call: answer, $0) } }

    private static func count(call answer: Result<Value, Failure>, _ counters: SessionCounters) {
        counters.add(.virtualCalls)
        if case .failure(let failure) = answer, failure.reason != .miss { counters.add(.virtualErrors) }
    }

    /// What a command on an item came to. `meta`: the command, where it was one.
    func count(_ outcome: ItemOutcome, of meta: MetaCommand?) {
        counters.withLock { counters in
            switch (outcome, meta) {
            case (.failed, _): counters.add(.forwardErrors)
            case (.meta(let answer), let command?): counters.count(command, answer.status)
            case (.value, _): counters.count(retrievalHit: true)
            default: counters.count(retrievalHit: false)
            }
        }
    }
}
