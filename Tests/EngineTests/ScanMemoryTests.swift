// What scans and results take is on their script's account before it is there, and off it when they are gone.

import Engine
import Testing

@Suite struct ScanMemoryTests {
    private static let schema = try! FrameSchema(parsing: "g:int,k:string,x:int,y:double,t:time")

    /// As many groups as rows, by `g` and by `k`.
    private static func part(rows: Int) throws -> FramePart {
        let part = FramePart(schema: schema, resources: FrameResources(chunkRows: 4_096))
        var random = SeededRandom(1)
        for start in stride(from: 0, to: rows, by: 4_096) {
            var batch = ColumnBatch(schema: schema)
            for row in start..<min(rows, start + 4_096) {
                try batch.append(row: [
                    .int(Int64(row) * 977), .string(Array("name of \(row) and more".utf8)),
                    .int(Int64(random.below(50_000))),
                    .double(Double(random.below(1 << 30)) / 3), .time(Int64(row)),
                ])
            }
            try part.append(batch)
        }
        return part
    }

    /// One for each test: what is known of another one's results is on that one's account.
    private static func large() throws -> FramePart { try part(rows: 12_000) }

    /// Each of these takes more than 1 MiB with 12,000 groups.
    private static let plans: [(name: String, keys: [String], aggregates: [Aggregate])] = [
        ("histogram", ["g"], [Aggregate("a", .histogram, "x", edges: (1...40).map { .int($0 * 1_000) })]),
        ("histogram by text", ["k"], [Aggregate("a", .histogram, "y", edges: (1...40).map { .int($0 << 20) })]),
        ("first of texts", ["g"], [Aggregate("a", .first, "k", by: "t"), Aggregate("b", .last, "k", by: "t")]),
        ("least of texts", ["g"], [Aggregate("a", .min, "k"), Aggregate("b", .max, "k")]),
        ("distinct", ["g"], [Aggregate("a", .distinct, "k")]),
        ("distinct doubles", ["g"], [Aggregate("a", .distinct, "y")]),
        (
            "quantile", ["g"],
            [Aggregate("a", .quantile, "y", number: 0.5), Aggregate("b", .quantile, "x", number: 0.9)]
        ),
        ("topk", ["g"], [Aggregate("a", .topk, "k", number: 3)]),
        ("sums by texts", ["k", "y"], ["a", "b", "c", "d", "e"].map { Aggregate($0, .sum, $0 < "c" ? "x" : "y") }),
        ("variances", ["g"], [Aggregate("a", .variance, "x"), Aggregate("b", .stddev, "y")]),
        ("counts by hash", ["y", "k", "g"], [Aggregate("a", .count)]),
    ]

    private static func plan(_ index: Int) -> Plan {
        Plan(frame: "f", group: plans[index].keys, aggregates: plans[index].aggregates)
    }

    private static func failure(_ body: () throws -> Void) -> Failure? {
        do { try body() } catch { return error as? Failure }
        return nil
    }

    @Test(
        "a scan whose groups take too much ends with budget_exceeded, and leaves nothing taken",
        arguments: plans.indices)
    func tooManyGroups(index: Int) throws {
        let snapshot = try Self.large().snapshot()
        let memory = ScriptMemory(limitBytes: 1 << 20)
        let control = ScanControl(share: ScriptShare(of: memory))
        let failure = Self.failure { _ = try PlanExecutor.execute(Self.plan(index), on: snapshot, control: control) }
        #expect(failure?.reason == .budgetExceeded, "\(Self.plans[index].name): \(failure?.message ?? "none")")
        #expect(failure?.message.contains("1 MiB that the scripts of this node may use together") == true)
        #expect(memory.usedBytes == 0)
    }

