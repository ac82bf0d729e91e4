// An answer that may be off says so, wherever in a job the numbers became plain ones.

import Engine
import Gather
import Logging
import Testing

@Suite struct InexactAnswerTests {
    private static let cluster: Cluster = {
        let engine = Engine(EngineConfiguration(shards: 2, memoryBytes: 8 << 20))
        let cluster = Cluster(
            engine: engine, topology: .alone(name: "n", host: "127.0.0.1", port: 11211), loops: [],
            logger: Logger(label: "test"))
        // More different values than are counted exactly, on each shard.
        let frame = try! engine.frames.create("f", schema: try! FrameSchema(parsing: "x:int,few:int"))
        for part in frame.parts {
            var batch = ColumnBatch(schema: frame.schema)
            for number in 0..<70_000 { try! batch.append(row: [.int(Int64(number)), .int(Int64(number % 7))]) }
            try! part.append(batch)
        }
        return cluster
    }()

    private static func envelope(_ source: String) async -> Value {
        // Far more time than a machine that is busy with other tests takes.
        let request = JobRequest(name: "j", source: Array(source.utf8), timeoutMilliseconds: 600_000)
        let router = Router(cluster: cluster, services: [])
        return await JobRunner(cluster: cluster).run(request, router: router).value
    }

    private static let distinct = #"shard:frame("f"):agg{ d = distinct("x") }"#
    private static let total = "function reduce(a, b) return { d = a.d + b.d } end"

    @Test(
        "distinct of very many values is approximate, whoever turns it into plain values",
        arguments: [
            "function map(shard) return \(distinct) end",
            "function map(shard) return \(distinct) end function finish(r) return r:rows() end",
            "function map(shard) return \(distinct) end function finish(r) return r:rows()[1].d end",
            "function map(shard) return \(distinct) end function finish(r) return r:having('d', '>', 5) end",
            "function map(shard) return \(distinct) end function finish(r) return r:sort('d'):rows()[1] end",
            "function map(shard) return { d = \(distinct):rows()[1].d } end \(total)",
            "function map(shard) local n = \(distinct):rows()[1].d return { d = n > 5 and 1 or 0 } end \(total)",
            "function map(shard) return \(distinct) end "
                + "function reduce(a, b) local s = a:merge(b) return { d = s:rows()[1].d } end",
        ])
    func distinctValues(_ source: String) async {
        let envelope = await Self.envelope(source)
        #expect(envelope["status"] == .string("complete"), "\(envelope)")
        #expect(envelope["approximate"] == .object(["d": .double(0.025)]), "\(envelope)")
    }

    @Test(
        "what is exact is not called approximate, nor what nobody looked at",
        arguments: [
            "function map(shard) return shard:frame('f'):agg{ d = distinct('few') } end",
            "function map(shard) return { d = shard:frame('f'):agg{ d = distinct('few') }:rows()[1].d } end \(total)",
            "function map(shard) local unread = \(distinct) return { d = 1 } end \(total)",
        ])
    func exact(_ source: String) async {
        let envelope = await Self.envelope(source)
        #expect(envelope["status"] == .string("complete") && envelope["approximate"] == nil, "\(envelope)")
    }

    @Test("of several aggregates each is named, with the worst that was seen of it")
    func names() async {
        let source = """
            function map(shard)
              local all = shard:frame("f"):agg{ d = distinct("x"), q = quantile("x", 0.5), n = count() }:rows()[1]
              return { d = all.d, q = all.q }
            end
            function reduce(a, b) return a end
            """
        let envelope = await Self.envelope(source)
        #expect(envelope["approximate"] == .object(["d": .double(0.025), "q": .double(0.005)]), "\(envelope)")
    }
}
