// The lock of a store: held for a fraction of a microsecond at a time, by threads that all have other work to do.
//
// Unsafe: owns the word that it waits on.

import CLinux
import Synchronization

/// Who finds it taken spins for a moment, as it will be free before a call to the kernel would return, and only then
/// sleeps. The standard library's `Mutex` hands the lock over in the kernel as soon as two threads meet: two threads
/// reading from two stores did half as much together as one alone.
///
/// Ulrich Drepper, Futexes Are Tricky (2011), the third mutex: 0 free, 1 taken, 2 taken and somebody may sleep.
struct StoreLock: ~Copyable {
    /// About a microsecond.
    private static let spinsMax = 200

    private let word: UnsafeMutablePointer<Atomic<UInt32>>

    init() {
        word = .allocate(capacity: 1)
        word.initialize(to: Atomic(0))
    }

    deinit {
        word.deinitialize(count: 1)
        word.deallocate()
    }

    /// Not to be entered again from within `body`.
    @inline(__always)
    func withLock<Result>(_ body: (Void) -> Result) -> Result {
        if !take(0, 1) { wait() }
        defer { if word.pointee.exchange(0, ordering: .releasing) == 2 { wakeOne() } }
        return body(())
    }

    @inline(__always)
    private func take(_ expected: UInt32, _ desired: UInt32) -> Bool {
        word.pointee.weakCompareExchange(expected: expected, desired: desired, ordering: .acquiring).exchanged
    }

    @inline(never)
    private func wait() {
        for _ in 0..<Self.spinsMax {
            if word.pointee.load(ordering: .relaxed) == 0, take(0, 1) { return }
            linux_pause()
        }
        while word.pointee.exchange(2, ordering: .acquiring) != 0 { linux_futex_wait(word, 2) }
    }

    @inline(never)
    private func wakeOne() { linux_futex_wake(word) }
}
