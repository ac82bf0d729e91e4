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

/// One Lua state with one job in it, made for each map and for each coordinator: some 10 µs with a state in which the
/// script ran before, 0.2 ms without. It may go from thread to thread and is used by one at a time.
package final class JobScript: @unchecked Sendable {
    /// What a job's script may use: the deadline is the job's own.
    package static let instructionsMax = 2_000_000_000
    package static let memoryBytesMax = 256 << 20

    package let definition: JobDefinition
    let name: String
    private let jobState: JobState
    private let states: JobStates?
    /// Nil once the script ends.
    private var environment: LuaEnvironment?
    let budget: LuaBudget
    /// Of all that ran in this script.
    let answerNote = AnswerNote()
    /// As far as this script knows of it.
    package var inexactness: Inexactness {
        if state.hasReadMore { answerNote.noteMore() }
        return answerNote.inexactness
    }
    private let cancellation: Cancellation?
    private var stop: Int?

    var state: LuaState { jobState.lua }
    package var deadline: Deadline { budget.deadline }

    /// Compiles `source` and runs its top level. `now` is what the script's `now()` answers, in unix milliseconds. The Lua
    /// state comes from `states`, and goes back there in the end; without, it is made and dropped.
    /// `cancellation` ends whatever it does, its top level too. `log` takes what it says.
    /// Throws `script_error` with file and line, `overloaded` when other scripts have all memory.
    package init(
        _ source: [UInt8], name: String, now: Int64, deadline: Deadline, states: JobStates? = nil,
        cancellation: Cancellation? = nil, log: JobLog? = nil
    ) throws(Failure) {
        self.name = name
        self.states = states
        self.cancellation = cancellation
        jobState = if let states { try states.take() } else { JobState() }
        jobState.setNow(unixMilliseconds: now)
        jobState.log = log
        let state = jobState.lua
        state.hasReadMore = false
        if let states { state.share = ScriptShare(of: states.memory) }
        budget = LuaBudget(instructionsMax: Self.instructionsMax, deadline: deadline, outputBytesMax: 64 << 20)
        let environment = state.makeEnvironment()
        self.environment = environment
        stop = cancellation?.whenCancelled { [jobState] in jobState.lua.setCancelled(true) }
        do throws(Failure) {
            try state.set("job", .plain(.map([])), in: environment)
            try jobState.run(source, name: name, environment: environment, budget: budget)
            definition = try Self.definition(state, environment, name)
        } catch {
            if let stop { cancellation?.forget(stop) }
            throw error
        }
    }

    /// Of a job with `run(p)`, whose coroutine may be left in the middle, the state is not used again.
    deinit {
        if let stop { cancellation?.forget(stop) }
        guard let states, !definition.hasRun else { return }
        environment = nil
        states.giveBack(jobState)
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

    func function(_ name: String) -> LuaReference? { environment.flatMap { state.function(name, in: $0) } }

    // MARK: Map, reduce, finish

    /// `map(shard, p)` on one shard; nil when it returns nothing.
    package func map(
        over shard: Shard, frames: FrameCatalog, parameters: Value, coverage: ScanCoverage,
        pool: ComputePool? = nil
    ) throws(Failure) -> JobPartial? {
        try map(shard, frames, parameters, coverage, pool, whenApart: nil)
    }

    /// `map(shard, p)` once for all shards of a node, as far as that does: where it returns the answer to its one plan without
    /// looking at it, which every shard's would do, the plan is run on all of them together. Else `whenApart` is called, as soon as
    /// that is known, and the map goes on as the first shard's; those of the others are the caller's to run then. Where it throws
    /// before, it would have thrown on every shard.
    package func map(
        overAll shards: [Shard], frames: FrameCatalog, parameters: Value, coverage: ScanCoverage,
        pool: ComputePool? = nil, whenApart: @escaping () -> Void
    ) throws(Failure) -> JobPartial? {
        try map(shards[0], frames, parameters, coverage, pool, whenApart: whenApart)
    }

    private func map(
        _ shard: Shard, _ frames: FrameCatalog, _ parameters: Value, _ coverage: ScanCoverage, _ pool: ComputePool?,
        whenApart: (() -> Void)?
    ) throws(Failure) -> JobPartial? {
        guard let map = function("map") else { throw Failure(.scriptError, "job \(name) has no map(shard, p)") }
        let handle = ShardHandle(
            shard: shard, frames: frames, coverage: coverage, deadline: budget.deadline, pool: pool,
            answerNote: answerNote, position: { [unowned state] in state.position }, whenApart: whenApart)
        let stop = coverage.cancellation.whenCancelled { self.state.setCancelled(true) }
        defer { coverage.cancellation.forget(stop) }
        let (results, lease) = try call(map, [.object(handle), .plain(parameters)])
        let result = try one(of: results, from: "map")
        if case .object(let object as PartialHandle)? = result, object.standsForAll, reduceMerges(),
            let partial = try object.partialOfAllShards()
        {
            return partial
        }
        handle.goApart()
        return try partial(result, lease, from: "map")
    }

    /// The script's own reduce is none, or does what is done without it: `return a:merge(b)`. Any other one may tell how many
    /// partials there are.
    private func reduceMerges() -> Bool {
        guard let reduce = function("reduce") else { return true }
        let trial = MergeTrial()
        // What it says is said when partials are reduced.
        let log = jobState.log
        jobState.log = nil
        defer { jobState.log = log }
        let terms = (0..<2).map { _ in LuaValue.object(PartialHandle(trial, .term, answerNote)) }
        let results: [LuaValue]? = try? call(reduce, terms).results
        guard results?.count == 1, case .object(let object as PartialHandle)? = results?.first else { return false }
        return object.isSum(of: trial)
    }

    /// What the function returns, and the lease that it is on.
    private func call(
        _ function: LuaReference, _ arguments: [LuaValue]
    ) throws(Failure) -> (results: [LuaValue], lease: MemoryLease) {
        let lease = state.share.emptyLease(for: "the result of a script")
        return (try state.call(function, arguments, budget: budget, lease: lease), lease)
    }

    /// Of what is done for the script outside of it.
    package var pace: WorkPace {
        state.begin(budget)
        return state.pace()
    }

    /// Merges partials as aggregates merge: what a job without a reduce of its own asks for.
    package static func merge(_ partials: [JobPartial], job: String, _ pace: WorkPace) throws(Failure) -> JobPartial {
        guard var sum = partials.first else { throw Failure(.miss, "job \(job): there is nothing to reduce") }
        for next in partials.dropFirst() { sum = try sum.merged(with: next, job: job, pace) }
        return sum
    }

    /// Folds partials from left to right with `reduce(a, b)`, or as aggregates merge when the job has none.
    package func reduce(_ partials: [JobPartial]) throws(Failure) -> JobPartial {
        guard let function = function("reduce"), var sum = partials.first else {
            return try Self.merge(partials, job: name, pace)
        }
        for next in partials.dropFirst() {
            let (results, lease) = try call(function, [sum.luaValue(answerNote), next.luaValue(answerNote)])
            guard let merged = try partial(one(of: results, from: "reduce"), lease, from: "reduce") else {
                throw Failure(.scriptError, "job \(name): reduce(a, b) returned nothing")
            }
            sum = merged
        }
        return sum
    }

    /// `finish(r, p)`, or the rows as they are when the job has none.
    package func finish(_ partial: JobPartial, parameters: Value) throws(Failure) -> LeasedValue {
        guard let finish = function("finish") else { return try partial.result(pace) }
        let (results, lease) = try call(finish, [partial.luaValue(answerNote), .plain(parameters)])
        switch try one(of: results, from: "finish") {
        case .object(let object as PartialHandle)?: return try object.result(state.pace())
        case .plain(let value)?: return LeasedValue(value, lease)
        case nil: return LeasedValue(.null)
        default: throw Failure(.scriptError, "job \(name): finish(r) must return a result or plain values")
        }
    }

    /// Nil for nothing. What came after the first would be lost.
    private func one(of results: [LuaValue], from function: String) throws(Failure) -> LuaValue? {
        guard results.count <= 1 else {
            throw Failure(
                .scriptError,
                "job \(name): \(function) returned \(results.count) values: return one, a table where it is several")
        }
        return results.first
    }

    private func partial(
        _ result: LuaValue?, _ lease: MemoryLease, from function: String
    ) throws(Failure) -> JobPartial? {
        switch result {
        case nil, .plain(.null)?: return nil
        case .object(let object as PartialHandle)?: return try object.partial()
        case .plain(let value)?: return .value(LeasedValue(value, lease))
        default:
            throw Failure(
                .scriptError,
                "job \(name): \(function) must return one partial, as agg{…} makes it, or plain values")
        }
    }
}
