// What a job's script may give the functions of the host: as many arguments as each has, of the kind that each takes.

import Engine
import Testing

private func inMap(_ body: String) -> String { "function map(shard, p) \(body) end" }

private func inAgg(_ call: String) -> String { inMap("return shard:frame('f'):agg{ a = \(call) }") }

private func inFinish(_ call: String) -> String {
    inMap("return shard:frame('f'):group('s'):agg{ c = count(), h = histogram('n', {1}) }")
        + " function finish(r, p) return r:\(call) end"
}

@Suite struct JobArgumentsTests {
    private static let engine: Engine = {
        let engine = Engine(EngineConfiguration(shards: 1, computeThreads: 1, memoryBytes: 64 << 20))
        let frame = try! engine.frames.create("f", schema: try! FrameSchema(parsing: "n:int,s:string,x:double"))
        var batch = ColumnBatch(schema: frame.schema)
        for n in 0..<10 {
            try! batch.append(row: [.int(Int64(n)), .string(Array("g\(n % 3)".utf8)), .double(n == 0 ? .infinity : 1)])
        }
        try! frame.parts[0].append(batch)
        return engine
    }()

    /// What the last line of `map` or `finish` answers; the message of what goes wrong.
    private static func run(_ source: String) -> Result<Value, Failure> {
        Result { () throws(Failure) -> Value in
            let script = try JobScript(
                Array(source.utf8), name: "t", now: 0, deadline: .after(milliseconds: 600_000))
            guard
                let partial = try script.map(
                    over: engine.shards[0], frames: engine.frames, parameters: .map([]), coverage: ScanCoverage())
            else { return .null }
            return try script.finish(try script.reduce([partial]), parameters: .map([])).value
        }
    }

    private static func message(_ source: String) -> String? {
        if case .failure(let failure) = run(source) { failure.message } else { nil }
    }

