// The lock of a store: held for a fraction of a microsecond at a time, by threads that all have other work to do. Threads
// that only read don't meet in it.
//
// Unsafe: owns the memory of its words, and of what is kept beside each.

import CLinux
import Synchronization

/// A big-reader lock (brlock of Linux 2.4): one word for each reading thread. A reader takes its own, which nobody else
/// writes while nobody writes to the store, so that it stays in the cache of its core; a writer takes all of them, in their
/// order. With one word it is a plain lock. Threads beyond the words share them.
///
/// Beside each word is what its reader writes with every read, so that this stays with its core as well.
struct StoreLock<ReaderState>: ~Copyable {
    /// The word takes the first bytes of a reader's memory.
    private static var stateOffset: Int { 16 }
    /// Two cache lines and their multiples: processors fetch lines in pairs.
    private static var strideBytes: Int { (stateOffset + MemoryLayout<ReaderState>.size + 127) & ~127 }

    private let readers: UnsafeMutableRawPointer
    private let count: Int

    /// `readers` is rounded up to a power of two.
    init(readers wanted: Int, makeState: () -> ReaderState) {
        precondition(MemoryLayout<ReaderState>.alignment <= Self.stateOffset)
        var count = 1
        while count < wanted { count *= 2 }
        self.count = count
        readers = .allocate(byteCount: count * Self.strideBytes, alignment: 128)
        for at in 0..<count {
            word(at).initialize()
            state(at).initialize(to: makeState())
        }
    }

    deinit {
        for at in 0..<count { state(at).deinitialize(count: 1) }
        readers.deallocate()
    }

    @inline(__always)
    private func word(_ at: Int) -> SpinningWord {
        SpinningWord(at: (readers + at &* Self.strideBytes).assumingMemoryBound(to: Atomic<UInt32>.self))
    }

    @inline(__always)
    private func state(_ at: Int) -> UnsafeMutablePointer<ReaderState> {
        (readers + at &* Self.strideBytes + Self.stateOffset).assumingMemoryBound(to: ReaderState.self)
    }

    @inline(__always)
    private var own: Int { Int(truncatingIfNeeded: linux_thread_number()) & (count &- 1) }

    /// Alone: for whatever changes the store. Not to be entered again from within `body`.
    @inline(__always)
    func withLock<Result>(_ body: () -> Result) -> Result {
        word(0).lock()
        if count > 1 { lockOthers() }
        defer {
            if count > 1 { unlockOthers() }
            word(0).unlock()
        }
        return body()
    }

    /// Beside other readers: for what changes nothing but the reader's state. Not to be entered again from within `body`.
    @inline(__always)
    func withReaderLock<Result>(_ body: (inout ReaderState) -> Result) -> Result {
        let own = own
        word(own).lock()
        defer { word(own).unlock() }
        return body(&state(own).pointee)
    }

    /// To be called by who is alone.
    @inline(__always)
    func withOwnState<Result>(_ body: (inout ReaderState) -> Result) -> Result { body(&state(own).pointee) }

    /// Of all readers. To be called by who is alone.
    var states: [ReaderState] { (0..<count).map { state($0).pointee } }

    @inline(never)
    private func lockOthers() {
        // The words are in other cores' caches: they are asked for together, before the first is waited for.
        for at in 1..<count { linux_prefetch_to_write(readers + at &* Self.strideBytes) }
        for at in 1..<count { word(at).lock() }
    }

    @inline(never)
    private func unlockOthers() {
        for at in 1..<count { word(at).unlock() }
    }
}

/// Who finds it taken spins for a moment, as it will be free before a call to the kernel would return, and only then
/// sleeps. The standard library's `Mutex` hands the lock over in the kernel as soon as two threads meet: two threads
/// reading from two stores did half as much together as one alone.
///
/// Ulrich Drepper, Futexes Are Tricky (2011), the third mutex: 0 free, 1 taken, 2 taken and somebody may sleep.
private struct SpinningWord {
    /// About a microsecond.
    private static let spinsMax = 200

    private let word: UnsafeMutablePointer<Atomic<UInt32>>

    @inline(__always)
    init(at word: UnsafeMutablePointer<Atomic<UInt32>>) { self.word = word }

    func initialize() { word.initialize(to: Atomic(0)) }

    @inline(__always)
    func lock() {
        if !take() { wait() }
    }

    @inline(__always)
    func unlock() {
        if word.pointee.exchange(0, ordering: .releasing) == 2 { wakeOne() }
    }

    @inline(__always)
    private func take() -> Bool {
        word.pointee.weakCompareExchange(expected: 0, desired: 1, ordering: .acquiring).exchanged
    }

    @inline(never)
    private func wait() {
        for _ in 0..<Self.spinsMax {
            if word.pointee.load(ordering: .relaxed) == 0, take() { return }
            linux_pause()
        }
        while word.pointee.exchange(2, ordering: .acquiring) != 0 { linux_futex_wait(word, 2) }
    }

    @inline(never)
    private func wakeOne() { linux_futex_wake(word) }
}
