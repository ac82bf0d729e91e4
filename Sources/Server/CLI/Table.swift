// Rows as a table for people: numbers to the right, fractions to four digits, nothing as `-`.

import Engine

struct Table {
    private let header: [String]
    private let rows: [[Cell]]

    private struct Cell {
        var text: String
        var isNumber: Bool
    }

    /// From an answer's result: an array of maps with the same keys. Nil for anything else.
    init?(_ result: Value) {
        guard case .array(let elements) = result, case .map(let first)? = elements.first else { return nil }
        header = first.compactMap(\.key.text)
        rows = elements.compactMap { element in
            guard case .map(let pairs) = element else { return nil }
            return first.map { column in
                Self.cell(pairs.first { $0.key == column.key }?.value ?? .null)
            }
        }
        guard rows.count == elements.count, header.count == first.count else { return nil }
    }

    var text: String {
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
        return ([line(header), line(rule)] + rows.map { line($0.map(\.text)) }).joined(separator: "\n")
    }

    private static func cell(_ value: Value) -> Cell {
        switch value {
        case .null: Cell(text: "-", isNumber: false)
        case .int(let number): Cell(text: Counted.grouped(Int(number)), isNumber: true)
        case .double(let number): Cell(text: fraction(number), isNumber: true)
        default: Cell(text: String(decoding: value.answer, as: UTF8.self), isNumber: false)
        }
    }

    private static func fraction(_ number: Double) -> String {
        guard number.isFinite, abs(number) < 1e15 else { return "\(number)" }
        let scaled = Int64((abs(number) * 10_000).rounded())
        let digits = String(scaled % 10_000)
        let sign = number < 0 && scaled != 0 ? "-" : ""
        let padding = String(repeating: "0", count: 4 - digits.count)
        return "\(sign)\(Counted.grouped(Int(scaled / 10_000))).\(padding)\(digits)"
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
        let tenths = Int((milliseconds * 10).rounded())
        return "\(grouped(tenths / 10)).\(tenths % 10) ms"
    }
}