    private static let counted: [(String, String)] = [
        (inAgg("count('n', 1)"), "count(column) takes 0 or 1 argument, not 2"),
        (inAgg("sum()"), "sum(column) takes 1 argument, not 0"),
        (inAgg("sum('n', 'x')"), "sum(column) takes 1 argument, not 2"),
        (inAgg("avg('n', nil)"), "avg(column) takes 1 argument, not 2"),
        (inAgg("min('n', 'x')"), "min(column) takes 1 argument, not 2"),
        (inAgg("max('n', 'x')"), "max(column) takes 1 argument, not 2"),
        (inAgg("distinct('n', 's')"), "distinct(column) takes 1 argument, not 2"),
        (inAgg("variance('n', 1)"), "variance(column) takes 1 argument, not 2"),
        (inAgg("stddev('n', 1)"), "stddev(column) takes 1 argument, not 2"),
        (inAgg("quantile('n')"), "quantile(column, q) takes 2 arguments, not 1"),
        (inAgg("quantile('n', 0.5, 0.9)"), "quantile(column, q) takes 2 arguments, not 3"),
        (inAgg("topk('n', 1, 2)"), "topk(column, k) takes 2 arguments, not 3"),
        (inAgg("topk_exact('n')"), "topk_exact(column, k) takes 2 arguments, not 1"),
        (inAgg("histogram('n', 1, 2)"), "histogram(column, {edges}) takes 2 arguments, not 3"),
        (inAgg("first('n')"), "first(column, by) takes 2 arguments, not 1"),
        (inAgg("last('n', 'n', 's')"), "last(column, by) takes 2 arguments, not 3"),
        (inMap("return shard:frame('f'):group(bucket('n')):count()"), "bucket(column, width) takes 2 arguments, not 1"),
        (
            inMap("return shard:frame('f'):group(bucket('n', 2, 3)):count()"),
            "bucket(column, width) takes 2 arguments, not 3"
        ),
        (inMap("return shard:frame('f', 'g'):count()"), "shard:frame(name) takes 1 argument, not 2"),
        (inMap("return shard:frame():count()"), "shard:frame(name) takes 1 argument, not 0"),
        (inMap("return shard:frame('f'):count('n')"), "count() takes 0 arguments, not 1"),
        (inMap("return shard:frame('f'):where('n')"), "where(column, op, value) takes 2 to 4 arguments, not 1"),
        (
            inMap("return shard:frame('f'):where('n', '=', 1, 2, 3)"),
            "where(column, op, value) takes 2 to 4 arguments, not 5"
        ),
        (inMap("return shard:frame('f'):where('n', '=', 1, 2):count()"), "'=' on column 'n' takes one value, not 2"),
        (inMap("return shard:frame('f'):where('n', '<'):count()"), "'<' on column 'n' takes one value, not 0"),
        (
            inMap("return shard:frame('f'):where('n', 'isnull', 1):count()"),
            "'isnull' on column 'n' takes no value, not 1"
        ),
        (
            inMap("return shard:frame('f'):where('n', 'between', 1):count()"),
            "'between' on column 'n' takes two values, both included, not 1"
        ),
        (
            inMap("return shard:frame('f'):where('n', 'between', {1, 2, 3}):count()"),
            "'between' on column 'n' takes two values, both included, not 3"
        ),
        (
            inMap("return shard:frame('f'):where_any({{'n', '=', 1}}, {{'n', '=', 2}}):count()"),
            "where_any{ {column, op, value}, … } takes 1 argument, not 2"
        ),
        (
            inMap("return shard:frame('f'):where_any{ {'n', '=', 1, 2} }:count()"),
            "'=' on column 'n' takes one value, not 2"
        ),
        (inMap("return shard:frame('f'):with('a', 'n', 1):count()"), "with(name, expression) takes 2 arguments, not 3"),
        (inMap("return shard:frame('f'):group():count()"), "group(key, …) takes at least 1 argument, not 0"),
        (inMap("return shard:frame('f'):agg({ a = count() }, 1)"), "agg{ name = count(), … } takes 1 argument, not 2"),
        (
            inMap("return shard:frame('f'):rows('n', 's')"),
            "rows{\"column\", …, limit = 100} takes 1 argument, not 2"
        ),
        (
            inMap("return shard:frame('f'):slice({'n'}, nil, 1)"),
            "slice({column, …}, cursor) takes 1 or 2 arguments, not 3"
        ),
        (inMap("return shard:keys('a', nil, 1)"), "shard:keys(prefix, cursor) takes 0 to 2 arguments, not 3"),
        (inMap("return shard:objects()"), "shard:objects(type, cursor) takes 1 or 2 arguments, not 0"),
        (inMap("return now(1)"), "now() takes 0 arguments, not 1"),
        (inFinish("sort('c', 'desc', 's', 'asc')"), "sort(column, \"asc\" or \"desc\") takes 1 or 2 arguments, not 4"),
        (inFinish("limit(1, 2)"), "limit(n) takes 1 argument, not 2"),
        (inFinish("limit()"), "limit(n) takes 1 argument, not 0"),
        (inFinish("having('c', '>', 1, 2)"), "having(column, op, value) takes 2 or 3 arguments, not 4"),
        (inFinish("having('c', '>')"), "having(column, op, value): '>' takes a value"),
        (inFinish("having('c', 'isnull', 1)"), "having(column, op, value): 'isnull' takes no value"),
        (inFinish("rows(1)"), "rows() takes 0 arguments, not 1"),
        (inFinish("merge(r, r)"), "a:merge(b) takes 1 argument, not 2"),
        (inFinish("merge()"), "a:merge(b) takes 1 argument, not 0"),
    ]

    @Test("an argument too many or too few is refused, with the form", arguments: counted)
    func counts(source: String, expected: String) {
        #expect(Self.message(source)?.hasSuffix(expected) == true, "\(Self.message(source) ?? "no failure")")
    }

