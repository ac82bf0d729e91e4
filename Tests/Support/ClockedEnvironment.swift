// The system's environment with another wall clock, or another clock that only goes forward.

import Engine

struct ClockedEnvironment: Environment {
    /// Milliseconds since 1970.
    let clock: @Sendable () -> UInt64
    /// Of the clock that only goes forward, which stands still there; nil: the system's.
    private var standing: UInt64?
    private let system = SystemEnvironment()

    init(_ clock: @escaping @Sendable () -> UInt64) { self.clock = clock }

    /// Nothing gets older, and what is scheduled comes all the same.
    static var standingStill: ClockedEnvironment {
        var environment = ClockedEnvironment { 1_000_000_000_000 }
        environment.standing = 3_600_000_000_000
        return environment
    }

    var uptimeNanoseconds: UInt64 { standing ?? system.uptimeNanoseconds }
    var unixMilliseconds: Int64 { Int64(clock()) }
    var unixSeconds: UInt32 { UInt32(truncatingIfNeeded: clock() / 1000) }
    func randomNumber() -> UInt64 { system.randomNumber() }
    func schedule(afterMilliseconds milliseconds: Int, _ errand: @escaping @Sendable () -> Void) {
        system.schedule(afterMilliseconds: milliseconds, errand)
    }
    func runInBackground(_ errand: @escaping @Sendable () -> Void) { system.runInBackground(errand) }
    func makeCrew(name: String, givesWay: Bool) -> any Crew { system.makeCrew(name: name, givesWay: givesWay) }
    var taskExecutor: (any TaskExecutor)? { system.taskExecutor }
}
