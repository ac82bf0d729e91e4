// Keys find their shard: always the same one, and each shard gets its part.

import Engine
import Testing

@Suite struct ItemStoresTests {
    @Test("keys spread evenly over any number of shards", arguments: [1, 2, 3, 8])
    func spread(shards: Int) {
        let engine = Engine(EngineConfiguration(shards: shards, memoryBytes: 8 << 20))
        var counts = [Int](repeating: 0, count: shards)
        for number in 0..<8_000 {
            let hash = Array("key:\(number)".utf8).withUnsafeBytes { keyHash($0) }
            let index = engine.stores.index(ofHash: hash)
            counts[index] += 1
            #expect(engine.stores[hash] === engine.shard(forHash: hash).items)
            #expect(engine.stores[hash] === engine.shards[index].items)
        }
        for count in counts { #expect(abs(count - 8_000 / shards) < 8_000 / shards / 5) }
    }

    @Test("what was stored is found again through the same hash, after a prefetch of it and of others")
    func prefetch() {
        let engine = Engine(EngineConfiguration(shards: 3, memoryBytes: 8 << 20))
        let keys = (0..<100).map { Array("key:\($0)".utf8) }
        let hashes = keys.map { key in key.withUnsafeBytes { keyHash($0) } }
        for (key, hash) in zip(keys, hashes) where hash % 2 == 0 {
            let outcome = key.withUnsafeBytes {
                engine.stores.store(
                    .set, key: $0, hash: hash, flags: 0, expiry: .never, cas: 0, value: $0, now: 1_000_000_000)
            }
            #expect(outcome == .stored)
        }
        hashes.withUnsafeBufferPointer { engine.stores.prefetch($0) }
        for (key, hash) in zip(keys, hashes) {
            var value: [UInt8]?
            key.withUnsafeBytes { bytes in
                _ = engine.stores.read(key: bytes, hash: hash, now: 1_000_000_000) { value = Array($0.value) }
            }
            #expect(value == (hash % 2 == 0 ? key : nil))
        }
    }
}