    @Test(
        "a job's function that returns several values is told so",
        arguments: [
            (inMap("return 1, 2"), "map returned 2 values"), (inMap("return nil, 'why'"), "map returned 2 values"),
            (inMap("return ('x'):gsub('x', 'y')"), "map returned 2 values"),
            (inMap("return 1") + " function finish(r) return 1, 2, 3 end", "finish returned 3 values"),
        ])
    func severalResults(source: String, expected: String) {
        #expect(Self.message(source)?.contains(expected) == true, "\(Self.message(source) ?? "no failure")")
    }

    @Test("a reduce that returns several values is told so")
    func severalReduced() throws {
        let script = try JobScript(
            Array("function map(s) end function reduce(a, b) return a, b end".utf8), name: "t", now: 0,
            deadline: .after(milliseconds: 600_000))
        let failure = #expect(throws: Failure.self) { try script.reduce([1, 2].map { .value(LeasedValue(.int($0))) }) }
        #expect(failure?.message.contains("reduce returned 2 values") == true)
    }

    @Test(
        "a query refuses at once what no plan may have, and what it holds is memory of its script",
        arguments: [
            ("q = q:where('n', '=', 1)", "257 filters and 0 computed columns; a plan has at most 256 and 64"),
            (
                "q = q:where_any{ {'n', '=', 1}, {'n', '=', 2} }",
                "258 filters and 0 computed columns; a plan has at most 256 and 64"
            ),
            ("q = q:with('a', 'n')", "0 filters and 65 computed columns; a plan has at most 256 and 64"),
            ("q = q:group('s')", "at most 16 keys and 256 aggregates"),
            ("kept[#kept + 1] = q:where('s', '=', text)", "too much memory"),
        ])
    func steps(step: String, expected: String) {
        let source = inMap(
            "local q, kept, text = shard:frame('f'), {}, ('x'):rep(8e6) for i = 1, 1000 do \(step) end")
        #expect(Self.message(source)?.contains(expected) == true, "\(Self.message(source) ?? "no failure")")
    }

