// A job's Lua, loaded: what it declares, and its map, reduce and finish as Swift calls.

/// What a job's file says about itself.
package struct JobDefinition: Sendable {
    package var about: String?
    /// `job.params`, names and default values, sorted by name.
    package var parameters: [Value.Pair]
    package var hasRun: Bool
    /// Partials are merged by the script's own reduce.
    package var hasReduce: Bool
}

/// One Lua state with one job in it: cheap (about 0.1 ms), made for each map and for each coordinator. It may go from thread
/// to thread and is used by one at a time.
package final class JobScript: @unchecked Sendable {
    /// What a job's script may use: the deadline is the job's own.
    package static let instructionsMax = 2_000_000_000
    package static let memoryBytesMax = 256 << 20

    package let definition: JobDefinition
    let name: String
    let state: LuaState
    private let environment: LuaEnvironment
    let budget: LuaBudget

    /// Compiles `source` and runs its top level. `now` is what the script's `now()` answers, in unix milliseconds.
    /// Throws `script_error` with file and line.
    package init(_ source: [UInt8], name: String, now: Int64, deadline: Deadline) throws(Failure) {
        self.name = name
        let state = LuaState(memoryBytesMax: Self.memoryBytesMax)
        self.state = state
        budget = LuaBudget(instructionsMax: Self.instructionsMax, deadline: deadline, outputBytesMax: 64 << 20)
        environment = state.makeEnvironment()
        AggregateCall.register(in: state)
        state.register("now") { _ in .value(.double(Double(now) / 1000)) }
        ClusterQuestions.register(in: state)
        try state.set("job", .plain(.map([])), in: environment)
        try state.load(source: source, name: name, environment: environment, budget: budget)
        definition = try Self.definition(state, environment, name)
    }

    private static func definition(
        _ state: LuaState, _ environment: LuaEnvironment, _ name: String
    ) throws(Failure) -> JobDefinition {
        let hasRun = state.function("run", in: environment) != nil
        guard hasRun || state.function("map", in: environment) != nil else {
            throw Failure(.scriptError, "job \(name) defines neither map(shard, p) nor run(p)")
        }
        let job = try state.value("job", in: environment)
        var parameters: [Value.Pair] = []
        if case .map(let pairs)? = job["params"] { parameters = pairs }
        return JobDefinition(
            about: job["about"]?.text, parameters: parameters, hasRun: hasRun,
            hasReduce: state.function("reduce", in: environment) != nil)
    }

    func function(_ name: String) -> LuaReference? { state.function(name, in: environment) }

    // MARK: Map, reduce, finish

    /// `map(shard, p)` on one shard; nil when it returns nothing.
    package func map(
        over shard: Shard, frames: FrameCatalog, parameters: Value, coverage: ScanCoverage,
        pool: ComputePool? = nil
    ) throws(Failure) -> JobPartial? {
        guard let map = function("map") else { throw Failure(.scriptError, "job \(name) has no map(shard, p)") }
        let handle = ShardHandle(
            shard: shard, frames: frames, coverage: coverage, deadline: budget.deadline, pool: pool)
        let cancellation = coverage.willRun { self.state.setCancelled(true) }
        defer { coverage.didRun(cancellation) }
        let results = try state.call(map, [.object(handle), .plain(parameters)], budget: budget)
        return try partial(results.first, from: "map")
    }

    /// Merges partials as aggregates merge: what a job without a reduce of its own asks for.
    package static func merge(_ partials: [JobPartial], job: String) throws(Failure) -> JobPartial {
        guard var sum = partials.first else { throw Failure(.miss, "job \(job): there is nothing to reduce") }
        for next in partials.dropFirst() { sum = try sum.merged(with: next, job: job) }
        return sum
    }

    /// Folds partials from left to right with `reduce(a, b)`, or as aggregates merge when the job has none.
    package func reduce(_ partials: [JobPartial]) throws(Failure) -> JobPartial {
        guard let function = function("reduce"), var sum = partials.first else {
            return try Self.merge(partials, job: name)
        }
        for next in partials.dropFirst() {
            let results = try state.call(function, [sum.luaValue, next.luaValue], budget: budget)
            guard let merged = try partial(results.first, from: "reduce") else {
                throw Failure(.scriptError, "job \(name): reduce(a, b) returned nothing")
            }
            sum = merged
        }
        return sum
    }

    /// `finish(r, p)`, or the rows as they are when the job has none.
    package func finish(_ partial: JobPartial, parameters: Value) throws(Failure) -> Value {
        guard let finish = function("finish") else { return try partial.result() }
        let results = try state.call(finish, [partial.luaValue, .plain(parameters)], budget: budget)
        switch results.first {
        case .object(let object as PartialHandle)?: return try object.result()
        case .plain(let value)?: return value
        case nil: return .null
        default: throw Failure(.scriptError, "job \(name): finish(r) must return a result or plain values")
        }
    }

    private func partial(_ result: LuaValue?, from function: String) throws(Failure) -> JobPartial? {
        switch result {
        case nil, .plain(.null)?: return nil
        case .object(let object as PartialHandle)?: return try object.partial()
        case .plain(let value)?: return .value(value)
        default:
            throw Failure(
                .scriptError,
                "job \(name): \(function) must return one partial, as agg{…} makes it, or plain values")
        }
    }
}
