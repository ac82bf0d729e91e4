// The threads that run kernels, jobs and long scripts, so that no event loop ever does.

import DequeModule
import Dispatch
import Synchronization

/// A fixed number of threads that take closures from one queue, first in, first out.
package final class ComputePool: TaskExecutor {
    private struct State {
        var waiting = Deque<@Sendable () -> Void>()
        var running = 0
        /// Threads that wait within a closure, and do not count as running.
        var waiters = 0
    }
    private let state = Mutex(State())
    private let threads: DispatchQueue
    /// Nil: the threads are Dispatch's, and go before or behind nobody.
    private let crew: ThreadCrew?
    package let width: Int

    /// `givesWay`: whatever else runs on the machine goes first, so that nobody may wait for this pool who holds others up.
    package init(width: Int, givesWay: Bool = false) {
        precondition(width > 0)
        self.width = width
        crew = givesWay ? ThreadCrew() : nil
        threads = DispatchQueue(label: "cacheismo.compute", qos: .userInitiated, attributes: .concurrent)
    }

    deinit { crew?.end() }

    /// Runs `work` on one of the pool's threads. At most `width` closures run at a time.
    package func submit(_ work: @escaping @Sendable () -> Void) {
        let worker = state.withLock { state -> Worker in
            state.waiting.append(work)
            guard state.running < width else { return .none }
            state.running += 1
            return state.waiters > 0 ? .additional : .usual
        }
        start(worker)
    }

    private enum Worker { case none, usual, additional }

    private func start(_ worker: Worker) {
        if worker != .none, let crew { return crew.run { self.drain() } }
        switch worker {
        case .none: break
        case .usual: threads.async { self.drain() }
        // The system gives a concurrent queue no more threads than there are cores, and those that wait are among them.
        case .additional:
            DispatchQueue(label: "cacheismo.compute.additional", qos: .userInitiated).async { self.drain() }
        }
    }

    /// For a closure of the pool that waits for what another one may have to do: while it waits, another thread takes its
    /// place.
    package func waiting<R>(_ wait: () -> R) -> R {
        let worker = state.withLock { state -> Worker in
            state.waiters += 1
            state.running -= 1
            guard !state.waiting.isEmpty, state.running < width else { return .none }
            state.running += 1
            return .additional
        }
        start(worker)
        defer {
            state.withLock { state in
                state.waiters -= 1
                state.running += 1
            }
        }
        return wait()
    }

    /// Tasks that prefer the pool run on its threads: what they wait for, done by the pool too, costs no change of threads.
    package func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        submit { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
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
