// Walks over all items in slices: complete, without repetition, whatever changes meanwhile.

import Engine
import Testing

@Suite struct ItemWalkTests {
    private func keys(of store: ItemStore, sliceItems: Int, between: (Int) -> Void = { _ in }) -> [String] {
        var walk = ItemWalk()
        var keys: [String] = []
        var slices = 0
        var hasMore = true
        while hasMore {
            hasMore = store.walk(&walk, count: sliceItems, now: 100) { key, _ in
                keys.append(String(decoding: key, as: UTF8.self))
            }
            slices += 1
            between(slices)
        }
        return keys
    }

    @Test("a walk meets every item once, in slices of any size", arguments: [1, 3, 100, 100_000])
    func whole(sliceItems: Int) {
        let store = ItemStore(ItemStoreConfiguration(memoryBytes: 8 << 20))
        #expect(keys(of: store, sliceItems: sliceItems) == [])
        for number in 0..<20_000 { #expect(store.set("key-\(number)", [1]) == .stored) }
        let found = keys(of: store, sliceItems: sliceItems)
        #expect(found.count == 20_000)
        #expect(Set(found).count == 20_000)
    }

    @Test("what is there from beginning to end is met once, while the index grows and shrinks around it")
    func changing() {
        let store = ItemStore(ItemStoreConfiguration(memoryBytes: 16 << 20))
        var random = SeededRandom(5)
        for number in 0..<5_000 { _ = store.set("stays-\(number)", [1]) }
        let found = keys(of: store, sliceItems: 50) { slice in
            for _ in 0..<400 {
                let key = "comes-\(random.below(40_000))"
                if slice % 100 < 50 { _ = store.set(key, [2]) } else { _ = store.run(.delete, key) }
                // Written anew, an item moves.
                _ = store.set("stays-\(random.below(5_000))", [UInt8](repeating: 3, count: random.below(60)))
            }
        }
        let staying = found.filter { $0.hasPrefix("stays-") }
        #expect(staying.count == 5_000)
        #expect(Set(staying).count == 5_000)
        #expect(Set(found).count == found.count)
        store.checkInvariants()
    }

    @Test("expired and flushed items are left out, and a walk is no read")
    func timesAndReads() {
        let store = ItemStore(ItemStoreConfiguration(memoryBytes: 8 << 20))
        _ = store.set("over", [1], expiry: 100)
        _ = store.set("lasts", [1], expiry: 101)
        for _ in 0..<2 {
            var walk = ItemWalk()
            var hasMore = true
            while hasMore {
                hasMore = store.walk(&walk, count: 10, now: 100) { key, facts in
                    #expect(key.elementsEqual("lasts".utf8))
                    #expect(!facts.wasRead && facts.expiry.stored == 101 && facts.valueBytes == 1)
                }
            }
        }
        store.flushAll(at: 100, now: 100)
        #expect(keys(of: store, sliceItems: 10) == [])
    }
}
