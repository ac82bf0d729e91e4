// Takes back what somebody is doing, from any thread.

import Synchronization

/// Once cancelled it stays so.
package final class Cancellation: Sendable {
    private struct Calls {
        var last = 0
        var byNumber: [Int: @Sendable () -> Void] = [:]
    }

    private let cancelled = Atomic<Bool>(false)
    private let calls = Mutex(Calls())

    package init() {}

    package var isCancelled: Bool { cancelled.load(ordering: .relaxed) }

    package func cancel() {
        cancelled.store(true, ordering: .relaxed)
        // Under the lock, so that nobody who is called here has gone.
        calls.withLock { for call in $0.byNumber.values { call() } }
    }

    /// `call` runs when it is cancelled, at once when it is already, and may run more than once. The number takes it back.
    package func whenCancelled(_ call: @escaping @Sendable () -> Void) -> Int {
        let number = calls.withLock { calls in
            calls.last += 1
            calls.byNumber[calls.last] = call
            return calls.last
        }
        if isCancelled { call() }
        return number
    }

    package func forget(_ number: Int) {
        // What it held is let go of outside of the lock.
        let call = calls.withLock { $0.byNumber.removeValue(forKey: number) }
        withExtendedLifetime(call) {}
    }
}
