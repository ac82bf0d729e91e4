// What is done to stores in the background: expired items are dropped, limits change either way.

import Engine
import Testing

@Suite struct StoreUpkeepTests {
    private static let now: UInt32 = 1_000

    private static func stores(_ count: Int, memoryBytes: Int, evicts: Bool = true) -> ItemStores {
        ItemStores(
            (0..<count).map { _ in
                ItemStore(ItemStoreConfiguration(memoryBytes: memoryBytes / count, evicts: evicts, compresses: false))
            })
    }

    private static func total(_ stores: ItemStores) -> ItemStatistics {
        stores.all.reduce(ItemStatistics()) { $0 + $1.statistics }
    }

    private static func fill(_ stores: ItemStores, _ numbers: Range<Int>, expiry: UInt32 = 0) -> Int {
        var stored = 0
        for number in numbers {
            let value = [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: 900)
            let key = "key:\(number)"
            let store = stores[Array(key.utf8).withUnsafeBytes { keyHash($0) }]
            if store.set(key, value, expiry: expiry, now: now) == .stored { stored += 1 }
        }
        return stored
    }

    private static func count(_ stores: ItemStores, _ numbers: Range<Int>) -> Int {
        numbers.count { number in
            let key = "key:\(number)"
            let value = stores[Array(key.utf8).withUnsafeBytes { keyHash($0) }].value(key, now: now)
            return value?.first == UInt8(truncatingIfNeeded: number) && value?.count == 900
        }
    }

    @Test("a search for expired items drops them all, counts them, and leaves the others")
    func crawl() async {
        let stores = Self.stores(2, memoryBytes: 16 << 20)
        _ = Self.fill(stores, 0..<3_000)
        _ = Self.fill(stores, 3_000..<5_000, expiry: Self.now + 10)
        #expect(stores.crawlExpired(now: Self.now + 10))
        while stores.crawls.isRunning { await Task.yield() }
        let total = Self.total(stores)
        #expect(total.items == 3_000 && total.reclaimed == 2_000 && total.evictions == 0)
        #expect(stores.crawls.starts == 1 && stores.crawls.checked == 5_000 && stores.crawls.reclaimed == 2_000)
        #expect(Self.count(stores, 0..<3_000) == 3_000)
        for store in stores.all { store.checkInvariants() }
    }

    @Test("a higher limit takes more items, a lower one lets the rest go, and both hold what they hold")
    func resize() async {
        let stores = Self.stores(2, memoryBytes: 8 << 20)
        _ = Self.fill(stores, 0..<20_000)
        let small = Self.total(stores)
        #expect(small.evictions > 0 && small.usedBytes <= 8 << 20)

        stores.resize(memoryBytes: 48 << 20, now: Self.now)
        _ = Self.fill(stores, 20_000..<60_000)
        let large = Self.total(stores)
        #expect(large.limitBytes == 48 << 20 && large.usedBytes <= 48 << 20)
        #expect(large.evictions == small.evictions && Self.count(stores, 20_000..<60_000) == 40_000)

        stores.resize(memoryBytes: 8 << 20, now: Self.now)
        while Self.total(stores).usedBytes > 8 << 20 { await Task.yield() }
        #expect(Self.total(stores).items > 5_000)
        #expect(Self.fill(stores, 60_000..<61_000) == 1_000)
        for store in stores.all { store.checkInvariants() }
    }

    @Test("a store that must not evict keeps what it has under a lower limit, and takes no more")
    func neverEvicts() async throws {
        let stores = Self.stores(1, memoryBytes: 16 << 20, evicts: false)
        #expect(Self.fill(stores, 0..<10_000) == 10_000)
        stores.resize(memoryBytes: 4 << 20, now: Self.now)
        #expect(Self.fill(stores, 10_000..<12_000) < 400)
        #expect(Self.count(stores, 0..<10_000) == 10_000)
        stores.resize(memoryBytes: 16 << 20, now: Self.now)
        #expect(Self.fill(stores, 12_000..<13_000) == 1_000)
    }
}
