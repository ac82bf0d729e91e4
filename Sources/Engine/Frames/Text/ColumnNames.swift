// Names for the columns of a CSV file where its first row does not give each one of its own.

package struct ColumnNames: Sendable, Equatable {
    /// As `CSVReader` takes them: an empty last one stands for a delimiter at the end of every row.
    package private(set) var header: [String]
    /// What was assumed, for people.
    package private(set) var notes: [String] = []
    /// The first row holds values: it is a row.
    package private(set) var isMadeUp = false

    /// `rows`: the rows behind the header, or the first of them.
    package init(header: [String], rows: TextBlock, delimiter: UInt8) {
        self.header = header
        if Self.areValues(header) {
            self.header = header.indices.map { "c\($0 + 1)" }
            isMadeUp = true
            notes.append("the first row holds values: the columns are named \(Self.listed(self.header))")
            return
        }
        let endsWithDelimiter =
            header.count > 1 && header.last == "" && Self.isLastFieldEmpty(header.count, rows, delimiter)
        var taken = Set(header)
        var seen: Set<String> = []
        for index in header.indices where !(endsWithDelimiter && index == header.count - 1) {
            if !header[index].isEmpty, seen.insert(header[index]).inserted { continue }
            let name = Self.free(header[index].isEmpty ? "column_\(index + 1)" : "\(header[index])_2", taken)
            taken.insert(name)
            self.header[index] = name
            notes.append(
                header[index].isEmpty
                    ? "column \(index + 1) has no name: it is named '\(name)'"
                    : "column \(index + 1) is another '\(header[index])': it is named '\(name)'")
        }
    }

    /// Every name is a number, a time or a truth value: nobody names columns so.
    private static func areValues(_ header: [String]) -> Bool {
        header.allSatisfy { name in
            var candidates = SchemaInference.Candidates()
            var name = name
            name.withUTF8 { if !FieldParsing.isNull($0) { candidates.narrow($0) } }
            return candidates.type != .string
        }
    }

    private static func isLastFieldEmpty(_ count: Int, _ rows: TextBlock, _ delimiter: UInt8) -> Bool {
        rows.bytes.withUnsafeBufferPointer { bytes in
            var cursor = CSVCursor(bytes, delimiter: delimiter)
            var left = SchemaInference.rowsMax
            while left > 0, cursor.findRow() {
                let start = cursor.at
                var fields = 1
                var end = cursor.nextField()
                while end == .separator {
                    end = cursor.nextField()
                    fields += 1
                }
                if end == .row, fields == count, !cursor.field.isEmpty { return false }
                if end == .broken { cursor.skipRow(from: start) }
                left -= 1
            }
            return true
        }
    }

    /// The name, or the next one that nobody has: `name_2`, `name_3`, …
    private static func free(_ name: String, _ taken: Set<String>) -> String {
        guard taken.contains(name) else { return name }
        let stem = name.hasSuffix("_2") ? String(name.dropLast(2)) : name
        return (2...).lazy.map { "\(stem)_\($0)" }.first { !taken.contains($0) }!
    }

    private static func listed(_ names: [String]) -> String {
        names.count <= 3 ? names.joined(separator: ", ") : "\(names[0]) to \(names[names.count - 1])"
    }
}
