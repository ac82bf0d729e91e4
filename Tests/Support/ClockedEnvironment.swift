// The system's environment with another wall clock.

import Engine

struct ClockedEnvironment: Environment {
    /// Milliseconds since 1970.
    let clock: @Sendable () -> UInt64
    private let system = SystemEnvironment()

    init(_ clock: @escaping @Sendable () -> UInt64) { self.clock = clock }

    var uptimeNanoseconds: UInt64 { system.uptimeNanoseconds }
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
