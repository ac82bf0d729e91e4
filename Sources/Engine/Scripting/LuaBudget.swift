// What one call into Lua may use, and the failure for what it used up.

import CLua

/// Limits of one call. Memory is a limit of the state, see `LuaState.init`.
package struct LuaBudget: Sendable {
    /// Counted in steps of 256; work inside table and string functions is charged by its size.
    package var instructionsMax: Int
    package var deadline: Deadline
    /// What results may take, measured roughly as encoded.
    package var outputBytesMax: Int

    package init(
        instructionsMax: Int = 10_000_000, deadline: Deadline = .after(milliseconds: 100, from: monotonicNanoseconds()),
        outputBytesMax: Int = 16 << 20
    ) {
        self.instructionsMax = instructionsMax
        self.deadline = deadline
        self.outputBytesMax = outputBytesMax
    }

    /// The accounts of a call that begins now.
    var unused: clua_usage {
        var usage = clua_usage()
        let end = deadline.uptimeNanoseconds
        if end != Deadline.never.uptimeNanoseconds {
            let now = monotonicNanoseconds()
            usage.grantedNanoseconds = end > now ? end - now : 0
        }
        return usage
    }
}

extension LuaState {
    /// Turns the error on top of `thread` into a failure and pops it.
    func popFailure(_ thread: OpaquePointer) -> Failure {
        let stack = takeTrace()
        let failure = popFailureAlone(thread)
        // What a script called the host for, and failed there, was in a script itself.
        return failure.stack.isEmpty ? failure.with(stack: stack) : failure
    }

    /// The functions that were under way where the last call failed, once.
    private func takeTrace() -> [String] {
        guard let text = control.pointee.trace, control.pointee.traceBytes > 0 else { return [] }
        defer { control.pointee.traceBytes = 0 }
        let bytes = UnsafeRawBufferPointer(start: text, count: control.pointee.traceBytes)
        return bytes.split(separator: UInt8(ascii: "\n")).map { String(decoding: $0, as: UTF8.self) }
    }

    private func popFailureAlone(_ thread: OpaquePointer) -> Failure {
        let message = errorText(thread)
        let isRaised = raisedFailure != nil && clua_is_raised(thread)
        clua_pop(thread, 1)
        let raised = raisedFailure
        raisedFailure = nil
        if let stopped = failure(ofStop: Int(control.pointee.aborted), message) { return stopped }
        if let raised, isRaised { return raised.saying(message) }
        return Failure(.scriptError, message)
    }

    /// What is said of a call that was stopped for that reason; nil for one that was not stopped.
    private func failure(ofStop reason: Int, _ message: String) -> Failure? {
        // A call that alone used what it may have would use it again, wherever it is made.
        let fault: Fault = control.pointee.abortedByOthers ? .server : .caller
        switch reason {
        case CLUA_ABORTED_INSTRUCTIONS: return Failure(.budgetExceeded, message)
        case CLUA_ABORTED_DEADLINE: return Failure(.budgetExceeded, message, fault: fault)
        case CLUA_ABORTED_MEMORY: return memoryFailure(message, fault)
        case CLUA_ABORTED_CANCELLED: return Failure(.cancelled, message)
        case CLUA_ABORTED_TEXT:
            let limit = "a text that a script makes may have \(CLUA_TEXT_BYTES_MAX >> 20) MiB"
            return Failure(.budgetExceeded, "\(message) (\(limit)); keep its parts in a table, or make several")
        case CLUA_ABORTED_WRITES: return Failure(.budgetExceeded, "\(message) in one call; do the work in several")
        default: return nil
        }
    }

    private func memoryFailure(_ message: String, _ fault: Fault) -> Failure {
        let leased = control.pointee.limitBytes
        if let account, leased < memoryBytesMax {
            return account.refusal(message, leased: leased + share.heldBytes, fault: fault)
        }
        return Failure(.budgetExceeded, "\(message) (a state may use \(memoryBytesMax >> 20) MiB)", fault: fault)
    }

    /// For what the call under way, or the last one, has the host do: within its budget, which it is charged to unless it is
    /// already.
    func pace(isCharged: Bool = true) -> WorkPace {
        share.note(stateBytes: control.pointee.limitBytes)
        return WorkPace(share: share) { [control] (units) throws(Failure) in
            if isCharged { control.pointee.instructionsLeft -= Int64(units) }
            if clua_is_overdue(control) { throw self.overdue }
        }
    }

    /// Of a call that is to end.
    var overdue: Failure {
        if clua_is_cancelled(control) { return Failure(.cancelled, "cancelled") }
        let reason = control.pointee.aborted
        if [CLUA_ABORTED_MEMORY, CLUA_ABORTED_TEXT, CLUA_ABORTED_WRITES].contains(Int(reason)),
            let stopped = failure(ofStop: Int(reason), String(cString: clua_abort_message(reason)))
        {
            return stopped
        }
        guard control.pointee.instructionsLeft < 0 else {
            let fault: Fault = control.pointee.abortedByOthers ? .server : .caller
            return Failure(.budgetExceeded, "too much time", fault: fault)
        }
        return Failure(.budgetExceeded, "too many instructions")
    }

    private func errorText(_ thread: OpaquePointer) -> String {
        switch lua_type(thread, -1) {
        case LUA_TSTRING, LUA_TNUMBER: return String(decoding: stringBytes(thread, -1), as: UTF8.self)
        default: return "raised a \(String(cString: lua_typename(thread, lua_type(thread, -1)))) as error"
        }
    }
}
