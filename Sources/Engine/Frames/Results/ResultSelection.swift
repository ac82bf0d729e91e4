// Rows of an answer chosen and ordered before they are made: what sort, limit and having in a job's finish work on.

/// Groups by their numbers. Only those that are left in the end become rows, so that the ten first of thousands of groups
/// cost one look at each and ten rows. Each step leases what it needs, and looks at its pace on the way.
package struct ResultSelection: Sendable {
    private enum Source: Sendable {
        case groups(Partial, keys: [FrameColumn])
        case rows([[Scalar]])
    }

    private enum Order: Sendable {
        /// By the group keys, ascending, nulls last; plain rows stay as they are.
        case keys
        /// Of the column, and ties by the group keys. Nulls come last in both directions.
        case column(Int, ascending: Bool)
    }

    private let source: Source
    /// Without rows.
    private let header: ResultTable
    private var places: [Int]
    /// What `places` is yet to be ordered by.
    private var pending: Order?
    /// Of `places`; nil until a step has made them others.
    private var lease: MemoryLease?

    /// All groups by their keys, or all rows.
    package init(_ partial: Partial) {
        switch partial.shape {
        case .rows(let columns, _):
            self.init(ResultTable(columns: columns.map(\.name), keyCount: 0, rows: partial.rows))
        case .groups(let keys, let aggregates):
            let header = ResultTable(
                columns: keys.map(\.name) + aggregates.map(\.name), keyCount: keys.count, rows: [])
            self.init(.groups(partial, keys: keys), header, Array(0..<partial.groupCount), .keys)
        }
    }

    package init(_ table: ResultTable) {
        let header = ResultTable(columns: table.columns, keyCount: table.keyCount, rows: [])
        self.init(.rows(table.rows), header, Array(table.rows.indices), nil)
    }

    private init(_ source: Source, _ header: ResultTable, _ places: [Int], _ pending: Order?) {
        self.source = source
        self.header = header
        self.places = places
        self.pending = pending
    }

    /// How many rows are left.
    var count: Int { places.count }
    /// What steps have leased for it.
    var leasedBytes: Int { lease?.bytes ?? 0 }

    /// While a step is at it: a scalar, its rank and its place for each row, and what an ordering copies of them.
    private static let stepBytes = 3 * (MemoryLayout<RankedPlace>.stride + MemoryLayout<Scalar>.stride)

    private func stepLease(_ pace: WorkPace) throws(Failure) -> MemoryLease {
        try pace.share.lease(places.count * Self.stepBytes, for: "ordering a result")
    }

    // MARK: Steps

    package mutating func sort(_ column: String, ascending: Bool) throws(Failure) {
        let index = try header.index(of: column)
        if case .structured? = try sample(ofColumn: index) {
            throw Failure(.wrongType, "sort: column '\(column)' has lists, which have no order")
        }
        pending = .column(index, ascending: ascending)
    }

    /// The first `count`.
    package mutating func limit(_ count: Int, _ pace: WorkPace = WorkPace()) throws(Failure) {
        try settle(count: max(0, count), pace)
    }

    /// Keeps the rows whose column compares so with `value`; a null compares with nothing.
    package mutating func having(
        _ column: String, _ op: FilterOperator, _ value: Value = .null, _ pace: WorkPace = WorkPace()
    ) throws(Failure) {
        let index = try header.index(of: column)
        let step = try stepLease(pace)
        defer { withExtendedLifetime(step) {} }
        let scalars = try scalars(ofColumn: index, step, pace)
        switch op {
        case .isNull: try keep(scalars, pace) { $0.isNull }
        case .notNull: try keep(scalars, pace) { !$0.isNull }
        case .equal, .notEqual, .less, .lessOrEqual, .greater, .greaterOrEqual:
            guard let sample = scalars.first(where: { !$0.isNull }) else {
                places = []
                return
            }
            let wanted = try Self.scalar(value, like: sample, column)
            try keep(scalars, pace) { !$0.isNull && op.accepts(Scalar.compare($0, wanted)) }
        case .isIn, .between, .like, .during:
            throw Failure(.scriptError, "having takes = ~= < <= > >= isnull notnull, not '\(op.rawValue)'")
        }
    }

    private mutating func keep(
        _ scalars: [Scalar], _ pace: WorkPace, _ isWanted: (Scalar) -> Bool
    ) throws(Failure) {
        var kept: [Int] = []
        try pace.inPieces(places.count, units: 2) { range in
            for index in range where isWanted(scalars[index]) { kept.append(places[index]) }
        }
        try replace(kept, pace)
    }

    private mutating func replace(_ kept: [Int], _ pace: WorkPace) throws(Failure) {
        lease = try pace.share.lease(kept.capacity * 8, for: "a result")
        places = kept
    }

    /// What is left, in order. Throws when a sum in it does not fit.
    package func table(_ pace: WorkPace = WorkPace()) throws(Failure) -> ResultTable {
        var ordered = self
        try ordered.settle(count: places.count, pace)
        var rows: [[Scalar]] = []
        rows.reserveCapacity(places.count)
        for place in ordered.places {
            let row = try row(place)
            try pace.spend(row.count * 4)
            rows.append(row)
        }
        return ResultTable(columns: header.columns, keyCount: header.keyCount, rows: rows)
    }

    /// The same as a list of values, a map by column for each row, and what they are leased by.
    func values(_ pace: WorkPace) throws(Failure) -> LeasedValue {
        var ordered = self
        try ordered.settle(count: places.count, pace)
        let names = header.columns.map { Value.string($0) }
        let lease = try pace.share.lease(
            places.count * Self.rowBytes(columns: names.count), for: "the rows of a result")
        var values: [Value] = []
        values.reserveCapacity(places.count)
        func add(_ scalars: [Scalar], _ states: [any AggregateStates], _ place: Int) throws(Failure) {
            var pairs: [Value.Pair] = []
            pairs.reserveCapacity(names.count)
            for scalar in scalars { pairs.append(.init(names[pairs.count], scalar.value)) }
            for state in states { pairs.append(.init(names[pairs.count], try state.finish(place).value)) }
            // One row's texts and lists are there before they are leased.
            let bytes = pairs.reduce(0) { $0 + $1.value.heldBytes }
            if bytes > 0 { try lease.take(bytes) }
            try pace.spend(pairs.count * 4 + bytes / 8)
            values.append(.map(pairs))
        }
        switch source {
        case .rows(let rows): for place in ordered.places { try add(rows[place], [], place) }
        case .groups(let partial, let keys):
            for place in ordered.places { try add(partial.scalars(ofKey: place, keys), partial.states, place) }
        }
        return LeasedValue(.array(values), lease)
    }

    /// Of a row as a map, without what its values have of their own.
    private static func rowBytes(columns: Int) -> Int {
        MemoryLayout<Value>.stride + 48 + columns * MemoryLayout<Value.Pair>.stride
    }

    // MARK: Rows

    private func row(_ place: Int) throws(Failure) -> [Scalar] {
        switch source {
        case .rows(let rows): return rows[place]
        case .groups(let partial, let keys):
            var row = partial.scalars(ofKey: place, keys)
            row.reserveCapacity(keys.count + partial.states.count)
            for state in partial.states { row.append(try state.finish(place)) }
            return row
        }
    }

    /// Of aggregates that answer lists all answers are lists.
    private func sample(ofColumn index: Int) throws(Failure) -> Scalar? {
        guard let place = places.first, index >= header.keyCount else { return nil }
        switch source {
        case .rows(let rows): return rows[place][index]
        case .groups(let partial, _): return try partial.states[index - header.keyCount].finish(place)
        }
    }

    /// One column of what is left, in the order of `places`.
    private func scalars(
        ofColumn index: Int, _ lease: MemoryLease, _ pace: WorkPace
    ) throws(Failure) -> [Scalar] {
        var scalars: [Scalar] = []
        scalars.reserveCapacity(places.count)
        func collect(_ scalar: (Int) throws(Failure) -> Scalar) throws(Failure) {
            for place in places {
                let scalar = try scalar(place)
                let bytes = scalar.heldBytes
                if bytes > 0 { try lease.take(bytes) }
                try pace.spend(4 + bytes / 8)
                scalars.append(scalar)
            }
        }
        switch source {
        case .rows(let rows): try collect { (place) throws(Failure) in rows[place][index] }
        case .groups(let partial, let keys) where index < keys.count:
            try collect { (place) throws(Failure) in partial.scalars(ofKey: place, keys)[index] }
        case .groups(let partial, let keys):
            let states = partial.states[index - keys.count]
            try collect { (place) throws(Failure) in try states.finish(place) }
        }
        return scalars
    }

    // MARK: Order

    /// Orders what is pending, as far as the first `count` need it, and drops the others.
    private mutating func settle(count: Int, _ pace: WorkPace) throws(Failure) {
        defer { pending = nil }
        var isAscending = true
        var entries: [RankedPlace] = []
        let step = pending == nil ? nil : try stepLease(pace)
        defer { withExtendedLifetime(step) {} }
        switch pending {
        case nil: break
        case .keys?:
            guard case .groups = source else { break }
            entries.reserveCapacity(places.count)
            try pace.inPieces(places.count, units: 4) { range in
                for place in places[range] {
                    entries.append(RankedPlace(rank: keyRank(place), scalar: .null, place: place))
                }
            }
        case .column(let index, let ascending)?:
            isAscending = ascending
            entries.reserveCapacity(places.count)
            guard let step else { break }
            let scalars = try scalars(ofColumn: index, step, pace)
            try pace.inPieces(places.count, units: 2) { range in
                for at in range {
                    let rank = RankedPlace.rank(scalars[at], ascending: ascending)
                    entries.append(RankedPlace(rank: rank, scalar: scalars[at], place: places[at]))
                }
            }
        }
        if !entries.isEmpty { try replace(try first(count, of: entries, ascending: isAscending, pace), pace) }
        if places.count > count { places.removeLast(places.count - count) }
    }

    /// The least 64 bits can say of a group's first key: one with a lesser rank comes first.
    private func keyRank(_ place: Int) -> UInt64 {
        guard case .groups(let partial, let keys) = source, let first = keys.first else { return 0 }
        return partial.keyRank(place, first.type)
    }

    private func first(
        _ count: Int, of entries: [RankedPlace], ascending: Bool, _ pace: WorkPace
    ) throws(Failure) -> [Int] {
        let precedes = { (a: RankedPlace, b: RankedPlace) -> Bool in
            if a.rank != b.rank { return a.rank < b.rank }
            if a.scalar.isNull || b.scalar.isNull {
                if a.scalar.isNull != b.scalar.isNull { return b.scalar.isNull }
            } else {
                let order = Scalar.compare(a.scalar, b.scalar)
                if order != 0 { return ascending ? order < 0 : order > 0 }
            }
            return keysPrecede(a.place, b.place)
        }
        guard count < entries.count / 4, count <= 256 else {
            return try pace.sorted(entries, by: precedes).map(\.place)
        }
        var best: [RankedPlace] = []
        for entry in entries {
            try pace.spend(2)
            if best.count == count, count == 0 || !precedes(entry, best[count - 1]) { continue }
            best.insert(entry, at: partitionPoint(best.count) { precedes(best[$0], entry) })
            if best.count > count { best.removeLast() }
        }
        return best.map(\.place)
    }

    private func keysPrecede(_ a: Int, _ b: Int) -> Bool {
        switch source {
        case .groups(let partial, let keys): return partial.keyPrecedes(a, b, keys)
        case .rows(let rows):
            for index in 0..<header.keyCount {
                let order = Scalar.compare(rows[a][index], rows[b][index])
                if order != 0 { return order < 0 }
            }
            return false
        }
    }

    private static func scalar(_ value: Value, like sample: Scalar, _ column: String) throws(Failure) -> Scalar {
        switch (sample, value) {
        case (.int, .int(let number)), (.double, .int(let number)): return .int(number)
        case (.int, .double(let number)), (.double, .double(let number)): return .double(number)
        case (.string, .bytes(let text)): return .string(text)
        case (.bool, .bool(let flag)): return .bool(flag)
        case (.time, .bytes(let text)):
            if let time = text.withUnsafeBufferPointer({ Timestamp.parse($0) }) { return .time(time) }
        case (.time, .int(let seconds)):
            let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000)
            if !overflow { return .time(product) }
        default: break
        }
        throw Failure(
            .wrongType,
            "having: column '\(column)' does not compare with \(String(decoding: value.json.prefix(60), as: UTF8.self))"
        )
    }
}

