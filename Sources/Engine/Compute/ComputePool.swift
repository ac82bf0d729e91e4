// The threads that run kernels, jobs and long scripts, so that no event loop ever does. They take turns.

import CLinux
import DequeModule
import Dispatch
import Synchronization

/// A fixed number of closures run at a time. One that says now and then that others may run (`yieldProcessor`) is paused where it is
/// once its turn is over and others wait: its thread sleeps, another one takes its place. One that does not, and holds
/// others up for 10 ms, gets another thread beside it.
package final class ComputePool: TaskExecutor {
    package typealias Work = @Sendable () -> Void

    private struct State {
        var queue = TurnQueue<Work, PausedTurn>()
        /// Threads that wait within a closure, or are paused in one, do not count.
        var running = 0
        var isWatched = false
        /// The queue's turns when it was last looked at.
        var turnsSeen: UInt64 = 0
    }
    private let state = Mutex(State())
    private let crew: any Crew
    package let environment: any Environment
    package let width: Int

    /// Closures that sleep in the middle of themselves, each with a thread; beyond that a turn has no end.
    private static let pausedMax = 1_024
    /// Threads beside those that hold up others.
    private static let extraMax = 32
    private static let patienceMilliseconds = 10

    /// `name`: of its threads. `givesWay`: whatever else runs on the machine goes first, so that nobody may wait for this
    /// pool who holds others up; only there do turns end.
    package init(
        width: Int, name: String = "compute", givesWay: Bool = false,
        environment: any Environment = SystemEnvironment()
    ) {
        precondition(width > 0)
        self.width = width
        self.environment = environment
        crew = environment.makeCrew(name: name, givesWay: givesWay)
    }

    deinit { crew.end() }

    /// Runs `work` on one of the pool's threads. At most `width` closures run at a time.
    package func submit(_ work: @escaping Work) { enter { $0.queue.add(work) } }

    /// As `submit`, for what takes a few milliseconds at most, looks at nobody's script, and is awaited: it goes first. What
    /// takes longer after all, and says when others may run, waits for none but urgent ones then.
    package func submitUrgent(_ work: @escaping Work) {
        enter { $0.queue.add(urgent: { PoolWorker.urgently(work) }) }
    }

    /// For what may be left undone: it is run when there is nothing else to do.
    package func submitOptional(_ work: @escaping Work) { enter { $0.queue.add(optional: work) } }

    private func enter(_ add: (inout State) -> Void) {
        var startsWatch = false
        let startsWorker = state.withLock { state in
            add(&state)
            if state.running < width {
                state.running += 1
                return true
            }
            startsWatch = !state.isWatched && state.queue.waiting > 0
            if startsWatch { (state.isWatched, state.turnsSeen) = (true, state.queue.turns) }
            return false
        }
        if startsWorker { crew.run { self.drain() } }
        if startsWatch { watch() }
    }

    /// As `submit`, for what the calling thread, where it is one of the pool's, does itself once it is done with its closure: to
    /// wake another one would take longer. Others are asked when its turn ends before (see `yieldProcessor`).
    package func submitNext(_ work: @escaping Work) {
        if let worker = PoolWorker.current, worker.pool === self { worker.next.append(work) } else { submit(work) }
    }

    /// For a closure of the pool that waits for what another one may have to do: while it waits, another thread takes its
    /// place. Any other thread just waits.
    package func waiting<R>(_ wait: () -> R) -> R {
        guard let worker = PoolWorker.current, worker.pool === self else { return wait() }
        worker.offer()
        let next = state.withLock { state in
            guard state.running <= width, let next = state.queue.next() else {
                state.running -= 1
                return nil as TurnQueue<Work, PausedTurn>.Next?
            }
            return next
        }
        if let next { hand(over: next) }
        defer { state.withLock { $0.running += 1 } }
        return wait()
    }

    /// Tasks that prefer the pool run on its threads: what they wait for, done by the pool too, costs no change of threads.
    /// They are the steps between what takes long, and go before it.
    package func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        let work: Work = { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
        guard let worker = PoolWorker.current, worker.pool === self else { return submitUrgent(work) }
        worker.next.append(work)
    }

    /// Closures that wait for a thread, those that have begun not among them.
    package var queued: Int { state.withLock { $0.queue.waiting } }
    /// Closures that have begun, and wait for their next turn.
    package var paused: Int { state.withLock { $0.queue.pausedCount } }

    // MARK: Threads

    /// `isExtra`: beside those that hold others up.
    private func drain(_ first: Work? = nil, isExtra: Bool = false) {
        let worker = PoolWorker(self)
        linux_begin_turn()
        worker.makeCurrent()
        worker.turnBegan = monotonicNanoseconds()
        var work = first ?? takeWaiting(isExtra)
        while let taken = work {
            taken()
            let now = monotonicNanoseconds()
            Self.yieldProcessor(at: now)
            work = worker.next.popFirst()
            if work == nil {
                worker.turnBegan = now
                work = takeWaiting(isExtra)
            }
        }
        PoolWorker.endCurrent()
    }

    /// Nil when there is nothing to do, or another thread goes on in this one's place.
    private func takeWaiting(_ isExtra: Bool) -> Work? {
        let next = state.withLock { state in
            let mayGoOn = state.running <= width || isExtra && state.queue.waiting > 0
            guard mayGoOn, let next = state.queue.next() else {
                state.running -= 1
                return nil as TurnQueue<Work, PausedTurn>.Next?
            }
            return next
        }
        switch next {
        case .begin(let work): return work
        case .goOn(let turn): turn.goOn()
        case nil: break
        }
        return nil
    }

    /// The place of the calling thread goes to the next one.
    private func hand(over next: TurnQueue<Work, PausedTurn>.Next, isExtra: Bool = false) {
        switch next {
        case .begin(let work): crew.run { self.drain(work, isExtra: isExtra) }
        case .goOn(let turn): turn.goOn()
        }
    }

    /// To be called now and then by what runs for long, at `now` on the monotonic clock, holding no lock: on a thread that
    /// gives way, and had the processor for 0.1 ms, whoever waits for it goes first. A low priority alone does not do
    /// that: the system lets a thread that has just woken up finish its time slice, which ends with the next of its
    /// ticks, 4 ms apart. Returns once it is this closure's turn again.
    package static func yieldProcessor(at now: UInt64) {
        guard linux_yield(Int64(bitPattern: now)), let worker = PoolWorker.current else { return }
        worker.offer()
        let nanoseconds = now &- worker.turnBegan
        if nanoseconds >= TurnQueue<Work, PausedTurn>.turnNanoseconds, now > worker.turnBegan {
            worker.pool.endTurn(of: worker, after: nanoseconds)
        }
    }

    private func endTurn(of worker: PoolWorker, after nanoseconds: UInt64) {
        let turn = PausedTurn()
        let isUrgent = worker.isUrgent
        let (isPaused, next) = state.withLock { state -> (Bool, TurnQueue<Work, PausedTurn>.Next?) in
            guard state.queue.pausedCount < Self.pausedMax, state.queue.endsTurn(after: nanoseconds) else {
                return (false, nil)
            }
            if isUrgent { state.queue.add(urgentPaused: turn) } else { state.queue.add(paused: turn) }
            guard state.running <= width, let next = state.queue.next() else {
                state.running -= 1
                return (true, nil)
            }
            return (true, next)
        }
        if let next { hand(over: next) }
        guard isPaused else { return }
        turn.wait()
        worker.turnBegan = monotonicNanoseconds()
        linux_begin_turn()
    }

    // MARK: What holds others up

    private func watch() {
        environment.schedule(afterMilliseconds: Self.patienceMilliseconds) { [weak self] in self?.look() }
    }

    /// Whoever waits gets another thread when none of those that there are had anything new in the meantime.
    private func look() {
        let (startsWorker, goesOn) = state.withLock { state in
            state.isWatched = state.queue.waiting > 0
            guard state.isWatched else { return (false, false) }
            let isHeldUp = state.turnsSeen == state.queue.turns && state.running < width + Self.extraMax
            state.turnsSeen = state.queue.turns
            return (isHeldUp, true)
        }
        if startsWorker { beginExtra() }
        if goesOn { watch() }
    }

    private func beginExtra() {
        let next = state.withLock { state in
            guard let next = state.queue.next() else { return nil as TurnQueue<Work, PausedTurn>.Next? }
            state.running += 1
            return next
        }
        if let next { hand(over: next, isExtra: true) }
    }
}

