// What a node has of the world around it besides sockets: the time, chance, timers and threads. Made once, passed to all that need it.

import Synchronization

/// A real node has the system's (`SystemEnvironment`). A simulated one has a clock that is set and threads that are none, so
/// that all it does follows from a seed.
package protocol Environment: Sendable {
    /// Nanoseconds since an arbitrary instant; never goes back.
    var uptimeNanoseconds: UInt64 { get }
    /// Since 1970.
    var unixMilliseconds: Int64 { get }
    /// The unit of item expiry. Good until 2106.
    var unixSeconds: UInt32 { get }
    /// Any number as likely as any other.
    func randomNumber() -> UInt64
    /// Runs `errand` after so long, on any thread that is nobody's.
    func schedule(afterMilliseconds: Int, _ errand: @escaping @Sendable () -> Void)
    /// Runs `errand` soon, beside everything else, as nobody waits for it.
    func runInBackground(_ errand: @escaping @Sendable () -> Void)
    /// Threads for a pool. `name`: as `top -H` shows them. `givesWay`: to everything else on the machine.
    func makeCrew(name: String, givesWay: Bool) -> any Crew
    /// Where tasks run that prefer no other place; nil: where the system has them run.
    var taskExecutor: (any TaskExecutor)? { get }
}

/// Threads that run what they are given, as many at a time as are given.
package protocol Crew: Sendable {
    func run(_ body: @escaping @Sendable () -> Void)
    /// No more will come. May be called by what it runs.
    func end()
}

extension Environment {
    /// The deadline so long from now; `never` where that is further away than the clock reaches.
    package func deadline(afterMilliseconds milliseconds: Int) -> Deadline {
        Deadline.after(milliseconds: milliseconds, from: uptimeNanoseconds)
    }

    package func hasPassed(_ deadline: Deadline) -> Bool { deadline.hasPassed(at: uptimeNanoseconds) }

    /// What is left, in whole milliseconds; 0 once it has passed.
    package func remainingMilliseconds(until deadline: Deadline) -> Int {
        deadline.remainingMilliseconds(at: uptimeNanoseconds)
    }

    /// Starts a task of this node.
    @discardableResult
    package func task(_ body: @escaping @Sendable () async -> Void) -> Task<Void, Never> {
        Task(executorPreference: taskExecutor) { await body() }
    }

    /// Returns after so long, or as soon as the task is cancelled.
    package func sleep(milliseconds: Int) async {
        let sleep = Sleep()
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                sleep.begin(continuation)
                schedule(afterMilliseconds: milliseconds) { sleep.end() }
            }
        } onCancel: {
            sleep.end()
        }
    }
}

/// Ends once: after its time, or when its task is cancelled, be it before it begins.
private final class Sleep: Sendable {
    private enum State {
        case new
        case asleep(CheckedContinuation<Void, Never>)
        case over
    }
    private let state = Mutex(State.new)

    func begin(_ continuation: CheckedContinuation<Void, Never>) {
        let isOver = state.withLock { state in
            if case .over = state { return true }
            state = .asleep(continuation)
            return false
        }
        if isOver { continuation.resume() }
    }

    func end() {
        let before = state.withLock { state in
            defer { state = .over }
            return state
        }
        if case .asleep(let continuation) = before { continuation.resume() }
    }
}
