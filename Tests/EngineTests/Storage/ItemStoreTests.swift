// The store's rules one by one: expiry, flushing, sizes, memory, eviction order, overhead.

import CLinux
import Dispatch
import Engine
import Synchronization
import Testing

@Suite struct ItemStoreTests {
    static func store(
        _ memoryBytes: Int = 4 << 20, itemBytesMax: Int = 1 << 20, evicts: Bool = true, compresses: Bool = true
    ) -> ItemStore {
        ItemStore(
            ItemStoreConfiguration(
                memoryBytes: memoryBytes, itemBytesMax: itemBytesMax, evicts: evicts, compresses: compresses))
    }

    static func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

    @Test("an item is gone at the second it expires, not before")
    func expiry() {
        let store = Self.store()
        #expect(store.set("a", [1], expiry: 110) == .stored)
        #expect(store.value("a", now: 109) == [1])
        #expect(store.value("a", now: 110) == nil)
        #expect(store.statistics.expired == 1)
        #expect(store.statistics.items == 0)
        #expect(store.set("b", [1], expiry: 1) == .stored)
        #expect(store.value("b", now: 100) == nil)
        #expect(store.run(.store(.add, flags: 0, expiry: .never, cas: 0, value: [2]), "b") == .stored)
    }

    @Test("touch moves an expiry both ways and keeps the unique")
    func touch() throws {
        let store = Self.store()
        #expect(store.set("a", [1], flags: 3) == .stored)
        let before = store.run(.get, "a")
        #expect(store.run(.touch(expiry: Expiry(stored: 105)), "a") == .touched)
        #expect(store.run(.get, "a") == before)
        #expect(store.run(.getAndTouch(expiry: .never), "a", now: 104) == before)
        #expect(store.run(.get, "a", now: 1_000_000) == before)
        #expect(store.run(.touch(expiry: Expiry(stored: 5)), "none") == .notFound)
        store.checkInvariants()
    }

    @Test("a flush takes what was stored before it, at once or when its second comes")
    func flush() {
        let store = Self.store()
        _ = store.set("a", [1])
        store.flushAll(at: 100, now: 100)
        #expect(store.value("a") == nil)
        _ = store.set("a", [1])
        store.flushAll(at: 110, now: 100)
        _ = store.set("b", [2], now: 109)
        #expect(store.value("a", now: 109) == [1])
        #expect(store.value("a", now: 110) == nil)
        #expect(store.value("b", now: 110) == nil)
        #expect(store.set("c", [3], now: 110) == .stored)
        #expect(store.value("c", now: 120) == [3])
        store.flushAll(at: 130, now: 120)
        store.flushAll(at: 120, now: 120)
        #expect(store.set("d", [4], now: 121) == .stored)
        #expect(store.value("d", now: 140) == [4])
        store.checkInvariants()
    }

    @Test("incr and decr wrap, stop at zero, pad in place and grow")
    func arithmetic() {
        let store = Self.store()
        func incr(_ delta: UInt64) -> ItemOutcome { store.run(.arithmetic(.increment, delta: delta), "n") }
        func decr(_ delta: UInt64) -> ItemOutcome { store.run(.arithmetic(.decrement, delta: delta), "n") }
        #expect(incr(1) == .notFound)
        _ = store.set("n", Self.bytes("10"), flags: 9)
        #expect(decr(1) == .number(9))
        #expect(store.value("n") == Self.bytes("9 "))
        #expect(decr(100) == .number(0))
        #expect(incr(99) == .number(99))
        #expect(incr(1) == .number(100))
        #expect(store.value("n") == Self.bytes("100"))
        #expect(incr(.max) == .number(99))
        _ = store.set("n", Self.bytes(" 12 34"))
        #expect(incr(1) == .number(13))
        #expect(store.value("n") == Self.bytes("13    "))
        for text in ["", "x", "-1", "1x", "99999999999999999999", " ", "+"] {
            _ = store.set("n", Self.bytes(text))
            #expect(incr(1) == .notANumber, "\(text)")
        }
        store.checkInvariants()
    }

    @Test("every store raises the unique, and cas with a stale one answers exists")
    func uniques() throws {
        let store = Self.store()
        func unique() -> UInt64 {
            guard case .value(_, let unique, _) = store.run(.get, "a") else { return 0 }
            return unique
        }
        _ = store.set("a", [1])
        let first = unique()
        _ = store.set("a", [2])
        #expect(unique() > first)
        #expect(store.run(.store(.cas, flags: 0, expiry: .never, cas: first, value: [3]), "a") == .exists)
        #expect(store.run(.store(.cas, flags: 0, expiry: .never, cas: unique(), value: [3]), "a") == .stored)
        #expect(store.run(.store(.cas, flags: 0, expiry: .never, cas: 1, value: [3]), "none") == .notFound)
        #expect(store.value("a") == [3])
    }

