// The first of several values that may come, from any thread; later ones are dropped.

import Synchronization

/// Waited for by one.
final class FirstOf<R: Sendable>: Sendable {
    private struct State {
        var given: R?
        var waiter: CheckedContinuation<R, Never>?
    }
    private let state = Mutex(State())

    func give(_ value: R) {
        let waiter = state.withLock { state -> CheckedContinuation<R, Never>? in
            guard state.given == nil else { return nil }
            state.given = value
            return state.waiter.take()
        }
        waiter?.resume(returning: value)
    }

    func value() async -> R {
        await withCheckedContinuation { continuation in
            let given = state.withLock { state -> R? in
                if state.given == nil { state.waiter = continuation }
                return state.given
            }
            if let given { continuation.resume(returning: given) }
        }
    }
}