/// A place with what it is ordered by: most comparisons end at the rank.
private struct RankedPlace {
    let rank: UInt64
    let scalar: Scalar
    let place: Int

    /// Of unequal ranks the lesser one comes first; equal ranks say nothing.
    static func rank(_ scalar: Scalar, ascending: Bool) -> UInt64 {
        let number: UInt64
        switch scalar {
        // Of a mixed column: as doubles, which order as the numbers do.
        case .int(let value): number = UInt64(bitPattern: Double(value).orderedKey) ^ 1 << 63
        case .double(let value): number = UInt64(bitPattern: value.orderedKey) ^ 1 << 63
        case .time(let value): number = UInt64(bitPattern: value) ^ 1 << 63
        case .string(let text): number = text.withUnsafeBufferPointer { UInt64(rankOf: $0) }
        case .bool(let flag): number = flag ? 1 : 0
        case .null: return .max
        case .structured: return 0
        }
        return ascending ? number : ~number
    }
}

extension FilterOperator {
    /// Whether a three-way comparison of column with value satisfies this operator.
    fileprivate func accepts(_ order: Int) -> Bool {
        switch self {
        case .equal: order == 0
        case .notEqual: order != 0
        case .less: order < 0
        case .lessOrEqual: order <= 0
        case .greater: order > 0
        case .greaterOrEqual: order >= 0
        default: false
        }
    }
}
