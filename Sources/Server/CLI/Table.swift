// Rows as a table for people: numbers to the right, fractions to four digits, nothing as `-`.

package import Engine

package struct Table {
    private let header: [String]
    private let rows: [[Cell]]

    private struct Cell {
        var text: String
        var isNumber: Bool
    }

    /// From an answer's result: an array of maps with keys of text, all of which become columns, in the order in which they are
    /// met first. Nil for anything else, and for so many different keys that most cells would be empty.
    /// `fractionDigits`: up to 4, behind the point.
    package init?(_ result: Value, fractionDigits: Int = 4) {
        guard case .array(let elements) = result, !elements.isEmpty else { return nil }
        var columns: [Value] = []
        var places: [Value: Int] = [:]
        for element in elements {
            guard case .map(let pairs) = element else { return nil }
            for pair in pairs where places[pair.key] == nil {
                guard pair.key.text != nil, columns.count < Self.columnsMax else { return nil }
                places[pair.key] = columns.count
                columns.append(pair.key)
            }
        }
        guard !columns.isEmpty else { return nil }
        header = columns.compactMap(\.text).map(Terminal.visible)
        let nothing = Self.cell(.null, fractionDigits)
        rows = elements.map { element in
            var row = [Cell](repeating: nothing, count: columns.count)
            if case .map(let pairs) = element {
                for pair in pairs {
                    if let place = places[pair.key] { row[place] = Self.cell(pair.value, fractionDigits) }
                }
            }
            return row
        }
    }

    private static let columnsMax = 1_024

    package var text: String { lines.joined(separator: "\n") }

    var lines: [String] {
        let widths = header.indices.map { column in
            rows.reduce(header[column].count) { max($0, $1[column].text.count) }
        }
        let isNumeric = header.indices.map { column in rows.contains { $0[column].isNumber } }
        func line(_ cells: [String]) -> String {
            let padded = cells.indices.map { column in
                let fill = String(repeating: " ", count: widths[column] - cells[column].count)
                return isNumeric[column] ? fill + cells[column] : cells[column] + fill
            }
            let text = padded.joined(separator: "  ")
            return String(text.reversed().drop { $0 == " " }.reversed())
        }
        let rule = widths.map { String(repeating: "-", count: $0) }
        return [line(header), line(rule)] + rows.map { line($0.map(\.text)) }
    }

    private static func cell(_ value: Value, _ fractionDigits: Int) -> Cell {
        switch value {
        case .null: Cell(text: "-", isNumber: false)
        case .int(let number): Cell(text: Counted.grouped(Int(number)), isNumber: true)
        case .double(let number): Cell(text: fraction(number, digits: fractionDigits), isNumber: true)
        default: Cell(text: Terminal.visible(String(decoding: value.answer, as: UTF8.self)), isNumber: false)
        }
    }

    private static func fraction(_ number: Double, digits: Int) -> String {
        if let name = number.nameOfNoNumber { return "\(name)" }
        guard abs(number) < 1e15 else { return "\(number)" }
        let unit = [1, 10, 100, 1_000, 10_000][min(max(0, digits), 4)]
        let scaled = Int64((abs(number) * Double(unit)).rounded())
        let text = String(scaled % Int64(unit))
        let sign = number < 0 && scaled != 0 ? "-" : ""
        let whole = sign + Counted.grouped(Int(scaled / Int64(unit)))
        return unit == 1 ? whole : whole + "." + String(repeating: "0", count: digits - text.count) + text
    }
}

/// Numbers as people read them.
enum Counted {
    /// 336776 as `336,776`.
    static func grouped(_ number: Int) -> String {
        let digits = Array(String(number.magnitude))
        var out = number < 0 ? "-" : ""
        for (index, digit) in digits.enumerated() {
            if index > 0, (digits.count - index) % 3 == 0 { out.append(",") }
            out.append(digit)
        }
        return out
    }

    /// `1 row`, `2 rows`.
    static func noun(_ number: Int, _ singular: String) -> String {
        "\(grouped(number)) \(singular)\(number == 1 ? "" : "s")"
    }

    /// Milliseconds with one digit.
    static func milliseconds(_ milliseconds: Double) -> String {
        guard let tenths = Int(exactly: (milliseconds * 10).rounded()) else { return "- ms" }
        return "\(grouped(tenths / 10)).\(tenths % 10) ms"
    }
}
