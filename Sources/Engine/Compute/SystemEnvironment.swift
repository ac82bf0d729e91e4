// A real node's environment: the system's clocks, chance, timers and threads.

import Dispatch
import Glibc

package struct SystemEnvironment: Environment {
    package init() {}

    package var uptimeNanoseconds: UInt64 { monotonicNanoseconds() }

    package var unixMilliseconds: Int64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
    }

    package var unixSeconds: UInt32 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME_COARSE, &time)
        return UInt32(truncatingIfNeeded: time.tv_sec)
    }

    package func randomNumber() -> UInt64 { .random(in: .min ... .max) }

    package func schedule(afterMilliseconds milliseconds: Int, _ errand: @escaping @Sendable () -> Void) {
        DispatchQueue.global().asyncAfter(deadline: .now() + .milliseconds(milliseconds), execute: errand)
    }

    package func runInBackground(_ errand: @escaping @Sendable () -> Void) {
        DispatchQueue.global(qos: .utility).async(execute: errand)
    }

    package func makeCrew(name: String, givesWay: Bool) -> any Crew { ThreadCrew(name: name, givesWay: givesWay) }

    package var taskExecutor: (any TaskExecutor)? { nil }
}

/// Nanoseconds since an arbitrary instant; never goes back. For what measures a thread of its own, and for commands; what a node decides
/// by is its environment's.
package func monotonicNanoseconds() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
}
