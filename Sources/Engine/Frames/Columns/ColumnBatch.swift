// Rows in typed columns as they were parsed, growing, before a shard takes them.

/// One growing column. Only the array of its type is used; a row without a value holds 0 there.
package struct BatchColumn: Sendable {
    package let type: ColumnType
    /// int, time, bool (0 and 1).
    package private(set) var integers: [Int64] = []
    package private(set) var doubles: [Double] = []
    /// Indices in `dictionary`.
    package private(set) var codes: [UInt32] = []
    package private(set) var dictionary = ByteKeyTable()
    /// Rows without a value, ascending.
    package private(set) var nullRows: [UInt32] = []

    init(_ type: ColumnType) { self.type = type }

    var count: Int {
        switch type {
        case .double: doubles.count
        case .string: codes.count
        default: integers.count
        }
    }

    @inline(__always)
    package mutating func append(integer: Int64) { integers.append(integer) }

    @inline(__always)
    package mutating func append(double: Double) { doubles.append(double) }

    @inline(__always)
    package mutating func append(string: UnsafeBufferPointer<UInt8>) {
        codes.append(UInt32(truncatingIfNeeded: dictionary.intern(string)))
    }

    package mutating func appendNull() {
        nullRows.append(UInt32(truncatingIfNeeded: count))
        switch type {
        case .double: doubles.append(0)
        case .string: codes.append(0)
        default: integers.append(0)
        }
    }

    /// Cuts back to `rows` rows. What a refused row added to the dictionary stays there, unused.
    mutating func truncate(to rows: Int) {
        let excess = count - rows
        guard excess > 0 else { return }
        switch type {
        case .double: doubles.removeLast(excess)
        case .string: codes.removeLast(excess)
        default: integers.removeLast(excess)
        }
        while let last = nullRows.last, Int(last) >= rows { nullRows.removeLast() }
    }

}

/// Rows of one schema. At most 2^31 rows.
package struct ColumnBatch: Sendable {
    package let schema: FrameSchema
    package var columns: [BatchColumn]
    package private(set) var rowCount = 0
    /// Text that the rows were read from, in bytes: the "raw" size of a frame.
    package var rawBytes = 0

    package init(schema: FrameSchema) {
        self.schema = schema
        columns = schema.columns.map { BatchColumn($0.type) }
    }

    /// Counts a row whose values were appended to every column.
    @inline(__always)
    package mutating func endRow() { rowCount &+= 1 }

    /// Drops the values of a row that turned out not to fit.
    mutating func discardUnfinishedRow() {
        for index in columns.indices { columns[index].truncate(to: rowCount) }
    }

    /// Appends one row of scalars, in the schema's order. For tests and small appends.
    package mutating func append(row: [Scalar]) throws(Failure) {
        precondition(row.count == schema.columns.count)
        for (index, scalar) in row.enumerated() {
            do { try append(scalar, column: index) } catch {
                discardUnfinishedRow()
                throw error
            }
        }
        endRow()
    }

    private mutating func append(_ scalar: Scalar, column: Int) throws(Failure) {
        switch (schema.columns[column].type, scalar) {
        case (_, .null): columns[column].appendNull()
        case (.int, .int(let number)), (.time, .time(let number)): columns[column].append(integer: number)
        case (.double, .double(let number)): columns[column].append(double: number)
        case (.bool, .bool(let flag)): columns[column].append(integer: flag ? 1 : 0)
        case (.string, .string(let bytes)): bytes.withUnsafeBufferPointer { columns[column].append(string: $0) }
        default:
            let wanted = schema.columns[column]
            throw Failure(.wrongType, "column '\(wanted.name)' is \(wanted.type.name); \(scalar) is not")
        }
    }

    /// What a batch of so many rows takes, strings left out: each value, and the row's number where there is none.
    package static func bytes(rows: Int, schema: FrameSchema) -> Int { rows * schema.columns.count * 12 }
}

// MARK: - From a tail

extension ColumnBatch {
    /// The rows of a tail, to be appended elsewhere.
    init(_ tail: TailView, schema: FrameSchema) {
        self.init(schema: schema)
        columns = tail.columns.map { BatchColumn($0) }
        rowCount = tail.rowCount
        rawBytes = tail.rawBytes
    }
}

extension BatchColumn {
    fileprivate init(_ view: ColumnView) {
        self.init(view.type)
        for row in 0..<view.rowCount {
            guard view.isValid(row) else {
                appendNull()
                continue
            }
            switch view.values {
            case .doubles(let doubles): append(double: doubles[row])
            case .codes where type == .string: append(string: view.dictionary![Int(view.key(at: row))])
            default: append(integer: view.key(at: row))
            }
        }
    }
}
