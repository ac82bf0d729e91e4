// `watch`: who asked for it is told what happens, in order, as far as it reads; nobody else pays or waits.

import Engine
import Gather
import Server
import Testing

@Suite struct WatchTests {
    /// Without what is different each time.
    private static func shape(_ text: String) -> String {
        text.replacing(#/ts=[0-9]+\.[0-9]{6} gid=[0-9]+ /#, with: "")
    }

    /// A session that watches, beside one that works, on one node.
    private static func pair(_ engine: Engine) -> (SessionHarness<Router>, SessionHarness<Router>) {
        let router = Router(engine: engine)
        let watching = SessionHarness(router)
        return (watching, SessionHarness(router, sharing: watching))
    }

    @Test("fetchers and mutations are told, those that were asked for and no others, until another watch")
    func keys() {
        let (watching, working) = Self.pair(Engine(EngineConfiguration(memoryBytes: 16 << 20)))
        working.send("set before 0 0 1\r\nx\r\n")
        watching.send("watch fetchers\r\n")
        working.send("get before\r\nget none\r\nset a 0 0 1\r\nx\r\n")
        watching.collect()
        #expect(
            Self.shape(watching.text)
                == "OK\r\ntype=item_get key=before status=found\r\ntype=item_get key=none status=not_found\r\n")
        watching.send("watch mutations\r\nversion\r\n")
        working.send("get a\r\nadd a 0 0 1\r\nx\r\nset b%c 0 0 1\r\nx\r\ndelete a\r\ndelete a\r\nms m 1\r\nx\r\n")
        watching.collect()
        let told = Self.shape(watching.text)
        #expect(
            told.hasSuffix(
                "type=item_store key=a status=not_stored\r\ntype=item_store key=b%25c status=stored\r\n"
                    + "type=item_delete key=a status=deleted\r\ntype=item_delete key=a status=not_found\r\n"
                    + "type=item_store key=m status=stored\r\n"), "\(told)")
        #expect(!told.contains("key=before status=found\r\nOK\r\ntype=item_get"))
    }

    @Test("evictions are told, and jobs with their outcomes")
    func node() async {
        let engine = Engine(EngineConfiguration(shards: 1, memoryBytes: 2 << 20))
        let (watching, working) = Self.pair(engine)
        watching.send("watch evictions jobs\r\n")
        let value = String(repeating: "v", count: 1_000)
        for at in 0..<3_000 { working.send("set k\(at) 0 0 1000\r\n\(value)\r\n") }
        engine.configuration.events.tell(
            .jobEnded(name: "by day", status: "error", reason: "timeout", nanoseconds: 5_000))
        watching.collect()
        let told = Self.shape(watching.text)
        #expect(told.contains("type=eviction key=k"), "\(told.prefix(500))")
        #expect(told.contains(" fetch=no size=10"))
        #expect(told.contains("type=job name=by%20day status=error reason=timeout us=5\r\n"))
    }

    @Test("who does not keep up is told how many lines were skipped, after those that were kept")
    func skipped() {
        let (watching, working) = Self.pair(Engine(EngineConfiguration(memoryBytes: 16 << 20)))
        watching.send("watch fetchers\r\n")
        let gets = String(repeating: "get none\r\n", count: 1_000)
        for _ in 0..<20 { working.send(gets) }
        watching.collect()
        let lines = watching.text.split(separator: "\r\n").dropFirst()
        let kept = lines.count { $0.contains("key=none") }
        let skipped = lines.compactMap { $0.wholeMatch(of: #/\[skipped: ([0-9]+)\]/#) }.compactMap { Int($0.1) }
        #expect(skipped.count == 1 && kept + skipped.reduce(0, +) == 20_000, "\(kept) \(skipped)")
        #expect(kept > 1_000 && lines.last?.hasPrefix("[skipped") == true)
        // And goes on.
        working.send("get again\r\n")
        watching.collect()
        #expect(watching.text.contains("key=again"))
        working.send("stats\r\n")
        #expect(working.text.contains("STAT log_watchers 1\r\n"))
        #expect(working.text.contains("STAT log_watcher_skipped \(skipped[0])\r\n"))
    }

    @Test("there is a limit to watchers, one that has gone makes room, and where it is switched off nobody watches")
    func limits() {
        let router = Router(engine: Engine(EngineConfiguration(memoryBytes: 16 << 20)))
        let first = SessionHarness(router)
        var others = (0..<20).map { _ in SessionHarness(router, sharing: first) }
        for other in others { other.send("watch\r\n") }
        first.send("watch\r\n")
        #expect(first.text == "WATCHER_TOO_MANY log watcher limit reached\r\n")
        #expect(others.allSatisfy { $0.text == "OK\r\n" })
        others.removeLast()
        first.send("watch\r\n")
        #expect(first.text.hasSuffix("OK\r\n"))
        var configuration = SessionConfiguration()
        configuration.allowsWatch = false
        let refused = SessionHarness(router, configuration)
        refused.send("watch fetchers\r\n")
        #expect(refused.text == "CLIENT_ERROR watch commands not allowed\r\n")
    }

    @Test("over real connections, who watches is woken by what others do, and told who comes and goes")
    func connections() throws {
        var configuration = MemcachedListenerConfiguration()
        configuration.port = 0
        let loops = [ServingLoop(index: 0), ServingLoop(index: 1)]
        let router = Router(engine: Engine(EngineConfiguration(memoryBytes: 16 << 20)))
        let listener = MemcachedListener(configuration, router: router, loops: loops)
        try listener.start()
        defer {
            listener.stop()
            for loop in loops { loop.shutdown() }
        }
        let watching = LoopbackClient(port: listener.ports[0])
        watching.send("watch connevents fetchers\r\n")
        #expect(watching.receive(4) == "OK\r\n")
        do {
            let client = LoopbackClient(port: listener.ports[0])
            client.send("get none\r\n")
            #expect(client.receive(5) == "END\r\n")
        }
        var told = ""
        while told.split(separator: "\r\n").count < 3 || !told.hasSuffix("\r\n") {
            let next = watching.receive(1)
            if next.isEmpty { break }
            told += next
        }
        let lines = told.split(separator: "\r\n").map { Self.shape(String($0)).split(separator: " ").map(String.init) }
        #expect(lines.map(\.first) == ["type=conn_new", "type=item_get", "type=conn_close"], "\(told)")
        #expect(lines.first?.dropFirst() == lines.last?.dropFirst() && lines.first?.contains("transport=tcp") == true)
    }
}
