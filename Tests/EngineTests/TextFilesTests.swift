// Files as people have them: other line ends, other delimiters, other encodings, open quotes, headers with gaps.

import Engine
import Testing

@Suite struct TextFilesTests {
    private static func block(_ text: String) -> TextBlock { TextBlock(bytes: Array(text.utf8), firstLine: 1) }

    private static func batch(
        _ schema: String, csv bytes: [UInt8], delimiter: UInt8 = UInt8(ascii: ","), onError: RowErrorPolicy = .stop
    ) throws -> (ColumnBatch, RowReport) {
        let schema = try FrameSchema(parsing: schema)
        let (header, rest) = try CSVReader.header(
            of: TextBlock(bytes: bytes, firstLine: 1), delimiter: delimiter)
        var batch = ColumnBatch(schema: schema)
        var report = RowReport()
        try CSVReader(schema: schema, header: header, delimiter: delimiter).parse(
            rest, onError: onError, into: &batch, report: &report)
        return (batch, report)
    }

    // MARK: Line ends

    @Test("a row ends at LF, at CR LF and at a CR alone, but not within quotes", arguments: ["\n", "\r\n", "\r"])
    func lineEnds(end: String) throws {
        let text = ["a,b", "1,x", "2,\"y\rz\"", "3,\"u\r\nv\nw\"", "", "4,q"].joined(separator: end)
        for last in ["", end] {
            let (batch, _) = try FramesTextTests.batch("a:int,b:string", csv: text + last)
            #expect(
                try FramesTextTests.rows(batch) == [
                    [.int(1), .text("x")], [.int(2), .text("y\rz")], [.int(3), .text("u\r\nv\nw")],
                    [.int(4), .text("q")],
                ])
        }
        let error = #expect(throws: RowError.self) {
            try FramesTextTests.batch("a:int,b:string", csv: ["a,b", "1,x", "", "oops,y"].joined(separator: end))
        }
        #expect(error?.line == 4)
        let rows = ["{\"a\":1}", "", "{\"a\":2}"].joined(separator: end)
        #expect(try FramesTextTests.batch("a:int", ndjson: rows).0.rowCount == 2)
        let other = #expect(throws: RowError.self) {
            try FramesTextTests.batch("a:int", ndjson: rows + end + "{\"a\":\"x\"}")
        }
        #expect(other?.line == 4)
    }

    @Test("a blank line is a null where a row is one field")
    func blankLines() throws {
        let (batch, _) = try FramesTextTests.batch("a:int", csv: "a\n1\n\n3\n")
        #expect(try FramesTextTests.rows(batch) == [[.int(1)], [.null], [.int(3)]])
    }

    // MARK: Blocks and open quotes

    /// Rows and skipped lines of a text that comes in pieces and is cut into small blocks.
    private static func skipping(_ text: String, pieceBytes: Int, target: Int) throws -> ([[Scalar]], RowReport) {
        let schema = try FrameSchema(parsing: "a:string,b:string")
        let reader = try CSVReader(schema: schema, header: ["a", "b"])
        var (batch, report) = (ColumnBatch(schema: schema), RowReport())
        for block in try FramesTextTests.blocks(
            Array(text.utf8), pieceBytes: pieceBytes, format: .csv, target: target)
        {
            try reader.parse(block, onError: .skip, into: &batch, report: &report)
        }
        return (try FramesTextTests.rows(batch), report)
    }

    @Test("cut anywhere, a text with broken quotes and any line ends gives the rows of the whole, and skips as many")
    func blocksOfBrokenText() throws {
        var random = SeededRandom(7)
        let parts = ["a", "\"", "\"\"", ",", "\n", "\r", "\r\n", "\"b\"", ",\"", "\",", "\"\n", "x,y\n", "é"]
        for round in 0..<2_000 {
            let text = (0..<random.below(25)).map { _ in random.pick(parts) }.joined()
            let whole = try Self.skipping(text, pieceBytes: 10_000, target: 100_000)
            for (pieceBytes, target) in [(1, 1), (1, 8), (3, 5), (100, 1)] {
                let cut = try Self.skipping(text, pieceBytes: pieceBytes, target: target)
                let isSame = cut.0 == whole.0 && cut.1.skippedRows == whole.1.skippedRows
                #expect(isSame, "round \(round): \(text.debugDescription)")
            }
        }
    }

    @Test("an open quote costs its own line under skip, is reported at its line, and stops a load that does not skip")
    func openQuote() throws {
        let rows = (1...998).map { "\($0),x\n" }.joined()
        for (tail, more) in [("", 0), ("999,\"y\"\n", 1), ("999,\"y\"z\n1000,u\n", 1)] {
            let text = "a,b\n0,x\n0,\"open\n" + rows + tail
            let (batch, report) = try FramesTextTests.batch("a:int,b:string", csv: text, onError: .skip)
            #expect(batch.rowCount == 999 + more)
            #expect(report.messages.first?.line == 3 && report.skippedRows == 1 + (tail.contains("z") ? 1 : 0))
            let error = #expect(throws: RowError.self) { try FramesTextTests.batch("a:int,b:string", csv: text) }
            #expect(error?.line == 3 && error?.message.contains("closing quote") == true)
        }
        // A row of several lines whose last field is the open one.
        let later = #expect(throws: RowError.self) {
            try FramesTextTests.batch("a:string,b:string", csv: "a,b\n\"1\n2\n3\",\"x\n4,y\n")
        }
        #expect(later?.line == 4)
    }

    @Test("an open quote before more rows than a row may have bytes is reported at its line too")
    func openQuoteInLongText() throws {
        let text = "1,\"open\n" + (0..<3_000).map { "\($0),x\n" }.joined()  // rows of at most 10,000 bytes here
        let (rows, report) = try Self.skipping(text, pieceBytes: 64, target: 1_000)
        #expect(rows.count == 1_000)  // as many as a result has at most
        #expect(report.skippedRows == 1 && report.messages.first?.line == 1)
        #expect(throws: RowError.self) {
            try FramesTextTests.blocks(
                Array(String(repeating: "x", count: 20_000).utf8), pieceBytes: 100, format: .csv, target: 1_000)
        }
    }

    @Test(
        "characters that end lines elsewhere are named, with a command; where lines end as they should they are text",
        arguments: [
            ("\u{0B}", "vertical tabs", "tr '\\v' '\\n'"), ("\u{0C}", "form feeds", "tr '\\f' '\\n'"),
            ("\u{1E}", "record separators", "tr '\\036' '\\n'"), ("\u{85}", "U+0085", "sed 's/\\xc2\\x85/\\n/g'"),
            ("\u{2028}", "U+2028", "sed"), ("\u{2029}", "U+2029", "sed"),
        ])
    func oddLineEnds(end: String, name: String, command: String) {
        let rows = (0..<50).map { "\($0),a longer text in this field" }
        let refusal = FileKind.refusal(of: Array((["n,text"] + rows).joined(separator: end).utf8))
        #expect(refusal?.contains(name) == true && refusal?.contains(command) == true, "\(refusal ?? "none")")
        #expect(FileKind.refusal(of: Array(("n,text\n" + rows.joined(separator: "\n") + end).utf8)) == nil)
        #expect(FileKind.refusal(of: Array("n,text".utf8)) == nil)
    }

    // MARK: Encodings

    @Test("UTF-16 and UTF-32 are told by their byte order marks, and by their zeros without one")
    func wideEncodings() {
        let text = "name,city\n" + (0..<20).map { "M\u{FC}ller \($0),Berlin\n" }.joined()
        let wide: [(String, [UInt8])] = [
            ("utf-16le", text.utf16.flatMap { [UInt8($0 & 0xFF), UInt8($0 >> 8)] }),
            ("utf-16be", text.utf16.flatMap { [UInt8($0 >> 8), UInt8($0 & 0xFF)] }),
            ("utf-32le", text.unicodeScalars.flatMap { [UInt8($0.value & 0xFF), UInt8($0.value >> 8), 0, 0] }),
            ("utf-32be", text.unicodeScalars.flatMap { [0, 0, UInt8($0.value >> 8), UInt8($0.value & 0xFF)] }),
        ]
        let marks: [[UInt8]] = [[0xFF, 0xFE], [0xFE, 0xFF], [0xFF, 0xFE, 0, 0], [0, 0, 0xFE, 0xFF]]
        for ((name, bytes), mark) in zip(wide, marks) {
            #expect(FileKind.refusal(of: bytes)?.contains("iconv -f \(name) -t utf-8") == true, "\(name)")
            let marked = FileKind.refusal(of: mark + bytes) ?? ""
            #expect(marked.contains("iconv -f \(name.dropLast(2)) -t utf-8"), "\(name): \(marked)")
        }
        #expect(FileKind.refusal(of: Array(repeating: 0, count: 100)) == "it is binary, not text")
    }

    @Test(
        "what is not UTF-8 is named where it can be told",
        arguments: [
            ([0x4D, 0xFC, 0x6C], "latin1"), ([0x63, 0x61, 0x66, 0xE9], "latin1"),
            ([0x31, 0x30, 0x20, 0x80], "windows-1252"),
            ([0x93, 0x61, 0x94], "windows-1252"), ([0xCF, 0xF0, 0xE8, 0xE2, 0xE5, 0xF2], "ENCODING"),
            ([0x83, 0x65, 0x83, 0x58], "ENCODING"), ([0xC8, 0x85, 0x93, 0x93, 0x96], "ENCODING"),
        ] as [([UInt8], String)])
    func otherEncodings(bytes: [UInt8], name: String) {
        let error = #expect(throws: RowError.self) {
            try Self.batch("a:string", csv: Array("a\n".utf8) + bytes + Array("\n".utf8))
        }
        #expect(error?.message.contains("iconv -f \(name) -t utf-8") == true, "\(error?.message ?? "")")
    }

    @Test(
        "text that is not UTF-8, or has NUL bytes, is refused with its line and column; what is UTF-8 passes",
        arguments: [
            [0x5A, 0xFC, 0x72], [0xC3], [0xC0, 0x80], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80],
            [0xF5, 0x80, 0x80, 0x80],
            [0xE2, 0x82], [0x80], [0xFF, 0xFE], [0x61, 0x00, 0x62], [0x00],
        ] as [[UInt8]])
    func notText(bytes: [UInt8]) throws {
        for padding in 0..<9 {
            let text = Array((String(repeating: "p", count: padding) + "é").utf8) + bytes
            let csv = Array("a,name\n1,x\n2,".utf8) + text + Array("\n3,y\n".utf8)
            let error = #expect(throws: RowError.self) { try Self.batch("a:int,name:string", csv: csv) }
            #expect(
                error?.line == 3 && error?.message.contains("'name'") == true
                    && error?.message.contains("iconv") == true)
            let (batch, report) = try Self.batch("a:int,name:string", csv: csv, onError: .skip)
            #expect(batch.rowCount == 2 && report.messages.map(\.line) == [3])
            let header = #expect(throws: RowError.self) {
                try CSVReader.header(
                    of: TextBlock(bytes: Array("a,".utf8) + text + Array("\n1,2\n".utf8), firstLine: 1))
            }
            #expect(header?.line == 1)
            let rows = Array("{\"name\":\"x\"}\n{\"name\":\"".utf8) + text + Array("\"}\n".utf8)
            let schema = try FrameSchema(parsing: "name:string")
            var (other, otherReport) = (ColumnBatch(schema: schema), RowReport())
            let line = #expect(throws: RowError.self) {
                try NDJSONReader(schema: schema).parse(
                    TextBlock(bytes: rows, firstLine: 1), into: &other, report: &otherReport)
            }
            #expect(line?.line == 2)
        }
        for text in ["é", "€", "🛫", "\u{7FF}\u{800}\u{FFFF}\u{10000}\u{10FFFF}", "\u{D7FF}\u{E000}", "\u{1}\u{7F}"] {
            let (batch, _) = try FramesTextTests.batch("a:string", csv: "a\n\(text)\n")
            #expect(try FramesTextTests.rows(batch) == [[.text(text)]])
        }
    }

    @Test("an error is one line, whatever the text holds")
    func oneLine() {
        let error = #expect(throws: RowError.self) {
            try FramesTextTests.batch("a:int", csv: "a\n\"x\n\r\t\u{1B}[2J\u{7F}\"\n")
        }
        #expect(error?.message == "column 'a': 'x\\n\\r\\t\\x1B[2J\\x7F' is not an int")
    }

    @Test("a byte order mark before NDJSON is no part of it")
    func markBeforeNDJSON() throws {
        #expect(try FramesTextTests.batch("a:int", ndjson: "\u{FEFF}{\"a\":1}\n").0.rowCount == 1)
        #expect(try SchemaInference.ndjson(block: Self.block("\u{FEFF}{\"a\":1}\n")).description == "a:int")
    }

    // MARK: Delimiters

    @Test(
        "the delimiter is found by the first rows",
        arguments: [
            ("a,b\n1,2\n", ","), ("a;b\n1,5;2\n", ";"), ("a\tb\n1\t2,3\n", "\t"), ("a|b\n1|2\n", "|"), ("a\n1\n", ","),
            ("a,b\n1,2\n3\n", ","), ("id,text\n1,a; b\n2,c; d\n", ","), ("\"x, y\";n\n\"p, q\";1\n", ";"),
            ("last, first;age\nDoe, John;5\n", ";"), ("a,b;c\n1,x;y\n", ","), ("a;b\r1;2\r", ";"), ("", ","),
            ("name;price\nx;1,5\ny;2,50\n", ";"), ("a,b\n", ","), ("a;b", ";"), ("a,b\n\"1;2\n", ","),
        ])
    func delimiters(text: String, delimiter: String) {
        let found = DelimiterInference.delimiter(of: Array(text.utf8), isWhole: true)
        #expect(found == delimiter.utf8.first!, "\(text)")
    }

    @Test("fields are separated by the given delimiter alone")
    func otherDelimiters() throws {
        for delimiter in ";\t|:" {
            let text = "a\(delimiter)b\n1\(delimiter)x,y\n2\(delimiter)\"u\(delimiter)v\"\n"
            let (batch, _) = try Self.batch(
                "a:int,b:string", csv: Array(text.utf8), delimiter: delimiter.asciiValue!)
            #expect(
                try FramesTextTests.rows(batch) == [[.int(1), .text("x,y")], [.int(2), .text("u\(delimiter)v")]])
        }
    }

    // MARK: Headers

    private static func names(_ text: String) throws -> ColumnNames {
        let (header, rest) = try CSVReader.header(of: block(text))
        return ColumnNames(header: header, rows: rest, delimiter: UInt8(ascii: ","))
    }

    @Test("columns without a name of their own get one; values in the first row are no names")
    func columnNames() throws {
        #expect(try Self.names("a,b\n1,2\n") == ColumnNames(header: ["a", "b"], rows: Self.block(""), delimiter: 44))
        #expect(try Self.names("a,,a,a_2,a\n1,2,3,4,5\n").header == ["a", "column_2", "a_3", "a_2", "a_4"])
        #expect(try Self.names("a,,\n1,2,3\n").header == ["a", "column_2", "column_3"])
        #expect(try Self.names("a,column_1,\n,,1\n").notes.count == 1)
        let values = try Self.names("1,2013-01-01,true\n2,2013-01-02,false\n")
        #expect(values.isMadeUp && values.header == ["c1", "c2", "c3"])
        #expect(try !Self.names("country,2010,2011\nx,1,2\n").isMadeUp)
    }

    @Test("a delimiter at the end of every row is no column")
    func delimiterAtTheEnd() throws {
        let names = try Self.names("a,b,\n1,x,\n2,y\n")
        #expect(names.header == ["a", "b", ""] && names.notes.isEmpty)
        let schema = try SchemaInference.csv(header: names.header, block: Self.block("1,x,\noops,y\n"))
        #expect(schema.description == "a:string,b:string")
        let (batch, _) = try FramesTextTests.batch("a:int,b:string", csv: "a,b,\n1,x,\n2,y\n")
        #expect(try FramesTextTests.rows(batch) == [[.int(1), .text("x")], [.int(2), .text("y")]])
        for row in ["1,x,z", "1,x,,", "1"] {
            #expect(throws: RowError.self) { try FramesTextTests.batch("a:int,b:string", csv: "a,b,\n\(row)\n") }
        }
    }

    // MARK: What is no text

    @Test("files of other kinds are refused by their first bytes, with the remedy")
    func kinds() {
        let kinds: [([UInt8], String)] = [
            ([0x1F, 0x8B, 8], "gzip"), (Array("PK\u{3}\u{4}".utf8), "zip"), (Array("PAR1xx".utf8), "Parquet"),
            ([0xFF, 0xFE, 0x61, 0], "UTF-16"), ([0xFE, 0xFF, 0, 0x61], "UTF-16"),
            ([0x61, 0, 0x2C, 0, 0x62, 0, 0x0A, 0], "UTF-16"),
            ([0, 0x61, 0, 0x2C, 0, 0x62, 0, 0x0A], "UTF-16"), (Array("SQLite format 3\0".utf8), "SQLite"),
            (Array("BZh9".utf8), "bzip2"), ([0x7F, 0x45, 0x4C, 0x46, 0, 1, 0, 2], "binary"),
            (Array("<!DOCTYPE html>".utf8), "HTML"), (Array(" <?xml version".utf8), "XML"),
            (Array("<rows><row>".utf8), "XML"), (Array("\u{FEFF}\n<!-- x -->".utf8), "XML"),
            (Array("<a>,b\n".utf8), "XML"),
            (Array("a,b\n\u{1},\u{2}\n".utf8), "binary"),
            ((0..<1_000).map { UInt8($0 % 255 + 1) }, "binary"),
        ]
        for (bytes, word) in kinds { #expect(FileKind.refusal(of: bytes)?.contains(word) == true, "\(word)") }
        for text in [
            "a,b\n1,2\n", "{\"a\":1}", "", "é", "<1>,b\n", "<,b\n", "<", "a\n\u{1}\n", "a\u{C}\r\n\t",
            String(repeating: "a,b\n", count: 100) + "\u{1B}[0m\u{1B}[0m",
        ] {
            #expect(FileKind.refusal(of: Array(text.utf8)) == nil)
        }
    }

    @Test("NDJSON without a row that could be read says why")
    func noRows() {
        let error = #expect(throws: Failure.self) { try SchemaInference.ndjson(block: Self.block("\n[{\"a\":1}]\n")) }
        #expect(
            error?.message.hasPrefix("line 2: a row is a JSON object") == true && error?.message.contains("jq") == true)
    }
}
