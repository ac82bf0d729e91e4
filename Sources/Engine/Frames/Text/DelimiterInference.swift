// Which byte stands between the fields of a CSV file, from its first rows.

package enum DelimiterInference {
    /// How much of an input is looked at.
    package static let sampleBytes = 64 << 10
    /// The earlier one wins where nothing else speaks for one.
    private static let candidates = [UInt8(ascii: ","), UInt8(ascii: ";"), UInt8(ascii: "\t"), UInt8(ascii: "|")]

    /// `isWhole`: the sample is the whole input, not its beginning. A comma where no delimiter makes several columns.
    package static func delimiter(of sample: [UInt8], isWhole: Bool) -> UInt8 {
        var best = (delimiter: candidates[0], score: Score())
        for delimiter in candidates {
            let score = sample.withUnsafeBufferPointer { Self.score($0, isWhole, delimiter) }
            if best.score < score { best = (delimiter, score) }
        }
        return best.delimiter
    }

    /// What speaks for a delimiter, the weightiest first.
    private struct Score: Comparable {
        /// Rows with as many fields as the first one, of a thousand. None where that has only one field.
        var evenRows = 0
        /// Columns that are no text.
        var typedColumns = 0
        var columns = 0

        static func < (a: Self, b: Self) -> Bool {
            (a.evenRows, a.typedColumns, a.columns) < (b.evenRows, b.typedColumns, b.columns)
        }
    }

    private static func score(_ bytes: UnsafeBufferPointer<UInt8>, _ isWhole: Bool, _ delimiter: UInt8) -> Score {
        var cursor = CSVCursor(bytes, delimiter: delimiter)
        var columns: [SchemaInference.Candidates] = []
        var (rows, evenRows) = (0, 0)
        while cursor.findRow() {
            let start = cursor.at
            var row: [SchemaInference.Candidates] = []
            var end = CSVCursor.End.separator
            while end == .separator {
                end = cursor.nextField()
                var candidates = SchemaInference.Candidates()
                let field = FieldParsing.trimmed(cursor.field)
                if !FieldParsing.isNull(field) { candidates.narrow(field) }
                row.append(candidates)
            }
            if cursor.atEnd, !isWhole, rows > 0 { break }  // the rest of the row may be missing
            if rows == 0 {
                guard end == .row, row.count > 1 else { return Score() }
                columns = row.map { _ in SchemaInference.Candidates() }
            } else if end == .row, row.count == columns.count {
                evenRows += 1
                for index in row.indices { columns[index].formIntersection(row[index]) }
            } else if end == .broken {
                cursor.skipRow(from: start)
            }
            rows += 1
        }
        return Score(
            evenRows: rows > 1 ? 1 + evenRows * 1000 / (rows - 1) : 1,
            typedColumns: columns.count { $0.type != .string }, columns: columns.count)
    }
}
