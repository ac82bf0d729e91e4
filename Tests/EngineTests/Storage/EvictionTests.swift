// What a full store keeps: keys that come back, small queue against main, expired items, shifts of the sizes.

import Engine
import Testing

@Suite struct EvictionTests {
    /// Without compression: what matters here is how many items there are, and they are much alike.
    static func store(_ memoryBytes: Int) -> ItemStore {
        ItemStore(ItemStoreConfiguration(memoryBytes: memoryBytes, compresses: false))
    }

    static let value: [UInt8] = {
        var random = SeededRandom(1)
        return (0..<400).map { _ in UInt8(truncatingIfNeeded: random.next()) }
    }()

    /// A scan: keys that nobody asks for again.
    static func scan(_ store: ItemStore, _ name: String, count: Int) {
        for at in 0..<count { _ = store.set("\(name):\(at)", value) }
    }

    @Test("keys that come back soon after they were dropped are not dropped by the next scan, as new keys are")
    func ghosts() {
        let store = Self.store(1 << 20)
        let numbers = 0..<20
        Self.scan(store, "first", count: 3000)
        // In the small queue, and pushed out of it.
        for at in numbers { _ = store.set("wanted:\(at)", Self.value) }
        Self.scan(store, "second", count: 1000)
        #expect(numbers.allSatisfy { store.value("wanted:\($0)") == nil })
        #expect(store.statistics.ghostHits == 0)
        for at in numbers { _ = store.set("wanted:\(at)", Self.value) }
        // A ghost may be overwritten a little before its time.
        let remembered = Int(store.statistics.ghostHits)
        #expect(remembered >= 15)
        for at in numbers { _ = store.set("unknown:\(at)", Self.value) }
        Self.scan(store, "third", count: 1500)
        #expect(numbers.count { store.value("wanted:\($0)") == Self.value } == remembered)
        #expect(numbers.allSatisfy { store.value("unknown:\($0)") == nil })
        store.checkInvariants()
    }

    @Test("what is asked for a second time just after it would be dropped makes the small queue grow")
    func adaption() {
        let store = Self.store(4 << 20)
        let initial = store.statistics.smallQuotaBytes
        let gap = (4 << 20) / 450 * 3 / 10
        var hits = 0
        let count = 60_000
        for at in 0..<count {
            _ = store.set("k:\(at)", Self.value)
            guard at >= gap else { continue }
            if store.value("k:\(at - gap)") != nil { hits += 1 } else { _ = store.set("k:\(at - gap)", Self.value) }
        }
        #expect(store.statistics.smallQuotaBytes > initial * 2)
        #expect(hits > count * 8 / 10)
        store.checkInvariants()
    }

    @Test("expired items make room before live ones, wherever they are")
    func expiry() {
        let store = Self.store(1 << 20)
        // Half of the memory for what will expire, mixed with what won't.
        for at in 0..<1600 {
            _ = store.set("short:\(at)", Self.value, expiry: at % 4 == 0 ? 0 : 200)
        }
        for at in 0..<1300 { _ = store.set("late:\(at)", Self.value, now: 300) }
        let statistics = store.statistics
        #expect(statistics.reclaimed > 700)
        #expect(statistics.evictions == 0)
        store.checkInvariants()
    }

    /// Skewed look-aside traffic; how many of its requests hit.
    static func replay(_ store: ItemStore, _ name: String, bytes: Int, requests: Int) -> Int {
        var random = SeededRandom(9)
        let value = (0..<bytes).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        let keys = (4 << 20) / (bytes + 40) * 2
        var hits = 0
        for at in 0..<requests {
            let key = "\(name):\(random.below(random.below(keys) + 1))"
            if store.value(key) != nil { hits += at >= requests / 2 ? 1 : 0 } else { _ = store.set(key, value) }
        }
        return hits
    }

    @Test("after the sizes have shifted, and shifted back, hits are nearly as many as if they always had been so")
    func sizeShift() {
        let shifted = Self.store(4 << 20)
        _ = Self.replay(shifted, "before", bytes: 100, requests: 150_000)
        let large = Self.replay(shifted, "large", bytes: 10_000, requests: 20_000)
        let small = Self.replay(shifted, "small", bytes: 100, requests: 300_000)
        let largeAlone = Self.replay(Self.store(4 << 20), "large", bytes: 10_000, requests: 20_000)
        let smallAlone = Self.replay(Self.store(4 << 20), "small", bytes: 100, requests: 300_000)
        #expect(large * 100 >= largeAlone * 95, "\(large) of \(largeAlone)")
        #expect(small * 100 >= smallAlone * 90, "\(small) of \(smallAlone)")
        shifted.checkInvariants()
    }

    @Test("a smaller value is written in place, a larger one elsewhere, and no byte is lost")
    func shrinking() {
        let store = Self.store(4 << 20)
        for (bytes, live) in [(100, 116), (96, 112), (40, 56), (100, 116), (99, 116), (0, 16)] {
            let value = [UInt8](repeating: UInt8(bytes), count: bytes)
            #expect(store.set("abcd", value) == .stored)
            #expect(store.value("abcd") == value)
            #expect(store.statistics.liveBytes == live)
            store.checkInvariants()
        }
        #expect(store.set("abcd", [1, 2], flags: 7, expiry: 200) == .stored)
        #expect(store.run(.get, "abcd") == .value(flags: 7, cas: 7, bytes: [1, 2]))
        store.checkInvariants()
    }
}
