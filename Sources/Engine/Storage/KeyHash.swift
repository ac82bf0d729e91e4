// The hash that places a key within a node: its shard and its slot in the shard's index. (The ring has its own: MD5.)

/// 64 bits of hash over a key's bytes. Stable within a process, no promise beyond it.
package func keyHash(_ key: UnsafeRawBufferPointer) -> UInt64 {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    for byte in key { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
    return hash ^ (hash >> 32)
}
