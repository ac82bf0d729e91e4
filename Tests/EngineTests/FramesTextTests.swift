// Rows from text: CSV and NDJSON, whole and in pieces, good and bad; times; the inference of schemas.

import Engine
import Testing

@Suite struct FramesTextTests {
    @Test("ISO 8601 periods are years, months, days, hours and spans; what is none is refused")
    func periods() {
        let periods = [
            ("2013", "2013-01-01", "2014-01-01"), ("2012-02", "2012-02-01", "2012-03-01"),
            ("2013-12", "2013-12-01", "2014-01-01"), ("2013-03-01", "2013-03-01", "2013-03-02"),
            ("2013-03-01T05", "2013-03-01T05:00", "2013-03-01T06:00"),
            ("2013-03-01/2013-03-08T12:00+02:00", "2013-03-01", "2013-03-08T10:00Z"),
            ("2013-03-01/2013-03-01", "2013-03-01", "2013-03-01"),
        ]
        for (text, start, end) in periods {
            #expect(Timestamp.period(text) == Timestamp.parse(start)!..<Timestamp.parse(end)!, "\(text)")
        }
        for text in [
            "", "13", "2013-13", "2013-1", "2013-03-08/2013-03-01", "/2013", "2013/2014", "2013-02-30", "a/b/c",
        ] {
            #expect(Timestamp.period(text) == nil, "\(text)")
        }
    }

    static func batch(_ schema: String, csv: String, onError: RowErrorPolicy = .stop) throws -> (ColumnBatch, RowReport)
    {
        let schema = try FrameSchema(parsing: schema)
        let (header, rest) = try CSVReader.header(of: TextBlock(bytes: Array(csv.utf8), firstLine: 1))
        var batch = ColumnBatch(schema: schema)
        var report = RowReport()
        try CSVReader(schema: schema, header: header).parse(rest, onError: onError, into: &batch, report: &report)
        return (batch, report)
    }

    static func batch(_ schema: String, ndjson: String, onError: RowErrorPolicy = .stop) throws -> (
        ColumnBatch, RowReport
    ) {
        let schema = try FrameSchema(parsing: schema)
        var batch = ColumnBatch(schema: schema)
        var report = RowReport()
        try NDJSONReader(schema: schema).parse(
            TextBlock(bytes: Array(ndjson.utf8), firstLine: 1), onError: onError, into: &batch, report: &report)
        return (batch, report)
    }

    /// All rows of a batch, through a frame's tail.
    static func rows(_ batch: ColumnBatch) throws -> [[Scalar]] {
        let part = FramePart(schema: batch.schema, resources: FrameResources())
        try part.append(batch)
        let plan = Plan(frame: "t", rows: batch.schema.columns.map(\.name), limit: 1000)
        return try PlanExecutor.execute(plan, on: part.snapshot()).partial.finish().rows
    }

