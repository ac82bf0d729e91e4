// Blocks of CSV rows into typed columns.

/// Parses blocks under one schema and one header. Immutable, so that several threads can parse blocks at once.
package struct CSVReader: Sendable {
    package let schema: FrameSchema
    /// For each field of a row, its column.
    private let columnOfField: [Int]
    /// Columns that the header does not name: null in every row.
    private let missingColumns: [Int]

    /// Throws when the header names a column that the schema does not have, or one twice.
    package init(schema: FrameSchema, header: [String]) throws(Failure) {
        self.schema = schema
        var columnOfField: [Int] = []
        for name in header {
            guard let index = schema.index(of: name) else {
                throw Failure(
                    .wrongType, "the CSV header names '\(name)', which is no column; there are \(schema.listing)")
            }
            guard !columnOfField.contains(index) else {
                throw Failure(.wrongType, "the CSV header names '\(name)' twice")
            }
            columnOfField.append(index)
        }
        self.columnOfField = columnOfField
        missingColumns = schema.columns.indices.filter { !columnOfField.contains($0) }
    }

    /// The names in the first row of an input's first block, and the block without that row.
    package static func header(of block: TextBlock) throws(RowError) -> (names: [String], rest: TextBlock) {
        let mark = block.bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? 3 : 0  // a byte order mark
        let result = block.bytes.withUnsafeBufferPointer { bytes -> ([String], Int, Int)? in
            var cursor = CSVCursor(UnsafeBufferPointer(rebasing: bytes[mark...]))
            guard cursor.findRow() else { return nil }
            var names: [String] = []
            var end = CSVCursor.End.separator
            while end == .separator {
                end = cursor.nextField()
                names.append(String(decoding: FieldParsing.trimmed(cursor.field), as: UTF8.self))
            }
            return end == .broken ? nil : (names, cursor.at, cursor.lines(before: cursor.at))
        }
        guard let (names, length, lines) = result else {
            throw RowError(line: block.firstLine, "no CSV header: the first row must name the columns")
        }
        let rest = Array(block.bytes.dropFirst(mark + length))
        return (names, TextBlock(bytes: rest, firstLine: block.firstLine + lines))
    }

    /// Appends the block's rows to `batch`. A row that does not fit leaves nothing behind: with `.stop` it is thrown
    /// (the rows before it stay), with `.skip` it is counted in `report`.
    package func parse(
        _ block: TextBlock, onError policy: RowErrorPolicy = .stop, into batch: inout ColumnBatch,
        report: inout RowReport
    ) throws(RowError) {
        let failure = block.bytes.withUnsafeBufferPointer { bytes -> RowError? in
            var cursor = CSVCursor(bytes)
            while cursor.findRow() {
                let start = cursor.at
                if let problem = parseRow(&cursor, into: &batch) {
                    batch.discardUnfinishedRow()
                    let error = RowError(line: block.firstLine + cursor.lines(before: start), problem)
                    if case .stop = policy { return error }
                    report.skip(error)
                    cursor.skipRow(from: start)
                } else {
                    batch.endRow()
                }
            }
            return nil
        }
        batch.rawBytes += block.bytes.count
        if let failure { throw failure }
    }

    /// Nil when the row fits, else what is wrong with it.
    private func parseRow(_ cursor: inout CSVCursor, into batch: inout ColumnBatch) -> RowProblem? {
        var index = 0
        while true {
            let end = cursor.nextField()
            guard index < columnOfField.count else {
                return RowProblem("more than the header's \(Self.fields(columnOfField.count))")
            }
            let column = columnOfField[index]
            guard end != .broken else {
                let name = schema.columns[column].name
                let text = FieldParsing.shown(cursor.field)
                return RowProblem("column '\(name)': the quoted field \(text) does not end with its closing quote")
            }
            guard append(cursor.field, isQuoted: cursor.isQuoted, to: &batch.columns[column]) else {
                return misfit(cursor.field, column)
            }
            index &+= 1
            if end == .row { break }
        }
        guard index == columnOfField.count else {
            return RowProblem("\(Self.fields(index)) where the header has \(columnOfField.count)")
        }
        for column in missingColumns { batch.columns[column].appendNull() }
        return nil
    }

    @inline(__always)
    private func append(_ field: CSVCursor.Field, isQuoted: Bool, to column: inout BatchColumn) -> Bool {
        if column.type == .string {
            if !isQuoted, FieldParsing.isNull(field) { column.appendNull() } else { column.append(string: field) }
            return true
        }
        let field = FieldParsing.trimmed(field)
        if FieldParsing.isNull(field) {
            column.appendNull()
            return true
        }
        switch column.type {
        case .int:
            guard let number = FieldParsing.integer(field) else { return false }
            column.append(integer: number)
        case .double:
            guard let number = FieldParsing.double(field) else { return false }
            column.append(double: number)
        case .bool:
            guard let flag = FieldParsing.bool(field) else { return false }
            column.append(integer: flag ? 1 : 0)
        case .time:
            guard let time = Timestamp.parse(field) else { return false }
            column.append(integer: time)
        case .string: break
        }
        return true
    }

    private static func fields(_ count: Int) -> String { count == 1 ? "1 field" : "\(count) fields" }

    private func misfit(_ field: CSVCursor.Field, _ index: Int) -> RowProblem {
        let text = FieldParsing.trimmed(field)
        var candidates = SchemaInference.Candidates()
        candidates.narrow(text)
        return FieldMisfit.problem(FieldParsing.shown(field), text, schema.columns[index], candidates)
    }
}
