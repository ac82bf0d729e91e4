// A job against its deadline and whoever cancels it: the first one decides what is answered, and when.

import Engine
import Synchronization

enum JobRace {
    /// What `work` comes to; or `timeout` at the deadline, or `cancelled` at once. Then `work` goes on with what it is at, its scripts
    /// cancelled, and what it comes to is dropped.
    static func run<R: Sendable>(
        job: String, by deadline: Deadline, _ cancellation: Cancellation, in cluster: Cluster,
        _ work: @escaping @Sendable () async -> R
    ) async throws(Failure) -> R {
        let (answer, alarms) = (FirstAnswer<R>(), cluster.alarms)
        let result = await withCheckedContinuation { continuation in
            answer.wait(continuation)
            let alarm = alarms.set(deadline) {
                answer.give(.failure(Failure(.timeout, "job \(job) was not done when its time was over")))
                cancellation.cancel()
            }
            let stop = cancellation.whenCancelled {
                answer.give(.failure(Failure(.cancelled, "job \(job) was cancelled")))
            }
            Task(executorPreference: cluster.engine.compute) {
                let result = await work()
                alarms.takeBack(alarm)
                cancellation.forget(stop)
                answer.give(.success(result))
            }
        }
        return try result.get()
    }
}

/// Later ones are dropped.
private final class FirstAnswer<R: Sendable>: Sendable {
    typealias Waiter = CheckedContinuation<Result<R, Failure>, Never>
    private let waiter = Mutex<Waiter?>(nil)

    func wait(_ continuation: Waiter) { waiter.withLock { $0 = continuation } }

    func give(_ answer: Result<R, Failure>) {
        waiter.withLock { $0.take() }?.resume(returning: answer)
    }
}