/// A closure that was paused, and the thread that sleeps in it.
private final class PausedTurn: Sendable {
    private let semaphore = DispatchSemaphore(value: 0)

    func goOn() { semaphore.signal() }
    func wait() { semaphore.wait() }
}

/// A thread of a pool, while it has something to do.
private final class PoolWorker {
    let pool: ComputePool
    /// What it goes on with, unless others are asked before.
    var next = Deque<ComputePool.Work>()
    /// On the monotonic clock: since then it is at what it is at, without having made room for others.
    var turnBegan: UInt64 = 0
    /// What it is at goes before others.
    private(set) var isUrgent = false

    init(_ pool: ComputePool) { self.pool = pool }

    /// The calling thread's, if it is one.
    static var current: PoolWorker? {
        linux_worker().map { Unmanaged<PoolWorker>.fromOpaque($0).takeUnretainedValue() }
    }

    static func urgently(_ work: ComputePool.Work) {
        let worker = current
        worker?.isUrgent = true
        work()
        worker?.isUrgent = false
    }

    func makeCurrent() { linux_set_worker(Unmanaged.passUnretained(self).toOpaque()) }

    static func endCurrent() { linux_set_worker(nil) }

    /// Asks other threads to do it.
    func offer() {
        while let work = next.popFirst() { pool.submit(work) }
    }
}
