// Limits of one shard's objects, and the figures it keeps about them.

import Synchronization

package struct ObjectHostConfiguration: Sendable {
    /// What the shard's Lua state may use at all; a method that needs more fails.
    package var memoryBytesMax = 64 << 20
    /// Live objects above this are encoded and put on the shelf, the least recently used first.
    package var liveBytesMax = 32 << 20
    /// What an object on the shelf may have, encoded.
    package var shelfBytesMax = 1 << 20
    /// What an index may take; one that would need more answers nothing.
    package var indexBytesMax = 16 << 20
    /// Objects of pinned types, which stay live, may take this much.
    package var pinnedBytesMax = 32 << 20
    /// Calls that may wait for the gate; more are refused as `overloaded`.
    package var waitingMax = 10_000
    /// A thread that asked for one method performs at most this many for others before it hands the gate to the pool.
    package var inlineTurnsMax = 16
    /// A method that runs longer moves to the compute pool.
    package var inlineNanoseconds: UInt64 = 1_000_000
    /// Time and instructions of one method. Waiting for a thread of the pool does not count.
    package var methodNanosecondsMax: UInt64 = 100_000_000
    package var instructionsMax = 10_000_000
    package var answerBytesMax = 8 << 20
    package var environment: any Environment = SystemEnvironment()
    /// Takes what scripts say with `log`.
    package var log: @Sendable (String) -> Void = { _ in }
    /// Takes methods that took long.
    package var slow = SlowLog()
    /// Takes errors of methods.
    package var errors = ScriptErrors()

    package init() {}
}

/// The figures where any thread can read them: written by whoever holds the gate, each by a plain store.
final class PublishedStatistics: Sendable {
    private let live = Atomic<Int>(0)
    private let memoryBytes = Atomic<Int>(0)
    private let indexBytes = Atomic<Int>(0)
    private let pinnedBytes = Atomic<Int>(0)
    private let scriptBytes = Atomic<Int>(0)
    private let tableBytes = Atomic<Int>(0)
    private let calls = Atomic<Int>(0)
    private let failures = Atomic<Int>(0)
    private let instructionsMost = Atomic<Int>(0)
    private let moved = Atomic<Int>(0)
    private let shelved = Atomic<Int>(0)
    private let unshelved = Atomic<Int>(0)
    private let walks = Atomic<Int>(0)

    func publish(_ statistics: ObjectStatistics) {
        live.store(statistics.live, ordering: .relaxed)
        memoryBytes.store(statistics.memoryBytes, ordering: .relaxed)
        indexBytes.store(statistics.indexBytes, ordering: .relaxed)
        pinnedBytes.store(statistics.pinnedBytes, ordering: .relaxed)
        scriptBytes.store(statistics.scriptBytes, ordering: .relaxed)
        tableBytes.store(statistics.tableBytes, ordering: .relaxed)
        calls.store(statistics.calls, ordering: .relaxed)
        failures.store(statistics.failures, ordering: .relaxed)
        instructionsMost.store(statistics.instructionsMost, ordering: .relaxed)
        moved.store(statistics.moved, ordering: .relaxed)
        shelved.store(statistics.shelved, ordering: .relaxed)
        unshelved.store(statistics.unshelved, ordering: .relaxed)
        walks.store(statistics.walks, ordering: .relaxed)
    }

    /// Without `refused`, which needs no gate.
    var value: ObjectStatistics {
        ObjectStatistics(
            live: live.load(ordering: .relaxed), memoryBytes: memoryBytes.load(ordering: .relaxed),
            indexBytes: indexBytes.load(ordering: .relaxed),
            pinnedBytes: pinnedBytes.load(ordering: .relaxed),
            scriptBytes: scriptBytes.load(ordering: .relaxed), tableBytes: tableBytes.load(ordering: .relaxed),
            calls: calls.load(ordering: .relaxed),
            failures: failures.load(ordering: .relaxed),
            instructionsMost: instructionsMost.load(ordering: .relaxed),
            moved: moved.load(ordering: .relaxed), shelved: shelved.load(ordering: .relaxed),
            unshelved: unshelved.load(ordering: .relaxed), walks: walks.load(ordering: .relaxed))
    }
}

/// A snapshot of one shard's figures. The counts are since the start.
package struct ObjectStatistics: Sendable, Equatable {
    /// Objects that are decoded in memory.
    package var live = 0
    /// The Lua state's memory, garbage included, in bytes.
    package var memoryBytes = 0
    /// What indexes take beside it, roughly.
    package var indexBytes = 0
    /// Of objects that are never evicted, as they were last measured: a part of `memoryBytes`.
    package var pinnedBytes = 0
    /// Another part of it: what the types took when they were last loaded, without an object.
    package var scriptBytes = 0
    /// The table in which objects are found, beside it.
    package var tableBytes = 0
    package var calls = 0
    package var failures = 0
    /// The instructions of the failed call that had the most, work in functions of the host included.
    package var instructionsMost = 0
    /// Calls refused because too many waited.
    package var refused = 0
    /// Methods that outlived their inline slice.
    package var moved = 0
    package var shelved = 0
    package var unshelved = 0
    /// Walks over all names that are under way: for each, what is shelved is noted.
    package var walks = 0
}
