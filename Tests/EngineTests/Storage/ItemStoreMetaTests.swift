// The state that meta commands give an item: it costs nothing where there is none, and goes wherever the item goes.

import Engine
import Testing

@Suite struct ItemStoreMetaTests {
    static func run(
        _ store: ItemStore, _ verb: MetaCommand.Verb, _ key: String, value: [UInt8] = [], now: UInt32 = 100,
        _ adjust: (inout MetaCommand) -> Void = { _ in }
    ) -> MetaAnswer {
        var command = MetaCommand(verb)
        command.options = .wantsValue
        adjust(&command)
        guard case .meta(let answer) = store.run(.meta(command, value: value), key, now: now) else {
            preconditionFailure("a meta command has a meta answer")
        }
        return answer
    }

    static func invalidate(_ store: ItemStore, _ key: String) -> MetaStatus {
        run(store, .delete, key) { $0.options = .invalidates }.status
    }

    @Test("an item without state takes the bytes it always took; state costs eight")
    func overhead() {
        let store = ItemStore(ItemStoreConfiguration(memoryBytes: 4 << 20))
        #expect(store.set("abcd", [1, 2, 3, 4]) == .stored)
        #expect(store.statistics.liveBytes == 20)
        _ = Self.run(store, .get, "abcd")
        #expect(store.statistics.liveBytes == 20)
        #expect(Self.invalidate(store, "abcd") == .found)
        #expect(store.statistics.liveBytes == 28)
        #expect(store.set("abcd", [1, 2, 3, 4]) == .stored)
        #expect(store.statistics.liveBytes == 20)
        store.checkInvariants()
    }

    @Test("stale and won go with an item that is touched, moved to make room, or counted up")
    func stateTravels() {
        let store = ItemStore(ItemStoreConfiguration(memoryBytes: 1 << 20))
        _ = store.set("n", Array("10".utf8), flags: 9)
        #expect(Self.invalidate(store, "n") == .found)
        #expect(Self.run(store, .get, "n").facts.hasWon)
        #expect(store.run(.touch(expiry: Expiry(stored: 5000)), "n") == .touched)
        #expect(Self.run(store, .increment, "n").value == Array("11".utf8))
        var copies = 0
        for index in 0..<40_000 {
            _ = store.set("filler-\(index)", [UInt8](repeating: 7, count: 100))
            // Read often, so that it is kept whenever its segment is emptied.
            if index % 100 == 0 {
                let facts = Self.run(store, .get, "n").facts
                guard facts.isStale, facts.wasWonBefore, facts.expiry.stored == 5000, facts.flags == 9 else {
                    Issue.record("lost at \(index): \(facts)")
                    return
                }
                copies += 1
            }
        }
        #expect(copies == 400)
        #expect(store.statistics.evictions > 10_000)
        #expect(store.statistics.evictedUnread > 10_000)
        store.checkInvariants()
    }

    @Test("uniques of a client's own are kept in full, compared in full, and followed by ours")
    func uniques() {
        let store = ItemStore(ItemStoreConfiguration(memoryBytes: 4 << 20))
        for unique: UInt64 in [0, 1, 1 << 51, 1 << 52, (1 << 52) - 1, 1 << 63, .max] {
            let stored = Self.run(store, .set, "k", value: [1]) {
                $0.options = .setsUnique
                $0.newUnique = unique
            }
            #expect(stored.facts.unique == unique)
            #expect(store.run(.get, "k") == .value(flags: 0, cas: unique, bytes: [1]))
            #expect(store.run(.touch(expiry: Expiry(stored: 900)), "k") == .touched)
            #expect(store.run(.get, "k") == .value(flags: 0, cas: unique, bytes: [1]))
            let other = unique ^ (1 << 60)
            #expect(store.run(.store(.cas, flags: 0, expiry: .never, cas: other, value: [2]), "k") == .exists)
            #expect(store.run(.store(.cas, flags: 0, expiry: .never, cas: unique, value: [2]), "k") == .stored)
            guard case .value(_, let next, _) = store.run(.get, "k") else { return #expect(Bool(false)) }
            #expect(next < 100)
            store.checkInvariants()
        }
    }

    @Test("the time of a store follows from its unique, roughly once there are thousands of seconds")
    func storeTimes() {
        let store = ItemStore(ItemStoreConfiguration(memoryBytes: 16 << 20))
        for second in UInt32(0)..<10_000 { _ = store.set("k\(second)", [1], now: 1000 + second) }
        let now: UInt32 = 11_000
        for second: UInt32 in [9_999, 9_000, 8_000, 100, 0] {
            let idle = Self.run(store, .inspect, "k\(second)", now: now).facts.idleSeconds
            #expect(idle >= now - 1000 - second, "\(second)")
            #expect(idle <= now - 1000 - second + 64, "\(second): \(idle)")
        }
        #expect(Self.run(store, .inspect, "k9999", now: now).facts.idleSeconds == 1)
    }

    @Test("a full store that may not evict says so, and changes nothing")
    func outOfMemory() {
        let store = ItemStore(ItemStoreConfiguration(memoryBytes: 1 << 18, evicts: false))
        var index = 0
        while store.set("k\(index)", [UInt8](repeating: 1, count: 200)) == .stored { index += 1 }
        var vivified = 0
        while Self.run(store, .get, "none\(vivified)", { $0.options = .vivifies }).status == .found { vivified += 1 }
        #expect(Self.run(store, .get, "none\(vivified)") { $0.options = .vivifies }.status == .outOfMemory)
        #expect(Self.run(store, .get, "none\(vivified)").status == .miss)
        let before = store.statistics.items
        var outcomes: Set<UInt8> = []
        for key in 0..<index { outcomes.insert(Self.invalidate(store, "k\(key)").rawValue) }
        #expect(outcomes.contains(MetaStatus.outOfMemory.rawValue))
        #expect(store.statistics.items == before)
        store.checkInvariants()
    }
}
