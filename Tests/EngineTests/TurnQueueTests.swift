// Whose turn it is on a pool's threads, and that long closures make room where they are.

import CLinux
import Dispatch
import Engine
import Synchronization
import Testing

@Suite struct TurnQueueTests {
    private static func drain(_ queue: inout TurnQueue<String, Int>, _ count: Int = .max) -> [String] {
        var order: [String] = []
        while order.count < count, let next = queue.next() {
            switch next {
            case .begin(let work): order.append(work)
            case .goOn(let turn): order.append("paused \(turn)")
            }
        }
        return order
    }

    @Test("what is urgent comes before what is new, that before what has had a turn, and what is optional last")
    func order() {
        var queue = TurnQueue<String, Int>()
        queue.add(optional: "optional")
        queue.add(paused: 1)
        queue.add("new")
        queue.add(urgent: "urgent")
        #expect(queue.waiting == 2 && queue.pausedCount == 1)
        #expect(Self.drain(&queue) == ["urgent", "new", "paused 1", "optional"])
        #expect(Self.drain(&queue).isEmpty)
    }

    @Test("nothing waits for ever, whatever else comes")
    func noneStarves() {
        var queue = TurnQueue<String, Int>()
        queue.add(paused: 1)
        queue.add("new")
        for _ in 0..<100 { queue.add(urgent: "u") }
        let order = Self.drain(&queue)
        #expect(order.firstIndex(of: "new").map { $0 <= 16 } == true)
        #expect(order.firstIndex(of: "paused 1").map { $0 <= 40 } == true)
        for _ in 0..<100 { queue.add("n") }
        queue.add(paused: 2)
        #expect(Self.drain(&queue).firstIndex(of: "paused 2").map { $0 <= 5 } == true)
    }

    @Test("what is urgent and long goes on among what is urgent, before what is new")
    func urgentAndLong() {
        var queue = TurnQueue<String, Int>()
        queue.add("new")
        queue.add(paused: 1)
        queue.add(urgent: "first")
        queue.add(urgentPaused: 2)
        queue.add(urgent: "last")
        #expect(queue.waiting == 4 && queue.pausedCount == 2)
        #expect(Self.drain(&queue) == ["first", "paused 2", "last", "new", "paused 1"])
        #expect(queue.pausedCount == 0)
    }

    @Test("a turn ends early where something new waits, late where only others of its kind do, never where nobody does")
    func ends() {
        var queue = TurnQueue<String, Int>()
        queue.add(optional: "o")
        #expect(!queue.endsTurn(after: .max))
        queue.add(paused: 1)
        #expect(!queue.endsTurn(after: 7_999_999) && queue.endsTurn(after: 8_000_000))
        queue.add("new")
        #expect(!queue.endsTurn(after: 1_999_999) && queue.endsTurn(after: 2_000_000))
    }

    @Test("of what is optional only the latest is kept")
    func optional() {
        var queue = TurnQueue<String, Int>()
        for index in 0..<1_000 { queue.add(optional: "\(index)") }
        let left = Self.drain(&queue)
        #expect(left.count == 64 && left.last == "999")
    }

    @Test("long closures that say when others may run hold up nobody, however many there are, and all go on")
    func pauses() async {
        let pool = ComputePool(width: 2, givesWay: true)
        let ends = Atomic<Bool>(false)
        let done = Atomic<Int>(0)
        var turns = 0
        for _ in 0..<20 {
            pool.submit {
                while !ends.load(ordering: .relaxed) { ComputePool.yieldProcessor(at: monotonicNanoseconds()) }
                done.add(1, ordering: .relaxed)
            }
        }
        for _ in 0..<50 {
            await withCheckedContinuation { continuation in pool.submit { continuation.resume() } }
            turns += 1
        }
        #expect(turns == 50 && done.load(ordering: .relaxed) == 0)
        #expect(pool.paused >= 17)
        ends.store(true, ordering: .relaxed)
        while done.load(ordering: .relaxed) < 20 { await Task.yield() }
        await withCheckedContinuation { continuation in pool.submit { continuation.resume() } }
        #expect(pool.paused == 0 && pool.queued == 0)
    }

    @Test("closures that never say so hold up nobody for long either")
    func extraThreads() async {
        let pool = ComputePool(width: 1, givesWay: true)
        let release = DispatchSemaphore(value: 0)
        for _ in 0..<3 { pool.submit { release.wait() } }
        for _ in 0..<5 {
            await withCheckedContinuation { continuation in pool.submit { continuation.resume() } }
        }
        for _ in 0..<3 { release.signal() }
    }
}
