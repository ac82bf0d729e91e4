// What objects that are never evicted take of a shard's memory, and the refusal of more. Unsafe pointers inside.

import CLua

/// The sizes of pinned objects, by the reference to their tables, as they were last measured.
struct PinnedObjects {
    private var bytesByReference: [Int32: Int] = [:]
    private(set) var bytes = 0
    /// Where the walk that measures them again goes on, and bytes that were measured beyond a step's share.
    var hand = 0
    var debtBytes = 0
    /// The state's when that debt was last forgiven, as much has changed since.
    var stateBytes = 0

    func bytes(of reference: Int32) -> Int { bytesByReference[reference] ?? 0 }

    mutating func set(_ bytes: Int, of reference: Int32) {
        self.bytes += bytes - (bytesByReference.updateValue(bytes, forKey: reference) ?? 0)
    }

    mutating func remove(_ reference: Int32) { bytes -= bytesByReference.removeValue(forKey: reference) ?? 0 }
}

extension ObjectMachine {
    /// A new one is measured as it is made. What methods add to it later is found out by a walk, some objects after each
    /// call, which begins once the state as a whole has grown so far that the limit may be near.
    private static let bytesPerStep = 8 << 10
    private static let slotsPerStep = 64
    /// To measure a larger one is for a thread of the pool: about 1 ms a MiB.
    private static let inlineBytesMax = 256 << 10
    /// Entries of one object that are looked at: some 20 ms, and the size of an object that fills its memory with numbers.
    private static let entriesMax: Int64 = 1 << 20
    /// The object's place in the table of live ones, in the registry, and among the measured ones.
    private static let placeBytes = 96

    /// A new pinned object takes memory that nothing gives back. Garbage, and objects that may leave, do not count.
    func checkRoomForPinned(_ type: String) throws(Failure) {
        // One for which there may be no room takes part in finding out, whatever its share of that costs.
        _ = measureSomePinned(onPool: true)
        guard pinned.bytes >= configuration.pinnedBytesMax else { return }
        throw Failure(
            .budgetExceeded,
            "objects that are never evicted take \(pinned.bytes >> 10) KiB, and may take "
                + "\(configuration.pinnedBytesMax >> 10) KiB of the shard: drop some (\(type):drop:NAME), "
                + "or start with a larger -m", fault: .server)
    }

    func notePinned(_ reference: Int32) {
        lua_rawgeti(state.main, LuaState.registry, lua_Integer(reference))
        pinned.set(Self.placeBytes + clua_table_bytes(state.main, -1, Self.entriesMax), of: reference)
        clua_pop(state.main, 1)
    }

    /// A part of the walk, where pinned objects could be near their limit. False when the next one is for the pool.
    func measureSomePinned(onPool: Bool) -> Bool {
        guard live.pinnedCount > 0, state.memoryBytes > configuration.pinnedBytesMax / 2 else { return true }
        pinned.debtBytes -= Self.bytesPerStep
        pinned.stateBytes = min(pinned.stateBytes, state.memoryBytes)
        if state.memoryBytes - pinned.stateBytes > configuration.pinnedBytesMax / 16 {
            (pinned.debtBytes, pinned.stateBytes) = (-Self.bytesPerStep, state.memoryBytes)
        }
        var slotsLeft = min(Self.slotsPerStep, live.capacity)
        while pinned.debtBytes < 0, slotsLeft > 0 {
            let next = (pinned.hand + 1) & (live.capacity - 1)
            let object = live[next]
            if object.isThere, object.isPinned {
                guard onPool || pinned.bytes(of: object.reference) <= Self.inlineBytesMax else { return false }
                notePinned(object.reference)
                pinned.debtBytes += pinned.bytes(of: object.reference)
            }
            pinned.hand = next
            slotsLeft -= 1
        }
        pinned.debtBytes = max(0, pinned.debtBytes)
        return true
    }
}
