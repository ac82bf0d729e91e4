// How the memory is shared between the small queue and main: by which of them drops keys that come back.

struct QueueBalance: ~Copyable {
    /// Ghosts take at most this part of the memory, whatever the number of items.
    private static let ghostMemoryShare = 32
    private static let adaptionWeightMax = 32

    /// Keys dropped lately; nil until the store is full for the first time.
    private var ghosts: GhostTable?
    /// What they take, in bytes.
    private(set) var ghostBytes = 0
    /// What the small queue may take of the memory, in bytes; it adapts between a 20th and a half.
    private(set) var smallBytes: Int
    /// Keys that came back soon after they were dropped.
    private(set) var ghostHits: UInt64 = 0

    init(smallBytes: Int) { self.smallBytes = smallBytes }

    @inline(__always)
    var remembersDrops: Bool { ghosts != nil }

    /// As many keys as there are items, within bounds.
    static func ghostCapacity(items: Int, memoryBytes: Int) -> Int {
        max(64, min(items, memoryBytes / ghostMemoryShare / 4)) & ~7
    }

    /// From now on what was dropped is remembered.
    mutating func remember(capacity: Int) {
        if let known = ghosts?.capacity, known < capacity * 2, capacity < known * 2 { return }
        let table = GhostTable(capacity: capacity)
        ghostBytes = table.memoryBytes
        ghosts = consume table
    }

    mutating func noteDrop(_ hash: UInt64, from lane: Lane) { ghosts?.insert(hash: hash, from: lane) }

    mutating func forgetDrops() {
        ghosts = nil
        ghostBytes = 0
    }

    /// Main for a key that was dropped lately. It also tells which queue is too small: the one that dropped it.
    @inline(never)
    mutating func laneOfKnown(_ hash: UInt64, stride: Int, memoryBytes: Int) -> Lane {
        guard let dropped = ghosts?.take(hash: hash) else { return .small }
        ghostHits += 1
        // As in ARC (Megiddo and Modha, FAST'03): a key that comes back weighs more if few are remembered of its queue.
        let (small, main) = (max(1, ghosts?.smallDrops ?? 1), max(1, ghosts?.mainDrops ?? 1))
        let weight = min(max(1, dropped == .small ? main / small : small / main), Self.adaptionWeightMax)
        let change = stride * weight
        let wanted = dropped == .small ? smallBytes + change : smallBytes - change
        smallBytes = min(max(wanted, memoryBytes / 20), memoryBytes / 2)
        return .main
    }

    /// The memory is another one; `leastBytes`: what half of it counts as at least.
    mutating func fit(memoryBytes: Int, leastBytes: Int, mayGrow: Bool) {
        let wanted = mayGrow ? max(smallBytes, memoryBytes / 20) : smallBytes
        smallBytes = min(wanted, max(memoryBytes / 2, leastBytes))
    }
}
