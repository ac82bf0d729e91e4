// The simulated world: one heap of events, one true time, one seed. Everything happens on one thread, in the order of the heap.

import Glibc
import HeapModule

/// A run of a node's process. Events that belong to it wait while it is stopped.
final class Process {
    var stoppedUntil: UInt64 = 0
}

/// `@unchecked`: it is used on one thread, which `checkThread` sees to.
final class World: @unchecked Sendable {
    private struct Event: Comparable {
        let time: UInt64
        let number: UInt64
        let process: Process?
        let loop: SimulatedLoop?
        let body: () -> Void

        static func < (a: Event, b: Event) -> Bool { (a.time, a.number) < (b.time, b.number) }
        static func == (a: Event, b: Event) -> Bool { a.number == b.number }
    }

    let seed: UInt64
    /// Nanoseconds since the beginning, by no node's clock.
    private(set) var time: UInt64 = 0
    private(set) var events = 0
    /// The loop whose event is under way.
    private(set) var currentLoop: SimulatedLoop?
    private var heap = Heap<Event>()
    private var lastNumber: UInt64 = 0
    private let thread = pthread_self()
    let trace: Trace

    /// A stream of chance for each purpose, so that one more number drawn for one of them does not change the others.
    var latencyChance: SeededRandom
    var threadChance: SeededRandom

    init(seed: UInt64, prints: Bool) {
        self.seed = seed
        trace = Trace(prints: prints)
        latencyChance = World.chance(seed, 1)
        threadChance = World.chance(seed, 2)
    }

    static func chance(_ seed: UInt64, _ purpose: UInt64) -> SeededRandom {
        var random = SeededRandom(seed &* 0x9E37_79B9 &+ purpose)
        return SeededRandom(random.next())
    }

    /// Whoever comes from another thread would make the order of things a matter of luck.
    func checkThread() {
        guard pthread_equal(pthread_self(), thread) != 0 else {
            fatalError("seed \(seed): something of a simulated node runs on a thread of the system's")
        }
    }

    func at(_ time: UInt64, of process: Process?, on loop: SimulatedLoop? = nil, _ body: @escaping () -> Void) {
        checkThread()
        lastNumber += 1
        heap.insert(
            Event(time: max(time, self.time), number: lastNumber, process: process, loop: loop, body: body))
    }

    func after(_ nanoseconds: UInt64, of process: Process?, on loop: SimulatedLoop? = nil, _ body: @escaping () -> Void)
    {
        at(time + nanoseconds, of: process, on: loop, body)
    }

    /// Carries out one event; false when there is none.
    func step() -> Bool {
        guard let event = heap.popMin() else { return false }
        time = event.time
        if let process = event.process, process.stoppedUntil > time {
            at(process.stoppedUntil, of: process, on: event.loop, event.body)
            return true
        }
        events += 1
        currentLoop = event.loop
        event.body()
        currentLoop = nil
        return true
    }

    /// Until a time, or until so many events have been carried out.
    func run(until end: UInt64, eventsMax: Int = .max) {
        while events < eventsMax, let next = heap.min, next.time <= end, step() {}
        if events < eventsMax { time = max(time, end) }
    }

    /// What is still to come is let go of.
    func clear() { heap = Heap() }
}

/// What happened, as a hash; and as lines, where they are wanted.
final class Trace {
    private(set) var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    private let prints: Bool

    init(prints: Bool) { self.prints = prints }

    func note(_ time: UInt64, _ what: @autoclosure () -> String, _ numbers: UInt64...) {
        for number in [time] + numbers { mix(number) }
        guard prints else { return }
        let tail = numbers.map { String($0) }.joined(separator: " ")
        print("\(Self.seconds(time)) \(what()) \(tail)")
    }

    static func seconds(_ time: UInt64) -> String {
        let micros = String(time / 1_000 % 1_000_000)
        return "\(time / 1_000_000_000).\(String(repeating: "0", count: 6 - micros.count))\(micros)"
    }

    private func mix(_ number: UInt64) {
        hash = (hash ^ number) &* 0x0000_0100_0000_01B3
        hash ^= hash >> 29
    }
}

extension UInt64 {
    static func microseconds(_ count: Int) -> UInt64 { UInt64(count) * 1_000 }
    static func milliseconds(_ count: Int) -> UInt64 { UInt64(count) * 1_000_000 }
    static func seconds(_ count: Int) -> UInt64 { UInt64(count) * 1_000_000_000 }
}
