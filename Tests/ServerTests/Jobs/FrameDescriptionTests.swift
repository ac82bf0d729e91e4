// `frame:describe`: what the columns of a frame hold, over all nodes.

import Engine
import Gather
import Server
import Testing

@Suite struct FrameDescriptionTests {
    private static func json(_ value: Value?) -> String {
        value.map { String(decoding: $0.json, as: UTF8.self) } ?? "nothing"
    }

    @Test("every column's nulls, different values, ends and most frequent values are those of all nodes")
    func allNodes() async throws {
        try await NodesInProcess.with(3) { nodes in
            let names = #""a":1,"b b\"":2.5,"at":"2013-01-01T00:00:00Z","ok":true,"s":"x""#
            #expect(await nodes.set("frame:append:t", "{\(names)}\n"))
            for node in 0..<3 {
                let rows = (0..<10).map { row in
                    #"{"a":\#(row % 3),"b b\"":\#(row).5,"at":"2013-01-0\#(row % 2 + 1)T00:00:00Z","ok":\#(row % 2 == 0),"s":\#(row == 9 ? "null" : #""n\#(node)""#)}"#
                }
                #expect(await nodes.set("frame:append:t", rows.joined(separator: "\n"), at: node))
            }
            for asked in 0..<3 {
                guard case .array(let columns)? = await nodes.get("frame:describe:t", at: asked) else {
                    #expect(Bool(false), "no list on \(asked)")
                    continue
                }
                #expect(columns.map { $0["name"]?.text } == ["a", "b b\"", "at", "ok", "s"])
                #expect(
                    Self.json(columns[0])
                        == #"{"name":"a","type":"int","nulls":0,"distinct":3,"min":0,"max":2,"top":[{"value":0,"count":12},{"value":1,"count":10},{"value":2,"count":9}]}"#
                )
                #expect(columns[1]["distinct"] == .int(10) && columns[1]["max"] == .double(9.5), "\(columns[1])")
                #expect(columns[2]["min"]?.text == "2013-01-01T00:00:00Z", "\(columns[2])")
                #expect(columns[3]["top"]?.element(0)?["value"] == .bool(true), "\(columns[3])")
                #expect(columns[4]["nulls"] == .int(3) && columns[4]["distinct"] == .int(4), "\(columns[4])")
                #expect(columns[4]["top"]?.element(0) == .object(["value": .string("n0"), "count": .int(9)]))
            }
            #expect(await nodes.get("frame:describe:none") == nil)
            // With a node gone it is an error, never less than all.
            await nodes.end(2)
            #expect(await nodes.get("frame:describe:t") == nil)
        }
    }

    @Test("a wide frame is described column by column, one without rows without figures")
    func wide() async throws {
        try await NodesInProcess.with(1) { nodes in
            let row = (0..<40).map { "\"c\($0)\":\($0)" }.joined(separator: ",")
            #expect(await nodes.set("frame:append:wide", "{\(row)}\n{\(row)}\n"))
            guard case .array(let columns)? = await nodes.get("frame:describe:wide") else {
                return #expect(Bool(false), "no list")
            }
            #expect(columns.count == 40)
            for (at, column) in columns.enumerated() {
                let value = Value.int(Int64(at))
                #expect(column["name"] == .string("c\(at)") && column["min"] == value && column["max"] == value)
                #expect(column["top"] == .array([.object(["value": value, "count": .int(2)])]), "\(column)")
            }
        }
        let node = HTTPNode()
        _ = await node.ask(
            "POST /v1/frames/many", ["Content-Type: application/x-ndjson"],
            body: (0..<70_000).map { "{\"n\":\($0),\"one\":1}" }.joined(separator: "\n"))
        let reply = await node.ask("GET /v1/get?key=frame:describe:many")
        guard case .array(let columns)? = reply.json?["frame:describe:many"]?["value"] else {
            return #expect(Bool(false), "\(reply.body)")
        }
        // What is too much to be counted exactly says so.
        #expect(columns[0]["top"] == nil, "\(columns[0])")
        guard case .int(let different)? = columns[0]["distinct"] else { return #expect(Bool(false)) }
        #expect(abs(different - 70_000) < 70_000 / 40)
        #expect(columns[0]["distinctError"] != nil)
        #expect(columns[1]["distinct"] == .int(1) && columns[1]["distinctError"] == nil)
    }
}

extension Value {
    /// Of a list; nil where there is none.
    fileprivate func element(_ at: Int) -> Value? {
        guard case .array(let list) = self, list.indices.contains(at) else { return nil }
        return list[at]
    }
}
