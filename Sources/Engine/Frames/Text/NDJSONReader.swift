// Blocks of NDJSON rows (a flat JSON object on each line) into typed columns.

/// Immutable, so that several threads can parse blocks at once. A field that a row does not have is null there; one that
/// the schema does not have, a nested value, and a value of another type than its column's are reported.
package struct NDJSONReader: Sendable {
    package let schema: FrameSchema
    private let names: [[UInt8]]
    /// The names one after the other; one that JSON has to escape is left out, as no line has it as it is.
    private let plainNames: [UInt8]
    /// By column, where its name lies in `plainNames`.
    private let plainRanges: [Range<Int>]

    package init(schema: FrameSchema) {
        self.schema = schema
        names = schema.columns.map { Array($0.name.utf8) }
        var plainNames: [UInt8] = []
        var plainRanges: [Range<Int>] = []
        for name in names {
            let start = plainNames.count
            let isPlain = name.allSatisfy { $0 >= 0x20 && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\") }
            if isPlain { plainNames += name }
            plainRanges.append(start..<plainNames.count)
        }
        self.plainNames = plainNames
        self.plainRanges = plainRanges
    }

    /// Appends the block's rows to `batch`. A row that does not fit leaves nothing behind: with `.stop` it is thrown
    /// (the rows before it stay), with `.skip` it is counted in `report`.
    package func parse(
        _ block: TextBlock, onError policy: RowErrorPolicy = .stop, into batch: inout ColumnBatch,
        report: inout RowReport
    ) throws(RowError) {
        let failure = block.bytes.withUnsafeBufferPointer { bytes -> RowError? in
            let isText = TextEncoding.firstBadByte(bytes) == nil
            var lines = JSONLines(bytes, firstLine: block.firstLine)
            while let row = lines.next() {
                do throws(RowProblem) {
                    try parseRow(row, lines.line, isText, into: &batch, &report)
                    batch.endRow()
                } catch {
                    batch.discardUnfinishedRow()
                    let error = RowError(line: lines.line, error)
                    if case .stop = policy { return error }
                    report.skip(error)
                }
            }
            return nil
        }
        batch.rawBytes += block.bytes.count
        if let failure { throw failure }
    }

    private func parseRow(
        _ line: UnsafeBufferPointer<UInt8>, _ lineNumber: Int, _ isText: Bool, into batch: inout ColumnBatch,
        _ report: inout RowReport
    ) throws(RowProblem) {
        if !isText, let problem = TextEncoding.problem(line) { throw RowProblem(try place(of: problem, in: line)) }
        var cursor = JSONCursor(line)
        var expected = 0
        try cursor.beginObject()
        while let index = try nextColumn(&cursor, expected) {
            guard batch.columns[index].count == batch.rowCount else {
                throw RowProblem("column '\(schema.columns[index].name)' appears twice")
            }
            let token = try cursor.value()
            try append(token, index, to: &batch.columns[index])
            if schema.columns[index].type == .string, token.isUnquoted {
                report.noteUnquoted(column: index, line: lineNumber)
            }
            expected = index + 1
        }
        try cursor.end()
        for index in batch.columns.indices where batch.columns[index].count == batch.rowCount {
            batch.columns[index].appendNull()
        }
    }

    /// The problem of a line that is no text, with the column that it is in where there is one.
    private func place(of problem: String, in line: UnsafeBufferPointer<UInt8>) throws(RowProblem) -> String {
        var cursor = JSONCursor(line)
        try cursor.beginObject()
        while let key = try cursor.nextKey() {
            let name = String(decoding: key, as: UTF8.self)
            if case .string(let text) = try cursor.value(), let problem = TextEncoding.problem(text) {
                return "column '\(name)': \(problem)"
            }
        }
        return problem
    }

    /// Rows mostly name their fields in the order of the columns: the next one is tried first. Nil at the row's end.
    @inline(__always)
    private func nextColumn(_ cursor: inout JSONCursor, _ expected: Int) throws(RowProblem) -> Int? {
        if expected < plainRanges.count, !plainRanges[expected].isEmpty {
            let isNext = plainNames.withUnsafeBufferPointer { names in
                cursor.takeKey(JSONCursor.Text(rebasing: names[plainRanges[expected]]))
            }
            if isNext { return expected }
        }
        guard let key = try cursor.nextKey() else { return nil }
        return try column(key)
    }

    private func column(_ key: JSONCursor.Text) throws(RowProblem) -> Int {
        guard let index = names.firstIndex(where: { $0.elementsEqual(key) }) else {
            let name = String(decoding: key.prefix(80), as: UTF8.self)
            throw RowProblem("there is no column '\(name)'; there are \(schema.listing)")
        }
        return index
    }

    private func append(
        _ token: JSONCursor.Token, _ index: Int, to column: inout BatchColumn
    ) throws(RowProblem) {
        switch (column.type, token) {
        case (_, .null): column.appendNull()
        case (.bool, .bool(let flag)): column.append(integer: flag ? 1 : 0)
        case (.string, .string(let text)), (.string, .number(let text)): column.append(string: text)
        case (.string, .bool(let flag)): Self.append(flag ? "true" : "false", to: &column)
        case (.double, .number(let text)):
            guard let number = FieldParsing.double(text, isNumber: true) else { throw misfit(token, index) }
            column.append(double: number)
        case (.int, .number(let text)):
            guard let number = FieldParsing.integer(text) else { throw misfit(token, index) }
            column.append(integer: number)
        case (.time, .string(let text)):
            guard let time = Timestamp.parse(text) else { throw misfit(token, index) }
            column.append(integer: time)
        default: throw misfit(token, index)
        }
    }

    private static func append(_ word: StaticString, to column: inout BatchColumn) {
        column.append(string: JSONCursor.Text(start: word.utf8Start, count: word.utf8CodeUnitCount))
    }

    private func misfit(_ token: JSONCursor.Token, _ index: Int) -> RowProblem {
        let column = schema.columns[index]
        return switch (token, column.type) {
        case (.number(let text), .int), (.number(let text), .double), (.string(let text), .time):
            FieldMisfit.problem(token.shown, text, column, token.candidates)
        default: FieldMisfit.problem(token.shown, nil, column, token.candidates)
        }
    }
}

extension SchemaInference {
    /// The schema of NDJSON rows: the fields in the order they first come; int before double, string for mixtures, time
    /// where every string is one. Rows that are no flat objects say nothing: they are reported when they are parsed.
    package static func ndjson(block: TextBlock, rowsMax: Int = rowsMax) throws(Failure) -> FrameSchema {
        var order: [String] = []
        var columns: [String: Candidates] = [:]
        var firstProblem: RowError?
        block.bytes.withUnsafeBufferPointer { bytes in
            var lines = JSONLines(bytes, firstLine: block.firstLine)
            for _ in 0..<rowsMax {
                guard let line = lines.next() else { break }
                do throws(RowProblem) {
                    for (name, candidates) in try fields(of: line) {
                        if columns[name] == nil { order.append(name) }
                        columns[name, default: Candidates()].formIntersection(candidates)
                    }
                } catch {
                    firstProblem = firstProblem ?? RowError(line: lines.line, error)
                }
            }
        }
        guard !order.isEmpty else {
            throw firstProblem?.failure ?? Failure(.wrongType, "no row of NDJSON to infer column types from")
        }
        return try FrameSchema(columns: order.map { FrameColumn($0, columns[$0]!.type) })
    }

    private static func fields(of line: UnsafeBufferPointer<UInt8>) throws(RowProblem) -> [(String, Candidates)] {
        var cursor = JSONCursor(line)
        var fields: [(String, Candidates)] = []
        try cursor.beginObject()
        while let key = try cursor.nextKey() {
            if let problem = TextEncoding.problem(key) { throw RowProblem("the column \(problem)") }
            fields.append((String(decoding: key, as: UTF8.self), try cursor.value().candidates))
        }
        try cursor.end()
        return fields
    }
}

extension JSONCursor.Token {
    /// A number or a truth value.
    fileprivate var isUnquoted: Bool {
        switch self {
        case .number, .bool: true
        case .null, .string: false
        }
    }

    /// The types that this value fits.
    fileprivate var candidates: SchemaInference.Candidates {
        switch self {
        case .null: SchemaInference.Candidates()
        case .bool: SchemaInference.Candidates(only: .bool)
        case .number(let text): SchemaInference.Candidates(number: text)
        case .string(let text): SchemaInference.Candidates(only: Timestamp.parse(text) != nil ? .time : .string)
        }
    }

    fileprivate var shown: String {
        switch self {
        case .null: "null"
        case .bool(let flag): "\(flag)"
        case .number(let text): FieldParsing.shown(text)
        case .string(let text): FieldParsing.shown(text)
        }
    }
}

/// The lines of a block that are not blank, one after the other. A line ends at LF, at CR LF, or at a CR alone.
private struct JSONLines {
    private let bytes: UnsafeBufferPointer<UInt8>
    private var at = 0
    /// The line that was answered last.
    private(set) var line: Int

    init(_ bytes: UnsafeBufferPointer<UInt8>, firstLine: Int) {
        self.bytes = bytes
        line = firstLine - 1
        if firstLine == 1, bytes.starts(with: [0xEF, 0xBB, 0xBF]) { at = 3 }  // a byte order mark
    }

    @inline(__always)
    mutating func next() -> UnsafeBufferPointer<UInt8>? {
        while at < bytes.count {
            let start = at
            var isBlank = true
            while at < bytes.count {
                let byte = bytes[at]
                if byte > 0x20 {
                    isBlank = false
                } else if byte == UInt8(ascii: "\n") || byte == UInt8(ascii: "\r") {
                    break
                }
                at &+= 1
            }
            let end = at
            if at < bytes.count {
                let isCR = bytes[at] == UInt8(ascii: "\r")
                at &+= 1
                if isCR, at < bytes.count, bytes[at] == UInt8(ascii: "\n") { at &+= 1 }
            }
            line &+= 1
            if !isBlank { return UnsafeBufferPointer(rebasing: bytes[start..<end]) }
        }
        return nil
    }
}
