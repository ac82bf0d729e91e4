// Errands of a serving loop whose time is still to come.

/// What is to be done at some time. On its loop's thread.
struct LoopTimers {
    private var waiting: [(number: UInt64, due: UInt64, errand: @Sendable () -> Void)] = []
    private var nextNumber: UInt64 = 0
    /// Of the first one, on the monotonic clock; `UInt64.max` when there is none.
    private(set) var firstNanoseconds = UInt64.max

    mutating func add(afterMilliseconds: Int, now: UInt64, _ errand: @escaping @Sendable () -> Void) -> UInt64 {
        nextNumber += 1
        let due = now &+ UInt64(max(0, afterMilliseconds)) &* 1_000_000
        waiting.append((nextNumber, due, errand))
        firstNanoseconds = min(firstNanoseconds, due)
        return nextNumber
    }

    mutating func remove(_ number: UInt64) { waiting.removeAll { $0.number == number } }

    /// Those whose time has come, in the order of their times.
    mutating func takeDue(now: UInt64) -> [@Sendable () -> Void] {
        let due = waiting.filter { $0.due <= now }.sorted { ($0.due, $0.number) < ($1.due, $1.number) }
        waiting.removeAll { $0.due <= now }
        firstNanoseconds = waiting.map(\.due).min() ?? .max
        return due.map(\.errand)
    }
}
