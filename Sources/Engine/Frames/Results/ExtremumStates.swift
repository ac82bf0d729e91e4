// The states of min and max: keys of numbers, times and truth values, or strings.

/// Doubles are compared by `totalKey`: NaN is greater than every number, -0.0 less than 0.0.
struct ExtremumStates: AggregateStates {
    let isMin: Bool
    let type: ColumnType
    private var keys: [Int64] = []
    private var saw: [Bool] = []

    /// A key for each group that saw a value, nil for the others.
    init(isMin: Bool, type: ColumnType, keys: [Int64?] = []) {
        self.isMin = isMin
        self.type = type
        self.keys = keys.map { $0 ?? (isMin ? .max : .min) }
        saw = keys.map { $0 != nil }
    }

    var count: Int { keys.count }

    private var identity: Int64 { isMin ? .max : .min }

    mutating func grow(to count: Int) {
        keys.append(contentsOf: repeatElement(identity, count: count - keys.count))
        saw.append(contentsOf: repeatElement(false, count: count - saw.count))
    }

    mutating func combine(_ other: any AggregateStates, groups: [Int], _ pace: WorkPace) throws(Failure) {
        guard let other = other as? Self else { preconditionFailure("states of one shape") }
        try pace.inPieces(groups.count) { range in
            for index in range where other.saw[index] { add(other.keys[index], to: groups[index]) }
        }
    }

    private mutating func add(_ key: Int64, to group: Int) {
        keys[group] = isMin ? min(keys[group], key) : max(keys[group], key)
        saw[group] = true
    }

    var memoryBytes: Int { keys.count * 9 }

    func finish(_ group: Int) -> Scalar {
        guard saw[group] else { return .null }
        return switch type {
        case .double: .double(Double(totalKey: keys[group]))
        case .bool: .bool(keys[group] != 0)
        case .time: .time(keys[group])
        default: .int(keys[group])
        }
    }

    func encode(_ group: Int, to out: inout WireWriter) {
        out.append(UInt8(saw[group] ? 1 : 0))
        out.append(keys[group])
    }

    mutating func decodeNext(_ reader: inout WireReader) throws(WireDamage) {
        let flag = try reader.number(UInt8.self)
        let key = try reader.number(Int64.self)
        guard flag <= 1 else { throw WireDamage() }
        saw.append(flag == 1)
        keys.append(flag == 1 ? key : identity)
    }
}

/// Strings by their bytes.
struct TextExtremumStates: AggregateStates {
    let isMin: Bool
    private var texts: [[UInt8]?] = []

    init(isMin: Bool, texts: [[UInt8]?] = []) {
        self.isMin = isMin
        self.texts = texts
    }

    var count: Int { texts.count }

    mutating func grow(to count: Int) { texts.append(contentsOf: repeatElement(nil, count: count - texts.count)) }

    mutating func combine(_ other: any AggregateStates, groups: [Int], _ pace: WorkPace) throws(Failure) {
        guard let other = other as? Self else { preconditionFailure("states of one shape") }
        try pace.inPieces(groups.count, units: 4) { range in
            for index in range { if let text = other.texts[index] { add(text, to: groups[index]) } }
        }
    }

    private mutating func add(_ text: [UInt8], to group: Int) {
        guard let best = texts[group] else {
            texts[group] = text
            return
        }
        let replaces = isMin ? text.lexicographicallyPrecedes(best) : best.lexicographicallyPrecedes(text)
        if replaces { texts[group] = text }
    }

    var memoryBytes: Int { texts.reduce(0) { $0 + 8 + ($1?.memoryBytes ?? 0) } }

    func finish(_ group: Int) -> Scalar { texts[group].map { .string($0) } ?? .null }

    func encode(_ group: Int, to out: inout WireWriter) { out.append(finish(group)) }

    mutating func decodeNext(_ reader: inout WireReader) throws(WireDamage) {
        switch try reader.scalar(.string) {
        case .string(let text): texts.append(text)
        default: texts.append(nil)
        }
    }
}
