// Tests of the compute pool: whose threads give way to others, and when.

import CLinux
import Engine
import Glibc
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

    @Test("a thread that gives way lets others run once it had the processor for 0.1 ms, not before")
    func turns() async {
        let began = await found(givesWay: true) {
            let start = Int64(1_000_000)
            return [0, 50_000, 100_000, 100_001, 150_000, 250_000].map { (after: Int64) -> Int64 in
                linux_let_others_run(start + after)
                return linux_turn_began() - start
            }
        }
        #expect(began == [0, 0, 0, 100_001, 100_001, 250_000])
    }

    @Test("other threads never do")
    func otherThreads() async {
        let began = await found(givesWay: false) {
            linux_let_others_run(1 << 40)
            return linux_turn_began()
        }
        #expect(began == 0)
    }
}
