// Room for live objects: what has expired goes, what was not used for a while goes to the shelf, a little after each call.
// Unsafe pointers inside.

import CLua

/// What is known of a shard's memory and of what is being done about it. One thread at a time.
final class ObjectRoom {
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
    /// The shelf is told of memory in units of that, as every unit may evict.
    private static let sharedStepBytes = 256 << 10
    /// More than that at once, and more than a quarter of what was there, is a call's doing: most of it may be dead text.
    private static let surgeBytesMin = 2 * sharedStepBytes

    private let state: LuaState
    private let live: LiveObjects
    private let objects: ShardObjects
    private let pinned: PinnedObjects
    private let indexes: TypeIndexes
    private let shelf: any ObjectShelf
    private let configuration: ObjectHostConfiguration
    /// Memory above which the next step is due, in bytes.
    private var dueBytes: Int
    /// Memory above which a part of the garbage is collected.
    private var collectionDueBytes = 0
    /// No step before memory has grown to that, as the last ones were in vain; 0: none were.
    private var patienceBytes = 0
    /// Objects that went, as garbage that is not collected yet, in bytes: before the collection under way began, which ends
    /// their memory, and since.
    private var goneBefore = 0
    private var goneSince = 0
    /// Garbage is collected in steps.
    private var isStepping = false
    /// The number of collections at the last step.
    private var collections: Int64 = 0
    /// Where the walk over the table goes on, to expire and to shelve.
    private var expiryHand = 0
    private var shelfHand = 0
    /// Slots that were looked at since the last object that could go.
    private var slotsInVain = 0
    /// What the shelf was last told that live objects take.
    private var sharedBytes = 0
    /// A call left so much behind that the garbage is collected before items make way for it.
    private var hasSurged = false
    /// What was there behind that collection.
    private var settledBytes = 0

    init(
        _ state: LuaState, live: LiveObjects, objects: ShardObjects, pinned: PinnedObjects, indexes: TypeIndexes,
        shelf: any ObjectShelf, configuration: ObjectHostConfiguration
    ) {
        self.state = state
        self.live = live
        self.objects = objects
        self.pinned = pinned
        self.indexes = indexes
        self.shelf = shelf
        self.configuration = configuration
        dueBytes = configuration.liveBytesMax
    }

    /// True when live objects and garbage together pass their share, and now and then for those that expired.
    @inline(__always)
    func isNeeded(afterCalls calls: Int) -> Bool {
        state.memoryBytes > dueBytes || calls & (Self.callsPerLook - 1) == 0
    }

    /// One step: some objects go, a part of the garbage is collected. Some 10 µs, 50 with a part of a collection. False when what
    /// has to be done next takes longer: it is then for a thread of the pool, on which this always returns true.
    func make(afterCalls calls: Int, onPool: Bool) -> Bool {
        if calls & (Self.callsPerLook - 1) == 0 { expireSome() }
        guard state.memoryBytes > dueBytes else { return true }
        let share = configuration.liveBytesMax
        if hasSurged {
            guard onPool else { return false }
            collectAll()
            (hasSurged, settledBytes) = (false, state.memoryBytes + indexes.bytes)
            dueBytes = max(share, patienceBytes)
            guard state.memoryBytes > dueBytes else { return true }
        }
        // Garbage that comes faster than steps follow it: once and for all.
        if state.memoryBytes > share / 2 * 3, bytesWithoutGone <= share, slotsInVain == 0 {
            guard onPool else { return false }
            collectAll()
        }
        if !isStepping { beginSteps() }
        let goal = share / 8 * 7
        let isDone = shelveSome(untilBelow: goal, onPool: onPool)
        let isMeasured = pinned.measureSome(onPool: onPool)
        if state.memoryBytes > collectionDueBytes {
            clua_collect_step(state.main)
            collectionDueBytes = state.memoryBytes + Self.growthPerStep
        }
        if state.collections != collections { endCollection() }
        // As long as there is too much, every call does its part.
        let isBehind = bytesWithoutGone > goal && slotsInVain < live.capacity
        dueBytes = isBehind ? 0 : max(share, patienceBytes, state.memoryBytes + Self.growthPerStep)
        return isDone && isMeasured
    }

