// Room for live objects: what has expired goes, what was not used for a while goes to the shelf, a little after each call.
// Unsafe pointers inside.

import CLua

/// What is known of a shard's memory and of what is being done about it.
struct ObjectRoom {
    /// Memory above which the next step is due, in bytes.
    var dueBytes: Int
    /// Memory above which a part of the garbage is collected.
    var collectionDueBytes = 0
    /// No step before memory has grown to that, as the last ones were in vain; 0: none were.
    var patienceBytes = 0
    /// Objects that went, as garbage that is not collected yet, in bytes: before the collection under way began, which ends
    /// their memory, and since.
    var goneBefore = 0
    var goneSince = 0
    /// Garbage is collected in steps.
    var isStepping = false
    /// The number of collections at the last step.
    var collections: Int64 = 0
    /// Where the walk over the table goes on, to expire and to shelve.
    var expiryHand = 0
    var shelfHand = 0
    /// Slots that were looked at since the last object that could go.
    var slotsInVain = 0

    mutating func noteGone(bytes: Int) { goneSince += bytes }
    var goneBytes: Int { goneBefore + goneSince }
}

extension ObjectMachine {
    /// Slots that one look for what has expired walks over, once in `callsPerLook` calls.
    private static let slotsPerLook = 256
    private static let callsPerLook = 256
    /// The oldest of so many objects goes to the shelf.
    private static let sampleCount = 8
    private static let slotsPerSample = 2_048
    /// What one step shelves at most: objects, and bytes as encoded. A larger object is shelved on the pool.
    private static let objectsPerStep = 8
    private static let bytesPerStep = 32 << 10
    /// Memory may grow by that before the next step of a collection.
    private static let growthPerStep = 2 << 10

    /// True when live objects and garbage together pass their share, and now and then for those that expired.
    @inline(__always)
    var needsRoom: Bool {
        state.memoryBytes > room.dueBytes || statistics.calls & (Self.callsPerLook - 1) == 0
    }

    /// One step: some objects go, a part of the garbage is collected. Some 10 µs, 50 with
    /// a part of a collection. False when what has to
    /// be done next takes longer: it is then for a thread of the pool, on which this always returns true.
    func makeRoom(onPool: Bool) -> Bool {
        if statistics.calls & (Self.callsPerLook - 1) == 0 { expireSome() }
        guard state.memoryBytes > room.dueBytes else { return true }
        let share = configuration.liveBytesMax
        // Garbage that comes faster than steps follow it: once and for all.
        if state.memoryBytes > share / 2 * 3, state.memoryBytes - room.goneBytes <= share, room.slotsInVain == 0 {
            guard onPool else { return false }
            state.collectGarbage()
            (room.goneBefore, room.goneSince) = (0, 0)
        }
        if !room.isStepping { beginSteps() }
        let goal = share / 8 * 7
        let isDone = shelveSome(untilBelow: goal, onPool: onPool)
        let isMeasured = measureSomePinned(onPool: onPool)
        if state.memoryBytes > room.collectionDueBytes {
            clua_collect_step(state.main)
            room.collectionDueBytes = state.memoryBytes + Self.growthPerStep
        }
        if state.collections != room.collections { endCollection() }
        // As long as there is too much, every call does its part.
        let isBehind = state.memoryBytes - room.goneBytes > goal && room.slotsInVain < live.capacity
        room.dueBytes = isBehind ? 0 : max(share, room.patienceBytes, state.memoryBytes + Self.growthPerStep)
        return isDone && isMeasured
    }

    private func beginSteps() {
        room.isStepping = true
        clua_collect_in_steps(state.main)
        room.collections = state.collections
    }

    /// A collection has come to its end: what went before it began has been freed.
    private func endCollection() {
        room.collections = state.collections
        let wasInVain = room.slotsInVain >= live.capacity
        (room.goneBefore, room.goneSince) = (room.goneSince, 0)
        room.slotsInVain = 0
        let left = state.memoryBytes - room.goneBytes
        room.patienceBytes = 0
        guard wasInVain, left > configuration.liveBytesMax else { return }
        // What cannot go must not be looked at again after every call; perhaps it can later.
        live.allowAll()
        room.patienceBytes = left + max(left / 8, 256 << 10)
    }

    // MARK: Expiry

    private func expireSome() {
        let now = UInt32(truncatingIfNeeded: UInt64(configuration.environment.unixMilliseconds) / 1000)
        var slotsLeft = min(Self.slotsPerLook, live.capacity)
        while slotsLeft > 0 {
            room.expiryHand &= live.capacity - 1
            let object = live[room.expiryHand]
            if object.isThere, object.expiry != 0, object.expiry <= now {
                // What stood behind it has moved up.
                remove(at: room.expiryHand)
            } else {
                room.expiryHand += 1
            }
            slotsLeft -= 1
        }
    }

    // MARK: The shelf

