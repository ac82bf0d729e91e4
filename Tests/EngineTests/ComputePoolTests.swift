// Tests of the compute pool: whose threads give way to others, and when.

import CLinux
import Dispatch
import Engine
import Glibc
import Synchronization
import Testing

@Suite("Compute pool")
struct ComputePoolTests {
    /// What a closure finds on a thread of a pool of its own.
    private func found<T: Sendable>(givesWay: Bool, _ body: @escaping @Sendable () -> T) async -> T {
        let pool = ComputePool(width: 1, givesWay: givesWay)
        return await withCheckedContinuation { continuation in
            pool.submit { continuation.resume(returning: body()) }
        }
    }

    @Test("threads that give way have a higher nice value than the process")
    func niceValue() async {
        let mine = await found(givesWay: false) { getpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0) }
        let theirs = await found(givesWay: true) { getpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0) }
        #expect(theirs == min(19, mine + 10))
    }

    @Test(
        "a thread that gives way lets others run once it had the processor for 0.1 ms, not before; its next turn begins then"
    )
    func turns() async {
        let ended = await found(givesWay: true) {
            let start = linux_turn_began()
            var ended = [0, 50_000, 100_000].map { linux_yield(start + $0) }
            ended.append(linux_turn_began() != start)
            ended.append(linux_yield(start + 100_001))
            let next = linux_turn_began()
            ended.append(next > start)
            ended.append(linux_yield(next + 100_000))
            return ended
        }
        #expect(ended == [false, false, false, false, true, true, false])
    }

    @Test("other threads never do")
    func otherThreads() async {
        let began = await found(givesWay: false) {
            linux_yield(1 << 40) ? 1 : linux_turn_began()
        }
        #expect(began == 0)
    }

    @Test("what a closure leaves for next runs on its thread, after it, in order")
    func next() async {
        let pool = ComputePool(width: 2)
        let seen = Mutex<[UInt]>([])
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            pool.submit {
                for _ in 0..<3 { pool.submitNext { seen.withLock { $0.append(UInt(pthread_self())) } } }
                pool.submitNext { continuation.resume() }
                usleep(10_000)  // time enough for another thread
                seen.withLock { $0.append(UInt(pthread_self())) }
            }
        }
        let threads = seen.withLock { $0 }
        #expect(threads.count == 4 && Set(threads).count == 1)
    }

    @Test("others do it where the closure waits, or its turn ends")
    func offers() async {
        let pool = ComputePool(width: 2, givesWay: true)
        let isDone = Atomic<Int>(0)
        let others = await withCheckedContinuation { (continuation: CheckedContinuation<Bool, Never>) in
            pool.submit {
                let mine = pthread_self()
                let their = Mutex<[pthread_t]>([])
                let semaphore = DispatchSemaphore(value: 0)
                pool.submitNext {
                    their.withLock { $0.append(pthread_self()) }
                    semaphore.signal()
                }
                pool.waiting { semaphore.wait() }
                pool.submitNext {
                    their.withLock { $0.append(pthread_self()) }
                    isDone.store(1, ordering: .releasing)
                }
                while isDone.load(ordering: .acquiring) == 0 {
                    ComputePool.yieldProcessor(at: monotonicNanoseconds())
                }
                continuation.resume(returning: their.withLock { !$0.contains(mine) && $0.count == 2 })
            }
        }
        #expect(others)
    }
}
