// A mergeable piece of an answer: the groups seen so far with the state of each aggregate, or some rows.

// Unsafe: hands the bytes of one group's key to the key table.

package struct Partial: Sendable {
    package static let groupsMaxDefault = 1_000_000
    static let keyBytesMax = 512 << 20

    package let shape: PartialShape
    /// More groups than this are a failure, here and in every merge.
    package let groupsMax: Int
    /// Group keys, one after the other as `WireWriter` writes scalars.
    private(set) var keys = ByteKeyTable()
    var states: [any AggregateStates] = []
    package internal(set) var rows: [[Scalar]] = []

    /// The identity of `merge`. Without group keys it has its one group already.
    package init(shape: PartialShape, groupsMax: Int = groupsMaxDefault) {
        self.shape = shape
        self.groupsMax = groupsMax
        guard case .groups(let keyColumns, let aggregates) = shape else { return }
        states = aggregates.map { $0.makeStates() }
        if keyColumns.isEmpty {
            _ = keys.intern([])
            growStates()
        }
    }

    package var groupCount: Int { keys.count }

    /// By result column: by what share an approximate answer may be off. Empty while all of it is exact.
    package var relativeErrors: [(column: String, error: Double)] {
        guard case .groups(_, let aggregates) = shape else { return [] }
        return zip(aggregates, states).compactMap { shape, state in state.relativeError.map { (shape.name, $0) } }
    }

    /// Memory held, about, in bytes: what it takes on the wire, and its table of keys.
    var memoryBytes: Int { encoded().count + keys.memoryBytes }

    /// The group with this key, made if there is none. Call `growStates` before its state is used.
    mutating func group(_ key: [UInt8]) throws(Failure) -> Int {
        let before = keys.count
        guard keys.bytes.count + key.count <= Self.keyBytesMax else {
            throw Failure(
                .budgetExceeded,
                "the group keys take more than \(Self.keyBytesMax) bytes; filter, or group more coarsely")
        }
        let group = keys.intern(key)
        guard group == before, keys.count > groupsMax else { return group }
        keys.truncate(to: before)
        throw Self.tooManyGroups(groupsMax)
    }

    static func tooManyGroups(_ groupsMax: Int) -> Failure {
        Failure(.budgetExceeded, "more than \(groupsMax) groups; filter, or group by something coarser")
    }

    mutating func growStates() {
        for index in states.indices { states[index].grow(to: keys.count) }
    }

    /// Takes in another partial of the same shape. The order of merges does not show, but for which rows a limit keeps.
    package mutating func merge(_ other: Partial) throws(Failure) {
        guard shape == other.shape else {
            throw Failure(.wrongType, "these partials come from different questions: their keys or aggregates differ")
        }
        if case .rows(_, let limit) = shape { rows.append(contentsOf: other.rows.prefix(max(0, limit - rows.count))) }
        var groups: [Int] = []
        groups.reserveCapacity(other.keys.count)
        defer { growStates() }  // also when the cap throws half way: the partial stays consistent
        for index in 0..<other.keys.count { groups.append(try group(Array(other.keys[index]))) }
        growStates()
        for index in states.indices { states[index].combine(other.states[index], groups: groups) }
    }

    /// The answer: a row for each group, by ascending group keys, nulls last. Throws when a sum does not fit.
    package func finish() throws(Failure) -> ResultTable {
        switch shape {
        case .rows(let columns, _):
            return ResultTable(columns: columns.map(\.name), keyCount: 0, rows: rows)
        case .groups(let keyColumns, let aggregates):
            var table: [[Scalar]] = []
            table.reserveCapacity(groupCount)
            for group in 0..<groupCount {
                var row = decodeKey(group, keyColumns)
                for state in states { row.append(try state.finish(group)) }
                table.append(row)
            }
            var result = ResultTable(
                columns: keyColumns.map(\.name) + aggregates.map(\.name), keyCount: keyColumns.count, rows: table)
            result.sortByKeys()
            return result
        }
    }

    private func decodeKey(_ group: Int, _ columns: [FrameColumn]) -> [Scalar] {
        var reader = WireReader(keys[group])
        var row: [Scalar] = []
        do throws(WireDamage) {
            for column in columns { row.append(try reader.scalar(column.type)) }
        } catch { preconditionFailure("keys are written here, or checked when they arrive") }
        return row
    }
}
