// A store with its model beside it: commands go to both, their answers must agree.

import Engine

extension ItemStore {
    func run(_ command: ItemCommand, _ key: String, now: UInt32 = 100) -> ItemOutcome {
        Array(key.utf8).withUnsafeBytes { execute(command, key: $0, hash: keyHash($0), now: now) }
    }

    func set(_ key: String, _ value: [UInt8], flags: UInt32 = 0, expiry: UInt32 = 0, now: UInt32 = 100) -> ItemOutcome {
        run(.store(.set, flags: flags, expiry: Expiry(stored: expiry), cas: 0, value: value), key, now: now)
    }

    /// The value of a key; nil when there is none.
    func value(_ key: String, now: UInt32 = 100) -> [UInt8]? {
        guard case .value(_, _, let bytes) = run(.get, key, now: now) else { return nil }
        return bytes
    }
}

/// What the store should answer when nothing is ever evicted: a dictionary and memcached's rules.
struct StoreModel {
    struct Item {
        var flags: UInt32
        var expiry: Expiry
        var unique: UInt64
        var value: [UInt8]
    }

    var items: [String: Item] = [:]
    var lastUnique: UInt64 = 0

    mutating func run(_ command: ItemCommand, _ key: String, now: UInt32) -> ItemOutcome {
        if let item = items[key], item.expiry.stored != 0, item.expiry.stored <= now { items[key] = nil }
        switch command {
        case .get:
            return answer(key)
        case .getAndTouch(let expiry):
            let answer = answer(key)
            items[key]?.expiry = expiry
            return answer
        case .delete:
            return items.removeValue(forKey: key) == nil ? .notFound : .deleted
        case .touch(let expiry):
            guard items[key] != nil else { return .notFound }
            items[key]?.expiry = expiry
            return .touched
        case .store(let verb, let flags, let expiry, let cas, let value):
            return store(verb, key, Item(flags: flags, expiry: expiry, unique: cas, value: value))
        case .arithmetic(let verb, let delta):
            return arithmetic(verb, key, delta)
        case .meta: preconditionFailure("the model knows the classic commands")
        }
    }

    private func answer(_ key: String) -> ItemOutcome {
        items[key].map { .value(flags: $0.flags, cas: $0.unique, bytes: $0.value) } ?? .miss
    }

    private mutating func store(_ verb: StoreVerb, _ key: String, _ new: Item) -> ItemOutcome {
        let old = items[key]
        var item = new
        switch verb {
        case .set: break
        case .add: if old != nil { return .notStored }
        case .replace: if old == nil { return .notStored }
        case .append, .prepend:
            guard let old else { return .notStored }
            item = old
            item.value = verb == .append ? old.value + new.value : new.value + old.value
        case .cas:
            guard let old else { return .notFound }
            if old.unique != new.unique { return .exists }
        }
        lastUnique += 1
        item.unique = lastUnique
        items[key] = item
        return .stored
    }

    private mutating func arithmetic(_ verb: ArithmeticVerb, _ key: String, _ delta: UInt64) -> ItemOutcome {
        guard let old = items[key] else { return .notFound }
        // By bytes: what follows the blank may be a mark that makes one character of both.
        let digits = old.value.prefix { $0 != UInt8(ascii: " ") }
        guard let number = UInt64(String(decoding: digits, as: UTF8.self)) else { return .notANumber }
        let result = verb == .increment ? number &+ delta : (delta > number ? 0 : number - delta)
        var value = Array(String(result).utf8)
        while value.count < old.value.count { value.append(UInt8(ascii: " ")) }
        lastUnique += 1
        items[key]?.value = value
        items[key]?.unique = lastUnique
        return .number(result)
    }
}

extension SeededRandom {
    /// None of them is a digit or a blank, so that the model's idea of a number stays simple.
    mutating func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8(truncatingIfNeeded: next()) | 0x80 } }

    /// Any command; `model` supplies a cas unique that may be right.
    mutating func command(now: UInt32, unique: UInt64, valueBytesMax: Int) -> ItemCommand {
        let expiry = Expiry(stored: [0, 0, 0, 1, now + 1, now + 5][below(6)])
        switch below(12) {
        case 0...2: return .get
        case 3: return .getAndTouch(expiry: expiry)
        case 4: return .delete
        case 5: return .touch(expiry: expiry)
        case 6: return .arithmetic(.increment, delta: [1, 9, 1 << 40, .max][below(4)])
        case 7: return .arithmetic(.decrement, delta: [1, 9, 1 << 40, .max][below(4)])
        case 8:
            return .store(
                .set, flags: 0, expiry: .never, cas: 0, value: Array(String(next() >> UInt64(below(64))).utf8))
        default:
            let verb = StoreVerb.allCases[below(StoreVerb.allCases.count)]
            return .store(
                verb, flags: [0, 7, .max][below(3)], expiry: expiry, cas: below(3) == 0 ? unique + 1 : unique,
                value: bytes(below(below(8) == 0 ? valueBytesMax : 40)))
        }
    }
}
