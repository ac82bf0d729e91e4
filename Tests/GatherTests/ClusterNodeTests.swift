// What a node answers to its peers and clients, without a network: loads and their senders, jobs in jobs, keys, jobs by name.

import Coordination
import Engine
import Gather
import Synchronization
import Testing

@Suite struct ClusterNodeTests {
    private static func reason(_ reply: PeerReply) -> Reason? {
        if case .failure(let failure) = reply { failure.reason } else { nil }
    }

    private static func createFrame(_ node: ClusterNode) async throws {
        let schema = try FrameSchema(parsing: "a:int").value
        let reply = await node.control(.createFrame, .object(["name": .string("f"), "schema": schema]))
        try #require(reason(reply) == nil)
    }

    private static func block(_ load: UInt64) -> PeerRequest {
        .stage(
            StageRequest(
                load: load, frame: "f", format: .csv, header: ["a"], firstLine: 2, skipsBadRows: false,
                bytes: Array("1\n2\n".utf8)))
    }

    private static func loadArgument(_ load: UInt64) -> Value {
        .object(["load": .int(Int64(bitPattern: load)), "frame": .string("f")])
    }

    private static func begin(_ node: ClusterNode, _ load: UInt64, _ connection: PeerConnection) async {
        let reply = await node.ask(.control(verb: .beginLoad, argument: loadArgument(load)), connection)
        #expect(reply == .value(.object(["nodes": .int(1), "leftOut": .array([])])))
    }

    @Test("the first two blocks of a load may arrive at the same time")
    func firstBlocks() async throws {
        let node = loneNode()
        try await Self.createFrame(node)
        for load in 1...200 as ClosedRange<UInt64> {
            let connection = PeerConnection(.client)
            await Self.begin(node, load, connection)
            async let first = node.ask(Self.block(load), connection)
            async let second = node.ask(Self.block(load), connection)
            let replies = await [first, second]
            #expect(replies.map(Self.reason) == [nil, nil])
            let commit = await node.ask(.control(verb: .commitLoad, argument: Self.loadArgument(load)), connection)
            #expect(commit == .value(.object(["rows": .int(4)])))
        }
    }

    @Test("a block that is worked on after its sender went away begins no load that nobody would end")
    func lateBlock() async throws {
        let node = loneNode()
        try await Self.createFrame(node)
        let connection = PeerConnection(.client)
        await Self.begin(node, 1, connection)
        #expect(Self.reason(await node.ask(Self.block(1), connection)) == nil)
        connection.markClosed()
        node.closed(connection)
        for load in [1, 2] as [UInt64] {
            let begin = PeerRequest.control(verb: .beginLoad, argument: Self.loadArgument(load))
            #expect(Self.reason(await node.ask(begin, connection)) == .cancelled)
            #expect(Self.reason(await node.ask(Self.block(load), connection)) == .cancelled)
            #expect(Self.reason(await node.control(.commitLoad, Self.loadArgument(load))) == .cancelled)
        }
        #expect(node.cluster.engine.frames.find("f")?.statistics.rows == 0)
    }

    private static func append(_ node: ClusterNode, _ rows: [String]) async -> PeerReply {
        await node.control(
            .store,
            .object(["key": .string("frame:append:log"), "value": .string(rows.joined(separator: "\n"))]))
    }

    private static func fetch(_ node: ClusterNode, _ key: String) async -> PeerReply {
        await node.ask(.fetch(key: Array(key.utf8), deadlineMilliseconds: 10_000, byJob: false))
    }

