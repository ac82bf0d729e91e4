// A function that can wait: it hands a request to the host, holds nothing meanwhile, and goes on with the answer.
// Unsafe pointers inside.

import CLua

/// Where a coroutine stands after it was resumed.
package enum LuaStep {
    case returned([LuaValue])
    /// It called a host function that gave `LuaResult.yield`; resume it with that function's results.
    case yielded(String, [Value])
    /// Its time slice is over; resume it with nothing.
    case paused
    case failed(Failure)
}

/// One run of a function, of the state's choosing where: each `resume` may come from another thread, one at a time with
/// every other use of the state.
package final class LuaCoroutine {
    private let reference: LuaReference
    private let thread: OpaquePointer
    private let state: LuaState
    private var budget: LuaBudget
    /// What it has used so far; nil before it begins.
    private var usage: clua_usage?
    private var isOver = false
    /// Of what it returned, or asked for last.
    private(set) var lease: MemoryLease?

    /// - Parameter budget: for the whole run; waiting for the host counts against the deadline only.
    package init(_ function: LuaReference, budget: LuaBudget = LuaBudget()) {
        state = function.state
        guard let thread = lua_newthread(state.main) else { preconditionFailure("no memory for a coroutine") }
        self.thread = thread
        reference = LuaReference(state, popping: state.main)
        function.push(on: thread)
        self.budget = budget
    }

    /// Goes on until the function returns, fails, waits, or (with a `slice`) has run that long.
    package func resume(_ arguments: [LuaValue] = [], slice: Deadline? = nil) -> LuaStep {
        guard !isOver else { return .failed(Failure(.scriptError, "the coroutine is over")) }
        do throws(Failure) {
            state.begin(budget, usage: usage)
            state.control.pointee.sliceEndNanoseconds = slice?.uptimeNanoseconds ?? 0
            try state.push(arguments, on: thread)
            var results: Int32 = 0
            let status = clua_resume(thread, nil, Int32(arguments.count), &results)
            budget.instructionsMax = Int(state.control.pointee.instructionsLeft)
            usage = state.control.pointee.usage
            return try step(status, results)
        } catch {
            isOver = true
            return .failed(error)
        }
    }

    private func step(_ status: Int32, _ results: Int32) throws(Failure) -> LuaStep {
        guard status == LUA_YIELD else {
            isOver = true
            guard status == LUA_OK else { throw state.popFailure(thread) }
            let first = lua_gettop(thread) - results + 1
            let lease = state.lease(for: "the result of a script")
            self.lease = lease
            return .returned(
                try state.readResults(
                    thread, from: first, outputBytesMax: budget.outputBytesMax, lease: lease, forJSON: true))
        }
        if state.control.pointee.slicedOut { return .paused }
        guard let request = state.pendingYield else { throw Failure(.scriptError, "yielded nothing to the host") }
        state.pendingYield = nil
        lease = state.yieldLease.take()
        return .yielded(request.tag, request.values)
    }
}
