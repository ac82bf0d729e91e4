// The environment of a simulated node: a clock at a rate of its own, chance of its own, and threads that are events of the world.

import Engine

/// A run's clock, off by up to 5 % from the true time.
struct SimulatedClock {
    /// What it showed at the true time `begun`.
    let origin: UInt64
    let begun: UInt64
    /// Thousandths.
    let rate: UInt64

    func reading(at time: UInt64) -> UInt64 { origin + (time - begun) / 1_000 * rate }

    /// How long it takes, in truth, until the clock has gone on by so much.
    func trueSpan(milliseconds: Int) -> UInt64 { UInt64(max(0, milliseconds)) * 1_000_000 / rate * 1_000 + 1_000 }
}

final class SimulatedEnvironment: Environment, @unchecked Sendable {
    private let world: World
    private let process: Process
    let clock: SimulatedClock
    private var random: SeededRandom
    private let threads: SimulatedThreads

    init(_ world: World, _ process: Process, _ random: SeededRandom) {
        self.world = world
        self.process = process
        self.random = random
        // Far from where the system's clock is: a script that reads that one never takes a deadline for passed.
        clock = SimulatedClock(
            origin: 1 << 60 + UInt64(self.random.below(1 << 40)), begun: world.time,
            rate: UInt64(950 + self.random.below(101)))
        threads = SimulatedThreads(world, process)
    }

    var uptimeNanoseconds: UInt64 {
        world.checkThread()
        return clock.reading(at: world.time)
    }

    var unixMilliseconds: Int64 { 1_900_000_000_000 + Int64((uptimeNanoseconds - (1 << 60)) / 1_000_000) }
    var unixSeconds: UInt32 { UInt32(unixMilliseconds / 1_000) }
    func randomNumber() -> UInt64 { random.next() }

    func schedule(afterMilliseconds milliseconds: Int, _ errand: @escaping @Sendable () -> Void) {
        world.after(clock.trueSpan(milliseconds: milliseconds), of: process, errand)
    }

    func runInBackground(_ errand: @escaping @Sendable () -> Void) {
        world.after(.microseconds(world.threadChance.below(2_000)), of: process, errand)
    }

    func makeCrew(name: String, givesWay: Bool) -> any Crew { threads }
    var taskExecutor: (any TaskExecutor)? { threads }
}

/// Threads that take a moment to wake up, for a pool's bodies and for the steps of tasks.
final class SimulatedThreads: Crew, TaskExecutor, @unchecked Sendable {
    private let world: World
    private let process: Process

    init(_ world: World, _ process: Process) {
        self.world = world
        self.process = process
    }

    func run(_ body: @escaping @Sendable () -> Void) {
        world.after(.microseconds(1 + world.threadChance.below(300)), of: process, body)
    }

    func end() {}

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        world.after(.microseconds(world.threadChance.below(40)), of: process) {
            job.runSynchronously(on: self.asUnownedTaskExecutor())
        }
    }
}