    /// Shelves objects until what is left, garbage not counted, is below the goal, or it is enough for a step.
    private func shelveSome(untilBelow goal: Int, onPool: Bool) -> Bool {
        var objectsLeft = Self.objectsPerStep
        var bytesLeft = onPool ? 1 << 20 : Self.bytesPerStep
        while state.memoryBytes - room.goneBytes > goal, objectsLeft > 0, bytesLeft > 0 {
            guard let at = oldestOfNext() else { return true }
            objectsLeft -= 1
            switch shelve(at, bytesMax: onPool ? configuration.shelfBytesMax : Self.bytesPerStep) {
            case .gone(let bytes): bytesLeft -= bytes
            case .refused: live.refuse(at: at)
            case .tooLarge:
                guard onPool else { return false }
                live.refuse(at: at)
            }
        }
        return true
    }

    /// The least recently used of the next objects that may go; nil when there is none nearby.
    private func oldestOfNext() -> Int? {
        guard live.pinnedCount < live.count else {
            room.slotsInVain = max(room.slotsInVain, live.capacity)
            return nil
        }
        var oldest: (at: Int, unused: UInt32)?
        var found = 0
        var slotsLeft = Self.slotsPerSample
        while found < Self.sampleCount, slotsLeft > 0, room.slotsInVain < live.capacity {
            slotsLeft -= 1
            room.shelfHand = (room.shelfHand + 1) & (live.capacity - 1)
            room.slotsInVain += 1
            let object = live[room.shelfHand]
            guard object.isThere, object.mayBeShelved else { continue }
            found += 1
            let unused = useCount &- object.lastUse
            if oldest == nil || unused > oldest!.unused { oldest = (room.shelfHand, unused) }
        }
        if oldest != nil { room.slotsInVain = 0 }
        return oldest?.at
    }

    private enum Shelving {
        /// So many bytes as encoded.
        case gone(bytes: Int)
        /// It cannot be encoded, or is larger than an item may be.
        case refused
        /// For this step.
        case tooLarge
    }

    private func shelve(_ at: Int, bytesMax: Int) -> Shelving {
        lua_rawgeti(state.main, LuaState.registry, lua_Integer(live[at].reference))
        defer { clua_pop(state.main, 1) }
        let value: Value
        do throws(Failure) {
            value = try state.readValue(state.main, -1, bytesMax: bytesMax)
        } catch {
            return error.reason == .budgetExceeded ? .tooLarge : .refused
        }
        let expiry = live[at].expiry
        let bytes = Shelved.encode(value, expiry: expiry)
        let key = key(at: at)
        guard shelf.put(key.shelfKey, bytes, expiry: expiry) else { return .refused }
        room.noteGone(bytes: Shelved.liveBytes(value))
        detach(at: at)
        walks.note(shelved: key)
        statistics.shelved += 1
        return .gone(bytes: bytes.count)
    }

    /// Tells the shelf what live objects take of the memory they share, in steps, as every step may evict.
    func shareMemory() {
        let step = 256 << 10
        let bytes = (state.memoryBytes + indexBytes) / step * step
        // Going down only by a good part: what garbage comes and goes is not worth it.
        guard bytes > sharedBytes || bytes < sharedBytes / 4 * 3 else { return }
        sharedBytes = bytes
        shelf.share(bytes)
    }
}

/// An object's form on the shelf: when it expires, four bytes, then its MessagePack.
enum Shelved {
    static func encode(_ value: Value, expiry: UInt32) -> [UInt8] {
        var bytes: [UInt8] = []
        withUnsafeBytes(of: expiry.littleEndian) { bytes.append(contentsOf: $0) }
        value.appendMessagePack(to: &bytes)
        return bytes
    }

    static func decode(_ bytes: [UInt8]) -> (expiry: UInt32, value: Value)? {
        guard bytes.count > 4, let value = Value(messagePack: bytes[4...]) else { return nil }
        return (bytes[..<4].reversed().reduce(0) { $0 << 8 | UInt32($1) }, value)
    }

    /// What a value takes in Lua 5.4, roughly: 56 bytes a table, 16 an element, 24 a field, their numbers rounded up to powers
    /// of two; a string its bytes and 25 more.
    static func liveBytes(_ value: Value) -> Int {
        switch value {
        case .null, .bool, .int, .double: return 0
        case .bytes(let bytes): return 25 + bytes.count
        case .array(let elements):
            return elements.reduce(56 + 16 * roundedUp(elements.count)) { $0 + liveBytes($1) }
        case .map(let pairs):
            // Names of fields are shared.
            return pairs.reduce(56 + 24 * roundedUp(pairs.count)) { $0 + liveBytes($1.value) }
        }
    }

    private static func roundedUp(_ count: Int) -> Int {
        count < 2 ? count : 1 << (Int.bitWidth - (count - 1).leadingZeroBitCount)
    }
}
