// A store as a stream of operations: it answers as a dictionary would, or misses where it had to evict, and its books
// always balance.

import Engine

enum StoreFuzz {
    static func run(_ input: [UInt8]) -> String? {
        var choices = Choices(input)
        let mode = choices.byte()
        return mode & 1 == 0 ? roomy(&choices) : tight(&choices, compresses: mode & 2 == 0)
    }

    /// With room for all: the model's answers, uniques included.
    private static func roomy(_ choices: inout Choices) -> String? {
        let store = ItemStore(ItemStoreConfiguration(memoryBytes: 8 << 20))
        var model = StoreModel()
        var now: UInt32 = 1000
        var steps = 0
        while !choices.isEmpty, steps < 600 {
            steps += 1
            if choices.below(16) == 0 { now += UInt32(choices.below(4)) }
            let key = "key-\(choices.below(24))"
            let command = command(&choices, now: now, unique: model.items[key]?.unique ?? 0)
            let (ours, expected) = (store.run(command, key, now: now), model.run(command, key, now: now))
            if ours != expected { return "step \(steps), \(key), \(command): \(ours), not \(expected)" }
        }
        store.checkInvariants()
        return nil
    }

    private static func command(_ choices: inout Choices, now: UInt32, unique: UInt64) -> ItemCommand {
        let expiry = Expiry(stored: [0, 0, 0, 1, now + 1, now + 5][choices.below(6)])
        switch choices.below(12) {
        case 0, 1: return .get
        case 2: return .getAndTouch(expiry: expiry)
        case 3: return .delete
        case 4: return .touch(expiry: expiry)
        case 5: return .arithmetic(.increment, delta: [1, 9, 1 << 40, .max][choices.below(4)])
        case 6: return .arithmetic(.decrement, delta: [1, 9, 1 << 40, .max][choices.below(4)])
        case 7, 8:
            let number = UInt64(choices.below(65_536)) << UInt64(choices.below(49))
            return .store(.set, flags: 0, expiry: expiry, cas: 0, value: Array(String(number).utf8))
        default:
            let verb = StoreVerb.allCases[choices.below(StoreVerb.allCases.count)]
            return .store(
                verb, flags: [0, 7, .max][choices.below(3)], expiry: expiry,
                cas: choices.below(3) == 0 ? unique + 1 : unique,
                value: [UInt8](
                    repeating: choices.byte() | 0x80, count: choices.below(choices.below(6) == 0 ? 3000 : 60)))
        }
    }

    /// With too little room: what was written last, or nothing.
    private static func tight(_ choices: inout Choices, compresses: Bool) -> String? {
        let store = ItemStore(
            ItemStoreConfiguration(memoryBytes: 192 << 10, itemBytesMax: 40_000, compresses: compresses))
        var written: [String: [UInt8]] = [:]
        var steps = 0
        while !choices.isEmpty, steps < 1500 {
            steps += 1
            let key = "key-\(choices.below(512))"
            switch choices.below(8) {
            case 0, 1:
                if let value = store.value(key), value != written[key] {
                    return "step \(steps): a wrong value of \(key)"
                }
            case 2:
                let wasThere = store.run(.delete, key) == .deleted
                if wasThere, written[key] == nil { return "step \(steps): \(key) was never stored" }
                written[key] = nil
            case 3:
                let addition = [UInt8](repeating: choices.byte(), count: choices.below(50))
                if store.run(.store(.append, flags: 0, expiry: .never, cas: 0, value: addition), key) == .stored {
                    written[key]? += addition
                }
            default:
                let value = value(&choices)
                let outcome = store.set(key, value)
                if outcome != .stored, outcome != .tooLarge { return "step \(steps): \(outcome) for a set" }
                written[key] = outcome == .stored ? value : nil
            }
            if steps % 256 == 0 { store.checkInvariants() }
        }
        store.checkInvariants()
        let statistics = store.statistics
        return statistics.usedBytes <= statistics.limitBytes + statistics.segmentBytes ? nil : "too much memory"
    }

    /// Some compress well, some not at all.
    private static func value(_ choices: inout Choices) -> [UInt8] {
        let count = [10, 100, 900, 4000, 30_000, 50_000][choices.below(6)] + choices.below(64)
        let first = choices.byte()
        var random = SeededRandom(UInt64(first))
        let isRegular = first & 1 == 0
        return (0..<count).map {
            isRegular ? UInt8(truncatingIfNeeded: $0 / 7) ^ first : UInt8(truncatingIfNeeded: random.next())
        }
    }
}
