// Several threads at one store: no value of another key, no lost count, and books that balance. See decision
// 0014.

import CLinux
import Dispatch
import Engine
import Synchronization
import Testing

@Suite struct StoreHammerTests {
    /// A key's value at any time: its number, again and again, in a length of its own.
    private static func value(_ number: Int, _ random: inout SeededRandom) -> [UInt8] {
        let digits = Array(":\(number)".utf8)
        let count = random.below(16) == 0 ? 5000 : random.below(60) + 1
        return (0..<count).flatMap { _ in digits }
    }

    private static func isValue(_ bytes: UnsafeRawBufferPointer, of number: Int) -> Bool {
        let digits = Array(":\(number)".utf8)
        return bytes.count % digits.count == 0
            && stride(from: 0, to: bytes.count, by: digits.count).allSatisfy {
                bytes[$0..<$0 + digits.count].elementsEqual(digits)
            }
    }

    /// A store, and four threads at it that share its one lock or have a word of it each.
    private static func hammer(readers: Int, _ body: @Sendable (ItemStore, Int) -> Void) -> ItemStore {
        var configuration = ItemStoreConfiguration(memoryBytes: 2 << 20)
        configuration.readers = readers
        let store = ItemStore(configuration)
        DispatchQueue.concurrentPerform(iterations: 4) { thread in
            linux_set_thread_number(Int32(thread))
            defer { linux_set_thread_number(0) }
            body(store, thread)
        }
        return store
    }

    @Test(
        "threads that read, pin, write, touch, delete, walk and flush at once meet only whole values of their keys",
        arguments: [1, 4])
    func whole(readers: Int) {
        let wrong = Atomic(0)
        let store = Self.hammer(readers: readers) { store, thread in
            var random = SeededRandom(UInt64(thread))
            for step in 0..<4000 {
                let number = random.below(800)
                let key = Array("key-\(number)".utf8)
                let hash = key.withUnsafeBytes { keyHash($0) }
                switch random.below(20) {
                case 0:
                    var get = MetaCommand(.get)
                    get.options = random.below(2) == 0 ? [.wantsValue] : [.wantsValue, .keepsAccess]
                    _ = key.withUnsafeBytes { key in
                        store.meta(
                            get, value: UnsafeRawBufferPointer(start: nil, count: 0), key: key, hash: hash, now: 100
                        ) { _, value in
                            if !Self.isValue(value, of: number) { wrong.add(1, ordering: .relaxed) }
                        }
                    }
                case 1..<8:
                    var pinned: PinnedValue?
                    key.withUnsafeBytes { key in
                        _ = store.read(key: key, hash: hash, now: 100) { item in
                            if !Self.isValue(item.value, of: number) { wrong.add(1, ordering: .relaxed) }
                            if item.value.count > 10_000 { pinned = item.pinned() }
                        }
                    }
                    guard let pinned else { break }
                    if !Self.isValue(pinned.bytes, of: number) { wrong.add(1, ordering: .relaxed) }
                    pinned.unpin()
                case 8..<15: _ = store.set("key-\(number)", Self.value(number, &random))
                case 15: _ = store.run(.touch(expiry: Expiry(stored: 200)), "key-\(number)")
                case 16: _ = store.run(.delete, "key-\(number)")
                case 17:
                    let addition = Array(":\(number)".utf8)
                    _ = store.run(.store(.append, flags: 0, expiry: .never, cas: 0, value: addition), "key-\(number)")
                case 18:
                    var walk = ItemWalk()
                    _ = store.walk(&walk, count: 100, now: 100) { key, _ in
                        if !key.starts(with: "key-".utf8) { wrong.add(1, ordering: .relaxed) }
                    }
                default:
                    if step % 500 == 0 { store.flushAll(at: 100, now: 100) }
                    _ = store.statistics
                }
            }
        }
        #expect(wrong.load(ordering: .relaxed) == 0)
        store.checkInvariants()
        #expect(store.statistics.usedBytes <= store.statistics.limitBytes + store.statistics.segmentBytes)
    }

    @Test("no count is lost, by incr or by cas", arguments: [1, 4])
    func counts(readers: Int) {
        let store = Self.hammer(readers: readers) { store, _ in
            for name in ["incr", "cas"] {
                _ = store.run(.store(.add, flags: 0, expiry: .never, cas: 0, value: [0x30]), name)
            }
            for _ in 0..<2000 {
                _ = store.run(.arithmetic(.increment, delta: 1), "incr")
                var isDone = false
                while !isDone {
                    guard case .value(_, let unique, let bytes) = store.run(.get, "cas") else { break }
                    let next = (Int(String(decoding: bytes, as: UTF8.self)) ?? 0) + 1
                    let command = ItemCommand.store(
                        .cas, flags: 0, expiry: .never, cas: unique, value: Array(String(next).utf8))
                    isDone = store.run(command, "cas") == .stored
                }
            }
        }
        #expect(store.value("incr") == Array("8000".utf8))
        #expect(store.value("cas") == Array("8000".utf8))
    }
}
