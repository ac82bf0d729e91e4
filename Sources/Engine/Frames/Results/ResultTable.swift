// A finished answer as a table of plain values.

package struct ResultTable: Sendable, Equatable {
    /// Group keys in the order given, then aggregates by name; or the columns asked for.
    package let columns: [String]
    package let keyCount: Int
    package let rows: [[Scalar]]

    package init(columns: [String], keyCount: Int, rows: [[Scalar]]) {
        self.columns = columns
        self.keyCount = keyCount
        self.rows = rows
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

    func index(of column: String) throws(Failure) -> Int {
        guard let index = columns.firstIndex(of: column) else {
            throw Failure(
                .scriptError, "the result has no column '\(column)'; there are \(columns.joined(separator: ", "))")
        }
        return index
    }
}
