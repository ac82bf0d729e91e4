// Compressed items: what is read is what was written, whatever form it had meanwhile; and when which form is taken.

import Engine
import Testing

/// Records of one schema, as services store them: they compress well, with a dictionary above all.
struct RecordMaker {
    var random: SeededRandom

    mutating func record(bytes count: Int) -> [UInt8] {
        var text = "{\"id\":\(random.below(1_000_000))"
        while text.utf8.count < count {
            let name = ["customer", "balance", "currency", "status", "updated_at", "country"][random.below(6)]
            let value = ["active", "suspended", "EUR", "USD", "Norway", "Portugal", "2024-03-01"][random.below(7)]
            text += ",\"\(name)\":\"\(value)\",\"n\":\(random.below(10_000))"
        }
        return Array(text.utf8.prefix(count))
    }
}

@Suite struct CompressionTests {
    static func store(_ memoryBytes: Int, compresses: Bool = true) -> ItemStore {
        ItemStore(ItemStoreConfiguration(memoryBytes: memoryBytes, compresses: compresses))
    }

    /// Look-aside traffic over records, the low keys more often: `keys` of them, `requests` times.
    static func replay(_ store: ItemStore, keys: Int, requests: Int, bytes: Int = 700) -> (hits: Int, wrong: Int) {
        var random = SeededRandom(11)
        var (hits, wrong) = (0, 0)
        for _ in 0..<requests {
            let number = random.below(random.below(keys) + 1)
            var maker = RecordMaker(random: SeededRandom(UInt64(number)))
            let value = maker.record(bytes: 80 + number % bytes)
            if let found = store.value("record:\(number)") {
                hits += 1
                if found != value { wrong += 1 }
            } else {
                _ = store.set("record:\(number)", value)
            }
        }
        return (hits, wrong)
    }

    @Test("what stays is compressed with a dictionary, read back as it was, and leaves room for more hits")
    func moreHits() {
        let store = Self.store(4 << 20)
        let plain = Self.store(4 << 20, compresses: false)
        let (hits, wrong) = Self.replay(store, keys: 20_000, requests: 80_000)
        let (hitsPlain, wrongPlain) = Self.replay(plain, keys: 20_000, requests: 80_000)
        #expect(wrong == 0 && wrongPlain == 0)
        let statistics = store.statistics
        #expect(statistics.trainings >= 1 && statistics.dictionaryBytes > 0)
        #expect(statistics.compressedItems > 4000)
        #expect(statistics.expandedBytes > statistics.compressedBytes * 2)
        #expect(hits > hitsPlain + 5000)
        #expect(plain.statistics.compressedItems == 0 && plain.statistics.trainings == 0)
        store.checkInvariants()
        plain.checkInvariants()
    }

    @Test("a stream of all commands on compressible values answers the last value written, or a miss")
    func commands() {
        for seed in 1...4 {
            let store = Self.store(2 << 20)
            var random = SeededRandom(UInt64(seed))
            var maker = RecordMaker(random: SeededRandom(UInt64(seed + 100)))
            var written: [String: (value: [UInt8], flags: UInt32)] = [:]
            var mostCompressed = 0
            for step in 0..<60_000 {
                let key = "key:\(random.below(random.below(8000) + 1))"
                let isRight = Self.step(store, key, &written, &random, &maker)
                #expect(isRight, "seed \(seed), step \(step)")
                if !isRight { return }
                if step % 5000 == 0 {
                    store.checkInvariants()
                    mostCompressed = max(mostCompressed, store.statistics.compressedItems)
                }
            }
            #expect(mostCompressed > 200)
            #expect(store.statistics.evictions > 0)
            store.removeAll()
            let empty = store.statistics
            #expect(empty.compressedItems == 0 && empty.compressedBytes == 0 && empty.expandedBytes == 0)
            store.checkInvariants()
        }
    }

