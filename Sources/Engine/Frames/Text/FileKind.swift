// What a file holds that is no text of rows, by its first bytes, and what makes rows of it.

package enum FileKind {
    /// One line that names the kind and the remedy; nil for what may be text.
    package static func refusal(of head: [UInt8]) -> String? {
        for kind in signatures where head.starts(with: kind.bytes) { return "\(kind.name); \(kind.remedy)" }
        if isMarkup(head) { return "it is XML or HTML, not rows; export it as CSV first, or was an error page saved?" }
        guard head.contains(0) else {
            return oddLineEnds(head) ?? (isControls(head) ? "it is binary, not text" : nil)
        }
        if let encoding = wideEncoding(head) {
            return
                "it is \(encoding.uppercased()) without a byte order mark; convert it first: iconv -f \(encoding) -t utf-8"
        }
        return "it is binary, not text"
    }

    /// By where the zeros are: text of mostly ASCII has them in the same places of all its units.
    private static func wideEncoding(_ head: [UInt8]) -> String? {
        var zeros = [0, 0, 0, 0]
        for (index, byte) in head.enumerated() where byte == 0 { zeros[index % 4] += 1 }
        let units = head.count / 4
        let isFull = zeros.map { $0 > units / 2 }
        let isFree = zeros.map { $0 <= head.count / 200 }
        return switch (isFull, isFree) {
        case ([false, true, true, true], _) where isFree[0]: "utf-32le"
        case ([true, true, true, false], _) where isFree[3]: "utf-32be"
        case ([false, true, false, true], _) where isFree[0] && isFree[2]: "utf-16le"
        case ([true, false, true, false], _) where isFree[1] && isFree[3]: "utf-16be"
        default: nil
        }
    }

    /// Other characters that end lines, where none of ours is: all would be one line, the header.
    private static func oddLineEnds(_ head: [UInt8]) -> String? {
        guard !head.contains(0x0A), !head.contains(0x0D) else { return nil }
        for end in lineEnds where head.indices.contains(where: { head[$0...].starts(with: end.bytes) }) {
            return "its lines end with \(end.name), not with line feeds; convert it first: \(end.command)"
        }
        return nil
    }

    private static let lineEnds: [(bytes: [UInt8], name: String, command: String)] = [
        ([0x0B], "vertical tabs", "tr '\\v' '\\n'"), ([0x0C], "form feeds", "tr '\\f' '\\n'"),
        ([0x1E], "record separators", "tr '\\036' '\\n'"),
        ([0xC2, 0x85], "U+0085", "sed 's/\\xc2\\x85/\\n/g'"),
        ([0xE2, 0x80, 0xA8], "U+2028", "sed 's/\\xe2\\x80\\xa8/\\n/g'"),
        ([0xE2, 0x80, 0xA9], "U+2029", "sed 's/\\xe2\\x80\\xa9/\\n/g'"),
    ]

    /// A tag, a declaration or an instruction comes first, after a byte order mark and blanks.
    private static func isMarkup(_ head: [UInt8]) -> Bool {
        let start = head.starts(with: [0xEF, 0xBB, 0xBF]) ? head.dropFirst(3) : head[...]
        let text = start.drop { $0 <= 0x20 }
        guard text.count > 1, text.first == UInt8(ascii: "<") else { return false }
        let second = text[text.startIndex + 1]
        return (second | 0x20) &- 0x61 < 26 || second == UInt8(ascii: "!") || second == UInt8(ascii: "?")
    }

    /// Several control characters, and more than one byte in 50, that are neither tabs nor ends of lines or pages.
    private static func isControls(_ head: [UInt8]) -> Bool {
        let controls = head.count { ($0 < 0x20 && !(0x09...0x0D).contains($0)) || $0 == 0x0B || $0 == 0x7F }
        return controls > 1 && controls > head.count / 50
    }

    package static let zstd: [UInt8] = [0x28, 0xB5, 0x2F, 0xFD]

    private static let unpack = "unpack it first, or pack it with zstd"
    private static let export = "export it as CSV first"

    private static let signatures: [(bytes: [UInt8], name: String, remedy: String)] = [
        ([0x1F, 0x8B], "it is packed with gzip", unpack),
        (Array("BZh".utf8), "it is packed with bzip2", unpack),
        ([0xFD, 0x37, 0x7A, 0x58, 0x5A, 0x00], "it is packed with xz", unpack),
        ([0x04, 0x22, 0x4D, 0x18], "it is packed with lz4", unpack),
        ([0x37, 0x7A, 0xBC, 0xAF, 0x27, 0x1C], "it is a 7z archive", unpack),
        (
            [0x50, 0x4B, 0x03, 0x04], "it is a zip archive or a spreadsheet (xlsx, ods)",
            "unpack it, or export it as CSV"
        ),
        ([0xD0, 0xCF, 0x11, 0xE0], "it is a spreadsheet (xls)", export),
        (Array("PAR1".utf8), "it is Parquet", export), (Array("ARROW1".utf8), "it is Arrow", export),
        (Array("ORC".utf8), "it is ORC", export), (Array("Obj\u{1}".utf8), "it is Avro", export),
        (Array("SQLite format 3\0".utf8), "it is a SQLite database", export),
        ([0x89, 0x48, 0x44, 0x46], "it is HDF5", export), (Array("%PDF".utf8), "it is a PDF", export),
        ([0xFF, 0xFE, 0x00, 0x00], "it is UTF-32", "convert it first: iconv -f utf-32 -t utf-8"),
        ([0x00, 0x00, 0xFE, 0xFF], "it is UTF-32", "convert it first: iconv -f utf-32 -t utf-8"),
        ([0xFF, 0xFE], "it is UTF-16", "convert it first: iconv -f utf-16 -t utf-8"),
        ([0xFE, 0xFF], "it is UTF-16", "convert it first: iconv -f utf-16 -t utf-8"),
    ]
}
