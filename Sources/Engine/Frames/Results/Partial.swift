// A mergeable piece of an answer: the groups seen so far with the state of each aggregate, or some rows.

package struct Partial: Sendable {
    package static let groupsMaxDefault = 1_000_000
    static let keyBytesMax = 512 << 20

    package let shape: PartialShape
    /// More groups than this are a failure, here and in every merge.
    package let groupsMax: Int
    private(set) var keys = GroupKeys()
    var states: [any AggregateStates] = []
    package internal(set) var rows: [[Scalar]] = []
    /// More rows pass than the limit keeps.
    package internal(set) var isTruncated = false
    /// What all of it is leased by; nil where it is on nobody's account.
    var lease: MemoryLease?

    /// The identity of `merge`. Without group keys it has its one group already.
    package init(shape: PartialShape, groupsMax: Int = groupsMaxDefault) {
        self.shape = shape
        self.groupsMax = groupsMax
        guard case .groups(let keyColumns, let aggregates) = shape else { return }
        states = aggregates.map { $0.makeStates() }
        if keyColumns.isEmpty {
            _ = keys.intern(UnsafeBufferPointer(start: nil, count: 0))
            growStates()
        }
    }

    package var groupCount: Int { keys.count }

    /// By result column: by what share an approximate answer may be off. Empty while all of it is exact.
    package var relativeErrors: [(column: String, error: Double)] {
        guard case .groups(_, let aggregates) = shape else { return [] }
        return zip(aggregates, states).compactMap { shape, state in state.relativeError.map { (shape.name, $0) } }
    }

    /// Memory held, about, in bytes. Cost: of some aggregates, a look at each group; of rows, at each value.
    var memoryBytes: Int {
        states.reduce(keys.memoryBytes) { $0 + $1.memoryBytes } + rows.reduce(0) { $0 + 8 + Self.memoryBytes(of: $1) }
    }

    /// Of one row.
    static func memoryBytes(of row: [Scalar]) -> Int {
        row.reduce(48) { $0 + MemoryLayout<Scalar>.stride + $1.heldBytes }
    }

    /// The group with this key, made if there is none. Call `growStates` before its state is used.
    mutating func group(_ key: UnsafeBufferPointer<UInt8>) throws(Failure) -> Int {
        let before = keys.count
        guard keys.keyBytes + key.count <= Self.keyBytesMax else { throw Self.tooManyKeyBytes }
        let group = keys.intern(key)
        guard group == before, keys.count > groupsMax else { return group }
        keys.truncate(to: before)
        throw Self.tooManyGroups(groupsMax)
    }

    /// Makes room for so many groups.
    mutating func reserve(_ groupCount: Int) { keys.reserve(groupCount) }

    /// What a scan has found, in place of nothing.
    mutating func take(_ keys: GroupKeys, _ states: [any AggregateStates]) throws(Failure) {
        guard keys.count <= groupsMax else { throw Self.tooManyGroups(groupsMax) }
        guard keys.keyBytes <= Self.keyBytesMax else { throw Self.tooManyKeyBytes }
        self.keys = keys
        self.states = states
    }

    private static var tooManyKeyBytes: Failure {
        Failure(
            .budgetExceeded, "the group keys take more than \(keyBytesMax) bytes; filter, or group more coarsely")
    }

    static func tooManyGroups(_ groupsMax: Int) -> Failure {
        Failure(.budgetExceeded, "more than \(groupsMax) groups; filter, or group by something coarser")
    }

    mutating func growStates() {
        for index in states.indices { states[index].grow(to: keys.count) }
    }

    /// Takes in another partial of the same shape. The order of merges does not show, but for which rows a limit keeps. Throws
    /// when there are too many groups, a count does not fit, there is no memory for both, or `pace` says that it has to end:
    /// then this partial is of no more use.
    package mutating func merge(_ other: Partial, _ pace: WorkPace = WorkPace()) throws(Failure) {
        guard shape == other.shape else {
            throw Failure(.wrongType, "these partials come from different questions: their keys or aggregates differ")
        }
        // What the sum takes, while both are still there; and where their groups go.
        let lease = try pace.share.lease(
            memoryBytes + other.memoryBytes + 16 * (groupCount + other.groupCount), for: "merging results")
        try mergeStates(other, pace)
        try lease.settle(at: memoryBytes)
        self.lease = lease
    }

    private mutating func mergeStates(_ other: Partial, _ pace: WorkPace) throws(Failure) {
        if case .rows(_, let limit) = shape {
            isTruncated = isTruncated || other.isTruncated || other.rows.count > limit - rows.count
            rows.append(contentsOf: other.rows.prefix(max(0, limit - rows.count)))
        }
        defer { growStates() }  // also when the cap throws half way: the partial stays consistent
        let (places, isWhole) = try keys.formUnion(
            other.keys, countMax: groupsMax, bytesMax: Self.keyBytesMax, pace)
        guard isWhole else { throw keys.count >= groupsMax ? Self.tooManyGroups(groupsMax) : Self.tooManyKeyBytes }
        if let mine = places.mine { try moveStates(to: mine, pace) }
        growStates()
        for index in states.indices { try states[index].combine(other.states[index], groups: places.theirs, pace) }
    }

    private mutating func moveStates(to places: [Int], _ pace: WorkPace) throws(Failure) {
        guard case .groups(_, let aggregates) = shape else { return }
        for (index, aggregate) in aggregates.enumerated() {
            var moved = aggregate.makeStates()
            moved.grow(to: keys.count)
            try moved.combine(states[index], groups: places, pace)
            states[index] = moved
        }
    }

    /// The answer: a row for each group, by ascending group keys, nulls last. Throws when a sum does not fit.
    package func finish(_ pace: WorkPace = WorkPace()) throws(Failure) -> ResultTable {
        try ResultSelection(self).table(pace)
    }
}