    @Test("a retained frame loses its old chunks, and its answers are complete without them")
    func retention() async throws {
        let node = loneNode()
        let day = Int64(86_400)
        let now = Int64(unixSeconds())
        // Two chunks of old rows, and a tail of new ones.
        for chunk in 0..<2 {
            let rows = (0..<65_536).map {
                "{\"at\":\"\(Timestamp.text((now - (60 + Int64(chunk)) * day) * 1_000_000))\",\"n\":\($0)}"
            }
            #expect(Self.reason(await Self.append(node, rows)) == nil)
        }
        let fresh = ["{\"at\":\"\(Timestamp.text(now * 1_000_000))\",\"n\":1}"]
        #expect(Self.reason(await Self.append(node, fresh)) == nil)
        #expect(Self.reason(await Self.fetch(node, "frame:retain:log:soon")) == .scriptError)
        #expect(Self.reason(await Self.fetch(node, "frame:retain:log:30d:n")) == .wrongType)
        #expect(Self.reason(await Self.fetch(node, "frame:retain:nosuch:30d")) == .miss)
        guard case .value(let kept) = await Self.fetch(node, "frame:retain:log:90d") else { throw Unexpected() }
        #expect(kept["rows"] == .int(0))
        guard case .value(let dropped) = await Self.fetch(node, "frame:retain:log:30d") else { throw Unexpected() }
        #expect(dropped["rows"] == .int(131_072) && dropped["column"] == .string("at"))
        let job = JobRequest(name: "j", source: Array("function map(s) return s:frame('log'):count() end".utf8))
        guard case .value(let envelope) = await node.control(.runJob, job.value) else { throw Unexpected() }
        #expect(envelope["status"] == .string("complete"))
        #expect(envelope["rows"] == .object(["expected": .int(1), "scanned": .int(1)]))
        #expect(node.cluster.retire(now: (now + 60 * day) * 1000) == 1, "the tail is old now")
        guard case .value = await Self.fetch(node, "frame:retain:log:1000000000w") else { throw Unexpected() }
        #expect(node.cluster.retire(now: now * 1000) == 0, "of twenty million years")
    }

    private struct Unexpected: Error {}

    @Test(
        "an explained job says its plans and runs none of them; a job that is over is listed; none can be cancelled twice"
    )
    func explainAndList() async throws {
        let node = loneNode()
        #expect(Self.reason(await Self.append(node, ["{\"n\":1}", "{\"n\":2}"])) == nil)
        let source = """
            job.params = { least = 1 }
            function map(s, p)
              return s:frame("log"):where("n", ">=", p.least):group("n"):agg{ c = count(), q = quantile("n", 0.5) }
            end
            """
        var job = JobRequest(name: "j", source: Array(source.utf8), parameters: ["least": .int(2)])
        job.query = 77
        guard case .value(let explained) = await node.control(.explainJob, job.value),
            case .array(let plans)? = explained["plans"]
        else { throw Unexpected() }
        #expect(plans.count == 1 && plans[0]["shards"] == .int(2) && plans[0]["rows"] == .int(2))
        guard case .array(let kernels)? = plans[0]["kernels"] else { throw Unexpected() }
        #expect(kernels.first == .string("c: rows counted"))
        guard case .value(.array(let none)) = await node.control(.listJobs, .null) else { throw Unexpected() }
        #expect(none.isEmpty)
        guard case .value(let envelope) = await node.control(.runJob, job.value) else { throw Unexpected() }
        #expect(envelope["query"] == .string("4d") && envelope["status"] == .string("complete"))
        guard case .value(.array(let jobs)) = await node.control(.listJobs, .null) else { throw Unexpected() }
        #expect(jobs.count == 1 && jobs[0]["id"] == .string("4d") && jobs[0]["status"] == .string("complete"))
        let query = Value.object(["query": .int(77)])
        #expect(await node.control(.cancelJob, query) == .value(.bool(false)))
        #expect(await node.control(.jobProgress, query) == .value(.null))
    }

    @Test("a job that is cancelled while it walks ends with that reason")
    func cancel() async throws {
        let node = loneNode()
        #expect(Self.reason(await Self.append(node, ["{\"n\":1}"])) == nil)
        var job = JobRequest(
            name: "endless", source: Array("function map(s) while true do s:frame('log'):count() end end".utf8))
        job.query = 99
        let value = job.value
        let running = Task { await node.control(.runJob, value) }
        while node.cluster.jobs.coverage(of: 99) == nil { await Task.yield() }
        #expect(await node.control(.cancelJob, .object(["query": .int(99)])) == .value(.bool(true)))
        guard case .value(let envelope) = await running.value else { throw Unexpected() }
        #expect(envelope["error"]?["reason"] == .string("cancelled"))
    }

