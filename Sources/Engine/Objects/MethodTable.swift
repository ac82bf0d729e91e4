// The methods that keys can name, found by the bytes of `type:method` without making strings of them.
//
// Unsafe: reads keys through raw buffers, within their counts; owns its slots, which never change.

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// A method of an object of this node, as far as its key tells: what is needed to call it at once.
package struct LocatedMethod: Sendable {
    /// Of the types that know it, and the method's number among theirs.
    let version: UInt64
    let method: Int
    /// Where the object's name is in the key.
    let nameStart: Int
    let nameEnd: Int
    /// `keyHash` of the name.
    let nameHash: UInt64
    package let shard: Int
}

/// Open-addressed, at most half full. Made once for each version of the types.
final class MethodTable: @unchecked Sendable {
    private struct Slot {
        var hash: UInt64 = 0
        var method: Int32 = -1
        var start: Int32 = 0
        var count: Int32 = 0
    }

    /// The parts by the method's number.
    let names: [(type: String, method: String)]
    private let slots: UnsafeMutableBufferPointer<Slot>
    /// All prefixes, one behind the other.
    private let text: UnsafeMutableBufferPointer<UInt8>

    init(_ names: [(type: String, method: String)]) {
        self.names = names
        var capacity = 16
        while capacity < names.count * 2 { capacity *= 2 }
        slots = .allocate(capacity: capacity)
        slots.initialize(repeating: Slot())
        let prefixes = names.map { Array("\($0.type):\($0.method)".utf8) }
        text = .allocate(capacity: max(1, prefixes.reduce(0) { $0 + $1.count }))
        text.initialize(repeating: 0)
        var start = 0
        for (number, prefix) in prefixes.enumerated() {
            for at in prefix.indices { text[start + at] = prefix[at] }
            let hash = prefix.withUnsafeBytes { keyHash($0) }
            var at = Int(truncatingIfNeeded: hash) & (capacity - 1)
            while slots[at].method >= 0 { at = (at + 1) & (capacity - 1) }
            slots[at] = Slot(hash: hash, method: Int32(number), start: Int32(start), count: Int32(prefix.count))
            start += prefix.count
        }
    }

    deinit {
        slots.deallocate()
        text.deallocate()
    }

    /// The number of the method that the key names, and where its object's name starts; nil when it names none. Cost: a
    /// search for two colons and one hash.
    func find(_ key: UnsafeRawBufferPointer) -> (method: Int, nameStart: Int)? {
        guard let base = key.baseAddress,
            let first = memchr(base, 0x3A, key.count).map({ UnsafeRawPointer($0) - base }),
            let second = memchr(base + first + 1, 0x3A, key.count - first - 1).map({ UnsafeRawPointer($0) - base })
        else { return nil }
        let hash = keyHash(UnsafeRawBufferPointer(start: base, count: second))
        let mask = slots.count &- 1
        var at = Int(truncatingIfNeeded: hash) & mask
        // Ends: at least half of the slots are free.
        while true {
            let slot = slots[at]
            guard slot.method >= 0 else { return nil }
            if slot.hash == hash, Int(slot.count) == second,
                memcmp(text.baseAddress! + Int(slot.start), base, second) == 0
            {
                return (Int(slot.method), second &+ 1)
            }
            at = (at &+ 1) & mask
        }
    }
}