    /// One command to the store and the model; false where they disagree about a value.
    private static func step(
        _ store: ItemStore, _ key: String, _ written: inout [String: (value: [UInt8], flags: UInt32)],
        _ random: inout SeededRandom, _ maker: inout RecordMaker
    ) -> Bool {
        switch random.below(16) {
        case 0:
            let addition = maker.record(bytes: 20)
            let outcome = store.run(.store(.append, flags: 0, expiry: .never, cas: 0, value: addition), key)
            if outcome == .stored { written[key]?.value += addition }
        case 1:
            let addition = maker.record(bytes: 20)
            let outcome = store.run(.store(.prepend, flags: 0, expiry: .never, cas: 0, value: addition), key)
            if outcome == .stored, let old = written[key]?.value { written[key]?.value = addition + old }
        case 2:
            // A number with so many blanks behind it that it is worth compressing.
            let value = Array("\(random.below(1000))".utf8) + [UInt8](repeating: 32, count: 100)
            _ = store.set(key, value)
            written[key] = (value, 0)
        case 3:
            guard case .number(let number) = store.run(.arithmetic(.increment, delta: 1), key) else { break }
            guard let old = written[key]?.value else { return false }
            let digits = Array(String(number).utf8)
            written[key]?.value = digits + [UInt8](repeating: 32, count: max(0, old.count - digits.count))
        case 4: _ = store.run(.touch(expiry: .never), key)
        case 5: _ = store.run(.touch(expiry: Expiry(stored: 1_000_000)), key)
        case 6:
            _ = store.run(.delete, key)
            written[key] = nil
        case 7...10:
            let value = maker.record(bytes: 30 + random.below(random.below(20) == 0 ? 20_000 : 1500))
            let flags: UInt32 = [0, 9][random.below(2)]
            guard store.set(key, value, flags: flags) == .stored else { return false }
            written[key] = (value, flags)
        default:
            guard case .value(let flags, let unique, let bytes) = store.run(.get, key) else { break }
            guard let expected = written[key], expected.value == bytes, expected.flags == flags else { return false }
            guard random.below(4) == 0 else { break }
            let value = maker.record(bytes: 200)
            let outcome = store.run(.store(.cas, flags: flags, expiry: .never, cas: unique, value: value), key)
            if outcome == .stored { written[key] = (value, flags) } else { return outcome == .outOfMemory }
        }
        return true
    }

    @Test("values that don't shrink by 15 % stay as they are")
    func incompressible() {
        let store = Self.store(2 << 20)
        var random = SeededRandom(3)
        for at in 0..<20_000 {
            let key = "noise:\(at % 4000)"
            if store.value(key) == nil { _ = store.set(key, random.bytes(600).map { $0 &* 167 &+ UInt8(at & 127) }) }
        }
        let statistics = store.statistics
        #expect(statistics.evictions > 0)
        #expect(statistics.compressedBytes * 100 <= statistics.expandedBytes * 85)
        store.checkInvariants()
    }

    @Test("a compressed item that is read very often is kept as it is, from then on")
    func hot() {
        let store = Self.store(4 << 20)
        _ = Self.replay(store, keys: 20_000, requests: 60_000)
        let present = (0..<20_000).filter { store.value("record:\($0)") != nil }.suffix(100)
        let before = store.statistics
        #expect(before.compressedItems > 0)
        for _ in 0..<400 { for number in present { _ = store.value("record:\(number)") } }
        let after = store.statistics
        #expect(after.expansions >= before.expansions + 20)
        #expect(after.expansions <= before.expansions + 100)
        #expect(after.usedBytes <= after.limitBytes + after.segmentBytes)
        store.checkInvariants()
    }

