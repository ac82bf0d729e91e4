// What objects that are never evicted take of a shard's memory, and the refusal of more. Unsafe pointers inside.

import CLua

/// The sizes of pinned objects as they were last measured. A new one is measured as it is made. What methods add to it later is
/// found out by a walk, some objects after each call, which begins once the state as a whole has grown so far that the limit may
/// be near.
final class PinnedObjects {
    private static let bytesPerStep = 8 << 10
    private static let slotsPerStep = 64
    /// To measure a larger one is for a thread of the pool: about 1 ms a MiB.
    private static let inlineBytesMax = 256 << 10
    /// Entries of one object that are looked at: some 20 ms, and the size of an object that fills its memory with numbers.
    private static let entriesMax: Int64 = 1 << 20
    /// The object's place in the table of live ones, in the registry, and among the measured ones.
    private static let placeBytes = 96

    private let state: LuaState
    private let live: LiveObjects
    /// What all of them may take.
    private let bytesMax: Int
    /// By the reference to an object's table.
    private var bytesByReference: [Int32: Int] = [:]
    private(set) var bytes = 0
    /// Where the walk that measures them again goes on.
    private var hand = 0
    /// Bytes that were measured beyond a step's share.
    private var debtBytes = 0
    /// The state's when that debt was last forgiven, as much has changed since.
    private var forgivenStateBytes = 0

    init(_ state: LuaState, live: LiveObjects, bytesMax: Int) {
        self.state = state
        self.live = live
        self.bytesMax = bytesMax
    }

    /// A new pinned object takes memory that nothing gives back. Garbage, and objects that may leave, do not count.
    func checkRoom(forOneOf type: LoadedType) throws(Failure) {
        guard type.isPinned else { return }
        // One for which there may be no room takes part in finding out, whatever its share of that costs.
        _ = measureSome(onPool: true)
        guard bytes >= bytesMax else { return }
        throw Failure(
            .budgetExceeded,
            "objects that are never evicted take \(bytes >> 10) KiB, and may take "
                + "\(bytesMax >> 10) KiB of the shard: drop some (\(type.name):drop:NAME), "
                + "or start with a larger -m", fault: .server)
    }

    func measure(_ reference: Int32) {
        lua_rawgeti(state.main, LuaState.registry, lua_Integer(reference))
        let measured = Self.placeBytes + clua_table_bytes(state.main, -1, Self.entriesMax)
        clua_pop(state.main, 1)
        bytes += measured - (bytesByReference.updateValue(measured, forKey: reference) ?? 0)
    }

    func remove(_ reference: Int32) { bytes -= bytesByReference.removeValue(forKey: reference) ?? 0 }

    func removeAll() {
        bytesByReference = [:]
        (bytes, hand, debtBytes, forgivenStateBytes) = (0, 0, 0, 0)
    }

    /// A part of the walk, where pinned objects could be near their limit. False when the next one is for the pool.
    func measureSome(onPool: Bool) -> Bool {
        guard live.pinnedCount > 0, state.memoryBytes > bytesMax / 2 else { return true }
        debtBytes -= Self.bytesPerStep
        forgivenStateBytes = min(forgivenStateBytes, state.memoryBytes)
        if state.memoryBytes - forgivenStateBytes > bytesMax / 16 {
            (debtBytes, forgivenStateBytes) = (-Self.bytesPerStep, state.memoryBytes)
        }
        var slotsLeft = min(Self.slotsPerStep, live.capacity)
        while debtBytes < 0, slotsLeft > 0 {
            let next = (hand + 1) & (live.capacity - 1)
            let object = live[next]
            if object.isThere, object.isPinned {
                guard onPool || bytesByReference[object.reference, default: 0] <= Self.inlineBytesMax else {
                    return false
                }
                measure(object.reference)
                debtBytes += bytesByReference[object.reference, default: 0]
            }
            hand = next
            slotsLeft -= 1
        }
        debtBytes = max(0, debtBytes)
        return true
    }
}
