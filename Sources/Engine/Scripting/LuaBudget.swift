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
        let message = errorText(thread)
        clua_pop(thread, 1)
        let raised = raisedFailure
        raisedFailure = nil
        // A call that alone used what it may have would use it again, wherever it is made.
        let fault: Fault = control.pointee.abortedByOthers ? .server : .caller
        switch Int(control.pointee.aborted) {
        case CLUA_ABORTED_INSTRUCTIONS: return Failure(.budgetExceeded, message)
        case CLUA_ABORTED_DEADLINE: return Failure(.budgetExceeded, message, fault: fault)
        case CLUA_ABORTED_MEMORY: return memoryFailure(message, fault)
        case CLUA_ABORTED_CANCELLED: return Failure(.cancelled, message)
        default: break
        }
        if let raised, message.hasSuffix(raised.message) { return Failure(raised.reason, message, fault: raised.fault) }
        return Failure(.scriptError, message)
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
        if control.pointee.aborted == CLUA_ABORTED_MEMORY {
            return memoryFailure("too much memory", control.pointee.abortedByOthers ? .server : .caller)
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
