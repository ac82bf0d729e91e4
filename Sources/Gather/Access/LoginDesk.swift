// Where all logins of a node are counted, whichever port they come by: those that fail are said in the log and make the next ones wait.

import Coordination
package import Engine
import Synchronization

package final class LoginDesk: Sendable {
    private struct State {
        var failures = LoginFailures()
        var total: UInt64 = 0
    }

    private let state = Mutex(State())
    private let environment: any Environment
    /// Gets a line for people.
    private let say: @Sendable (String) -> Void

    package init(in environment: any Environment, say: @escaping @Sendable (String) -> Void) {
        self.environment = environment
        self.say = say
    }

    /// Since the start.
    package var failureCount: UInt64 { state.withLock { $0.total } }

    /// Whether the next attempt from there would wait.
    package func isSlow(_ client: ClientAddress) -> Bool {
        state.withLock { $0.failures.delayMilliseconds(of: client.host, now: now) } > 0
    }

    /// Counts an attempt; how long its answer has to wait, in milliseconds. Cost: a lock that only logins take.
    package func attempt(from client: ClientAddress, isRight: Bool) -> Int {
        let now = now
        let (delay, count) = state.withLock { state in
            let delay = state.failures.delayMilliseconds(of: client.host, now: now)
            guard !isRight else { return (delay, Int?.none) }
            state.total += 1
            return (delay, state.failures.failed(client.host, now: now))
        }
        if let count {
            let place = client.host.isEmpty ? "the unix socket" : client.host
            say(count == 1 ? "a login from \(place) failed" : "\(count) logins from \(place) failed")
        }
        return delay
    }

    /// Runs `errand` once an answer has waited so long, on another thread, or at once where it need not.
    package func after(milliseconds: Int, _ errand: @escaping @Sendable () -> Void) {
        if milliseconds > 0 { environment.schedule(afterMilliseconds: milliseconds, errand) } else { errand() }
    }

    private var now: Instant { Instant(nanoseconds: environment.uptimeNanoseconds) }
}