    @Test(
        "a job whose frame is dropped while it looks at it has no answer: what was lost of the frame is not known any more"
    )
    func droppedMeanwhile() async throws {
        let node = loneNode { $0.shards = 1 }
        #expect(Self.reason(await Self.append(node, ["{\"n\":1}"])) == nil)
        let source = """
            function map(s)
              local n = s:frame("log"):count()
              repeat until pcall(function() return s:frame("go") end)
              return n
            end
            """
        // Far more than a machine that is busy with other tests takes.
        var job = JobRequest(name: "j", source: Array(source.utf8), timeoutMilliseconds: 600_000)
        job.query = 98
        let value = job.value
        let running = Task { await node.control(.runJob, value) }
        while node.cluster.jobs.coverage(of: 98)?.total.frames.isEmpty != false { await Task.yield() }
        guard case .value = await Self.fetch(node, "frame:drop:log") else { throw Unexpected() }
        _ = try node.cluster.createFrame("go", try FrameSchema(parsing: "n:int"))
        guard case .value(let envelope) = await running.value else { throw Unexpected() }
        #expect(
            envelope["status"] == .string("error") && envelope["error"]?["reason"] == .string("incomplete_data"),
            "\(envelope)")
    }

    @Test("a job can't run another job: one that runs itself on every server would never end")
    func jobInJob() async throws {
        let node = loneNode()
        let source = """
            function run(p)
              local values, reasons = getInParallel{ n = "job:run:self" }
              return { ran = values.n ~= nil, reason = reasons.n["job:run:self"].reason }
            end
            """
        let define = Value.object(["key": .string("job:define:self"), "value": .string(source)])
        #expect(await node.control(.store, define) == .value(.string("DEFINED")))
        let run = PeerRequest.fetch(key: Array("job:run:self".utf8), deadlineMilliseconds: 10_000, byJob: false)
        guard case .value(let envelope) = await node.ask(run) else {
            Issue.record("no envelope")
            return
        }
        #expect(envelope["status"]?.text == "error")
        #expect(envelope["error"]?["reason"]?.text == "script_error")
        let nested = PeerRequest.fetch(key: Array("job:run:self".utf8), deadlineMilliseconds: 10_000, byJob: true)
        let peer = PeerConnection(.node(name: "n2", incarnation: 1))
        #expect(Self.reason(await node.ask(nested, peer)) == .scriptError)
    }

    @Test("nothing may be asked of a server: an empty table, or an empty list of keys")
    func noKeys() async throws {
        let node = loneNode()
        let request = JobRequest(
            name: "none",
            source: Array("function run(p) getInParallel{} getInParallel{ n = {} } return { ok = true } end".utf8))
        guard case .value(let envelope) = await node.control(.runJob, request.value) else {
            Issue.record("no envelope")
            return
        }
        #expect(envelope["status"]?.text == "complete", "\(envelope)")
    }

    @Test("a job that was dropped is gone, may be dropped once, and may be defined again")
    func dropJob() async throws {
        let node = loneNode()
        func fetch(_ key: String) async -> PeerReply {
            await node.ask(.fetch(key: Array(key.utf8), deadlineMilliseconds: 10_000, byJob: false))
        }
        let define = Value.object([
            "key": .string("job:define:j"), "value": .string("function run() return 1 end"),
        ])
        for _ in 1...2 {
            #expect(await node.control(.store, define) == .value(.string("DEFINED")))
            #expect(await fetch("job:list:") == .value(.array([.string("j")])))
            #expect(await fetch("job:drop:j") == .value(.string("DROPPED")))
            #expect(await fetch("job:list:") == .value(.array([])))
            #expect(Self.reason(await fetch("job:drop:j")) == .scriptError)
            #expect(Self.reason(await fetch("job:run:j")) == .scriptError)
        }
    }

    @Test("all jobs together have a limit, so that what nodes tell each other stays small")
    func jobBytes() async throws {
        let node = loneNode()
        let source = "function run() return 1 end --" + String(repeating: "x", count: 250 << 10)
        var refused = 0
        for index in 1...40 {
            let define = Value.object(["key": .string("job:define:j\(index)"), "value": .string(source)])
            switch await node.control(.store, define) {
            case .value: break
            case .failure(let failure):
                #expect(failure.reason == .budgetExceeded)
                refused += 1
            default: Issue.record("neither")
            }
        }
        #expect(refused == 8)
    }

    @Test("a key that no memcached client could name is not stored", arguments: ["", "a b", "a\n", "\u{7F}"])
    func keys(_ key: String) async {
        let store = Value.object(["key": .string(key), "value": .string("v")])
        #expect(Self.reason(await loneNode().control(.store, store)) == .scriptError)
    }

    @Test("a key of 250 bytes is stored, one of 251 is not")
    func keyLength() async {
        let node = loneNode()
        for (count, reason) in [(250, nil), (251, Reason.scriptError)] {
            let key = String(repeating: "k", count: count)
            let store = Value.object(["key": .string(key), "value": .string("v")])
            #expect(Self.reason(await node.control(.store, store)) == reason)
        }
    }
}
