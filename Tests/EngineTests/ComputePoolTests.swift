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

    @Test(
        "a thread that gives way lets others run once it had the processor for 0.1 ms, not before; its next turn begins then"
    )
    func turns() async {
        let ended = await found(givesWay: true) {
            let start = linux_turn_began()
            var ended = [0, 50_000, 100_000].map { linux_let_others_run(start + $0) }
            ended.append(linux_turn_began() != start)
            ended.append(linux_let_others_run(start + 100_001))
            let next = linux_turn_began()
            ended.append(next > start)
            ended.append(linux_let_others_run(next + 100_000))
            return ended
        }
        #expect(ended == [false, false, false, false, true, true, false])
    }

    @Test("other threads never do")
    func otherThreads() async {
        let began = await found(givesWay: false) {
            linux_let_others_run(1 << 40) ? 1 : linux_turn_began()
        }
        #expect(began == 0)
    }
}
