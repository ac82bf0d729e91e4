// The states of first and last: the value that goes with the least or greatest key of another column.

/// A candidate of one group. Texts have a text, all others a key (doubles: `totalKey`).
struct ColumnEnd: Sendable {
    var by: Int64
    var key: Int64 = 0
    var text: [UInt8] = []

    /// Total: ties go to the least value for first, to the greatest for last.
    func replaces(_ other: ColumnEnd, isFirst: Bool) -> Bool {
        if by != other.by { return isFirst ? by < other.by : by > other.by }
        if key != other.key { return isFirst ? key < other.key : key > other.key }
        return isFirst ? text.lexicographicallyPrecedes(other.text) : other.text.lexicographicallyPrecedes(text)
    }
}

struct EndStates: AggregateStates {
    private let isFirst: Bool
    private let type: ColumnType
    private var ends: [ColumnEnd?]

    init(isFirst: Bool, type: ColumnType, ends: [ColumnEnd?] = []) {
        self.isFirst = isFirst
        self.type = type
        self.ends = ends
    }

    var count: Int { ends.count }

    mutating func grow(to count: Int) { ends.append(contentsOf: repeatElement(nil, count: count - ends.count)) }

    mutating func combine(_ other: any AggregateStates, groups: [Int], _ pace: WorkPace) throws(Failure) {
        guard let other = other as? Self else { preconditionFailure("states of one shape") }
        try pace.inPieces(groups.count, units: 4) { range in
            for index in range {
                guard let theirs = other.ends[index] else { continue }
                if let mine = ends[groups[index]], !theirs.replaces(mine, isFirst: isFirst) { continue }
                ends[groups[index]] = theirs
            }
        }
    }

    var memoryBytes: Int { ends.reduce(0) { $0 + MemoryLayout<ColumnEnd?>.stride + ($1?.text.memoryBytes ?? 0) } }

    func finish(_ group: Int) -> Scalar {
        guard let end = ends[group] else { return .null }
        return switch type {
        case .string: .string(end.text)
        case .double: .double(Double(totalKey: end.key))
        case .bool: .bool(end.key != 0)
        case .time: .time(end.key)
        case .int: .int(end.key)
        }
    }

    func encode(_ group: Int, to out: inout WireWriter) {
        out.append(UInt8(ends[group] == nil ? 0 : 1))
        guard let end = ends[group] else { return }
        out.append(end.by)
        out.append(end.key)
        out.append(counted: end.text)
    }

    mutating func decodeNext(_ reader: inout WireReader) throws(WireDamage) {
        switch try reader.number(UInt8.self) {
        case 0: ends.append(nil)
        case 1:
            ends.append(
                ColumnEnd(by: try reader.number(), key: try reader.number(), text: Array(try reader.counted())))
        default: throw WireDamage()
        }
    }
}
