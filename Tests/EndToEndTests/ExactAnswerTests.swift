// Answers of jobs at their ends, on real nodes that must be there afterwards.

import Testing

@Suite(.serialized) struct ExactAnswerTests {
    private static func run(_ source: String, _ cluster: TestCluster, _ arguments: String...) throws -> Finished {
        let file = try TemporaryFile(source, suffix: ".lua")
        return try cluster.run(["job", "run", file.path] + arguments)
    }

    @Test("partials merged for ever, cut rows, rows of unequal columns and infinities are answered as what they are")
    func ends() throws {
        let cluster = try TestCluster(nodes: 3)
        let wire = try Wire(port: cluster[0].port)
        let rows = (1...20).map { "{\"n\":\($0),\"x\":\($0 > 10 ? "1.7e308" : "1.5")}" }.joined(separator: "\n")
        #expect(try wire.set("frame:append:f", rows) == "STORED\r\n")
        let merged = try Self.run(
            """
            function map(shard)
              local x = shard:frame("f"):agg{ c = count() }
              for i = 1, 70 do x = x:merge(x) end
              return x
            end
            """, cluster)
        #expect(merged.code == 1 && merged.errors.contains("a count is beyond 64 bits"), "\(merged.errors)")
        let cut = try Self.run("function map(s) return s:frame('f'):rows{ 'n', limit = 5 } end", cluster)
        #expect(cut.output.contains(", truncated: more rows pass than the limit"), "\(cut.output)")
        let whole = try Self.run("function map(s) return s:frame('f'):rows{ 'n', limit = 20 } end", cluster, "--json")
        #expect(whole.code == 0 && !whole.output.contains("truncated"), "\(whole.output)")
        let union = try Self.run(
            "function map(s) return { { a = 1 }, { b = 2 } } end function reduce(a, b) return a end", cluster)
        #expect(union.output.hasPrefix("a  b\n-  -\n1  -\n-  2\n"), "\(union.output)")
        let sum = try Self.run("function map(s) return s:frame('f'):agg{ s = sum('x') } end", cluster, "--json")
        #expect(sum.output.contains(#"[{"s":"Infinity"}]"#), "\(sum.output)")
        for node in 0..<3 { #expect(try cluster.run(["query", "node:name"], on: node).output == "n\(node + 1)\n") }
    }
}
