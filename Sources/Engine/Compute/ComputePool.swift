// The threads that run kernels, jobs and long scripts, so that no event loop ever does.

import DequeModule
import Dispatch
import Synchronization

/// A fixed number of threads that take closures from one queue, first in, first out.
package final class ComputePool: Sendable {
    private struct State {
        var waiting = Deque<@Sendable () -> Void>()
        var running = 0
    }
    private let state = Mutex(State())
    private let threads: DispatchQueue
    package let width: Int

    package init(width: Int) {
        precondition(width > 0)
        self.width = width
        threads = DispatchQueue(label: "cacheismo.compute", qos: .userInitiated, attributes: .concurrent)
    }

    /// Runs `work` on one of the pool's threads. At most `width` closures run at a time.
    package func submit(_ work: @escaping @Sendable () -> Void) {
        let startsWorker = state.withLock { state in
            state.waiting.append(work)
            guard state.running < width else { return false }
            state.running += 1
            return true
        }
        if startsWorker { threads.async { self.drain() } }
    }

    /// For a closure of the pool that waits for what another one may have to do: while it waits, another thread takes its
    /// place.
    package func waiting<R>(_ wait: () -> R) -> R {
        let startsWorker = state.withLock { state in
            guard !state.waiting.isEmpty, state.running <= width else {
                state.running -= 1
                return false
            }
            return true
        }
        if startsWorker { threads.async { self.drain() } }
        defer { state.withLock { $0.running += 1 } }
        return wait()
    }

    /// Closures that wait for a thread.
    package var queued: Int { state.withLock { $0.waiting.count } }

    private func drain() {
        while let work = state.withLock({ state -> (@Sendable () -> Void)? in
            if let next = state.waiting.popFirst() { return next }
            state.running -= 1
            return nil
        }) {
            work()
        }
    }
}
