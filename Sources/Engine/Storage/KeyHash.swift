// The hash that places a key within a node: its partition, which names the shard, and its slot in the shard's index.
//
// Unsafe: reads the key's bytes through a raw pointer, always within its count.

/// A part of all keys that lives on one shard of one node: `shard = partition % shards`.
///
/// A key's hash has its partition in its upper 14 bits. In a node that is alone they are the hash's own; in a cluster they come
/// of the ring, so that all nodes and their clients agree about them. Within a shard only the lower 50 bits tell keys apart:
/// there `keyHash` will do.
package enum Partition {
    package static let bits: UInt64 = 14
    package static let count = 1 << Int(bits)

    /// The partition of the keys with this hash.
    @inline(__always)
    package static func number(ofHash hash: UInt64) -> Int { Int(truncatingIfNeeded: hash >> (64 - bits)) }

    /// The hash of a key that is in this partition.
    @inline(__always)
    package static func hash(of key: UnsafeRawBufferPointer, in partition: Int) -> UInt64 {
        hash(keyHash(key), in: partition)
    }

    /// The same, from the key's own hash.
    @inline(__always)
    package static func hash(_ hash: UInt64, in partition: Int) -> UInt64 {
        UInt64(truncatingIfNeeded: partition) << (64 - bits) | withinShard(hash) >> bits
    }

    /// What tells the keys of a shard apart, in the upper 50 bits.
    @inline(__always)
    static func withinShard(_ hash: UInt64) -> UInt64 { hash << bits }
}

/// 64 bits of hash over a key's bytes. Stable within a process, no promise beyond it.
///
/// Multiply-and-fold, sixteen bytes a step: about 3 ns for a 30-byte key. It has no secret: a client that may store
/// keys may also make them collide, and then pays with longer probes in the index; nothing else depends on it.
package func keyHash(_ key: UnsafeRawBufferPointer) -> UInt64 {
    let count = key.count
    var seed = foldOfLength &+ UInt64(truncatingIfNeeded: count)
    guard let base = key.baseAddress, count > 0 else { return folded(seed, foldOfFirst) }
    var at = 0
    // Every load below stays inside the key: `at + 16 < count` here, and the tail is read from its end.
    while count &- at > 16 {
        seed = folded(word(base, at) ^ foldOfFirst, word(base, at &+ 8) ^ seed)
        at &+= 16
    }
    let (first, last) = tailWords(base, from: at, count: count)
    return folded(folded(first ^ foldOfFirst, last ^ seed), foldOfLast ^ UInt64(truncatingIfNeeded: count))
}

/// The 1...16 bytes from `from` to the end as two words; they overlap when there are fewer than 16.
@inline(__always)
private func tailWords(_ base: UnsafeRawPointer, from at: Int, count: Int) -> (UInt64, UInt64) {
    let left = count &- at
    if left >= 8 { return (word(base, at), word(base, count &- 8)) }
    if left >= 4 {
        let low = base.loadUnaligned(fromByteOffset: at, as: UInt32.self)
        let high = base.loadUnaligned(fromByteOffset: count &- 4, as: UInt32.self)
        return (UInt64(low), UInt64(high))
    }
    let first = base.load(fromByteOffset: at, as: UInt8.self)
    let middle = base.load(fromByteOffset: at &+ left / 2, as: UInt8.self)
    let last = base.load(fromByteOffset: count &- 1, as: UInt8.self)
    return (UInt64(first) << 8 | UInt64(middle), UInt64(last))
}

@inline(__always)
private func word(_ base: UnsafeRawPointer, _ offset: Int) -> UInt64 {
    base.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
}

@inline(__always)
private func folded(_ a: UInt64, _ b: UInt64) -> UInt64 {
    let product = a.multipliedFullWidth(by: b)
    return product.high ^ product.low
}

// Odd constants with about half of their bits set: the fractional parts of the square roots of 2, 3 and 5.
private let foldOfLength: UInt64 = 0x6A09_E667_F3BC_C909
private let foldOfFirst: UInt64 = 0xBB67_AE85_84CA_A73B
private let foldOfLast: UInt64 = 0x3C6E_F372_FE94_F82B
