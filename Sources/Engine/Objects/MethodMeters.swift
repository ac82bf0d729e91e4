// What the methods of a shard were called for: how often, with what outcome, for how long; and how many objects of each type
// are live.
//
// Unsafe: owns the memory of its cells, which stay where they are for as long as it lives.

import Synchronization

/// How a call came out.
enum MethodOutcome { case answered, missed, failed }

/// One method's counts: written by whoever holds the shard's gate, by plain loads and stores, and read by any thread.
struct MethodCell: ~Copyable {
    fileprivate let calls = Atomic<UInt64>(0)
    fileprivate let misses = Atomic<UInt64>(0)
    fileprivate let errors = Atomic<UInt64>(0)
    /// Calls whose duration is known, or stood for by another's.
    fileprivate let measured = Atomic<UInt64>(0)
    fileprivate let nanoseconds = Atomic<UInt64>(0)
}

extension Atomic<UInt64> {
    /// By the only thread that writes.
    @inline(__always)
    fileprivate borrowing func raise(by amount: UInt64) {
        store(load(ordering: .relaxed) &+ amount, ordering: .relaxed)
    }
}

/// Where the calls of one method are counted.
struct MethodMeter: @unchecked Sendable {
    fileprivate let cell: UnsafeMutablePointer<MethodCell>

    fileprivate init() {
        cell = .allocate(capacity: 1)
        cell.initialize(to: MethodCell())
    }

    fileprivate func free() {
        cell.deinitialize(count: 1)
        cell.deallocate()
    }

    fileprivate var figures: MethodFigures {
        MethodFigures(
            calls: cell.pointee.calls.load(ordering: .relaxed), misses: cell.pointee.misses.load(ordering: .relaxed),
            errors: cell.pointee.errors.load(ordering: .relaxed),
            nanoseconds: cell.pointee.nanoseconds.load(ordering: .relaxed))
    }

    /// To look at the clock twice costs as much as a short method: every 64th of those that end at once is measured, and
    /// stands for those before it. Longer ones all are.
    private static let sampleMask: UInt64 = 63

    /// The next call is to be measured.
    @inline(__always)
    var isDue: Bool { cell.pointee.calls.load(ordering: .relaxed) & Self.sampleMask == 0 }

    @inline(__always)
    func count(_ outcome: MethodOutcome) {
        cell.pointee.calls.raise(by: 1)
        switch outcome {
        case .answered: break
        case .missed: cell.pointee.misses.raise(by: 1)
        case .failed: cell.pointee.errors.raise(by: 1)
        }
    }

    /// Of the call that was counted last. Returns how many calls it stands for: with `sampled` all those before it that were
    /// not measured too.
    fileprivate func measure(_ nanoseconds: UInt64, sampled: Bool) -> UInt64 {
        let (calls, measured) = (
            cell.pointee.calls.load(ordering: .relaxed), cell.pointee.measured.load(ordering: .relaxed)
        )
        let weight = sampled ? calls &- measured : 1
        cell.pointee.measured.raise(by: weight)
        cell.pointee.nanoseconds.raise(by: nanoseconds &* weight)
        return weight
    }
}

/// What is known of one method's calls.
package struct MethodFigures: Sendable, Equatable {
    package var calls: UInt64 = 0
    /// There was no such object.
    package var misses: UInt64 = 0
    package var errors: UInt64 = 0
    /// Of all, those that were not measured estimated.
    package var nanoseconds: UInt64 = 0
    /// To the microsecond.
    package var milliseconds: Double { (Double(nanoseconds) / 1_000).rounded() / 1_000 }

    package static func + (a: Self, b: Self) -> Self {
        MethodFigures(
            calls: a.calls &+ b.calls, misses: a.misses &+ b.misses, errors: a.errors &+ b.errors,
            nanoseconds: a.nanoseconds &+ b.nanoseconds)
    }
}

/// What is known of a type's objects and of all its methods together.
package struct TypeFigures: Sendable, Equatable {
    /// Objects that are decoded in memory.
    package var live = 0
    package var durations = DurationHistogram.ofMethods

    package static func + (a: Self, b: Self) -> Self {
        TypeFigures(live: a.live + b.live, durations: a.durations + b.durations)
    }
}

/// Of one shard: reads from any thread, everything else under the gate. Counts outlive the versions of a type.
package final class MethodMeters: @unchecked Sendable {
    package struct Name: Hashable, Sendable {
        package let type: String
        package let method: String

        package var name: String { "\(type):\(method)" }
    }

    /// How many objects of a type are live.
    private struct LiveCount: @unchecked Sendable {
        let count: UnsafeMutablePointer<Atomic<Int>>

        init() {
            count = .allocate(capacity: 1)
            count.initialize(to: Atomic(0))
        }

        func free() {
            count.deinitialize(count: 1)
            count.deallocate()
        }

        var value: Int {
            get { count.pointee.load(ordering: .relaxed) }
            nonmutating set { count.pointee.store(newValue, ordering: .relaxed) }
        }
    }

    private struct TypeEntry: Sendable {
        let name: String
        let live: LiveCount
        var durations = DurationHistogram.ofMethods
    }

    private struct State: Sendable {
        var meters: [Name: MethodMeter] = [:]
        /// By the types' numbers.
        var types: [TypeEntry] = []
    }

    private let state = Mutex(State())
    /// By the types' numbers, for whoever holds the gate.
    private var live: [LiveCount] = []

    deinit {
        state.withLock { state in for meter in state.meters.values { meter.free() } }
        for count in live { count.free() }
    }

    // MARK: Under the gate

    /// Types get their numbers in the order in which they come here.
    func add(type name: String) {
        let count = LiveCount()
        live.append(count)
        state.withLock { $0.types.append(TypeEntry(name: name, live: count)) }
    }

    /// Where the calls of a method are counted, from now on.
    func meter(type: String, method: String) -> MethodMeter {
        let name = Name(type: type, method: method)
        return state.withLock { state in
            if let meter = state.meters[name] { return meter }
            let meter = MethodMeter()
            state.meters[name] = meter
            return meter
        }
    }

    @inline(__always)
    func noteLive(type: UInt32, _ change: Int) {
        live[Int(type)].value += change
    }

    func forgetLive() { for count in live { count.value = 0 } }

    /// How long the call took that `meter` counted last.
    func measure(_ meter: MethodMeter, type: UInt32, nanoseconds: UInt64, sampled: Bool) {
        let weight = meter.measure(nanoseconds, sampled: sampled)
        state.withLock { $0.types[Int(type)].durations.add(nanoseconds: nanoseconds, weight: weight) }
    }

    // MARK: From any thread

    /// Those that were called.
    package var methods: [Name: MethodFigures] {
        state.withLock { state in
            state.meters.compactMapValues { meter in
                let figures = meter.figures
                return figures.calls == 0 ? nil : figures
            }
        }
    }

    /// All that there ever were.
    package var types: [String: TypeFigures] {
        state.withLock { state in
            Dictionary(
                state.types.map {
                    ($0.name, TypeFigures(live: $0.live.value, durations: $0.durations))
                }, uniquingKeysWith: +)
        }
    }
}
