// Rows as CSV, for the command line and HTTP: RFC 4180, with a header of the names of all columns.

import Engine

struct CSVText: Sendable {
    /// Behind each line.
    var lineEnd: [UInt8]

    /// As RFC 4180 has it.
    static let exact = CSVText(lineEnd: [0x0D, 0x0A])
    /// As other programs of the command line have it.
    static let plain = CSVText(lineEnd: [0x0A])

    /// Rows of the result, one a line; a result that is no list is one row, and what is no row stands under `value`.
    /// Nothing where there are no rows, as nobody knows what their columns would be.
    func text(of result: Value) -> [UInt8] {
        let rows: [Value] = if case .array(let list) = result { list } else { [result] }
        guard !rows.isEmpty else { return [] }
        var names: [Value] = [.string("value")]
        if case .array(let columns)? = Value.array(rows).columns { names = columns.compactMap { $0["name"] } }
        var text = line(names)
        for row in rows {
            guard case .map(let pairs) = row else {
                text += line([row])
                continue
            }
            let fields = Dictionary(pairs.map { ($0.key, $0.value) }, uniquingKeysWith: { first, _ in first })
            text += line(names.map { fields[$0] ?? .null })
        }
        return text
    }

    private func line(_ fields: [Value]) -> [UInt8] {
        var line: [UInt8] = []
        for (at, field) in fields.enumerated() {
            if at > 0 { line.append(UInt8(ascii: ",")) }
            let text = field.answer
            let isPlain = text.allSatisfy { $0 >= 0x20 && $0 != UInt8(ascii: ",") && $0 != UInt8(ascii: "\"") }
            if isPlain {
                line += text
            } else {
                line.append(UInt8(ascii: "\""))
                for byte in text {
                    if byte == UInt8(ascii: "\"") { line.append(byte) }
                    line.append(byte)
                }
                line.append(UInt8(ascii: "\""))
            }
        }
        return line + lineEnd
    }
}