    @Test("CSV quotes, doubled quotes, embedded newlines, CRLF, a byte order mark, blank lines and nulls")
    func csv() throws {
        let text =
            "\u{FEFF}name,n\r\n\"a \"\"b\"\"\",1\r\n\"two\nlines, and a comma\",2\n\n\"\",\n,NA\nNA, 7 \n\"NA\",-8\nx\"y,9"
        let (batch, _) = try Self.batch("name:string,n:int", csv: text)
        #expect(
            try Self.rows(batch) == [
                [.text("a \"b\""), .int(1)], [.text("two\nlines, and a comma"), .int(2)], [.text(""), .null],
                [.null, .null], [.null, .int(7)], [.text("NA"), .int(-8)], [.text("x\"y"), .int(9)],
            ])
    }

    @Test("columns are found by the header's names, in any order; those it does not name are null")
    func header() throws {
        let (batch, _) = try Self.batch("a:int,b:int,c:int", csv: "c,a\n3,1\n")
        #expect(try Self.rows(batch) == [[.int(1), .null, .int(3)]])
        #expect(throws: Failure(.wrongType, "the CSV header names 'x', which is no column; there are a")) {
            try Self.batch("a:int", csv: "x\n1\n")
        }
        #expect(throws: Failure(.wrongType, "the CSV header names 'a' twice")) { try Self.batch("a:int", csv: "a,a\n") }
        #expect(throws: RowError.self) { try Self.batch("a:int", csv: "\n\n") }
    }

    @Test(
        "a CSV row that does not fit is reported with its line, column and text",
        arguments: [
            ("a,b\n1,x\n\"q\n\",y\n", 3, "column 'a': 'q\\n' is not an int"),
            (
                "a,b\n1,x\n9223372036854775808,y\n", 3,
                "column 'a': '9223372036854775808' is not an int (it has more than 64 bits)"
            ),
            ("a,b\n1\n", 2, "1 field where the header has 2"),
            ("a,b\n\n\n1,2,3\n", 4, "more than the header's 2 fields"),
            ("a,b\n1,\"x\"y\n", 2, "column 'b': the quoted field 'x' does not end with its closing quote"),
            ("a,b\n1,\"x", 2, "column 'b': the quoted field 'x' does not end with its closing quote"),
            // Of a row of another shape that is said, and not that its first value would fit a string.
            ("a,b\nx\n", 2, "1 field where the header has 2"),
            ("a,b\nx,y,z\n", 2, "more than the header's 2 fields"),
            ("a,b\nx,\"y\"z\n", 2, "column 'b': the quoted field 'y' does not end with its closing quote"),
        ])
    func misfit(csv: String, line: Int, message: String) {
        let error = #expect(throws: RowError.self) { try Self.batch("a:int,b:string", csv: csv) }
        #expect(error?.description == "line \(line): \(message)")
    }

    @Test("skip leaves out the rows that do not fit, counts them and goes on")
    func skip() throws {
        let (batch, report) = try Self.batch(
            "a:int,b:string", csv: "a,b\n1,x\noops,y\n2,\"m\nn\"\n3\n\"4\n\",\"p\nq\"\n5,z\n", onError: .skip)
        #expect(try Self.rows(batch) == [[.int(1), .text("x")], [.int(2), .text("m\nn")], [.int(5), .text("z")]])
        #expect(report.skippedRows == 3)
        #expect(report.messages.map(\.line) == [3, 6, 7])
    }

    @Test("a stream cut byte by byte gives the same rows as the whole, with the right line numbers")
    func splitter() throws {
        var random = SeededRandom(3)
        let fields = [
            "", "a", "\"q\"", "\"with \"\"quotes\"\"\"", "\"new\nline\"", "x\"y", "\"\"", "\"\"\"\n,\"", "long field",
        ]
        for round in 0..<200 {
            let newline = random.pick(["\n", "\r\n"])
            let text = Array(
                (0..<random.below(30)).map { _ in
                    (0..<3).map { _ in random.pick(fields) }.joined(separator: ",") + newline
                }.joined().utf8)
            for size in [1, 3, 1000] {
                let blocks = try Self.blocks(text, pieceBytes: size, format: .csv, target: 40)
                let isWhole = Array(blocks.map(\.bytes).joined()) == text
                #expect(isWhole, "round \(round), pieces of \(size)")
                var line = 1
                for block in blocks {
                    #expect(block.firstLine == line)
                    line += block.bytes.count { $0 == 10 }
                }
                let apart = try Self.parse(blocks)
                let together = try Self.parse([TextBlock(bytes: text, firstLine: 1)])
                let isSame = apart == together
                #expect(isSame, "round \(round), pieces of \(size)")
            }
        }
    }

    private static func parse(_ blocks: [TextBlock]) throws -> [[Scalar]] {
        let schema = try FrameSchema(parsing: "a:string,b:string,c:string")
        let reader = try CSVReader(schema: schema, header: ["a", "b", "c"])
        var batch = ColumnBatch(schema: schema)
        var report = RowReport()
        for block in blocks { try reader.parse(block, into: &batch, report: &report) }
        return try rows(batch)
    }

    static func blocks(_ text: [UInt8], pieceBytes: Int, format: RowFormat, target: Int) throws -> [TextBlock] {
        var splitter = RowBlockSplitter(format: format, blockBytesTarget: target, rowBytesMax: 10_000)
        var blocks: [TextBlock] = []
        var at = 0
        while at < text.count {
            splitter.append(text[at..<min(at + pieceBytes, text.count)])
            at += pieceBytes
            while let block = try splitter.next() { blocks.append(block) }
        }
        if let rest = splitter.finish() { blocks.append(rest) }
        return blocks
    }

    @Test("blocks stay within their target, and a row without end is refused")
    func splitterLimits() throws {
        let text = Array(String(repeating: "0123456789,abcdefgh\n", count: 500).utf8)
        let blocks = try Self.blocks(text, pieceBytes: 64, format: .csv, target: 1000)
        #expect(blocks.count == 10)
        #expect(blocks.allSatisfy { $0.bytes.count == 1000 })
        #expect(throws: RowError.self) {
            try Self.blocks(
                Array(("a\n" + String(repeating: "x", count: 20_000)).utf8), pieceBytes: 100, format: .csv, target: 1000
            )
        }
    }

    @Test("NDJSON rows: fields in any order, missing ones null, escapes, numbers in text columns as written")
    func ndjson() throws {
        let text = #"""
            {"a": 1, "b": "x\n\"\u00e9\ud83d\udeeb\/", "c": 1.5, "d": true, "e": "2013-01-01T05:00:00Z"}

             {"d":false,"c":2,"a":1000,"b":1e3}
            {}
            {"a":null,"b":"Zürich"}
            """#
        let (batch, _) = try Self.batch("a:int,b:string,c:double,d:bool,e:time", ndjson: text)
        #expect(
            try Self.rows(batch) == [
                [.int(1), .text("x\n\"é🛫/"), .double(1.5), .bool(true), .time(1_357_016_400_000_000)],
                [.int(1000), .text("1e3"), .double(2), .bool(false), .null], [.null, .null, .null, .null, .null],
                [.null, .text("Zürich"), .null, .null, .null],
            ])
    }

    @Test(
        "an NDJSON row that does not fit says why",
        arguments: [
            (#"{"x":1}"#, "there is no column 'x'; there are a, b"), (#"{"a":"1"}"#, "column 'a': '1' is not an int"),
            (#"{"a":1.5}"#, "column 'a': '1.5' is not an int (an int has no point and no exponent)"),
            (#"{"a":-0}"#, "column 'a': '-0' is not an int (it would lose its minus)"),
            (#"{"a":{"n":1}}"#, "a nested value; a column holds numbers, strings, true, false or null"),
            (#"{"a":[1]}"#, "a nested value; a column holds numbers, strings, true, false or null"),
            (#"{"a":1,"a":2}"#, "column 'a' appears twice"), (#"{"a":1"#, "broken JSON: the row ends too early"),
            (#"{"a":1}}"#, "something follows the row's closing brace"),
            (#"[1]"#, #"a row is a JSON object, {"column": value, …}; one array makes rows with: jq -c '.[]'"#),
            (#"{"a":01}"#, "'01}' is no JSON number"),
            (#"{"b":"\ud800"}"#, "half a surrogate pair within a string"),
            (#"{"b":"x}"#, "a string without its closing quote"),
            (#"{"a":1,}"#, "a comma before the row's closing brace"),
            (#"{"a":1 "b":2}"#, #"broken JSON at byte 8: '"b":2}'"#),
        ])
    func ndjsonMisfit(row: String, message: String) throws {
        let text = "{\"a\":1}\n\(row)\n{\"a\":2}\n"
        let error = #expect(throws: RowError.self) { try Self.batch("a:int,b:string", ndjson: text) }
        #expect(error?.description == "line 2: \(message)")
        let (batch, report) = try Self.batch("a:int,b:string", ndjson: text, onError: .skip)
        #expect(try Self.rows(batch) == [[.int(1), .null], [.int(2), .null]])
        #expect(report.skippedRows == 1 && report.messages[0].line == 2)
    }

    @Test("types are inferred from the values: int before double, bool, time, else string; nothing at all is a string")
    func inference() throws {
        let text =
            "1,1,true,2013-01-01,x,,1,2013\nNA,2.5,FALSE,2013-01-01 05:00,1,NA,9223372036854775808,x\n-3,,,,,,,\n"
        let header = ["i", "d", "b", "t", "s", "n", "big", "mixed"]
        let schema = try SchemaInference.csv(header: header, block: TextBlock(bytes: Array(text.utf8), firstLine: 2))
        #expect(schema.description == "i:int,d:double,b:bool,t:time,s:string,n:string,big:string,mixed:string")
        let rows = #"{"a":1,"b":"2013-01-01","c":true,"d":null}"# + "\n" + #"{"a":1.5,"b":"x","e":3,"c":null}"#
        let other = try SchemaInference.ndjson(block: TextBlock(bytes: Array(rows.utf8), firstLine: 1))
        #expect(other.description == "a:double,b:string,c:bool,d:string,e:int")
    }

    @Test("a schema reads back from its text and its value, and says what is wrong with another")
    func schema() throws {
        let schema = try FrameSchema(parsing: "carrier:string, dep:delay:int,t:time")
        #expect(schema.columns.map(\.name) == ["carrier", "dep:delay", "t"])
        #expect(try FrameSchema(value: schema.value) == schema)
        #expect(
            try schema.overridden(by: FrameSchema(parsing: "t:string")).description
                == "carrier:string,dep:delay:int,t:string")
        for bad in ["", "a", "a:", "a:text", ":int", "a:int,a:int", "a:int,"] {
            #expect(throws: Failure.self) { try FrameSchema(parsing: bad) }
        }
    }

    @Test(
        "times read as microseconds since 1970 UTC and print as ISO 8601",
        arguments: [
            ("1970-01-01", 0, "1970-01-01T00:00:00Z"), ("2013-01-01", 1_356_998_400_000_000, "2013-01-01T00:00:00Z"),
            ("2013-01-01 05:00:00", 1_357_016_400_000_000, "2013-01-01T05:00:00Z"),
            ("2013-01-01T05:00:00.2500000000Z", 1_357_016_400_250_000, "2013-01-01T05:00:00.250000Z"),
            ("2013-01-01T05:00:00.25Z", 1_357_016_400_250_000, "2013-01-01T05:00:00.250000Z"),
            ("2013-01-01T05:00+02:00", 1_357_009_200_000_000, "2013-01-01T03:00:00Z"),
            ("2013-01-01T05:00:00-0530", 1_357_036_200_000_000, "2013-01-01T10:30:00Z"),
            ("1969-12-31T23:59:59.999999Z", -1, "1969-12-31T23:59:59.999999Z"),
            ("2000-02-29", 951_782_400_000_000, "2000-02-29T00:00:00Z"),
            ("0000-01-01", -62_167_219_200_000_000, "0000-01-01T00:00:00Z"),
            ("9999-12-31T23:59:59Z", 253_402_300_799_000_000, "9999-12-31T23:59:59Z"),
        ])
    func times(text: String, microseconds: Int64, printed: String) {
        #expect(Timestamp.parse(text) == microseconds)
        #expect(Timestamp.text(microseconds) == printed)
    }

    @Test("what is no time is refused, and every time reads back as it was printed")
    func oddTimes() {
        for bad in [
            "", "2013", "2013-13-01", "2013-02-29", "1900-02-29", "2013-01-01T", "2013-01-01T24:00",
            "2013-01-01T05:00:00+",
            "2013-01-01x", "2013-01-01T05:00:00.Z", "13-01-01", "2013-1-1", "2013-01-00", "2013-02-30", "10000-01-01",
            "2016-12-31T23:59:60Z", "2013-01-01T05:00:00.1234567Z", "2013-01-01T05:00:00.0000001Z",
            "0000-01-01T00:00+00:01", "9999-12-31T23:59:59-00:01", "+002013-01-01", "-0001-01-01",
        ] {
            #expect(Timestamp.parse(bad) == nil, "\(bad)")
        }
        var random = SeededRandom(5)
        for _ in 0..<2000 {
            let time = Int64.random(in: -62_167_219_200_000_000...253_402_300_799_999_999, using: &random)
            #expect(Timestamp.parse(Timestamp.text(time)) == time)
        }
        #expect(Timestamp.text(.max).hasPrefix("+294247-01-10"))
        #expect(Timestamp.text(.min).hasPrefix("-290308-12-21"))
    }

    @Test("doubles read correctly rounded, and only in decimal notation")
    func doubles() throws {
        let texts = [
            "0.1", "1e22", "-2.5e-3", "9007199254740992", "-9007199254740992", "0.12345678901234566", ".5", "5.", "-.5",
            "1e+5", "1E+05", "21.50", "-0.0", "0", "7", "0.0e0", "1.0000000000000000000000",
            "-inf", "NaN", "5e-324", "4.9406564584124654e-324", "1.7976931348623157e308",
            "12345678901234567e-5", "0.30000000000000004", "0.10000000000000001", "9007199254740992.0", "2.5e-308",
            "1e-320", "123456789012345.60", "0.0000000000000000000000", "1200000000000000000e-3",
        ]
        let (batch, _) = try Self.batch("d:double", csv: "d\n" + texts.joined(separator: "\n"))
        for (text, row) in zip(texts, try Self.rows(batch)) {
            guard case .double(let number) = row[0] else {
                Issue.record("\(text) gave \(row)")
                continue
            }
            #expect(number.bitPattern == Double(text)?.bitPattern, "\(text)")
        }
        for bad in [
            "0x10", "1.2.3", "e5", "-", "1_000", "1e", "--1", "infinit", "+1.5", "01.5", "00", "-0", "-01", "1e400",
            "-1e400",
            "1e-400", "9007199254740993", "-9007199254740993", "123456789012345678", "0.123456789012345678",
            "123456789012345.678", "12345678901234567890", "1e+", "1e5.0", "1e5e5", ".", "-.", ".e5", "5 e3",
            "1e4000000", "9007199254740993.0", "9007199254740992.1", "-9007199254740992.3", "0.12345678901234567",
            "3e-324", "4.9e-324", "1.23456789e-320", "0.10000000000000002e-17",
        ] {
            #expect(throws: RowError.self) { try Self.batch("d:double", csv: "d\n\(bad)\n") }
        }
    }

    @Test(
        "text that a number can't give back is no int",
        arguments: [
            "01007", "007", "00", "-0", "+4912", "+0", "-01", "9223372036854775808", "-9223372036854775809",
            "12345678901234567890", "1.0", "1e3", "1_000", "1,000", "0x10", "--1", "-", "1-", "١",
        ])
    func noInteger(text: String) throws {
        for quoted in ["\(text)", "\"\(text)\""] where !(text.contains(",") && quoted == text) {
            let error = #expect(throws: RowError.self) { try Self.batch("a:int", csv: "a\n1\n\(quoted)\n") }
            #expect(error?.line == 3 && error?.message.contains("'\(text)'") == true, "\(text)")
            let schema = try SchemaInference.csv(
                header: ["a"], block: TextBlock(bytes: Array("1\n\(quoted)\n".utf8), firstLine: 2))
            #expect(schema.columns[0].type != .int, "\(text)")
        }
    }

    @Test(
        "every int prints as it was written",
        arguments: ["0", "7", "-7", "9223372036854775807", "-9223372036854775808"])
    func integers(text: String) throws {
        #expect(try Self.rows(Self.batch("a:int", csv: "a\n\(text)\n").0) == [[.int(Int64(text)!)]])
        #expect(try Self.rows(Self.batch("a:int", ndjson: "{\"a\":\(text)}").0) == [[.int(Int64(text)!)]])
    }

    @Test(
        "columns are inferred so that nothing is lost, in CSV and in NDJSON",
        arguments: [
            (["12345678901234567890", "12345678901234567891"], "string"), (["1", "9223372036854775807"], "int"),
            (["1", "1.5"], "double"), (["9007199254740992", "1.5"], "double"), (["9007199254740993", "1.5"], "string"),
            (["1.5", "9007199254740993"], "string"), (["1", "-0"], "string"), (["1e400", "1"], "string"),
            (["1e-400"], "string"), (["0.1234567890123456789"], "string"), (["0.12345678901234566"], "double"),
            (["0.12345678901234567"], "string"), (["9007199254740993.0"], "string"), (["3e-324", "1.5"], "string"),
            (["21.50", "1.0e5", "1E+5"], "double"),
        ])
    func inferenceLosesNothing(texts: [String], type: String) throws {
        let csv = try SchemaInference.csv(
            header: ["a"], block: TextBlock(bytes: Array(texts.joined(separator: "\n").utf8), firstLine: 2))
        let rows = texts.map { "{\"a\":\($0)}" }.joined(separator: "\n")
        let ndjson = try SchemaInference.ndjson(block: TextBlock(bytes: Array(rows.utf8), firstLine: 1))
        #expect(csv.description == "a:\(type)" && ndjson == csv)
        if type == "string" {
            let written = texts.map { [Scalar.text($0)] }
            #expect(try Self.rows(Self.batch("a:string", ndjson: rows).0) == written)
        }
    }

    @Test(
        "text that is no number in CSV stays text",
        arguments: ["01007", "+4912", "+1.5", ".", "inf", "NaN", "1e", "00.5"])
    func textOfDigits(text: String) throws {
        let block = TextBlock(bytes: Array("\(text)\n1\n".utf8), firstLine: 2)
        #expect(try SchemaInference.csv(header: ["a"], block: block).description == "a:string")
    }

    @Test("a schema never rejects the rows that it was inferred from")
    func inferredSchemasFit() throws {
        var random = SeededRandom(11)
        let values = [
            "1", "-0", "1.5", "1e400", "12345678901234567890", "9007199254740993", "true", "false", "null", "\"x\"",
            "\"2013-01-01\"", "\"2013-01-01T00:00:00.1234567Z\"", "\"2016-12-31T23:59:60Z\"", "\"1\"", "1E-400", "0",
        ]
        let fields =
            values.filter { $0 != "null" }.map { $0.replacing("\"", with: "") } + [
                "", "NA", "+1", "01", "TRUE", "tRUE", "nan",
            ]
        for round in 0..<500 {
            let pool = (0..<3).map { _ in random.pick(values) }
            let rows = (0..<4).map { _ in "{\"a\":\(random.pick(pool)),\"b\":\(random.pick(pool))}" }.joined(
                separator: "\n")
            let schema = try SchemaInference.ndjson(block: TextBlock(bytes: Array(rows.utf8), firstLine: 1))
            let (batch, _) = try Self.batch(schema.description, ndjson: rows)
            #expect(batch.rowCount == 4, "round \(round)")
            let few = (0..<3).map { _ in random.pick(fields) }
            let text = (0..<4).map { _ in "\(random.pick(few)),\(random.pick(few))" }.joined(separator: "\n")
            let other = try SchemaInference.csv(
                header: ["a", "b"], block: TextBlock(bytes: Array(text.utf8), firstLine: 2))
            #expect(try Self.batch(other.description, csv: "a,b\n" + text).0.rowCount == 4, "round \(round)")
        }
    }

    @Test("a row that does not fit says which type would take it")
    func remedy() {
        func remedy(_ type: String, _ text: String) -> FrameColumn? {
            (#expect(throws: RowError.self) { try Self.batch("a:\(type)", csv: "a\n\(text)\n") })?.remedy
        }
        #expect(remedy("int", "1.5") == FrameColumn("a", .double))
        #expect(remedy("int", "01") == FrameColumn("a", .string))
        #expect(remedy("double", "12345678901234567890") == FrameColumn("a", .string))
        #expect(remedy("time", "2013-01-01T00:00:00.1234567") == FrameColumn("a", .string))
    }
}

extension Scalar {
    static func text(_ text: String) -> Scalar { .string(Array(text.utf8)) }
}
