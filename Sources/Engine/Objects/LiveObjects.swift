// The live objects of a shard, found by type and name in one open-addressed table: 32 bytes an object, and no reference
// counts on the way.
//
// Unsafe: owns its slots and the names in them; names are looked up through raw buffers.

import CLinux
import Glibc

/// A decoded object: a registry reference to its table. A slot of the table too.
struct LiveObject {
    /// The name itself where it has up to 8 bytes, else the address of a copy.
    fileprivate var name: UInt64 = 0
    fileprivate var nameBytes: UInt32 = 0
    fileprivate var tag: UInt32 = 0
    /// 0: the slot is free. No reference has that number.
    fileprivate(set) var reference: Int32 = 0
    /// When it goes, in unix seconds; 0 never.
    var expiry = Expiry.never
    /// A count that wraps around.
    var lastUse: UInt32 = 0
    /// Four times the type's number; 1 where the object is never shelved, as what is on the shelf may be evicted; 2 where the
    /// shelf did not take it.
    fileprivate var typeAndMarks: UInt32 = 0

    var type: UInt32 { typeAndMarks >> 2 }
    var isPinned: Bool { typeAndMarks & 1 != 0 }
    var mayBeShelved: Bool { typeAndMarks & 3 == 0 }
    var isThere: Bool { reference != 0 }
    fileprivate var isFree: Bool { reference == 0 }
}

/// A position is good until the next insertion or removal.
final class LiveObjects {
    private var slots: UnsafeMutablePointer<LiveObject>
    private var mask: Int
    private(set) var count = 0
    private(set) var pinnedCount = 0
    private let meters: MethodMeters
    /// Of names that have a place of their own.
    private var nameBytes = 0
    /// Slots, a power of two.
    var capacity: Int { mask + 1 }

    /// What the table takes.
    var bytes: Int { capacity * MemoryLayout<LiveObject>.stride + nameBytes }

    /// `meters`: counts the objects by type.
    init(_ meters: MethodMeters) {
        self.meters = meters
        mask = 15
        slots = .allocate(capacity: 16)
        slots.initialize(repeating: LiveObject(), count: 16)
    }

    deinit {
        forEach { forgetName(slots[$0]) }
        slots.deallocate()
    }

    subscript(position: Int) -> LiveObject {
        get { slots[position] }
        _modify { yield &slots[position] }
    }

    /// The object's position; nil when there is none. `hash`: `keyHash` of the name.
    func find(type: UInt32, name: UnsafeRawBufferPointer, hash: UInt64) -> Int? {
        let tag = Self.tag(hash, type)
        var at = Int(tag) & mask
        // Ends: a quarter of the slots is free.
        while !slots[at].isFree {
            if slots[at].tag == tag, slots[at].type == type, hasName(at, name) { return at }
            at = (at &+ 1) & mask
        }
        return nil
    }

    /// Starts to bring in what `find` will look at first.
    func prefetch(type: UInt32, hash: UInt64) { linux_prefetch(slots + (Int(Self.tag(hash, type)) & mask)) }

    /// The reference to the object with that hash, most likely.
    func guess(type: UInt32, hash: UInt64) -> Int32? {
        let tag = Self.tag(hash, type)
        var at = Int(tag) & mask
        while !slots[at].isFree {
            if slots[at].tag == tag, slots[at].type == type { return slots[at].reference }
            at = (at &+ 1) & mask
        }
        return nil
    }

    /// Adds an object that is not there yet; returns its position.
    @discardableResult
    func insert(
        type: UInt32, name: UnsafeRawBufferPointer, hash: UInt64, reference: Int32, expiry: Expiry, lastUse: UInt32,
        isPinned: Bool
    ) -> Int {
        precondition(reference != 0 && name.count <= Int(UInt32.max))
        if (count + 1) * 4 > (mask + 1) * 3 { grow() }
        var object = LiveObject(
            nameBytes: UInt32(name.count), tag: Self.tag(hash, type), reference: reference, expiry: expiry,
            lastUse: lastUse, typeAndMarks: type << 2 | (isPinned ? 1 : 0))
        if isPinned { pinnedCount += 1 }
        if name.count <= 8 {
            object.name = Self.word(name)
        } else {
            guard let copy = malloc(name.count) else { fatalError("no memory is left for an object's name") }
            copy.copyMemory(from: name.baseAddress!, byteCount: name.count)
            object.name = UInt64(UInt(bitPattern: copy))
            nameBytes += Self.allocatedBytes(name.count)
        }
        count += 1
        meters.noteLive(type: type, 1)
        return place(object)
    }

