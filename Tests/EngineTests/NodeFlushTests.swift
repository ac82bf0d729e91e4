// Flushing a node: items and objects go together, and the last order is the one that counts.

import Engine
import Synchronization
import Testing

@Suite struct NodeFlushTests {
    private let engine = Engine(EngineConfiguration(memoryBytes: 16 << 20))

    private func call(_ text: String) -> String {
        let key = Array(text.utf8).withUnsafeBytes { VirtualKey($0) }!
        let answer = Mutex("nothing yet")
        let hash = key.routingKey.withUnsafeBytes { keyHash($0) }
        engine.shard(forHash: hash).objects.call(key, data: nil, deadline: .never) { result in
            answer.withLock { $0 = (try? result.get()).map { String(decoding: $0.answer, as: UTF8.self) } ?? "missing" }
        }
        return answer.withLock { $0 }
    }

    /// Items and objects with enough names for every shard to have some of both.
    private func fill(now: UInt32) {
        for name in 0..<20 {
            _ = engine.stores.all[name % engine.stores.count].set("key\(name)", [1], now: now)
            _ = call("counter:new:c\(name):5")
        }
    }

    private func items(now: UInt32) -> Int {
        (0..<20).filter { engine.stores.all[$0 % engine.stores.count].value("key\($0)", now: now) != nil }.count
    }

    private var objects: Int { (0..<20).filter { call("counter:get:c\($0)") == "5" }.count }

    private func flush(at second: UInt32, now: UInt32) -> Int {
        let completions = Atomic<Int>(0)
        engine.flush.flush(at: second, now: now) { completions.add(1, ordering: .relaxed) }
        return completions.load(ordering: .relaxed)
    }

    // Instants that the wall clock reaches in 2096 only: the timer has no part in these tests.
    private let now: UInt32 = 4_000_000_000

    @Test("a flush takes items and objects at once, and completes once when all shards are empty")
    func atOnce() {
        fill(now: now)
        #expect(items(now: now) == 20 && objects == 20)
        #expect(flush(at: now, now: now) == 1)
        #expect(items(now: now) == 0 && objects == 0)
        fill(now: now)
        #expect(items(now: now) == 20 && objects == 20)
    }

    @Test("a flush to come takes both when its second comes, and nothing before or after")
    func later() {
        fill(now: now)
        #expect(flush(at: now + 2, now: now) == 1)
        engine.flush.carryOutDue(now: now + 1)
        #expect(items(now: now + 1) == 20 && objects == 20)
        engine.flush.carryOutDue(now: now + 2)
        #expect(items(now: now + 2) == 0 && objects == 0)
        fill(now: now + 2)
        engine.flush.carryOutDue(now: now + 9)
        #expect(items(now: now + 9) == 20 && objects == 20)
    }

    @Test("of several orders the last one counts, whether it is sooner, later or at once")
    func lastWord() {
        fill(now: now)
        _ = flush(at: now + 2, now: now)
        _ = flush(at: now + 1_000, now: now)
        engine.flush.carryOutDue(now: now + 500)
        #expect(items(now: now + 500) == 20 && objects == 20)
        _ = flush(at: now + 600, now: now + 500)
        engine.flush.carryOutDue(now: now + 600)
        #expect(items(now: now + 600) == 0 && objects == 0)
        _ = flush(at: now + 700, now: now + 600)
        #expect(flush(at: now + 600, now: now + 600) == 1)
        fill(now: now + 601)
        engine.flush.carryOutDue(now: now + 2_000)
        #expect(items(now: now + 2_000) == 20 && objects == 20)
    }

    @Test("two hundred thousand orders are one timer, and one at the end of time is none")
    func many() {
        fill(now: now)
        for order in 0..<200_000 { _ = flush(at: now + 100_000 + UInt32(order % 7), now: now) }
        #expect(engine.flush.dueSecond == now + 100_000 + UInt32(199_999 % 7))
        _ = flush(at: .max, now: now)
        engine.flush.carryOutDue(now: .max)
        #expect(items(now: now) == 20 && objects == 20)
    }
}
