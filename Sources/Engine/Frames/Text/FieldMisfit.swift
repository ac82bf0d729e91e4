// Why a field's text does not fit its column, in words.

// Unsafe: reads the bytes of one field, within its bounds.

enum FieldMisfit {
    typealias Field = UnsafeBufferPointer<UInt8>

    /// `column 'zip': '01007' is not an int (it would lose its leading zeros)`, and the column that would take it.
    static func problem(
        _ shown: String, _ field: Field?, _ column: FrameColumn, _ candidates: SchemaInference.Candidates
    ) -> RowProblem {
        let article = column.type == .int ? "an" : "a"
        let reason = field.flatMap { why($0, column.type) }.map { " (\($0))" } ?? ""
        // What was an int so far may go on as a double; anything else only as text.
        let type: ColumnType = column.type == .int && candidates.type == .double ? .double : .string
        return RowProblem(
            "column '\(column.name)': \(shown) is not \(article) \(column.type.name)\(reason)",
            remedy: FrameColumn(column.name, type))
    }

    /// Only for text that looks as if it did fit.
    private static func why(_ field: Field, _ type: ColumnType) -> String? {
        switch type {
        case .int, .double: whyNoNumber(field, type)
        case .time: whyNoTime(field)
        case .string, .bool: nil
        }
    }

    private static func whyNoNumber(_ field: Field, _ type: ColumnType) -> String? {
        let isSigned = field.first == UInt8(ascii: "+") || field.first == UInt8(ascii: "-")
        let digits = Field(rebasing: field[(isSigned ? 1 : 0)...])
        guard !digits.isEmpty, digits.allSatisfy({ $0 &- 48 < 10 || $0 == UInt8(ascii: ".") || $0 | 0x20 == 0x65 })
        else {
            return nil
        }
        if field.first == UInt8(ascii: "+") { return "it would lose its plus" }
        if digits.count > 1, digits[0] == 48, digits[1] &- 48 < 10 { return "it would lose its leading zeros" }
        guard let shape = DecimalShape(field) else { return nil }
        switch (type, shape.isFractional) {
        case (.int, true): return "an int has no point and no exponent"
        case (.int, false): return digits.count == 1 ? "it would lose its minus" : "it has more than 64 bits"
        case (_, true):
            if shape.mayBeName { return "it may be a name: an exponent has a sign or a point before it, as in 1e+05" }
            if shape.significantDigits > DecimalShape.significantDigitsMax {
                return "it has more than \(DecimalShape.significantDigitsMax) significant digits"
            }
            guard let near = Double(String(decoding: field, as: UTF8.self)), near.isFinite, near != 0 else {
                return "it is beyond the range of a double"
            }
            return "the double next to it is \(near)"
        case (_, false):
            return digits.count == 1 ? "it would lose its minus" : "a double skips whole numbers beyond 2^53"
        }
    }

    private static func whyNoTime(_ field: Field) -> String? {
        let text = String(decoding: field.prefix(80), as: UTF8.self)
        // The time of day without its fraction is a time: so the fraction has too many digits.
        if let point = text.lastIndex(where: { $0 == "." || $0 == "," }) {
            let rest = text[text.index(after: point)...].drop { ("0"..."9").contains($0) }
            if Timestamp.parse(String(text[..<point] + rest)) != nil {
                return "it would lose digits beyond microseconds"
            }
        }
        let second = text.replacing(":60", with: ":59")
        return second != text && Timestamp.parse(second) != nil ? "there are no leap seconds" : nil
    }
}