    func remove(at position: Int) {
        forgetName(slots[position])
        count -= 1
        meters.noteLive(type: slots[position].type, -1)
        if slots[position].isPinned { pinnedCount -= 1 }
        // What follows moves up, so that no search ends too early.
        var hole = position
        var at = (position + 1) & mask
        while !slots[at].isFree {
            let home = Int(slots[at].tag) & mask
            if (at &- home) & mask >= (at &- hole) & mask {
                slots[hole] = slots[at]
                hole = at
            }
            at = (at + 1) & mask
        }
        slots[hole] = LiveObject()
    }

    func removeAll() {
        forEach { forgetName(slots[$0]) }
        slots.deallocate()
        mask = 15
        slots = .allocate(capacity: 16)
        slots.initialize(repeating: LiveObject(), count: 16)
        count = 0
        pinnedCount = 0
        meters.forgetLive()
    }

    /// The shelf did not take it: it is not offered again before `allowAll`.
    func refuse(at position: Int) { slots[position].typeAndMarks |= 2 }
    func allowAll() { forEach { slots[$0].typeAndMarks &= ~2 } }

    /// Every object's position. `body` must not add or remove any.
    func forEach(_ body: (Int) -> Void) {
        for at in 0...mask where !slots[at].isFree { body(at) }
    }

    func name(at position: Int) -> [UInt8] { withName(position) { Array($0) } }

    // MARK: Inside

    private func withName<R>(_ at: Int, _ body: (UnsafeRawBufferPointer) -> R) -> R {
        let count = Int(slots[at].nameBytes)
        guard count <= 8 else {
            return body(UnsafeRawBufferPointer(start: UnsafeRawPointer(bitPattern: UInt(slots[at].name)), count: count))
        }
        return withUnsafeBytes(of: slots[at].name) { body(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
    }

    @inline(__always)
    private func hasName(_ at: Int, _ name: UnsafeRawBufferPointer) -> Bool {
        guard Int(slots[at].nameBytes) == name.count else { return false }
        if name.count <= 8 { return slots[at].name == Self.word(name) }
        return memcmp(UnsafeRawPointer(bitPattern: UInt(slots[at].name))!, name.baseAddress!, name.count) == 0
    }

    /// Up to 8 bytes as a number that holds them in their order in memory.
    private static func word(_ name: UnsafeRawBufferPointer) -> UInt64 {
        var word: UInt64 = 0
        if let base = name.baseAddress {
            withUnsafeMutableBytes(of: &word) { $0.baseAddress!.copyMemory(from: base, byteCount: name.count) }
        }
        return word
    }

    private static func tag(_ hash: UInt64, _ type: UInt32) -> UInt32 {
        UInt32(truncatingIfNeeded: hash) ^ (type &* 0x9E37_79B1)
    }

    private func place(_ object: LiveObject) -> Int {
        var at = Int(object.tag) & mask
        while !slots[at].isFree { at = (at + 1) & mask }
        slots[at] = object
        return at
    }

    /// As the allocator rounds it, its own word included.
    private static func allocatedBytes(_ count: Int) -> Int { max(32, (count + 8 + 15) & ~15) }

    private func forgetName(_ object: LiveObject) {
        guard object.nameBytes > 8, let copy = UnsafeMutableRawPointer(bitPattern: UInt(object.name)) else { return }
        nameBytes -= Self.allocatedBytes(Int(object.nameBytes))
        free(copy)
    }

    private func grow() {
        let old = slots
        let oldCount = mask + 1
        mask = oldCount * 2 - 1
        slots = .allocate(capacity: oldCount * 2)
        slots.initialize(repeating: LiveObject(), count: oldCount * 2)
        for at in 0..<oldCount where !old[at].isFree { _ = place(old[at]) }
        old.deallocate()
    }
}