    @Test("a result has what it takes leased while it is there, on its way it had more", arguments: plans.indices)
    func lease(index: Int) throws {
        let snapshot = try Self.large().snapshot()
        let memory = ScriptMemory(limitBytes: 1 << 30)
        let control = ScanControl(share: ScriptShare(of: memory))
        var partial: Partial? = try PlanExecutor.execute(Self.plan(index), on: snapshot, control: control).partial
        let bytes = memory.usedBytes
        #expect(bytes >= 12_000 * 8 * (1 + Self.plans[index].aggregates.count))
        // What travels is no larger than what is held, and what is held not much more than what travels.
        let encoded = try #require(partial).encoded()
        #expect(bytes >= encoded.count / 2, "\(Self.plans[index].name): \(bytes) for \(encoded.count)")
        let other = try Partial(decoding: encoded, WorkPace(deadline: .never, share: ScriptShare(of: memory)) { false })
        #expect(memory.usedBytes > bytes)
        try partial?.merge(other, WorkPace(deadline: .never, share: ScriptShare(of: memory)) { false })
        #expect(memory.usedBytes > bytes)
        partial = nil
        withExtendedLifetime(other) { #expect(memory.usedBytes > 0) }
    }

    @Test("whoever finds the account full by others is told to come again")
    func others() throws {
        let snapshot = try Self.part(rows: 100).snapshot()
        let memory = ScriptMemory(limitBytes: 64 << 20)
        // Small ones may have the last eighth.
        let leases = try (0..<16).map { _ in try ScriptShare(of: memory).lease((4 << 20) - 6_000, for: "another") }
        let control = ScanControl(share: ScriptShare(of: memory))
        let failure = Self.failure { _ = try PlanExecutor.execute(Self.plan(0), on: snapshot, control: control) }
        #expect(failure?.reason == .overloaded, "\(failure?.message ?? "none")")
        withExtendedLifetime(leases) { #expect(memory.usedBytes == (64 << 20) - 96_000) }
    }

    @Test("rows are on the account, decoded ones too, and too many of them are refused")
    func rows() throws {
        let snapshot = try Self.large().snapshot()
        let plan = Plan(frame: "f", rows: ["k", "g", "y", "t"], limit: 100_000)
        let memory = ScriptMemory(limitBytes: 64 << 20)
        let pace = WorkPace(deadline: .never, share: ScriptShare(of: memory)) { false }
        do {
            let partial = try PlanExecutor.execute(plan, on: snapshot, control: ScanControl(share: pace.share)).partial
            let bytes = memory.usedBytes
            #expect(bytes > 12_000 * 150)
            let other = try Partial(decoding: partial.encoded(), pace)
            #expect(memory.usedBytes > bytes * 3 / 2)
            withExtendedLifetime((partial, other)) {}
        }
        #expect(memory.usedBytes == 0)
        let small = ScanControl(share: ScriptShare(of: ScriptMemory(limitBytes: 1 << 20)))
        #expect(
            Self.failure { _ = try PlanExecutor.execute(plan, on: snapshot, control: small) }?.reason == .budgetExceeded
        )
    }

    @Test("a known result is on one lease, however many have it, and off it when nobody has")
    func known() throws {
        let part = try Self.part(rows: 8_192)
        let memory = ScriptMemory(limitBytes: 64 << 20)
        let run = { () throws -> Partial in
            let control = ScanControl(share: ScriptShare(of: memory))
            return try PlanExecutor.execute(Self.plan(9), on: part.snapshot(), control: control).partial
        }
        _ = try run()
        #expect(memory.usedBytes == 0)
        do {
            let first = try run()
            let bytes = memory.usedBytes
            #expect(bytes > 8_192 * 60)
            let more = try (0..<10).map { _ in try run() }
            #expect(memory.usedBytes == bytes)
            withExtendedLifetime((first, more)) {}
        }
        #expect(memory.usedBytes == 0)
        let small = ScanControl(share: ScriptShare(of: ScriptMemory(limitBytes: 1 << 18)))
        #expect(throws: Failure.self) { try PlanExecutor.execute(Self.plan(9), on: part.snapshot(), control: small) }
    }

    // MARK: Turns

    /// A pace that counts its looks, and ends after some.
    private static func pace(_ looks: Looks) -> WorkPace {
        WorkPace(deadline: .never, share: ScriptShare()) {
            looks.count += 1
            return looks.count > looks.most
        }
    }

    private final class Looks {
        var count = 0
        var most = Int.max
    }

    @Test(
        "merging and ordering results look at their pace on the way, and end when it says so", arguments: plans.indices)
    func paces(index: Int) throws {
        let snapshot = try Self.large().snapshot()
        let partial = try PlanExecutor.execute(Self.plan(index), on: snapshot).partial
        let steps: [(String, (WorkPace) throws -> Void)] = [
            (
                "merge",
                { pace in
                    var sum = partial
                    try sum.merge(partial, pace)
                }
            ),
            ("finish", { _ = try partial.finish($0) }),
            (
                "having",
                { pace in
                    var rows = ResultSelection(partial)
                    try rows.having("a", .notNull, .null, pace)
                }
            ),
            (
                "limit",
                { pace in
                    var rows = ResultSelection(partial)
                    try rows.limit(6_000, pace)
                }
            ),
            ("decoding", { _ = try Partial(decoding: partial.encoded(), $0) }),
        ]
        for (name, step) in steps {
            let looks = Looks()
            do { try step(Self.pace(looks)) } catch { Issue.record("\(name): \(error)") }
            #expect(looks.count > 0, "\(Self.plans[index].name), \(name)")
            looks.most = looks.count / 2
            looks.count = 0
            #expect(Self.failure { try step(Self.pace(looks)) }?.reason == .cancelled, "\(name)")
            #expect(looks.count == looks.most + 1, "\(name)")
        }
    }

    @Test("what a scan has found is made to a result at a pace", arguments: [0, 4, 6, 7])
    func partials(index: Int) throws {
        let snapshot = try Self.part(rows: 12_000).snapshot()
        // Not what is known already. Once the rows are done with it looks for the result only.
        let counter = LooksAfter()
        let control = ScanControl(
            isCancelled: { counter.look() }, progress: { counter.note($0) })
        _ = try PlanExecutor.execute(Self.plan(index), on: snapshot, control: control)
        let (rowsDone, looksAfter) = counter.seen
        #expect(rowsDone == 12_000)
        #expect(looksAfter > 1, "\(Self.plans[index].name)")
    }

    private final class LooksAfter: @unchecked Sendable {
        private var rows = 0
        private var looks = 0
        var seen: (rows: Int, looks: Int) { (rows, looks) }
        func note(_ more: Int) {
            rows += more
            looks = 0
        }
        func look() -> Bool {
            looks += 1
            return false
        }
    }
}
