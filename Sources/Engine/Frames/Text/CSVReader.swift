// Blocks of CSV rows into typed columns.

/// Parses blocks under one schema and one header. Immutable, so that several threads can parse blocks at once.
package struct CSVReader: Sendable {
    package let schema: FrameSchema
    private let delimiter: UInt8
    /// For each field of a row, its column.
    private let columnOfField: [Int]
    /// Columns that the header does not name: null in every row.
    private let missingColumns: [Int]
    /// The header ends with a delimiter, and so may the rows.
    private let endsWithDelimiter: Bool

    /// Throws when the header names a column that the schema does not have, or one twice. A last name that is empty stands
    /// for a delimiter at the end of every row, which is no column.
    package init(schema: FrameSchema, header: [String], delimiter: UInt8 = UInt8(ascii: ",")) throws(Failure) {
        self.schema = schema
        self.delimiter = delimiter
        endsWithDelimiter = header.count > 1 && header.last == ""
        var columnOfField: [Int] = []
        for name in endsWithDelimiter ? header.dropLast() : header[...] {
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
    package static func header(
        of block: TextBlock, delimiter: UInt8 = UInt8(ascii: ",")
    ) throws(RowError) -> (names: [String], rest: TextBlock) {
        let mark = block.bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? 3 : 0  // a byte order mark
        let result = block.bytes.withUnsafeBufferPointer { bytes -> Result<([String], Int, Int), RowError> in
            var cursor = CSVCursor(UnsafeBufferPointer(rebasing: bytes[mark...]), delimiter: delimiter)
            guard cursor.findRow() else {
                return .failure(RowError(line: block.firstLine, "no CSV header: the first row must name the columns"))
            }
            var names: [String] = []
            var end = CSVCursor.End.separator
            while end == .separator {
                end = cursor.nextField()
                let name = FieldParsing.trimmed(cursor.field)
                let problem =
                    end == .broken
                    ? "the quoted name \(FieldParsing.shown(name)) does not end with its closing quote"
                    : TextEncoding.problem(name)
                if let problem {
                    let line = block.firstLine + cursor.lines(before: cursor.isQuoted ? cursor.quoteAt : cursor.at - 1)
                    return .failure(RowError(line: line, "the CSV header: \(problem)"))
                }
                names.append(String(decoding: name, as: UTF8.self))
            }
            return .success((names, cursor.at, cursor.lines(before: cursor.at)))
        }
        let (names, length, lines) = try result.get()
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
            let isText = TextEncoding.firstBadByte(bytes) == nil
            var cursor = CSVCursor(bytes, delimiter: delimiter)
            // A blank line is a row where a row is one field.
            while columnOfField.count == 1 ? !cursor.atEnd : cursor.findRow() {
                let start = cursor.at
                if let (problem, at) = parseRow(&cursor, isText, into: &batch) {
                    batch.discardUnfinishedRow()
                    let error = RowError(line: block.firstLine + cursor.lines(before: at ?? start), problem)
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

    /// Nil when the row fits, else what is wrong with it, and where if that is not where it begins.
    private func parseRow(
        _ cursor: inout CSVCursor, _ isText: Bool, into batch: inout ColumnBatch
    ) -> (RowProblem, at: Int?)? {
        var index = 0
        while true {
            let end = cursor.nextField()
            guard index < columnOfField.count else {
                if endsWithDelimiter, index == columnOfField.count, end == .row, cursor.field.isEmpty { break }
                return (tooMany, nil)
            }
            let column = columnOfField[index]
            guard end != .broken else {
                return (openQuote(cursor, column), cursor.quoteAt)
            }
            if !isText, let problem = TextEncoding.problem(cursor.field) {
                return (RowProblem("column '\(schema.columns[column].name)': \(problem)"), nil)
            }
            guard append(cursor.field, isQuoted: cursor.isQuoted, to: &batch.columns[column]) else {
                let misfit = misfit(cursor.field, column)
                return misshapen(&cursor, read: index + 1, end) ?? (misfit, nil)
            }
            index &+= 1
            if end == .row { break }
        }
        if let problem = tooFew(index) { return (problem, nil) }
        for column in missingColumns { batch.columns[column].appendNull() }
        return nil
    }

    /// What is wrong with the rest of a row, of which `read` fields are read, other than values: it makes another type for one of
    /// them no remedy.
    private func misshapen(
        _ cursor: inout CSVCursor, read: Int, _ end: CSVCursor.End
    ) -> (RowProblem, at: Int?)? {
        var (read, end) = (read, end)
        while end == .separator {
            end = cursor.nextField()
            guard read < columnOfField.count else {
                return endsWithDelimiter && end == .row && cursor.field.isEmpty ? nil : (tooMany, nil)
            }
            guard end != .broken else { return (openQuote(cursor, columnOfField[read]), cursor.quoteAt) }
            read += 1
        }
        return tooFew(read).map { ($0, nil) }
    }

    private func openQuote(_ cursor: borrowing CSVCursor, _ column: Int) -> RowProblem {
        let text = FieldParsing.shown(cursor.field)
        return RowProblem(
            "column '\(schema.columns[column].name)': the quoted field \(text) does not end with its closing quote")
    }

    private var tooMany: RowProblem { RowProblem("more than the header's \(Self.fields(columnOfField.count))") }

    private func tooFew(_ read: Int) -> RowProblem? {
        read < columnOfField.count
            ? RowProblem("\(Self.fields(read)) where the header has \(columnOfField.count)") : nil
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
