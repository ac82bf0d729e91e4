// Scripts that only compute or eat memory: others go on, deadlines and cancels reach them, and all of them share one memory.

import Coordination
import Engine
import Gather
import Synchronization
import Testing

@Suite(.serialized) struct JobTurnsTests {
    /// The envelope of a job. Its time is far more than a machine that is busy with other tests takes.
    private static func run(
        _ node: ClusterNode, _ source: String, query: UInt64? = nil
    ) async -> Value {
        var request = JobRequest(name: "t", source: Array(source.utf8), timeoutMilliseconds: 600_000)
        request.query = query
        switch await node.control(.runJob, request.value) {
        case .value(let envelope): return envelope
        case .failure(let failure): return .object(["error": .object(["reason": .string(failure.reason.rawValue)])])
        default: return .null
        }
    }

    private static func reason(_ envelope: Value) -> String? { envelope["error"]?["reason"]?.text }

    private static func store(_ node: ClusterNode, _ key: String, _ value: String) async -> PeerReply {
        await node.control(.store, .object(["key": .string(key), "value": .string(value)]))
    }

    static let spin = "while true do end"
    /// Each of these computes without an end at another place of a job.
    static let places = [
        "function map() \(spin) end", "function run() \(spin) end", "\(spin) function run() end",
        "function map() return 1 end function reduce(a, b) \(spin) end",
        "function map() return 1 end function reduce(a, b) return a end function finish() \(spin) end",
        "function map() coroutine.wrap(function() \(spin) end)() end",
        "function map() table.sort({ 1, 2, 3 }, function() \(spin) end) end",
        "function map() for i = 1, 3e9 do end end",
    ]

    @Test("a job ends at its timeout wherever its script computes, and explaining it too", arguments: places)
    func timeouts(source: String) async {
        let node = loneNode()
        let request = JobRequest(name: "t", source: Array(source.utf8), timeoutMilliseconds: 500)
        // On threads of their own: those of the tests are held up by other tests.
        let threads = ComputePool(width: 1)
        let (envelope, milliseconds) = await Task(executorPreference: threads) {
            let start = monotonicNanoseconds()
            let runner = JobRunner(cluster: node.cluster)
            let envelope = await runner.run(request, router: node.router)
            _ = try? await runner.explain(request)
            return (envelope, (monotonicNanoseconds() - start) / 1_000_000)
        }
        .value
        #expect(milliseconds < 5_000)
        #expect([.timeout, .budgetExceeded].contains(envelope.error?.reason), "\(envelope.value)")
    }

    @Test("a cancel ends a job at once wherever its script computes", arguments: places)
    func cancels(source: String) async throws {
        let node = loneNode()
        async let envelope = Self.run(node, source, query: 7)
        while node.cluster.jobs.list == .array([]) { try await Task.sleep(for: .milliseconds(1)) }
        #expect(await node.control(.cancelJob, .object(["query": .int(7)])) == .value(.bool(true)))
        let answer = await envelope
        #expect(Self.reason(answer) == "cancelled", "\(answer)")
        // Its scripts are over too, soon.
        for _ in 0..<10_000 where node.cluster.engine.jobScripts.running > 0 {
            try await Task.sleep(for: .milliseconds(1))
        }
        #expect(node.cluster.engine.jobScripts.running == 0)
    }

    @Test("a map that comes after its job was cancelled is cancelled too")
    func lateMap() async {
        let node = loneNode()
        #expect(await node.control(.cancelJob, .object(["query": .int(7)])) == .value(.bool(false)))
        let map = MapRequest(
            query: 7, name: "t", source: Array("function map() \(Self.spin) end".utf8), parameters: .null,
            deadlineMilliseconds: 600_000, now: 0)
        let peer = PeerConnection(.node(name: "m", incarnation: 1))
        let reply = await node.ask(.map(map), peer)
        guard case .mapFailed(let failure, _) = reply else {
            Issue.record("\(reply)")
            return
        }
        #expect(failure.reason == .cancelled)
    }

