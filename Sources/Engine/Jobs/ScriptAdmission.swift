// How many scripts of jobs are under way at a time, and who is next: a fair queue before the compute pool.

import DequeModule
import Synchronization

/// Scripts that are under way share the pool's threads turn by turn, and each of them keeps a thread and a Lua state; so that
/// their number has a bound. To wait counts against the deadline.
package final class ScriptAdmission: Sendable {
    /// Runs on the pool with nil; else, at once or later, with why it does not.
    package typealias Work = @Sendable (Failure?) -> Void

    private struct Waiting {
        let deadline: Deadline
        let work: Work
    }

    private struct State {
        var running = 0
        var waiting = Deque<Waiting>()
    }

    private let pool: ComputePool
    private let atATimeMax: Int
    private let waitingMax: Int
    private let state = Mutex(State())

    package init(pool: ComputePool, atATimeMax: Int = 512, waitingMax: Int = 8_192) {
        self.pool = pool
        self.atATimeMax = atATimeMax
        self.waitingMax = waitingMax
    }

    package var running: Int { state.withLock { $0.running } }
    package var waiting: Int { state.withLock { $0.waiting.count } }

    /// `goesOn`: the calling thread, where it is one of the pool's, may do it itself, once it is done with what it does.
    package func submit(deadline: Deadline, goesOn: Bool = false, _ work: @escaping Work) {
        enum Outcome { case runs, waits, refused }
        let outcome = state.withLock { state -> Outcome in
            if state.running < atATimeMax {
                state.running += 1
                return .runs
            }
            guard state.waiting.count < waitingMax else { return .refused }
            state.waiting.append(Waiting(deadline: deadline, work: work))
            return .waits
        }
        switch outcome {
        case .waits: break
        case .refused:
            work(Failure(.overloaded, "\(waitingMax) scripts wait for their turn already; ask again later"))
        case .runs:
            let turn: @Sendable () -> Void = {
                work(nil)
                self.leave()
            }
            if goesOn { pool.submitNext(turn) } else { pool.submit(turn) }
        }
    }

    /// The place of one that is done goes to the next whose time is not over.
    private func leave() {
        while true {
            let next = state.withLock { state in
                let next = state.waiting.popFirst()
                if next == nil { state.running -= 1 }
                return next
            }
            guard let next else { return }
            guard !pool.environment.hasPassed(next.deadline) else {
                next.work(Failure(.timeout, "the deadline passed while a script waited for its turn"))
                continue
            }
            pool.submit {
                next.work(nil)
                self.leave()
            }
            return
        }
    }
}

extension ScriptAdmission {
    /// Runs `work` in its turn, and waits for it without holding a thread.
    package func attempt<R: Sendable>(
        by deadline: Deadline, _ work: @escaping @Sendable () throws(Failure) -> R
    ) async throws(Failure) -> R {
        let result: Result<R, Failure> = await withCheckedContinuation { continuation in
            submit(deadline: deadline, goesOn: true) { refusal in
                continuation.resume(returning: refusal.map { .failure($0) } ?? Result(catching: work))
            }
        }
        return try result.get()
    }
}
