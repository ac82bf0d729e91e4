// Lua states for jobs, which are used again, and scripts, which stay compiled in them: to make a state takes 0.1 ms, to
// compile a short script 30 µs, to collect a state's garbage 20 µs.

import Synchronization

/// A sandboxed state that knows what every job's script may call. One thread at a time uses it, and any may cancel it.
final class JobState: @unchecked Sendable {
    /// What scripts' `now()` answers.
    private final class Clock {
        var unixMilliseconds: Int64 = 0
    }

    /// Scripts that are kept compiled in a state, and the longest of them in bytes.
    private static let scriptsMax = 16
    private static let keptBytesMax = 16 << 10
    /// Garbage that is left lying, in bytes: that of some ten jobs.
    private static let garbageBytesMax = 64 << 10

    /// A script that was compiled here.
    private struct Compiled {
        let name: String
        let source: [UInt8]
        let function: LuaReference
    }

    let lua: LuaState
    /// Takes what the script says; nil: nobody listens.
    var log: JobLog?
    private let clock = Clock()
    /// The one that was used last comes last.
    private var scripts: [Compiled] = []
    private var cleanBytes = 0

    convenience init() { self.init(LuaState(memoryBytesMax: JobScript.memoryBytesMax)) }

    init(_ lua: LuaState) {
        self.lua = lua
        lua.takeTurns()
        AggregateCall.register(in: lua)
        lua.register("now", LuaForm("now()", 0)) { [clock, unowned lua] _ in
            lua.hasReadMore = true
            return .value(.double(Double(clock.unixMilliseconds) / 1000))
        }
        ClusterQuestions.register(in: lua)
        lua.registerLog { [unowned self] in log?.say($0) }
        cleanBytes = lua.memoryBytes
    }

    /// Runs the top level of a script, which is compiled unless it ran here lately.
    func run(
        _ source: [UInt8], name: String, environment: LuaEnvironment, budget: LuaBudget
    ) throws(Failure) {
        let script: Compiled
        if let index = scripts.lastIndex(where: { $0.source == source && $0.name == name }) {
            script = scripts.remove(at: index)
        } else {
            script = Compiled(
                name: name, source: source, function: try lua.compile(source, name: name, budget: budget))
        }
        if source.count <= Self.keptBytesMax { scripts.append(script) }
        if scripts.count > Self.scriptsMax { scripts.removeFirst() }
        try lua.run(script.function, environment: environment, budget: budget)
    }

    /// Lets go of everything that the last job had. Its Lua values become garbage, collected once there is much.
    func clean() {
        log = nil
        if let last = scripts.last { lua.unbind(last.function) }
        lua.releaseObjects()
        guard lua.memoryBytes > cleanBytes + Self.garbageBytesMax else { return }
        lua.collectGarbage()
        cleanBytes = lua.memoryBytes
    }

    func setNow(unixMilliseconds: Int64) { clock.unixMilliseconds = unixMilliseconds }
}

/// States that no job uses at present. A script's globals are an environment of its own, and what the sandbox gives is
/// locked, so that nothing of one job is seen by the next.
package final class JobStates: Sendable {
    /// A state that has grown beyond this, in bytes, is not worth cleaning.
    private static let cleanBytesMax = 1 << 20
    private static let sparesMax = 16

    /// One that is not used by anybody may go to another thread.
    private struct Spare: @unchecked Sendable {
        let state: JobState
    }

    private let spares = Mutex<[Spare]>([])

    /// What all states have together, those under way and those that wait.
    package let memory: ScriptMemory

    package init(memory: ScriptMemory = ScriptMemory(limitBytes: 256 << 20)) { self.memory = memory }

    /// How many wait to be used again.
    package var count: Int { spares.withLock { $0.count } }

    func take() throws(Failure) -> JobState {
        guard let spare = spares.withLock({ $0.popLast() }) else {
            return JobState(try LuaState(memoryBytesMax: JobScript.memoryBytesMax, account: memory))
        }
        return spare.state
    }

    /// To be called once nothing refers to what was in the state. One whose job was stopped is dropped.
    func giveBack(_ state: JobState) {
        guard !state.lua.wasStopped, state.lua.memoryBytes <= Self.cleanBytesMax else { return }
        state.clean()
        state.lua.shrinkLease()
        let spare = Spare(state: state)
        spares.withLock { if $0.count < Self.sparesMax { $0.append(spare) } }
    }
}
