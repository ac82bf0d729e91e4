// Numbers 64-bit keys in the order they come: groups by hash, distinct values, exact counts.

/// Open addressing, at most half full. About 3 ns a key that is in the cache.
struct NumberTable {
    private(set) var keys: [UInt64] = []
    /// Number + 1 by slot; 0 is free.
    private var slots = [UInt32](repeating: 0, count: 64)

    var count: Int { keys.count }

    /// What it holds, and will hold at most, the old beside the new, once there are so many keys more.
    var memoryBytes: Int { keys.capacity * 8 + slots.count * 4 }
    func memoryBytes(adding more: Int) -> Int {
        let count = keys.count + more
        let keyRoom = count <= keys.capacity ? keys.capacity : max(count, keys.capacity * 2) + keys.capacity
        var (slotCount, slotRoom) = (slots.count, slots.count)
        while count * 2 > slotCount {
            slotCount *= 4
            slotRoom = slotCount + slotCount / 4
        }
        return keyRoom * 8 + slotRoom * 4
    }

    /// The number of `key`: `count` as it was before, when the key is new.
    @inline(__always)
    mutating func number(_ key: UInt64) -> Int {
        let mask = slots.count &- 1
        var slot = Int(truncatingIfNeeded: Self.mix(key)) & mask
        while slots[slot] != 0 {
            let number = Int(slots[slot] &- 1)
            if keys[number] == key { return number }
            slot = (slot &+ 1) & mask
        }
        return add(key, slot)
    }

    @inline(never)
    private mutating func add(_ key: UInt64, _ slot: Int) -> Int {
        keys.append(key)
        slots[slot] = UInt32(keys.count)
        if keys.count * 2 > slots.count { grow() }
        return keys.count - 1
    }

    private mutating func grow() {
        let mask = slots.count * 4 - 1
        slots = Array(repeating: 0, count: mask + 1)
        for (number, key) in keys.enumerated() {
            var slot = Int(truncatingIfNeeded: Self.mix(key)) & mask
            while slots[slot] != 0 { slot = (slot + 1) & mask }
            slots[slot] = UInt32(number + 1)
        }
    }

    @inline(__always)
    private static func mix(_ key: UInt64) -> UInt64 {
        let product = (key ^ 0x9E37_79B9_7F4A_7C15).multipliedFullWidth(by: 0xD6E8_FEB8_6659_FD93)
        return product.high ^ product.low
    }
}
