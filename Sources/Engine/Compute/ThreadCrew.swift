// Threads that wait for the next piece of work instead of ending, and may give way to all others.
//
// They are no threads of Dispatch: a priority that was given up can't be had back, and those do other work as well. And the
// system gives a concurrent queue no more threads than there are cores, those that only wait among them.

import CLinux
import DequeModule
import Dispatch
import Synchronization
import Glibc

/// As many threads as there was work to do at a time, until `end`.
final class ThreadCrew: Crew {
    private struct State {
        var bodies = Deque<@Sendable () -> Void>()
        /// Threads that sleep, and nobody has woken yet.
        var idle = 0
        var ends = false
    }
    private let state = Mutex(State())
    private let alarm = DispatchSemaphore(value: 0)
    private let name: String
    private let givesWay: Bool

    /// `name`: of its threads, as `top -H` shows it; 15 characters at most.
    init(name: String, givesWay: Bool) {
        self.name = name
        self.givesWay = givesWay
    }

    /// Runs `body` on a thread that has nothing else to do.
    func run(_ body: @escaping @Sendable () -> Void) {
        let hasIdle = state.withLock { state in
            state.bodies.append(body)
            guard state.idle > 0 else { return false }
            state.idle -= 1
            return true
        }
        if hasIdle { alarm.signal() } else { startThread() }
    }

    /// Threads end once they have nothing to do. May be called on one of them.
    func end() {
        let sleeping = state.withLock { state in
            state.ends = true
            defer { state.idle = 0 }
            return state.idle
        }
        for _ in 0..<sleeping { alarm.signal() }
    }

    private func startThread() {
        var thread = pthread_t()
        let outcome = pthread_create(
            &thread, nil,
            { context in
                let crew = Unmanaged<ThreadCrew>.fromOpaque(context!).takeRetainedValue()
                linux_name_thread(crew.name)
                if crew.givesWay { linux_give_way() }
                crew.work()
                return nil
            }, Unmanaged.passRetained(self).toOpaque())
        precondition(outcome == 0, "no thread could be started")
        pthread_detach(thread)
    }

    private func work() {
        while true {
            let (body, ends) = state.withLock { state -> ((@Sendable () -> Void)?, Bool) in
                if let body = state.bodies.popFirst() { return (body, false) }
                if !state.ends { state.idle += 1 }
                return (nil, state.ends)
            }
            if let body { body() } else if ends { return } else { alarm.wait() }
        }
    }
}
