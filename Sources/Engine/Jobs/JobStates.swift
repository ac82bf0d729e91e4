// Lua states for jobs, which are used again: to make one takes 0.1 ms, to clean one a tenth of that.

import Synchronization

/// A sandboxed state that knows what every job's script may call.
final class JobState {
    /// What scripts' `now()` answers.
    private final class Clock {
        var unixMilliseconds: Int64 = 0
    }

    let lua: LuaState
    private let clock = Clock()

    init() {
        lua = LuaState(memoryBytesMax: JobScript.memoryBytesMax)
        AggregateCall.register(in: lua)
        lua.register("now") { [clock] _ in .value(.double(Double(clock.unixMilliseconds) / 1000)) }
        ClusterQuestions.register(in: lua)
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

    package init() {}

    /// How many wait to be used again.
    package var count: Int { spares.withLock { $0.count } }

    func take() -> JobState {
        guard let spare = spares.withLock({ $0.popLast() }) else { return JobState() }
        spare.state.lua.reseed()
        return spare.state
    }

    /// To be called once nothing refers to what was in the state. One whose job was stopped is dropped.
    func giveBack(_ state: JobState) {
        guard !state.lua.wasStopped, state.lua.memoryBytes <= Self.cleanBytesMax else { return }
        state.lua.collectGarbage()
        let spare = Spare(state: state)
        spares.withLock { if $0.count < Self.sparesMax { $0.append(spare) } }
    }
}