    @Test("a set that is too large removes the old value, an append that is too large keeps it")
    func tooLarge() {
        let store = Self.store(itemBytesMax: 2000)
        _ = store.set("a", [1])
        #expect(
            store.run(.store(.append, flags: 0, expiry: .never, cas: 0, value: .init(repeating: 0, count: 2000)), "a")
                == .notStored)
        #expect(store.value("a") == [1])
        #expect(store.set("a", Array(repeating: 0, count: 2000)) == .tooLarge)
        #expect(store.value("a") == nil)
    }

    @Test("an item of a quarter of a small memory fits, again and again, beside small ones")
    func quarter() {
        let store = Self.store(1 << 20)
        let value = Array(repeating: UInt8(7), count: (1 << 18) - 100)
        for round in 0..<50 {
            #expect(store.set("large-\(round)", value) == .stored)
            #expect(store.value("large-\(round)")?.count == value.count)
            for small in 0..<100 { _ = store.set("small-\(round)-\(small)", [1, 2, 3]) }
            #expect(store.statistics.usedBytes <= (1 << 20) + (64 << 10))
        }
        store.checkInvariants()
        #expect(store.statistics.evictions >= 40)
    }

    @Test("an item of 128 MiB comes back whole")
    func huge() {
        let store = Self.store(200 << 20, itemBytesMax: 128 << 20)
        var value = [UInt8](repeating: 0, count: (128 << 20) - 64)
        for at in stride(from: 0, to: value.count, by: 4093) { value[at] = UInt8(truncatingIfNeeded: at >> 7) }
        #expect(store.set("huge", value) == .stored)
        let isSame = store.value("huge") == value
        #expect(isSame)
        #expect(store.set("huge", [1]) == .stored)
        #expect(store.value("huge") == [1])
        #expect(store.statistics.usedBytes < 8 << 20)
    }

    @Test("an item larger than the whole memory is refused")
    func largerThanMemory() {
        let store = Self.store(1 << 20, itemBytesMax: 64 << 20)
        _ = store.set("a", [1])
        #expect(store.set("b", Array(repeating: 0, count: 2 << 20)) == .outOfMemory)
        #expect(store.value("a") == [1])
    }

    @Test("without eviction a full store refuses, and takes again what deletes and expiry gave back")
    func withoutEviction() {
        // Compression would make so much room that the sums below don't hold.
        let store = ItemStore(ItemStoreConfiguration(memoryBytes: 1 << 20, evicts: false, compresses: false))
        let value = Array(repeating: UInt8(1), count: 1000)
        var stored = 0
        while store.set("k\(stored)", value, expiry: stored % 2 == 0 ? 0 : 200) == .stored { stored += 1 }
        #expect(stored > 800)
        #expect(store.statistics.evictions == 0)
        #expect((0..<stored).allSatisfy { store.value("k\($0)") == value })
        for at in stride(from: 0, to: stored, by: 4) { _ = store.run(.delete, "k\(at)") }
        var again = 0
        while store.set("n\(again)", value) == .stored { again += 1 }
        #expect(again > stored / 8)
        var afterExpiry = 0
        while store.set("m\(afterExpiry)", value, now: 300) == .stored { afterExpiry += 1 }
        #expect(afterExpiry > stored / 3)
        #expect(store.statistics.evictions == 0)
        store.checkInvariants()
    }

    @Test("what is read survives what is not, when the memory is far too small for both")
    func usedItemsSurvive() {
        let store = Self.store(1 << 20, compresses: false)
        let value = Array(repeating: UInt8(1), count: 200)
        for at in 0..<100 { _ = store.set("hot-\(at)", value) }
        for at in 0..<20_000 {
            _ = store.set("cold-\(at)", value)
            _ = store.value("hot-\(at % 100)")
        }
        let survivors = (0..<100).count { store.value("hot-\($0)") != nil }
        #expect(survivors == 100)
        #expect(store.statistics.evictions > 15_000)
        store.checkInvariants()
    }

    @Test("expired items are reclaimed with their segment, not counted as evicted")
    func reclaimed() {
        let store = Self.store(1 << 20, compresses: false)
        for at in 0..<20_000 {
            _ = store.set(
                "k\(at)", Array(repeating: 0, count: 200), expiry: 101 + UInt32(at / 1000), now: 100 + UInt32(at / 1000)
            )
        }
        #expect(store.statistics.reclaimed > 15_000)
        #expect(store.statistics.evictions < 1000)
    }

    @Test("300,000 items, each found again, at 24 bytes of overhead an item on average or less")
    func growth() {
        let store = Self.store(64 << 20)
        let count = 300_000
        var payload = 0
        for at in 0..<count {
            let value = Array(repeating: UInt8(truncatingIfNeeded: at), count: 40 + at % 7)
            let key = "object:\(at)"
            payload += key.utf8.count + value.count
            guard store.set(key, value) == .stored else {
                Issue.record("item \(at) was not stored")
                return
            }
        }
        store.checkInvariants()
        let found = (0..<count).count { store.value("object:\($0)")?.count == 40 + $0 % 7 }
        #expect(found == count)
        let statistics = store.statistics
        let overhead = Double(statistics.liveBytes + statistics.indexBytes - payload) / Double(count)
        #expect(overhead <= 24.5, "\(overhead) bytes an item")
        #expect(overhead >= 20)
        for at in 0..<count { _ = store.run(.delete, "object:\(at)") }
        store.checkInvariants()
        #expect(store.statistics.items == 0)
        #expect(store.statistics.usedBytes < 2 << 20)
    }

    @Test("an item takes 12 bytes of header, 4 more for flags, 4 more for an expiry, rounded up to 4")
    func headerBytes() {
        let store = Self.store()
        func bytesOf(flags: UInt32, expiry: UInt32) -> Int {
            store.removeAll()
            _ = store.set("abcd", [1, 2, 3, 4], flags: flags, expiry: expiry)
            return store.statistics.liveBytes - 8
        }
        #expect(bytesOf(flags: 0, expiry: 0) == 12)
        #expect(bytesOf(flags: 1, expiry: 0) == 16)
        #expect(bytesOf(flags: 0, expiry: 200) == 16)
        #expect(bytesOf(flags: 1, expiry: 200) == 20)
        store.removeAll()
        _ = store.set("a", [])
        #expect(store.statistics.liveBytes == 16)
    }

    @Test(
        "four threads at once: counters lose no step, values are never torn, the parts agree afterwards",
        arguments: [false, true])
    func threads(compresses: Bool) {
        let store = Self.store(1 << 20, compresses: compresses)
        let torn = Atomic<Int>(0)
        _ = store.set("counter", Self.bytes("0"))
        DispatchQueue.concurrentPerform(iterations: 4) { thread in
            var random = SeededRandom(UInt64(thread))
            for step in 0..<10_000 {
                let key = "key-\(random.below(4000))"
                switch random.below(4) {
                case 0:
                    let byte = UInt8(truncatingIfNeeded: random.next())
                    _ = store.set(key, Array(repeating: byte, count: random.below(600)))
                case 1 where step % 10 == 0: _ = store.run(.delete, key)
                default:
                    if let value = store.value(key), let first = value.first, !value.allSatisfy({ $0 == first }) {
                        torn.add(1, ordering: .relaxed)
                    }
                }
                _ = store.run(.arithmetic(.increment, delta: 1), "counter")
            }
        }
        #expect(torn.load(ordering: .relaxed) == 0)
        #expect(store.run(.arithmetic(.increment, delta: 0), "counter") == .number(40_000))
        // Values of one byte over and over shrink so much that there is room for all.
        #expect(compresses ? store.statistics.compressedItems > 0 : store.statistics.evictions > 0)
        store.checkInvariants()
    }

    @Test("keys of all lengths, with bytes of all kinds, are told apart")
    func keys() {
        let store = Self.store()
        var random = SeededRandom(5)
        var keys: [[UInt8]] = []
        for length in 1...250 {
            keys.append(random.bytes(length))
            keys.append(Array(repeating: 0, count: length))
        }
        for (at, key) in keys.enumerated() {
            key.withUnsafeBytes {
                _ = store.execute(
                    .store(.set, flags: UInt32(at), expiry: .never, cas: 0, value: []), key: $0, hash: keyHash($0),
                    now: 1)
            }
        }
        for (at, key) in keys.enumerated() {
            let outcome = key.withUnsafeBytes { store.execute(.get, key: $0, hash: keyHash($0), now: 1) }
            guard case .value(let flags, _, _) = outcome else {
                Issue.record("key \(at) is lost")
                continue
            }
            #expect(flags == UInt32(at))
        }
        let hashes = Set(keys.map { $0.withUnsafeBytes { keyHash($0) } })
        #expect(hashes.count == Set(keys).count)
    }

    @Test("keys whose hashes are all the same are still told apart")
    func collisions() {
        let store = Self.store()
        let keys = (0..<500).map { Self.bytes("collision-\($0)") }
        func run(_ command: ItemCommand, _ key: [UInt8]) -> ItemOutcome {
            key.withUnsafeBytes { store.execute(command, key: $0, hash: 42, now: 1) }
        }
        for key in keys { #expect(run(.store(.add, flags: 0, expiry: .never, cas: 0, value: key), key) == .stored) }
        for key in keys.prefix(250) { #expect(run(.delete, key) == .deleted) }
        for (at, key) in keys.enumerated() {
            guard case .value(_, _, let bytes) = run(.get, key) else {
                #expect(at < 250)
                continue
            }
            #expect(at >= 250 && bytes == key)
        }
        #expect(store.statistics.items == 250)
    }

    @Test("the hot keys are counted exactly while few keys are read, and ranked by count, then bytes")
    func hotKeys() {
        let store = Self.store()
        for (key, reads) in [("b", 5), ("a", 5), ("c", 9), ("never", 0)] {
            _ = store.set(key, [1])
            for _ in 0..<reads { _ = store.value(key) }
        }
        for _ in 0..<50 { _ = store.value("missing") }
        let top = store.hotKeys(limit: 10)
        #expect(top.map(\.key) == ["c", "a", "b"].map(Self.bytes))
        #expect(top.map(\.count) == [9, 5, 5])
        #expect(top.map(\.error) == [0, 0, 0])
        #expect(store.hotKeys(limit: 1).count == 1)
    }

    @Test("a heavy key among many light ones is found, its count within the stated error, also once sampling has begun")
    func hotKeysHeavy() throws {
        let store = Self.store(16 << 20)
        for at in 0..<5000 { _ = store.set("light-\(at)", [1]) }
        _ = store.set("heavy", [1])
        var random = SeededRandom(3)
        for _ in 0..<40_000 { _ = store.value(random.below(4) == 0 ? "heavy" : "light-\(random.below(5000))") }
        let exact = try #require(store.hotKeys(limit: 1).first)
        #expect(exact.key == Self.bytes("heavy"))
        #expect(exact.count >= 9_500 && exact.count - exact.error <= 10_500)
        for _ in 0..<1_000_000 { _ = store.value(random.below(4) == 0 ? "heavy" : "light-\(random.below(5000))") }
        let sampled = try #require(store.hotKeys(limit: 1).first)
        #expect(sampled.key == Self.bytes("heavy"))
        #expect((240_000...280_000).contains(sampled.count))
    }

    private static func store(readers: Int) -> ItemStore {
        var configuration = ItemStoreConfiguration(memoryBytes: 4 << 20)
        configuration.readers = readers
        return ItemStore(configuration)
    }

    private static func asThread<R>(_ number: Int, _ body: () -> R) -> R {
        linux_set_thread_number(Int32(number))
        defer { linux_set_thread_number(0) }
        return body()
    }

    @Test("a thread reads while another one is at it, and a writer waits for both")
    func readersBeside() {
        let store = Self.store(readers: 2)
        _ = store.set("a", [1])
        let hasRead = DispatchSemaphore(value: 0)
        let hasWritten = DispatchSemaphore(value: 0)
        let key = Self.bytes("a")
        let hash = key.withUnsafeBytes { keyHash($0) }
        _ = key.withUnsafeBytes { key in
            store.read(key: key, hash: hash, now: 100) { item in
                DispatchQueue.global().async {
                    Self.asThread(1) {
                        if store.value("a") == [1] { hasRead.signal() }
                        _ = store.set("a", [2])
                        hasWritten.signal()
                    }
                }
                #expect(hasRead.wait(timeout: .now() + 60) == .success)
                #expect(item.value.elementsEqual([1]))
            }
        }
        #expect(hasWritten.wait(timeout: .now() + 60) == .success)
        #expect(store.value("a") == [2])
    }

    @Test("hits that several threads counted are told together")
    func hotKeysOfThreads() {
        let store = Self.store(readers: 4)
        for name in ["a", "b", "c"] { _ = store.set(name, [1]) }
        for thread in 0..<4 {
            Self.asThread(thread) {
                for _ in 0..<10 { _ = store.value("a") }
                for _ in 0..<thread { _ = store.value("b") }
            }
        }
        let top = store.hotKeys(limit: 10)
        #expect(top.map(\.key) == ["a", "b"].map(Self.bytes))
        #expect(top.map(\.count) == [40, 6])
        #expect(top.map(\.error) == [0, 0])
    }

    @Test("a count of threads whose tables were full is within the error that is told")
    func hotKeysBeyondTables() throws {
        let store = Self.store(readers: 2)
        for at in 0..<400 { _ = store.set("light-\(at)", [1]) }
        _ = store.set("heavy", [1])
        for thread in 0..<2 {
            Self.asThread(thread) {
                // Thread 1 reads the heavy key once, before its table fills.
                for _ in 0..<(thread == 0 ? 300 : 1) { _ = store.value("heavy") }
                for round in 0..<3 { for at in 0..<400 { _ = store.value("light-\((at * 7 + round) % 400)") } }
            }
        }
        let heavy = try #require(store.hotKeys(limit: 1).first)
        #expect(heavy.key == Self.bytes("heavy"))
        #expect(heavy.count >= 301 && heavy.count - heavy.error <= 301)
    }
}