    @Test("beside ten jobs that compute without an end others run, rows are appended, jobs are defined and loads end")
    func besideTen() async throws {
        let node = loneNode()
        let spinning = Task {
            await withTaskGroup(of: Value.self) { group in
                for index in 0..<10 {
                    group.addTask {
                        await Self.run(node, Self.places[index % Self.places.count], query: UInt64(100 + index))
                    }
                }
                return await group.reduce(into: []) { $0.append($1) }
            }
        }
        while node.cluster.engine.jobScripts.running < 10 { try await Task.sleep(for: .milliseconds(1)) }
        let start = monotonicNanoseconds()
        for index in 0..<10 {
            #expect(await Self.store(node, "frame:append:f", "{\"a\":\(index)}") == .value(.object(["rows": .int(1)])))
            #expect(
                await Self.store(node, "job:define:j\(index)", "function run() return 1 end")
                    == .value(.string("DEFINED")))
            let answer = await Self.run(node, "function map(s) return s:frame('f'):count() end")
            #expect(answer["result"] == .array([.object(["count": .int(Int64(index + 1))])]), "\(answer)")
        }
        let milliseconds = (monotonicNanoseconds() - start) / 1_000_000
        // A fraction of a second, where nothing else runs: the pool's threads give way to all other tests. Behind the scripts
        // each of the thirty would wait for half a minute.
        #expect(milliseconds < 60_000, "30 steps took \(milliseconds) ms beside ten scripts")
        for index in 0..<10 {
            _ = await node.control(.cancelJob, .object(["query": .int(Int64(100 + index))]))
        }
        #expect(await spinning.value.map(Self.reason).allSatisfy { $0 == "cancelled" })
    }

    static let eater = "function map() local t = {} while true do t[#t + 1] = 'x' .. #t end end"

    @Test("scripts that fill memory share what all may have, end within it, and leave none of it taken")
    func sharedMemory() async throws {
        let node = loneNode { $0.scriptMemoryBytes = 32 << 20 }
        let states = node.cluster.engine.jobStates
        let envelopes = await withTaskGroup(of: Value.self) { group in
            for _ in 0..<30 { group.addTask { await Self.run(node, Self.eater) } }
            return await group.reduce(into: []) { $0.append($1) }
        }
        let known = ["budget_exceeded", "overloaded", "cancelled"]
        #expect(envelopes.allSatisfy { known.contains(Self.reason($0) ?? "") }, "\(envelopes.map(Self.reason))")
        for _ in 0..<5_000 where states.memory.usedBytes > 6 << 20 { try await Task.sleep(for: .milliseconds(1)) }
        #expect(states.memory.usedBytes <= 6 << 20)
        #expect(await Self.run(node, "function run() return 1 end")["result"] == .int(1))
    }

    @Test("one script that fills memory ends with budget_exceeded, and small ones run beside it")
    func smallBeside() async throws {
        let node = loneNode { $0.scriptMemoryBytes = 32 << 20 }
        async let large = Self.run(node, Self.eater)
        for _ in 0..<20 { #expect(await Self.run(node, "function run() return 1 end")["result"] == .int(1)) }
        #expect(Self.reason(await large) == "budget_exceeded")
    }

    private static let tenTexts = "local t, x = {}, ('x'):rep(2000000) for i = 1, 10 do t[i] = x end return t end"
    /// 20 MB each, of a text that the script has once; numbers, which take more than they count as; and what is asked for.
    static let largeResults = [
        "function map() \(tenTexts) function reduce(a, b) return a end",
        "function map() return 1 end function reduce(a, b) return a end function finish() \(tenTexts)",
        "function run() \(tenTexts)",
        "function run() local t, e = {}, {1} for i = 1, 300000 do t[i] = e end return t end",
        "function run() local k = {} for i = 1, 100 do k[i] = 'large' end return #getInParallel{ n = k } end",
    ]

    @Test(
        "what leaves a script is on the account of all before it is there, and off it when it is gone",
        arguments: largeResults)
    func results(source: String) async throws {
        let node = loneNode { $0.scriptMemoryBytes = 32 << 20 }
        let memory = node.cluster.engine.jobStates.memory
        #expect(await Self.store(node, "large", String(repeating: "x", count: 400_000)) == .value(.string("STORED")))
        for _ in 0..<3 {
            let envelope = await Self.run(node, source)
            #expect(
                ["budget_exceeded", "overloaded"].contains(Self.reason(envelope)), "\(Self.reason(envelope) ?? "none")")
        }
        for _ in 0..<5_000 where memory.usedBytes > 6 << 20 { try await Task.sleep(for: .milliseconds(1)) }
        #expect(memory.usedBytes <= 6 << 20)
        // A fifth of it is no harm to anybody.
        let small = source.replacing("10 do", with: "1 do").replacing("300000", with: "30000").replacing(
            "100 do", with: "8 do")
        #expect(await Self.run(node, small)["status"] == .string("complete"))
    }

    @Test("the text of a large result is on the account until it was sent; of a small one nothing is")
    func textOnItsWay() async throws {
        let node = loneNode()
        let memory = node.cluster.engine.jobStates.memory
        let source = "function run(p) return { x = ('x'):rep(p.n) } end job.params = { n = 0 }"
        #expect(await Self.store(node, "job:define:big", source) == .value(.string("DEFINED")))
        func text(_ count: Int) async throws -> LeasedText? {
            let key = VirtualKey(
                type: "job", method: "run", object: Array("big".utf8), arguments: [Array("n=\(count)".utf8)])
            let answer = try await withCheckedContinuation { continuation in
                node.router.callForText(key, data: nil, links: nil, roles: .all) { continuation.resume(returning: $0) }
            }
            .get()
            if case .leased(let text) = answer { return text } else { return nil }
        }
        var sent = try await text(3_000_000)
        for _ in 0..<5_000 where memory.usedBytes > 4_000_000 { try await Task.sleep(for: .milliseconds(1)) }
        #expect(memory.usedBytes >= 3_000_000 && memory.usedBytes < 4_000_000)
        #expect(sent.map { $0.bytes.count > 3_000_000 } == true)
        sent = nil
        #expect(memory.usedBytes < 3_000_000)
        #expect(try await text(100) == nil)
    }

    @Test("partials that a script keeps are on the account, and those that it has let go of are collected for new ones")
    func partials() async throws {
        let node = loneNode { $0.scriptMemoryBytes = 16 << 20 }
        var rows = ""
        for row in 0..<20_000 { rows += "{\"g\":\(row * 977),\"x\":\(row % 100)}\n" }
        #expect(await Self.store(node, "frame:append:f", rows) == .value(.object(["rows": .int(20_000)])))
        let query = "s:frame('f'):where('x', '>=', i - 40):group('g'):agg{ a = sum('x'), b = avg('x'), c = max('x') }"
        let kept = "function map(s) local t = {} for i = 1, 40 do t[i] = \(query) end return #t end"
        #expect(
            Self.reason(await Self.run(node, kept + " function reduce(a, b) return a + b end")) == "budget_exceeded")
        let dropped = "function map(s) local t for i = 1, 40 do t = \(query):merge(\(query)) end return 1 end"
        let answer = await Self.run(node, dropped + " function reduce(a, b) return a + b end")
        #expect(answer["result"] == .int(2), "\(answer)")
        let slices = """
            function map(s)
              local n, q, c = 0, s:frame('f'), nil
              repeat
                local list
                list, c = q:slice({ 'g', 'x' }, c)
                n = n + #list
              until not c
              return n
            end
            function reduce(a, b) return a + b end
            """
        #expect(await Self.run(node, slices)["result"] == .int(20_000))
        let memory = node.cluster.engine.jobStates.memory
        for _ in 0..<5_000 where memory.usedBytes > 6 << 20 { try await Task.sleep(for: .milliseconds(1)) }
        #expect(memory.usedBytes <= 6 << 20)
    }

    @Test("scripts beyond those that may run at a time wait, in order; beyond those that may wait they are refused")
    func admission() async {
        let pool = ComputePool(width: 1)
        let admission = ScriptAdmission(pool: pool, atATimeMax: 1, waitingMax: 2)
        let outcomes = await withCheckedContinuation { (done: CheckedContinuation<[String], Never>) in
            let seen = Seen(5) { done.resume(returning: $0) }
            pool.submit {
                admission.submit(deadline: .never) { seen.add("1 \($0?.reason.rawValue ?? "ran")") }
                admission.submit(deadline: .after(milliseconds: 0)) { seen.add("2 \($0?.reason.rawValue ?? "ran")") }
                admission.submit(deadline: .never) { seen.add("3 \($0?.reason.rawValue ?? "ran")") }
                admission.submit(deadline: .never) { seen.add("4 \($0?.reason.rawValue ?? "ran")") }
                seen.add("waiting \(admission.waiting)")
            }
        }
        #expect(outcomes == ["4 overloaded", "waiting 2", "1 ran", "2 timeout", "3 ran"])
    }

    @Test("ten thousand jobs that were defined and dropped keep no new one from being defined")
    func definedAndDropped() async {
        let node = loneNode()
        node.cluster.changeRegistry { registry in
            for index in 0..<10_000 {
                registry.defineJob("j\(index)", source: [1])
                _ = registry.dropJob("j\(index)")
            }
        }
        #expect(await Self.store(node, "job:define:new", "function run() return 1 end") == .value(.string("DEFINED")))
    }
}

/// What was seen, in order; all of it goes to `done`.
private final class Seen: Sendable {
    private let seen = Mutex<[String]>([])
    private let count: Int
    private let done: @Sendable ([String]) -> Void

    init(_ count: Int, _ done: @escaping @Sendable ([String]) -> Void) {
        self.count = count
        self.done = done
    }

    func add(_ text: String) {
        let all = seen.withLock { seen in
            seen.append(text)
            return seen
        }
        if all.count == count { done(all) }
    }
}
