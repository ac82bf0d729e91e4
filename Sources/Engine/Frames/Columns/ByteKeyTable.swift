// Distinct byte strings numbered in the order they were first seen: dictionaries of string columns, keys of groups.

// Unsafe: raw reads of key bytes, within bounds that `intern` and `subscript` check.

/// An insert-only hash table from byte strings to dense indices. All bytes lie in one array. About 12 bytes a key beyond
/// the key itself; `intern` costs one hash and, mostly, one comparison.
package struct ByteKeyTable: Sendable {
    package private(set) var bytes: [UInt8] = []
    /// `count + 1` positions: key `i` is `bytes[offsets[i]..<offsets[i + 1]]`.
    package private(set) var offsets: [UInt32] = [0]
    private var hashes: [UInt32] = []
    /// Index + 1 of the key that took the slot; 0 is free. A power of two, at most half full.
    private var slots: [UInt32]

    package static let bytesMax = Int(UInt32.max) / 2

    package init() { slots = Array(repeating: 0, count: 16) }

    package var count: Int { hashes.count }

    /// Makes room for so many keys.
    mutating func reserve(_ count: Int) {
        offsets.reserveCapacity(count + 1)
        hashes.reserveCapacity(count)
        var slotCount = slots.count
        while slotCount < count * 2 { slotCount *= 2 }
        if slotCount > slots.count { rehash(slotCount: slotCount) }
    }

    /// Memory held, in bytes, without spare capacity.
    package var memoryBytes: Int { bytes.count + offsets.count * 4 + hashes.count * 4 + slots.count * 4 }

    /// What it holds, spare capacity and all.
    var heldBytes: Int { bytes.capacity + (offsets.capacity + hashes.capacity + slots.count) * 4 }

    /// What it will hold at most, the old beside the new, with so many keys of so many bytes more.
    func heldBytes(adding more: Int, keyBytes: Int) -> Int {
        let count = hashes.count + more
        let byteCount = bytes.count + keyBytes
        let byteRoom =
            byteCount <= bytes.capacity ? bytes.capacity : max(byteCount, bytes.capacity * 2) + bytes.capacity
        let room = count <= hashes.capacity ? hashes.capacity : max(count, hashes.capacity * 2) + hashes.capacity
        var (slotCount, slotRoom) = (slots.count, slots.count)
        while count * 2 > slotCount {
            slotCount *= 2
            slotRoom = slotCount + slotCount / 2
        }
        return byteRoom + room * 8 + slotRoom * 4
    }

    package subscript(index: Int) -> ArraySlice<UInt8> { bytes[Int(offsets[index])..<Int(offsets[index + 1])] }

    /// Calls `body` with the bytes of key `index`.
    @inline(__always)
    func withKey<R>(_ index: Int, _ body: (UnsafeBufferPointer<UInt8>) -> R) -> R {
        let range = Int(offsets[index])..<Int(offsets[index &+ 1])
        return bytes.withUnsafeBufferPointer { body(UnsafeBufferPointer(rebasing: $0[range])) }
    }

    /// Both hold the same keys under the same numbers.
    func hasSameKeys(as other: ByteKeyTable) -> Bool {
        count == other.count && bytes.count == other.bytes.count && offsets == other.offsets && bytes == other.bytes
    }

    /// The index of another table's key, which is added if it is new: its hash is known.
    mutating func intern(_ index: Int, of other: ByteKeyTable) -> Int {
        other.withKey(index) { intern($0, hash: other.hashes[index]) }
    }

    /// The index of `key`, which is added if it is new.
    package mutating func intern(_ key: UnsafeBufferPointer<UInt8>) -> Int { intern(key, hash: Self.hash(key)) }

    @inline(__always)
    private mutating func intern(_ key: UnsafeBufferPointer<UInt8>, hash: UInt32) -> Int {
        var slot = Int(hash) & (slots.count &- 1)
        while slots[slot] != 0 {
            let index = Int(slots[slot] &- 1)
            if hashes[index] == hash, equals(index, key) { return index }
            slot = (slot &+ 1) & (slots.count &- 1)
        }
        return add(key, hash: hash, slot: slot)
    }

    package mutating func intern(_ key: [UInt8]) -> Int { key.withUnsafeBufferPointer { intern($0) } }

    /// The index of `key`, or nil when it is not there.
    package func find(_ key: [UInt8]) -> Int? { key.withUnsafeBufferPointer { find($0) } }

    func contains(_ key: UnsafeBufferPointer<UInt8>) -> Bool { find(key) != nil }

    private func find(_ key: UnsafeBufferPointer<UInt8>) -> Int? {
        let hash = Self.hash(key)
        var slot = Int(hash) & (slots.count &- 1)
        while slots[slot] != 0 {
            let index = Int(slots[slot] &- 1)
            if hashes[index] == hash, equals(index, key) { return index }
            slot = (slot &+ 1) & (slots.count &- 1)
        }
        return nil
    }

    /// A table of the first `count` keys.
    func prefix(_ count: Int) -> ByteKeyTable {
        var table = ByteKeyTable()
        for index in 0..<min(count, self.count) { _ = table.intern(index, of: self) }
        return table
    }

    /// Forgets the keys from `count` on.
    mutating func truncate(to count: Int) {
        guard count < self.count else { return }
        bytes.removeLast(bytes.count - Int(offsets[count]))
        offsets.removeLast(offsets.count - count - 1)
        hashes.removeLast(hashes.count - count)
        rehash(slotCount: slots.count)
    }

    @inline(never)
    private mutating func add(_ key: UnsafeBufferPointer<UInt8>, hash: UInt32, slot: Int) -> Int {
        precondition(bytes.count + key.count <= Self.bytesMax, "a dictionary's bytes are bounded by its callers")
        bytes.append(contentsOf: key)
        offsets.append(UInt32(bytes.count))
        hashes.append(hash)
        slots[slot] = UInt32(hashes.count)
        if hashes.count * 2 > slots.count { rehash(slotCount: slots.count * 2) }
        return hashes.count - 1
    }

    private mutating func rehash(slotCount: Int) {
        slots = Array(repeating: 0, count: slotCount)
        for (index, hash) in hashes.enumerated() {
            var slot = Int(hash) & (slotCount - 1)
            while slots[slot] != 0 { slot = (slot + 1) & (slotCount - 1) }
            slots[slot] = UInt32(index + 1)
        }
    }

    @inline(__always)
    private func equals(_ index: Int, _ key: UnsafeBufferPointer<UInt8>) -> Bool {
        let start = Int(offsets[index])
        let count = Int(offsets[index &+ 1]) &- start
        guard count == key.count else { return false }
        return bytes.withUnsafeBufferPointer { stored in
            var at = 0
            while at < count {
                if stored[start &+ at] != key[at] { return false }
                at &+= 1
            }
            return true
        }
    }

    /// Multiply-and-fold over eight bytes at a time, seeded anew in each process so that nobody can prepare collisions.
    @inline(__always)
    private static func hash(_ key: UnsafeBufferPointer<UInt8>) -> UInt32 {
        var state = seed ^ UInt64(truncatingIfNeeded: key.count)
        let raw = UnsafeRawBufferPointer(key)
        var at = 0
        while at &+ 8 <= key.count {
            state = fold(state ^ raw.loadUnaligned(fromByteOffset: at, as: UInt64.self))
            at &+= 8
        }
        var rest: UInt64 = 0
        while at < key.count {
            rest = rest &<< 8 | UInt64(key[at])
            at &+= 1
        }
        state = fold(state ^ rest)
        return UInt32(truncatingIfNeeded: state ^ (state &>> 32))
    }

    @inline(__always)
    private static func fold(_ state: UInt64) -> UInt64 {
        let product = (state ^ 0xA076_1D64_78BD_642F).multipliedFullWidth(by: 0xE703_7ED1_A0B4_28DB)
        return product.high ^ product.low
    }

    private static let seed = UInt64.random(in: .min ... .max)
}
