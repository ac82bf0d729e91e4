// A finished answer as a table: sorted, limited, filtered, and turned into plain values.

package struct ResultTable: Sendable, Equatable {
    /// Group keys in the order given, then aggregates by name; or the columns asked for.
    package let columns: [String]
    package let keyCount: Int
    package private(set) var rows: [[Scalar]]

    package init(columns: [String], keyCount: Int, rows: [[Scalar]]) {
        self.columns = columns
        self.keyCount = keyCount
        self.rows = rows
    }

    /// By one column; ties by the group keys, ascending. Nulls come last in both directions.
    package mutating func sort(_ column: String, ascending: Bool) throws(Failure) {
        let index = try index(of: column)
        let keyCount = keyCount
        rows.sort { a, b in
            if a[index].isNull || b[index].isNull {
                if a[index].isNull != b[index].isNull { return b[index].isNull }
            } else {
                let order = Scalar.compare(a[index], b[index])
                if order != 0 { return ascending ? order < 0 : order > 0 }
            }
            return Self.keysPrecede(a, b, keyCount)
        }
    }

    /// By the group keys, ascending, nulls last: the order an answer has unless another is asked for.
    mutating func sortByKeys() {
        guard keyCount > 0 else { return }
        let keyCount = keyCount
        rows.sort { Self.keysPrecede($0, $1, keyCount) }
    }

    private static func keysPrecede(_ a: [Scalar], _ b: [Scalar], _ keyCount: Int) -> Bool {
        for index in 0..<keyCount {
            let order = Scalar.compare(a[index], b[index])
            if order != 0 { return order < 0 }
        }
        return false
    }

    package mutating func limit(_ count: Int) {
        if rows.count > count { rows.removeLast(rows.count - max(0, count)) }
    }

    /// Keeps the rows whose column compares so with `value`; a null compares with nothing.
    package mutating func having(_ column: String, _ op: FilterOperator, _ value: Value = .null) throws(Failure) {
        let index = try index(of: column)
        switch op {
        case .isNull: rows.removeAll { !$0[index].isNull }
        case .notNull: rows.removeAll { $0[index].isNull }
        case .equal, .notEqual, .less, .lessOrEqual, .greater, .greaterOrEqual:
            let sample = rows.first { !$0[index].isNull }?[index]
            guard let sample else {
                rows.removeAll()
                return
            }
            let wanted = try Self.scalar(value, like: sample, column)
            rows.removeAll { $0[index].isNull || !op.accepts(Scalar.compare($0[index], wanted)) }
        case .isIn, .between, .like, .during:
            throw Failure(.scriptError, "having takes = ~= < <= > >= isnull notnull, not '\(op.rawValue)'")
        }
    }

    /// A map for each row, its columns in the order given, or in the table's.
    package func values(order: [String]? = nil) throws(Failure) -> [Value] {
        var indices = Array(columns.indices)
        if let order {
            indices = []
            for name in order { indices.append(try index(of: name)) }
        }
        let names = columns.map { Value.string($0) }
        return rows.map { row in .map(indices.map { Value.Pair(names[$0], row[$0].value) }) }
    }

    private func index(of column: String) throws(Failure) -> Int {
        guard let index = columns.firstIndex(of: column) else {
            throw Failure(
                .scriptError, "the result has no column '\(column)'; there are \(columns.joined(separator: ", "))")
        }
        return index
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
