// The second round of a topk_exact: which values may be among the most frequent ones, and what the others reach at most.

/// Values to be counted, by the name of the aggregate; all others are passed over.
package struct TopCandidates: Sendable {
    private static let countMax = 1 << 20
    private static let bytesMax = 64 << 20

    private(set) var values: [String: ByteKeyTable] = [:]

    init() {}

    mutating func insert(_ value: UnsafeBufferPointer<UInt8>, for name: String) throws(Failure) {
        _ = values[name, default: ByteKeyTable()].intern(value)
        guard let table = values[name], table.count <= Self.countMax, table.bytes.count <= Self.bytesMax else {
            throw Failure(
                .budgetExceeded,
                "'\(name)': more than \(Self.countMax) values may be among the most frequent ones; filter, or ask for topk"
            )
        }
    }

    /// Whether a plan of this shape has anything to count so.
    func concern(_ shape: PartialShape) -> Bool {
        guard case .groups(_, let aggregates) = shape else { return false }
        return aggregates.contains { $0.function == .topkExact && values[$0.name] != nil }
    }

    package func encoded() -> [UInt8] {
        var out = WireWriter()
        out.append(UInt32(values.count))
        for (name, table) in values.sorted(by: { $0.key < $1.key }) {
            out.append(counted: Array(name.utf8))
            out.append(UInt32(table.count))
            for index in 0..<table.count { table.withKey(index) { out.append(counted: $0) } }
        }
        return out.bytes
    }

    /// The bytes come from another node.
    package init(decoding bytes: [UInt8]) throws(Failure) {
        var reader = WireReader(bytes[...])
        do throws(WireDamage) {
            for _ in 0..<(try reader.count(bytesEach: 8)) {
                let name = String(decoding: try reader.counted(), as: UTF8.self)
                var table = ByteKeyTable()
                for _ in 0..<(try reader.count(bytesEach: 4)) {
                    _ = try reader.counted().withUnsafeBufferPointer { table.intern($0) }
                }
                values[name] = table
            }
            guard reader.atEnd else { throw WireDamage() }
        } catch {
            throw Failure(.scriptVersion, "the candidates of a second round arrived damaged, or from another version")
        }
    }
}

/// What a first round leaves to be found out.
package struct TopRound: Sendable {
    package private(set) var candidates = TopCandidates()
    /// By aggregate and group key: how often a value may occur, at most, that is no candidate.
    private var otherMax: [String: [[UInt8]: Int64]] = [:]

    fileprivate mutating func add(
        _ name: String, group: [UInt8], _ table: FrequencyTable, top: Int
    ) throws(Failure) {
        let hidden = table.hiddenMax
        var least: Int64 = 0
        if table.counts.count >= top { least = table.counts.sorted(by: >)[top - 1] }
        guard hidden == 0 || least > hidden else {
            throw Failure(
                .budgetExceeded,
                "'\(name)': the values are too many, and too evenly frequent, to tell the first \(top) exactly; "
                    + "filter, or ask for topk, which is approximate")
        }
        // A little more than is needed, for rows that come in between the rounds.
        let reach = least - least / 64
        var isWhole = hidden == 0
        for index in table.counts.indices {
            guard table.counts[index].clampedAdding(hidden) >= reach else {
                isWhole = false
                continue
            }
            let result = table.values.withKey(index) { value in
                Result { () throws(Failure) in try candidates.insert(value, for: name) }
            }
            try result.get()
        }
        if table.counts.isEmpty { candidates.expect(name) }
        otherMax[name, default: [:]][group] = isWhole ? 0 : max(hidden, reach - 1)
    }

    fileprivate func bound(_ name: String, _ group: [UInt8]) -> Int64? {
        guard let groups = otherMax[name] else { return nil }
        return groups[group] ?? 0
    }
}

extension TopCandidates {
    /// The aggregate takes part, even if no value does.
    fileprivate mutating func expect(_ name: String) { values[name] = values[name] ?? ByteKeyTable() }
}

extension Partial {
    /// What has to be counted once more for `topk_exact` to be exact; nil where all is exact as it is. Throws where a second
    /// round could not tell either.
    package func secondRound() throws(Failure) -> TopRound? {
        guard case .groups(_, let aggregates) = shape else { return nil }
        var round: TopRound?
        for (shape, state) in zip(aggregates, states) where shape.function == .topkExact {
            guard let state = state as? FrequencyStates, state.tables.contains(where: { $0.hiddenMax > 0 }) else {
                continue
            }
            var next = round ?? TopRound()
            for group in 0..<groupCount {
                try next.add(shape.name, group: keys.withKey(group) { Array($0) }, state.tables[group], top: state.top)
            }
            round = next
        }
        return round
    }

    /// Of the second round's partial, before anything else is done with it: makes its counts the exact ones. `rowsSince` have
    /// come since the first round. False when with so many the candidates may not be the right ones any more.
    package mutating func settle(_ round: TopRound, rowsSince: Int64) -> Bool {
        guard case .groups(_, let aggregates) = shape else { return true }
        for (index, shape) in aggregates.enumerated() where shape.function == .topkExact {
            guard var state = states[index] as? FrequencyStates else { continue }
            for group in 0..<groupCount {
                guard let bound = round.bound(shape.name, keys.withKey(group) { Array($0) }) else { continue }
                guard state.settle(group, otherMax: bound.clampedAdding(rowsSince)) else { return false }
            }
            states[index] = state
        }
        return true
    }
}
