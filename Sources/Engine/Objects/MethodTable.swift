// The methods that keys can name, found by the bytes of `type:method` without making strings of them.
//
// Unsafe: reads keys through raw buffers, within their counts; its tables own their slots, which never change.

import Glibc

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

/// What the beginning of a key names.
enum NamedMethod: Equatable {
    /// Nothing: it is a plain key.
    case nothing
    /// The method's number, and where the object's name starts.
    case method(Int, nameStart: Int)
    /// No method of the type that it names.
    case noMethod
}

/// The types and their methods, by the bytes of `type` and `type:method`. Made once for each version of the types.
final class MethodTable: Sendable {
    /// The parts by the method's number.
    let names: [(type: String, method: String)]
    private let methods: PrefixTable
    private let types: PrefixTable
    /// By the first byte of a type: the lengths, as bits, of those that begin with it. Tells most plain keys at a glance.
    private let lengths: [UInt64]

    init(_ names: [(type: String, method: String)]) {
        self.names = names
        methods = PrefixTable(names.map { Array("\($0.type):\($0.method)".utf8) })
        let typeNames = Set(names.map(\.type)).sorted().map { Array($0.utf8) }
        types = PrefixTable(typeNames)
        var lengths = [UInt64](repeating: 0, count: 256)
        for name in typeNames { if let first = name.first { lengths[Int(first)] |= Self.bit(name.count) } }
        self.lengths = lengths
    }

    /// Names of 63 bytes and more share one.
    @inline(__always)
    private static func bit(_ length: Int) -> UInt64 { 1 << UInt64(truncatingIfNeeded: min(length, 63)) }

    /// A method is named with an object: by a key with two colons. Cost: for most plain keys a search for a colon and one
    /// look; for a method a search for two and one hash.
    @inline(__always)
    func find(_ key: UnsafeRawBufferPointer) -> NamedMethod {
        guard let base = key.baseAddress,
            let first = memchr(base, 0x3A, key.count).map({ UnsafeRawPointer($0) - base }),
            lengths[Int(key[0])] & Self.bit(first) != 0,
            let second = memchr(base + first + 1, 0x3A, key.count - first - 1).map({ UnsafeRawPointer($0) - base })
        else { return .nothing }
        if let method = methods.find(UnsafeRawBufferPointer(start: base, count: second)) {
            return .method(method, nameStart: second &+ 1)
        }
        return types.find(UnsafeRawBufferPointer(start: base, count: first)) == nil ? .nothing : .noMethod
    }
}

/// Some texts by their bytes. Open-addressed, at most half full; never changes.
private final class PrefixTable: @unchecked Sendable {
    private struct Slot {
        var hash: UInt64 = 0
        var number: Int32 = -1
        var start: Int32 = 0
        var count: Int32 = 0
    }

    private let slots: UnsafeMutableBufferPointer<Slot>
    /// All texts, one behind the other.
    private let text: UnsafeMutableBufferPointer<UInt8>

    init(_ prefixes: [[UInt8]]) {
        var capacity = 16
        while capacity < prefixes.count * 2 { capacity *= 2 }
        slots = .allocate(capacity: capacity)
        slots.initialize(repeating: Slot())
        text = .allocate(capacity: max(1, prefixes.reduce(0) { $0 + $1.count }))
        text.initialize(repeating: 0)
        var start = 0
        for (number, prefix) in prefixes.enumerated() {
            for at in prefix.indices { text[start + at] = prefix[at] }
            let hash = prefix.withUnsafeBytes { keyHash($0) }
            var at = Int(truncatingIfNeeded: hash) & (capacity - 1)
            while slots[at].number >= 0 { at = (at + 1) & (capacity - 1) }
            slots[at] = Slot(hash: hash, number: Int32(number), start: Int32(start), count: Int32(prefix.count))
            start += prefix.count
        }
    }

    deinit {
        slots.deallocate()
        text.deallocate()
    }

    /// The text's number; nil when it is none of them.
    @inline(__always)
    func find(_ prefix: UnsafeRawBufferPointer) -> Int? {
        guard let base = prefix.baseAddress else { return nil }
        let hash = keyHash(prefix)
        let mask = slots.count &- 1
        var at = Int(truncatingIfNeeded: hash) & mask
        // Ends: at least half of the slots are free.
        while true {
            let slot = slots[at]
            guard slot.number >= 0 else { return nil }
            if slot.hash == hash, Int(slot.count) == prefix.count,
                memcmp(text.baseAddress! + Int(slot.start), base, prefix.count) == 0
            {
                return Int(slot.number)
            }
            at = (at &+ 1) & mask
        }
    }
}
