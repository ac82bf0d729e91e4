// Answers as tables for people, and the line that says how far to trust them.

import Engine
import Server
import Testing

@Suite struct TableTests {
    private static func row(_ pairs: KeyValuePairs<String, Value>) -> Value { .object(pairs) }

    @Test("a table has the columns of all rows, in the order in which they are met first")
    func union() {
        let rows = Value.array([
            Self.row(["b": .int(1)]), Self.row(["a": .string("x"), "b": .int(20)]),
            Self.row(["c": .bool(true), "a": .null]),
            Self.row([:]),
        ])
        #expect(
            Table(rows)?.text == """
                 b  a  c
                --  -  ----
                 1  -  -
                20  x  -
                 -  -  true
                 -  -  -
                """)
        let early = Value.array([Self.row([:]), Self.row(["a": .int(1)])])
        #expect(
            Table(early)?.text == """
                a
                -
                -
                1
                """)
    }

    @Test("what has no columns of text is no table")
    func noTable() {
        for value in [
            Value.null, .array([]), .int(1), .array([.int(1)]), .array([Self.row(["a": .int(1)]), .int(1)]),
            .array([.map([])]),
            .array([.map([.init(.int(1), .int(2))])]), Self.row(["a": .int(1)]),
        ] {
            #expect(Table(value) == nil)
        }
        let many = Value.array((0..<2_000).map { .map([.init(.string("c\($0)"), .int(1))]) })
        #expect(Table(many) == nil)
    }

    @Test("infinities and NaN have their names")
    func infinities() {
        let rows = Value.array([.double(.infinity), .double(-.infinity), .double(.nan)].map { Self.row(["x": $0]) })
        #expect(
            Table(rows)?.text.split(separator: "\n").dropFirst(2).map { $0.drop { $0 == " " } } == [
                "Infinity", "-Infinity", "NaN",
            ])
    }

    @Test("the summary says where rows were left out, and bears times that are none")
    func summary() {
        func summary(_ pairs: KeyValuePairs<String, Value>) -> String {
            EnvelopePrinter.summary(.map(pairs.map { .init(.string($0.key), $0.value) }))
        }
        let shards = Value.object(["asked": .int(2), "answered": .int(2), "failed": .array([])])
        let times = Value.object(["total": .double(1.5), "nodes": .object(["n1": .double(1)])])
        #expect(
            summary(["status": .string("complete"), "shards": shards, "ms": times, "truncated": .bool(true)])
                == "complete: 2 of 2 shards, 1.5 ms (n1 1.0), truncated: more rows pass than the limit of rows{…} keeps"
        )
        #expect(
            summary(["status": .string("complete"), "shards": shards, "ms": times])
                == "complete: 2 of 2 shards, 1.5 ms (n1 1.0)")
        let shares = Value.object([
            "d": .double(0.025), "q": .double(0.005), "t": .double(0.00121), "w": .double(1e300),
        ])
        #expect(
            summary(["status": .string("complete"), "shards": shards, "approximate": shares])
                == "complete: 2 of 2 shards, "
                + "approximate: d within 2.5 %, q within 0.5 %, t within 0.13 %, w within more than 100 %")
        for number in [Double.nan, .infinity, 1e300] {
            let odd = Value.object(["total": .double(number), "nodes": .object(["n1": .double(number)])])
            #expect(
                summary(["status": .string("complete"), "shards": shards, "ms": odd]).hasPrefix(
                    "complete: 2 of 2 shards"))
        }
    }
}
