// The store against a plain dictionary: long seeded streams, a small world in full, and what may differ once it is full.

import Engine
import Testing

@Suite struct ItemStoreModelTests {
    @Test("a long stream of commands answers as a dictionary would")
    func modelStream() {
        for seed in 1...8 {
            let store = ItemStore(ItemStoreConfiguration(memoryBytes: 16 << 20))
            var model = StoreModel()
            var random = SeededRandom(UInt64(seed))
            var now: UInt32 = 1000
            for step in 0..<20_000 {
                if random.below(50) == 0 { now += 1 }
                let key = "key-\(random.below(300))"
                let command = random.command(now: now, unique: model.items[key]?.unique ?? 0, valueBytesMax: 4000)
                if case .store(.append, _, _, _, _) = command, (model.items[key]?.value.count ?? 0) > 20_000 {
                    continue
                }
                if case .store(.prepend, _, _, _, _) = command, (model.items[key]?.value.count ?? 0) > 20_000 {
                    continue
                }
                let before = model.items[key]
                let (answer, expected) = (store.run(command, key, now: now), model.run(command, key, now: now))
                #expect(answer == expected, "seed \(seed), step \(step): \(command) at \(now) of \(before as Any)")
                if answer != expected { return }
                if step % 500 == 0 { store.checkInvariants() }
            }
            store.checkInvariants()
            #expect(store.statistics.evictions == 0)
        }
    }

    @Test("every sequence of four commands out of twelve on one key answers as a dictionary would")
    func smallWorld() {
        let values: [[UInt8]] = [Array("9".utf8), Array("x".utf8)]
        let commands: [ItemCommand] =
            [
                .get, .getAndTouch(expiry: Expiry(stored: 102)), .delete, .touch(expiry: Expiry(stored: 1)),
                .arithmetic(.increment, delta: 1),
                .arithmetic(.decrement, delta: 3),
            ]
            + [
                .store(.set, flags: 0, expiry: .never, cas: 0, value: values[0]),
                .store(.add, flags: 5, expiry: Expiry(stored: 101), cas: 0, value: values[1]),
                .store(.replace, flags: 5, expiry: .never, cas: 0, value: values[0]),
                .store(.append, flags: 0, expiry: .never, cas: 0, value: values[0]),
                .store(.prepend, flags: 0, expiry: .never, cas: 0, value: values[1]),
                .store(.cas, flags: 0, expiry: .never, cas: 1, value: values[0]),
            ]
        let count = commands.count
        var differing = 0
        for world in 0..<(count * count * count * count) {
            let store = ItemStore(ItemStoreConfiguration(memoryBytes: 1 << 18))
            var model = StoreModel()
            var choice = world
            for step in 0..<4 {
                let command = commands[choice % count]
                choice /= count
                // The clock moves on after the second command.
                let now: UInt32 = step < 2 ? 100 : 101
                if store.run(command, "key", now: now) != model.run(command, "key", now: now) { differing += 1 }
            }
            store.checkInvariants()
        }
        #expect(differing == 0)
    }

    @Test("a full store answers the last value written or a miss, and stays within its memory")
    func evicting() {
        for (seed, memoryBytes) in [(1, 1 << 20), (2, 1 << 20), (3, 2 << 20), (4, 4 << 20)] {
            let store = ItemStore(ItemStoreConfiguration(memoryBytes: memoryBytes))
            var random = SeededRandom(UInt64(seed))
            var written: [String: [UInt8]] = [:]
            var hits = 0
            let keys = memoryBytes / 300
            for step in 0..<60_000 {
                let key = "key-\(random.below(random.below(4) == 0 ? keys / 10 : keys))"
                switch random.below(10) {
                case 0...5:
                    if let value = store.value(key) {
                        hits += 1
                        let isLast = value == written[key]
                        #expect(isLast, "seed \(seed), step \(step)")
                        if !isLast { return }
                    }
                case 6:
                    _ = store.run(.delete, key)
                    written[key] = nil
                case 7:
                    let addition = random.bytes(random.below(30))
                    if store.run(.store(.append, flags: 0, expiry: .never, cas: 0, value: addition), key) == .stored {
                        written[key]? += addition
                    }
                default:
                    let isLarge = random.below(200) == 0
                    let value = random.bytes(isLarge ? random.below(memoryBytes / 5) : random.below(1200))
                    let outcome = store.set(key, value)
                    #expect(outcome == (value.count > (1 << 20) - 60 ? .tooLarge : .stored))
                    written[key] = outcome == .stored ? value : nil
                }
                if step % 64 == 0 {
                    let statistics = store.statistics
                    #expect(statistics.usedBytes <= statistics.limitBytes + statistics.segmentBytes)
                }
                if step % 10_000 == 0 { store.checkInvariants() }
            }
            store.checkInvariants()
            #expect(hits > 1000)
            #expect(store.statistics.evictions > 0)
        }
    }
}