    /// All live objects went at once, and their memory with them.
    func beginAnew() {
        state.collectGarbage()
        clua_collect_young(state.main)
        dueBytes = configuration.liveBytesMax
        (collectionDueBytes, patienceBytes, goneBefore, goneSince) = (0, 0, 0, 0)
        (isStepping, collections) = (false, 0)
        (hasSurged, settledBytes) = (false, 0)
        (expiryHand, shelfHand, slotsInVain) = (0, 0, 0)
    }

    /// Tells the shelf what live objects take of the memory that they share. What one call added at a stroke is told once its
    /// garbage has been collected, which is then due: a full collection costs about what making that much did.
    func share() {
        let total = state.memoryBytes + indexes.bytes
        let bytes = total / Self.sharedStepBytes * Self.sharedStepBytes
        // Going down only by a good part: what garbage comes and goes is not worth it.
        guard bytes > sharedBytes || bytes < sharedBytes / 4 * 3 else { return }
        if total - max(sharedBytes, settledBytes) > max(Self.surgeBytesMin, sharedBytes / 4) {
            (hasSurged, dueBytes) = (true, 0)
            return
        }
        settledBytes = 0
        sharedBytes = bytes
        shelf.share(bytes)
    }

    // MARK: Collections

    private var bytesWithoutGone: Int { state.memoryBytes - (goneBefore + goneSince) }

    /// Frees all garbage, that of objects that went with it.
    private func collectAll() {
        state.collectGarbage()
        (goneBefore, goneSince) = (0, 0)
    }

    private func beginSteps() {
        isStepping = true
        clua_collect_in_steps(state.main)
        collections = state.collections
    }

    /// A collection has come to its end: what went before it began has been freed.
    private func endCollection() {
        collections = state.collections
        let wasInVain = slotsInVain >= live.capacity
        (goneBefore, goneSince) = (goneSince, 0)
        slotsInVain = 0
        patienceBytes = 0
        let left = bytesWithoutGone
        guard wasInVain, left > configuration.liveBytesMax else { return }
        // What cannot go must not be looked at again after every call; perhaps it can later.
        live.allowAll()
        patienceBytes = left + max(left / 8, 256 << 10)
    }

    // MARK: Expiry

    private func expireSome() {
        let now = UInt32(truncatingIfNeeded: UInt64(configuration.environment.unixMilliseconds) / 1000)
        for _ in 0..<min(Self.slotsPerLook, live.capacity) {
            expiryHand &= live.capacity - 1
            let object = live[expiryHand]
            if object.isThere, object.expiry.isOver(at: now) {
                // What stood behind it has moved up.
                objects.remove(at: expiryHand)
            } else {
                expiryHand += 1
            }
        }
    }

    // MARK: The shelf

    /// Shelves objects until what is left, garbage not counted, is below the goal, or it is enough for a step.
    private func shelveSome(untilBelow goal: Int, onPool: Bool) -> Bool {
        var objectsLeft = Self.objectsPerStep
        var bytesLeft = onPool ? 1 << 20 : Self.bytesPerStep
        while bytesWithoutGone > goal, objectsLeft > 0, bytesLeft > 0 {
            guard let at = oldestOfNext() else { return true }
            objectsLeft -= 1
            switch objects.shelve(at: at, bytesMax: onPool ? configuration.shelfBytesMax : Self.bytesPerStep) {
            case .gone(let bytes, let liveBytes):
                bytesLeft -= bytes
                goneSince += liveBytes
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
            slotsInVain = max(slotsInVain, live.capacity)
            return nil
        }
        var oldest: (at: Int, unused: UInt32)?
        var found = 0
        var slotsLeft = Self.slotsPerSample
        while found < Self.sampleCount, slotsLeft > 0, slotsInVain < live.capacity {
            slotsLeft -= 1
            shelfHand = (shelfHand + 1) & (live.capacity - 1)
            slotsInVain += 1
            let object = live[shelfHand]
            guard object.isThere, object.mayBeShelved else { continue }
            found += 1
            let unused = objects.usesSince(object)
            if oldest.map({ unused > $0.unused }) ?? true { oldest = (shelfHand, unused) }
        }
        if oldest != nil { slotsInVain = 0 }
        return oldest?.at
    }
}