    @Test(
        "a text longer than one may be is too much, however it is made, however much memory is left",
        arguments: [
            "('x'):rep(9 << 20)", "('x'):rep(5 << 20) .. ('x'):rep(5 << 20)",
            "('x'):rep(8 << 20) .. ('x'):rep(8 << 20) .. ('x'):rep(8 << 20) .. ('x'):rep(8 << 20) .. 'x'",
            "table.concat{('x'):rep(5 << 20), ('x'):rep(5 << 20)}", "(('x'):rep(5 << 20)):gsub('x', 'yy')",
            "('%s%s'):format(('x'):rep(5 << 20), ('x'):rep(5 << 20))",
            "string.pack('ss', ('x'):rep(5 << 20), ('x'):rep(5 << 20))",
        ])
    func longTexts(made: String) {
        let states = JobStates(memory: ScriptMemory(limitBytes: 1 << 30))
        let failure = #expect(throws: Failure.self) {
            try JobScript(
                Array("local text = \(made)".utf8), name: "t", now: 0, deadline: .after(milliseconds: 600_000),
                states: states)
        }
        #expect(failure?.reason == .budgetExceeded && failure?.fault == .caller)
        let expected = "too long a text (a text that a script makes may have 8 MiB); keep its parts in a table"
        #expect(failure?.message.contains(expected) == true, "\(failure?.message ?? "")")
    }

    @Test(
        "run's questions take what they take",
        arguments: [
            ("getFromServer('n1')", "getFromServer(server, key) takes 2 arguments, not 1"),
            ("getFromServer('n1', 'a', 'b')", "getFromServer(server, key) takes 2 arguments, not 3"),
            ("getInParallel({}, {})", "getInParallel{ [server] = key, … } takes 1 argument, not 2"),
            ("cluster.servers(1)", "cluster.servers() takes 0 arguments, not 1"),
        ])
    func questions(call: String, expected: String) throws {
        let script = try JobScript(
            Array("function run(p) return \(call) end".utf8), name: "t", now: 0, deadline: .after(milliseconds: 600_000)
        )
        let run = try script.start(parameters: .map([]), servers: ["n1"])
        #expect { _ = try run.begin() } throws: { ($0 as? Failure)?.message.hasSuffix(expected) == true }
    }

    private static let refused: [(String, String)] = [
        (inMap("return shard:frame('f'):where('s', 'in', 'g1'):count()"), "takes a list of values, as in {1, 2}"),
        (inMap("return shard:frame('f'):where('n', 'in', 1):count()"), "takes a list of values, as in {1, 2}"),
        (inMap("return shard:frame('f'):where('n', 'in', 1, 2):count()"), "takes a list of values, as in {1, 2}"),
        (
            inMap("return shard:frame('f'):where_any{ {'s', 'in', 'g1'} }:count()"),
            "takes a list of values, as in {1, 2}"
        ),
        (inMap("return shard:frame('f'):where('n', 'in'):count()"), "takes a list of values, as in {1, 2}"),
        (inMap("return shard:frame('f'):rows{'n', limit = '5'}"), "takes column names and a whole limit above 0"),
        (inMap("return shard:frame('f'):rows{'n', limit = 0}"), "takes column names and a whole limit above 0"),
        (inMap("return shard:frame('f'):rows{'n', limit = 0/0}"), "takes column names and a whole limit above 0"),
        (inMap("return shard:frame('f'):rows{'n', limit = -1}"), "takes column names and a whole limit above 0"),
        (inMap("return shard:frame('f'):rows{'n', limit = 1.5}"), "takes column names and a whole limit above 0"),
        (inMap("return shard:frame('f'):rows{'n', limits = 5}"), "takes column names and a limit, not 'limits'"),
        (inMap("return shard:frame('f'):rows{'n', [3] = 's'}"), "takes column names and a limit, not '3'"),
        (inMap("return shard:frame('f'):rows{'n', 5}"), "takes column names and a whole limit above 0"),
        (inMap("return shard:frame('f'):rows{'n', limit = 2^53}"), "is not between 0 and 100000"),
        (inMap("return shard:frame('f'):rows{'n', limit = math.huge}"), "is not between 0 and 100000"),
        (inFinish("limit(-1)"), "limit(n) takes a whole number that is not negative"),
        (inFinish("limit(0/0)"), "limit(n) takes a whole number that is not negative"),
        (inFinish("limit(1.5)"), "limit(n) takes a whole number that is not negative"),
        (inFinish("limit('1')"), "limit(n) takes a whole number that is not negative"),
        (inFinish("limit(nil)"), "limit(n) takes a whole number that is not negative"),
        (inFinish("sort('h')"), "sort: column 'h' has lists, which have no order"),
        (inFinish("having('h', '=', 1)"), "having: column 'h' does not compare with 1"),
        (inFinish("sort('c'):merge(r)"), "what they return merges no longer"),
        (inAgg("quantile('n', 0/0)"), "takes a share q from 0 to 1, as in 0.95"),
        (inAgg("quantile('n', 1.01)"), "takes a share q from 0 to 1, as in 0.95"),
        (inAgg("quantile('n', -0.01)"), "takes a share q from 0 to 1, as in 0.95"),
        (inAgg("topk('n', 1e300)"), "takes a whole number k from 1 to 10000, as in 10"),
        (inAgg("topk('n', 0/0)"), "takes a whole number k from 1 to 10000, as in 10"),
        (inAgg("histogram('n', {2, 1})"), "takes 1 to 1000 edges, ascending"),
        (inAgg("histogram('n', {0/0})"), "an edge is no int: \"NaN\""),
        (inAgg("histogram('x', {0/0})"), "an edge is no double: \"NaN\""),
        (inAgg("histogram('n', {})"), "takes a list of 1 to 1000 numbers or times, as in {0, 15, 60}"),
        (inMap("return shard:frame('f'):group(bucket('n', 0)):count()"), "is no width for 'n'"),
        (inMap("return shard:frame('f'):group(bucket('n', -5)):count()"), "is no width for 'n'"),
        (inMap("return shard:frame('f'):group(bucket('n', 2^53)):count()"), "is no width for 'n'"),
        (
            inMap("return shard:frame('f'):group(bucket('n', 0/0)):count()"),
            "takes minute, hour, day, week, month, or a whole number"
        ),
    ]

    @Test("what an argument can't be is refused, with what it can be", arguments: refused)
    func kinds(source: String, expected: String) {
        #expect(Self.message(source)?.contains(expected) == true, "\(Self.message(source) ?? "no failure")")
    }

    @Test("what is right stays right: lists, whole doubles, huge limits, results used twice")
    func accepted() throws {
        func rows(_ source: String) throws -> Int {
            guard case .array(let rows) = try Self.run(source).get() else { return -1 }
            return rows.count
        }
        #expect(try rows(inFinish("limit(2.0)")) == 2)
        #expect(try rows(inFinish("limit(2^53)")) == 3)
        #expect(try rows(inFinish("limit(math.huge)")) == 3)
        #expect(try rows(inFinish("limit(math.maxinteger)")) == 3)
        #expect(try rows(inFinish("sort('c', 'desc'):having('c', '>', 3.5):limit(10)")) == 1)
        #expect(try rows(inMap("return shard:frame('f'):where('n', 'in', {1, 2, 99}):rows{'n'}")) == 2)
        #expect(try rows(inMap("return shard:frame('f'):where('n', 'in', {}):rows{'n'}")) == 0)
        #expect(try rows(inMap("return shard:frame('f'):where('n', 'between', 1, 3):rows{'n', limit = 3.0}")) == 3)
        #expect(try rows(inMap("return shard:frame('f'):where('n', 'between', {1, 3}):rows{'n', 's'}")) == 3)
        let twice = inMap(
            "local q = shard:frame('f'):group('s') local a = q:count() q:count() return a:merge(a):merge(a)")
        #expect(
            try Self.run(twice).get()
                == .array(
                    [("g0", 12), ("g1", 9), ("g2", 9)].map { .object(["s": .string($0.0), "count": .int($0.1)]) }))
    }

    @Test("a script that merges a partial with itself for ever gets an exact answer or an error")
    func mergedForEver() {
        let source = inMap(
            """
            local x = shard:frame("f"):agg{ c = count(), q = quantile("n", 0.5), t = topk("s", 2), v = stddev("n") }
            for i = 1, 70 do x = x:merge(x) end
            return x
            """)
        #expect(Self.message(source)?.contains("a count is beyond 64 bits") == true)
    }

    @Test("rows that were left out are noted, whatever the script makes of what is left")
    func truncation() throws {
        for (body, isTruncated) in [
            ("return shard:frame('f'):rows{'n', limit = 3}", true),
            ("return shard:frame('f'):rows{'n', limit = 10}", false),
            ("return { n = #shard:frame('f'):rows{'n', limit = 9}:rows() }", true),
            ("return { n = #shard:frame('f'):rows{'n'}:rows() }", false),
            ("local a = shard:frame('f'):rows{'n', limit = 10} return { n = #a:merge(a):rows() }", true),
            ("return shard:frame('f'):count()", false),
        ] {
            let script = try JobScript(
                Array(inMap(body).utf8), name: "t", now: 0, deadline: .after(milliseconds: 600_000))
            _ = try script.map(
                over: Self.engine.shards[0], frames: Self.engine.frames, parameters: .map([]), coverage: ScanCoverage())
            #expect(script.inexactness.isTruncated == isTruncated, "\(body)")
        }
    }

    @Test("infinities and NaN are named in JSON, and infinite deviations are NaN")
    func infinities() throws {
        let source = inMap(
            "return shard:frame('f'):agg{ m = max('x'), s = sum('x'), d = stddev('x'), v = variance('x') }")
        #expect(
            String(decoding: try Self.run(source).get().json, as: UTF8.self)
                == #"[{"d":"NaN","m":"Infinity","s":"Infinity","v":"NaN"}]"#)
    }
}
