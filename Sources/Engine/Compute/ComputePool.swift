// The threads that run kernels, jobs and long scripts, so that no event loop ever does.

import CLinux
import DequeModule
import Synchronization

/// A fixed number of threads that take closures from one queue, first in, first out.
package final class ComputePool: TaskExecutor {
    private struct State {
        var waiting = Deque<@Sendable () -> Void>()
        /// Threads that wait within a closure do not count.
        var running = 0
    }
    private let state = Mutex(State())
    private let crew: ThreadCrew
    package let width: Int

    /// `name`: of its threads. `givesWay`: whatever else runs on the machine goes first, so that nobody may wait for this
    /// pool who holds others up.
    package init(width: Int, name: String = "compute", givesWay: Bool = false) {
        precondition(width > 0)
        self.width = width
        crew = ThreadCrew(name: name, givesWay: givesWay)
    }

    deinit { crew.end() }

    /// Runs `work` on one of the pool's threads. At most `width` closures run at a time.
    package func submit(_ work: @escaping @Sendable () -> Void) {
        let startsWorker = state.withLock { state in
            state.waiting.append(work)
            guard state.running < width else { return false }
            state.running += 1
            return true
        }
        if startsWorker { crew.run { self.drain() } }
    }

    /// As `submit`, for what the calling thread, where it is one of the pool's, does itself once it is done with its closure: to
    /// wake another one would take longer. Others are asked when its turn ends before (see `letOthersRun`).
    package func submitNext(_ work: @escaping @Sendable () -> Void) {
        if let worker = PoolWorker.current, worker.pool === self { worker.next.append(work) } else { submit(work) }
    }

    /// For a closure of the pool that waits for what another one may have to do: while it waits, another thread takes its
    /// place.
    package func waiting<R>(_ wait: () -> R) -> R {
        PoolWorker.current?.offer()
        let startsWorker = state.withLock { state in
            guard !state.waiting.isEmpty, state.running <= width else {
                state.running -= 1
                return false
            }
            return true
        }
        if startsWorker { crew.run { self.drain() } }
        defer { state.withLock { $0.running += 1 } }
        return wait()
    }

    /// Tasks that prefer the pool run on its threads: what they wait for, done by the pool too, costs no change of threads.
    package func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        submitNext { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
    }

    /// Closures that wait for a thread.
    package var queued: Int { state.withLock { $0.waiting.count } }

    private func drain() {
        let worker = PoolWorker(self)
        linux_begin_turn()
        worker.makeCurrent()
        while let work = worker.next.popFirst() ?? takeWaiting() {
            work()
            Self.letOthersRun(at: monotonicNanoseconds())
        }
        PoolWorker.endCurrent()
    }

    private func takeWaiting() -> (@Sendable () -> Void)? {
        state.withLock { state in
            if let next = state.waiting.popFirst() { return next }
            state.running -= 1
            return nil
        }
    }

    /// To be called now and then by what runs for long, at `now` on the monotonic clock: on a thread that gives way, and had
    /// the processor for 0.1 ms, whoever waits for it goes first. A low priority alone does not do that: the system lets a
    /// thread that has just woken up finish its time slice, which ends with the next of its ticks, 4 ms apart.
    package static func letOthersRun(at now: UInt64) {
        if linux_let_others_run(Int64(bitPattern: now)) { PoolWorker.current?.offer() }
    }
}

/// A thread of a pool, while it has something to do.
private final class PoolWorker {
    let pool: ComputePool
    /// What it goes on with, unless others are asked before.
    var next = Deque<@Sendable () -> Void>()

    init(_ pool: ComputePool) { self.pool = pool }

    /// The calling thread's, if it is one.
    static var current: PoolWorker? {
        linux_worker().map { Unmanaged<PoolWorker>.fromOpaque($0).takeUnretainedValue() }
    }

    func makeCurrent() { linux_set_worker(Unmanaged.passUnretained(self).toOpaque()) }

    static func endCurrent() { linux_set_worker(nil) }

    /// Asks other threads to do it.
    func offer() {
        while let work = next.popFirst() { pool.submit(work) }
    }
}
