// Text that looks like a number and may be none: one rule for CSV, NDJSON and appends.

import Engine
import Testing

@Suite struct DoubtfulNumbersTests {
    private static let texts: [(text: String, type: ColumnType)] = [
        ("1E05", .string), ("10E4", .string), ("1e5", .string), ("12e45", .string), ("7E3", .string), ("1e16", .double),
        ("9e22", .double), ("1E16", .string), ("12e16", .string), ("1e016", .string), ("1e15", .string),
        ("0e0", .string),
        ("0e16", .string), ("1.0e5", .double), ("1.5E3", .double), ("1.E5", .double), (".5e3", .double),
        ("1e+05", .double),
        ("1E-5", .double), ("-1e5", .string), ("-1e-5", .double), ("1e400", .string), ("1e+400", .string),
        ("1.10", .double), ("1.10.2", .string), (".5", .double), ("5.", .double), ("-.5", .double), (".", .string),
        ("0x10", .string), ("0b1", .string), ("1_000", .string), ("1,5", .string), ("1 000", .string), ("inf", .string),
        ("nan", .string), ("-inf", .string), ("١٢", .string), ("１２", .string), ("1.", .double), ("1e", .string),
        ("e5", .string), ("1e5e5", .string), ("1f", .string), ("1.5f", .string), ("1d5", .string), ("50%", .string),
        ("$5", .string), ("0.10", .double), ("00.1", .string), ("+1", .string), ("1-2", .string), ("12", .int),
    ]

    private static func csv(_ text: String) -> [UInt8] { Array("\"\(text)\"\n".utf8) }

    @Test("a column of one such text has its type, and so has it beside numbers")
    func inference() throws {
        for (text, type) in Self.texts {
            let block = TextBlock(bytes: Self.csv(text), firstLine: 2)
            #expect(try SchemaInference.csv(header: ["c"], block: block).columns[0].type == type, "\(text)")
            let beside = TextBlock(bytes: Array("1.5\n".utf8) + Self.csv(text) + Array("2\n".utf8), firstLine: 2)
            let other: ColumnType = type == .int ? .double : type
            #expect(try SchemaInference.csv(header: ["c"], block: beside).columns[0].type == other, "\(text)")
        }
    }

    @Test("what is inferred as text is refused by a column of doubles")
    func appends() throws {
        for (text, type) in Self.texts where !["inf", "nan", "-inf"].contains(text) {
            let csv = try? FramesTextTests.batch("c:double", csv: "c\n\"\(text)\"\n")
            #expect((csv != nil) == (type != .string), "\(text)")
        }
        let error = #expect(throws: RowError.self) { try FramesTextTests.batch("c:double", csv: "c\n10E4\n") }
        #expect(error?.message.contains("it may be a name") == true)
    }

    @Test(
        "a JSON number without quotes is no name: it is text only where no number gives its digits back",
        arguments: [
            ("1e5", 1e5), ("10E4", 1e5), ("1E05", 1e5), ("-1e5", -1e5), ("7E3", 7e3), ("12e16", 12e16), ("1e016", 1e16),
            ("0e0", 0), ("1.0e5", 1e5), ("1e+5", 1e5), ("1e16", 1e16), ("1e22", 1e22), ("12e45", 12e45),
            ("1e400", nil), ("1e-400", nil), ("12345678901234567890", nil), ("123456789012345678901e1", nil),
            ("18446744073709551615", nil), ("1234567890123456789e1", nil), ("9007199254740993e0", nil), ("-0", nil),
        ] as [(String, Double?)])
    func jsonNumbers(_ text: String, _ number: Double?) throws {
        let row = "{\"c\":\(text)}"
        let block = TextBlock(bytes: Array(row.utf8), firstLine: 1)
        #expect(try SchemaInference.ndjson(block: block).columns[0].type == (number == nil ? .string : .double))
        let batch = try? FramesTextTests.batch("c:double", ndjson: row).0
        #expect(try batch.map { try FramesTextTests.rows($0) } == number.map { [[.double($0)]] })
        let quoted = TextBlock(bytes: Array("{\"c\":\"\(text)\"}".utf8), firstLine: 1)
        #expect(try SchemaInference.ndjson(block: quoted).columns[0].type == .string)
    }

    @Test("numbers and truth values in a column of text are noted with the first line of each column")
    func unquoted() throws {
        let rows = """
            {"a":"x","b":1}
            {"a":5,"b":2}

            {"a":"5","b":"x","c":true}
            {"a":true,"b":"y","c":"true"}
            {"a":null,"b":"z","c":"false"}
            """
        let (_, report) = try FramesTextTests.batch("a:string,b:string,c:string", ndjson: rows)
        #expect(report.unquotedLines == [0: 2, 1: 1, 2: 4])
        var merged = RowReport()
        merged.merge(report)
        merged.merge(report)
        #expect(merged.unquotedLines == report.unquotedLines)
        let plain = try FramesTextTests.batch("a:string,b:int,c:bool", ndjson: "{\"a\":\"5\",\"b\":5,\"c\":true}")
        #expect(plain.1.unquotedLines.isEmpty)
    }
}
