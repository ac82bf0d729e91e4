// Column types from the first rows of an input that came without a schema.

/// Keeps, for each column, the types that every value so far fits: int before double, then bool, time, and string for
/// what fits none. A column without any value is a string column.
package struct SchemaInference: Sendable {
    package static let rowsMax = 10_000

    /// The types that every value seen so far fits, and would be given back by.
    struct Candidates: Sendable {
        private var fitsInt = true
        private var fitsDouble = true
        private var fitsBool = true
        private var fitsTime = true
        private var sawValue = false

        init() {}

        /// Of one value of this type.
        init(only type: ColumnType) {
            sawValue = true
            (fitsInt, fitsDouble) = (false, false)
            (fitsBool, fitsTime) = (type == .bool, type == .time)
        }

        /// Of one number that JSON writes without quotes, so that it is no name.
        init(number: UnsafeBufferPointer<UInt8>) {
            sawValue = true
            (fitsBool, fitsTime) = (false, false)
            narrowNumber(number, isNumber: true)
        }

        mutating func narrow(_ field: UnsafeBufferPointer<UInt8>) {
            sawValue = true
            narrowNumber(field)
            if fitsBool { fitsBool = FieldParsing.bool(field) != nil }
            if fitsTime { fitsTime = Timestamp.parse(field) != nil }
        }

        /// A whole number beyond 2^53 is an int and no double: among doubles it makes the column text. What is not finite
        /// makes it text too, unless double was declared.
        private mutating func narrowNumber(_ field: UnsafeBufferPointer<UInt8>, isNumber: Bool = false) {
            if fitsInt { fitsInt = FieldParsing.integer(field) != nil }
            if fitsDouble { fitsDouble = FieldParsing.double(field, isNumber: isNumber)?.isFinite == true }
        }

        mutating func formIntersection(_ other: Candidates) {
            sawValue = sawValue || other.sawValue
            fitsInt = fitsInt && other.fitsInt
            fitsDouble = fitsDouble && other.fitsDouble
            fitsBool = fitsBool && other.fitsBool
            fitsTime = fitsTime && other.fitsTime
        }

        var type: ColumnType {
            guard sawValue else { return .string }
            return fitsInt ? .int : fitsDouble ? .double : fitsBool ? .bool : fitsTime ? .time : .string
        }
    }

    /// The schema of CSV rows under a header, from at most `rowsMax` rows of `block` (which begins after the header).
    /// Rows with another number of fields say nothing: they are reported when they are parsed.
    package static func csv(
        header: [String], block: TextBlock, delimiter: UInt8 = UInt8(ascii: ","), rowsMax: Int = rowsMax
    ) throws(Failure) -> FrameSchema {
        let endsWithDelimiter = header.count > 1 && header.last == ""
        let candidates = block.bytes.withUnsafeBufferPointer { bytes in
            var candidates = [Candidates](repeating: Candidates(), count: header.count)
            var cursor = CSVCursor(bytes, delimiter: delimiter)
            var rows = 0
            while rows < rowsMax, header.count == 1 ? !cursor.atEnd : cursor.findRow() {
                let start = cursor.at
                var row = candidates
                if let fields = narrow(&row, with: &cursor), fields >= row.count - (endsWithDelimiter ? 1 : 0) {
                    candidates = row
                } else {
                    cursor.skipRow(from: start)
                }
                rows += 1
            }
            return candidates
        }
        let columns = zip(header, candidates).map { FrameColumn($0, $1.type) }
        return try FrameSchema(columns: endsWithDelimiter ? columns.dropLast() : columns)
    }

    /// How many fields a row has; nil where its quotes don't add up or it has more than the header.
    private static func narrow(_ row: inout [Candidates], with cursor: inout CSVCursor) -> Int? {
        var index = 0
        var end = CSVCursor.End.separator
        while end == .separator {
            end = cursor.nextField()
            guard end != .broken, index < row.count else { return nil }
            let field = FieldParsing.trimmed(cursor.field)
            if !FieldParsing.isNull(field) { row[index].narrow(field) }
            index += 1
        }
        return index
    }
}