    @Test("a full store compresses what is new to it, though nobody has read it yet")
    func newcomers() {
        let store = Self.store(4 << 20)
        _ = Self.replay(store, keys: 20_000, requests: 40_000)
        let before = store.statistics
        var maker = RecordMaker(random: SeededRandom(5))
        let values = (0..<400).map { maker.record(bytes: $0 < 300 ? 600 : 3000) }
        for (at, value) in values.enumerated() { #expect(store.set("new:\(at)", value) == .stored) }
        let after = store.statistics
        // Of the others, some were dropped, and few became main's.
        #expect(after.compressedItems + Int(after.evictions - before.evictions) >= before.compressedItems + 400)
        #expect(after.liveBytes <= before.liveBytes + 400 * 300)
        store.checkInvariants()
        for (at, value) in values.enumerated() { #expect(store.value("new:\(at)") ?? value == value) }
        #expect((0..<400).contains { store.value("new:\($0)") != nil })
        store.checkInvariants()
    }

    @Test("new values that don't shrink stay as they are, also among others that do")
    func mixedNewcomers() {
        let store = Self.store(4 << 20)
        _ = Self.replay(store, keys: 20_000, requests: 40_000)
        var random = SeededRandom(3)
        var noise: [[UInt8]] = []
        for at in 0..<200 {
            noise.append((0..<500).map { _ in UInt8(truncatingIfNeeded: random.next() >> 24) })
            #expect(store.set("noise:\(at)", noise[at]) == .stored)
        }
        for at in 0..<200 { #expect(store.value("noise:\(at)") ?? noise[at] == noise[at]) }
        store.checkInvariants()
    }

    @Test("what training takes is on the store's account until the training is over")
    func trainingIsAccounted() throws {
        // Called from here only, so one thread.
        final class Waiting: @unchecked Sendable { var work: [@Sendable () -> Void] = [] }
        let waiting = Waiting()
        let store = ItemStore(
            ItemStoreConfiguration(memoryBytes: 32 << 20, background: { waiting.work.append($0) }))
        var maker = RecordMaker(random: SeededRandom(1))
        for at in 0..<100_000 where waiting.work.isEmpty { _ = store.set("record:\(at)", maker.record(bytes: 400)) }
        let work = try #require(waiting.work.first)
        #expect(waiting.work.count == 1)
        let during = store.statistics
        work()
        let after = store.statistics
        #expect(after.trainings == 1 && after.segments == during.segments)
        // The sample and the trainer's tables are gone, the dictionary is there.
        #expect(during.usedBytes - after.usedBytes >= DictionaryTrainer.memoryBytes)
        #expect(during.usedBytes - after.usedBytes <= DictionaryTrainer.memoryBytes + 1 << 20)
        store.checkInvariants()
    }

    @Test("a store that was trained takes another dictionary once its values have changed, and reads what it had")
    func retraining() {
        let store = Self.store(4 << 20)
        _ = Self.replay(store, keys: 20_000, requests: 40_000)
        #expect(store.statistics.trainings == 1)
        var random = SeededRandom(9)
        let words = (0..<300).map { _ in (0..<12).map { _ in UInt8(truncatingIfNeeded: random.next() >> 32) } }
        var written: [String: [UInt8]] = [:]
        // Other values: what they have in common is other words. The first sample that may be taken has what was there before
        // in it as well, and gives no dictionary that is better; the next one, ten minutes later, does.
        for at in 0..<30_000 {
            let key = "word:\(at % 20_000)"
            let now: UInt32 = at < 15_000 ? 5000 : 5600
            if let value = store.value(key, now: now) {
                if written[key] != value { Issue.record("a value is wrong at \(at)") }
                continue
            }
            let value = (0..<40).flatMap { _ in words[random.below(words.count)] }
            _ = store.set(key, value, now: now)
            written[key] = value
        }
        let statistics = store.statistics
        #expect(statistics.trainings == 2)
        // A value's words take two or three bytes each in place of twelve.
        #expect(statistics.compressedItems > 10_000)
        #expect(statistics.compressedBytes * 3 < statistics.expandedBytes)
        store.checkInvariants()
    }
}

@Suite struct DictionaryTrainerTests {
    static func dictionary(of values: [[UInt8]], capacity: Int = 4096) -> [UInt8]? {
        let bytes = values.flatMap { $0 }
        return bytes.withUnsafeBytes {
            DictionaryTrainer.dictionary(of: $0, sizes: values.map(\.count)[...], capacity: capacity)
        }
    }

    @Test("a dictionary holds what many values have in common, and is no larger than it may be")
    func common() throws {
        var random = SeededRandom(1)
        let phrase = Array("\"country\":\"Portugal\",\"currency\":\"EUR\"".utf8)
        let values = (0..<200).map { _ in
            let noise = (0..<60).map { _ in UInt8(truncatingIfNeeded: random.next() >> 32) }
            return noise + phrase + noise.reversed()
        }
        for capacity in [1024, 4096, 16 << 10] {
            let dictionary = try #require(Self.dictionary(of: values, capacity: capacity))
            #expect(dictionary.count <= capacity)
            let isThere = (0...(dictionary.count - phrase.count)).contains { dictionary[$0...].starts(with: phrase) }
            #expect(isThere, "of \(capacity) bytes")
        }
    }

    @Test("values without anything in common, of any size, give no dictionary and no trap")
    func nothingInCommon() {
        var random = SeededRandom(2)
        for size in [0, 1, 5, 6, 7, 8, 9, 63, 64, 65, 70, 71, 72, 600] {
            for count in [0, 1, 2, 70] {
                let values = (0..<count).map { _ in
                    (0..<size).map { _ in UInt8(truncatingIfNeeded: random.next() >> 32) }
                }
                let dictionary = Self.dictionary(of: values)
                // By chance a few substrings have the same hash.
                #expect(dictionary?.count ?? 0 <= 4096)
            }
        }
        #expect(Self.dictionary(of: [[1, 2, 3]]) == nil)
        #expect(Self.dictionary(of: []) == nil)
        #expect(Self.dictionary(of: [[UInt8](repeating: 7, count: 10_000)], capacity: 512) == nil)
    }

    @Test("values that are all the same give a dictionary of them")
    func same() throws {
        var random = SeededRandom(4)
        let value = (0..<100).map { _ in UInt8(truncatingIfNeeded: random.next() >> 32) }
        let dictionary = try #require(Self.dictionary(of: [[UInt8]](repeating: value, count: 100)))
        #expect(dictionary.count <= 4096)
        #expect(dictionary.count >= 64)
    }
}
