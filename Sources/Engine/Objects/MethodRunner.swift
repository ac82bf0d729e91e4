// Runs one method at a time in the coroutine of a shard: from its beginning, over pauses, to an answer that is read and to
// changes that last or are undone. Unsafe: raw buffers and Lua's stack.

import CLua

/// Knows nothing of objects but the reference to the table that a method gets. One thread at a time.
final class MethodRunner {
    enum Status {
        /// The answer can be read.
        case returned
        /// `failure` says why.
        case failed
        /// Nothing has happened, as its arguments are too few or too many.
        case wrongArguments
        /// The slice is over; `resume` goes on.
        case paused
    }

    private let state: LuaState
    private let configuration: ObjectHostConfiguration
    /// The coroutine that methods run in, used again for as long as none fails.
    private var coroutine: LuaReference?
    private var coroutineState: OpaquePointer?
    /// How many values the method returned.
    private var resultCount: Int32 = 0

    init(_ state: LuaState, _ configuration: ObjectHostConfiguration) {
        self.state = state
        self.configuration = configuration
    }

    // MARK: Running

    /// Runs a method whose time begins now, with what is behind the object's name in a key.
    /// - Parameters:
    ///   - object: the reference to the table that it is called on.
    ///   - arguments: with a colon between two; nil for none.
    ///   - data: the last one.
    ///   - sliceNanoseconds: pauses after that long; 0 runs to the end.
    @inline(__always)
    func start(
        _ method: ReadyMethod, on object: Int32, arguments: Slice<UnsafeRawBufferPointer>?,
        _ data: UnsafeRawBufferPointer?, sliceNanoseconds: UInt64
    ) -> Status {
        var call = invocation(of: method, on: object)
        if let arguments {
            // Behind the last colon there may be nothing: an empty argument, whose address is of no matter.
            call.arguments = arguments.base.baseAddress.map {
                ($0 + arguments.startIndex).assumingMemoryBound(to: CChar.self)
            }
            call.argumentBytes = arguments.count
        }
        if let data, let start = data.baseAddress {
            call.data = start.assumingMemoryBound(to: CChar.self)
            call.dataBytes = data.count
        }
        call.instructionsMax = Int64(configuration.instructionsMax)
        call.methodNanoseconds = configuration.methodNanosecondsMax
        call.sliceNanoseconds = sliceNanoseconds
        return run(call)
    }

    /// Runs a method within the limits that were set with `setLimits`. Parameters as above; `object` is 0 for a constructor.
    func start(
        _ method: ReadyMethod, on object: Int32, _ arguments: [[UInt8]], sliceNanoseconds: UInt64
    ) throws(Failure) -> Status {
        let thread = thread()
        guard lua_checkstack(thread, Int32(arguments.count) + 8) != 0 else {
            throw Failure(.budgetExceeded, "\(arguments.count) arguments are too many")
        }
        for argument in arguments { argument.withUnsafeBytes { state.push(bytes: $0, on: thread) } }
        var call = invocation(of: method, on: object)
        call.hasLimits = true
        setSlice(sliceNanoseconds)
        return run(call)
    }

    /// Goes on with the paused method, to its end.
    func resume() -> Status {
        setSlice(0)
        var count: Int32 = 0
        let status = clua_resume(thread(), nil, 0, &count)
        resultCount = count
        return Self.status(status)
    }

    @inline(__always)
    private func invocation(of method: ReadyMethod, on object: Int32) -> clua_invocation {
        var call = clua_invocation()
        call.function = method.function
        call.object = object
        call.view = Int32(method.view)
        call.writesDirectly = method.writesDirectly
        call.argumentsMin = method.argumentsMin
        call.argumentsMax = method.argumentsMax
        return call
    }

    @inline(__always)
    private func run(_ call: clua_invocation) -> Status {
        var count: Int32 = 0
        let status = withUnsafePointer(to: call) { clua_call_method(thread(), $0, &count) }
        resultCount = count
        return Self.status(status)
    }

    @inline(__always)
    private static func status(_ status: Int32) -> Status {
        switch status {
        case LUA_OK: .returned
        case LUA_YIELD: .paused
        case Int32(CLUA_WRONG_ARGUMENTS): .wrongArguments
        default: .failed
        }
    }

    private func thread() -> OpaquePointer {
        if let coroutineState { return coroutineState }
        guard let made = lua_newthread(state.main) else { preconditionFailure("no memory for a coroutine") }
        coroutine = LuaReference(state, popping: state.main)
        coroutineState = made
        return made
    }

    // MARK: Limits

    /// Of what comes: until an instant of its own or the caller's, whichever is first.
    /// - Parameter usage: what a call that goes on has used so far; nil for one that begins.
    func setLimits(deadline: UInt64, _ callDeadline: Deadline, instructions: Int, usage: clua_usage? = nil) {
        state.begin(
            LuaBudget(
                instructionsMax: instructions,
                deadline: Deadline(uptimeNanoseconds: min(deadline, callDeadline.uptimeNanoseconds))),
            usage: usage)
    }

    private func setSlice(_ nanoseconds: UInt64) {
        state.control.pointee.sliceEndNanoseconds =
            nanoseconds == 0 ? 0 : configuration.environment.uptimeNanoseconds &+ nanoseconds
    }

    /// The paused method's, and what it has used so far.
    var deadlineNanoseconds: UInt64 { state.control.pointee.deadlineNanoseconds }
    var instructionsLeft: Int { Int(clamping: state.control.pointee.instructionsLeft) }
    var usage: clua_usage { state.control.pointee.usage }

    /// Whether the method was stopped because its time was over.
    var ranOutOfTime: Bool { Int(state.control.pointee.aborted) == CLUA_ABORTED_DEADLINE }

    // MARK: The end

    /// Why the method failed.
    func failure() -> Failure { state.popFailure(thread()) }

    /// Reads the method's answer, has `last` make sure that its changes last, and gives the answer as text to `body`, for as
    /// long as that runs.
    @inline(__always)
    func finish(
        _ last: () throws(Failure) -> Void, _ body: (UnsafeRawBufferPointer) -> Void
    ) throws(Failure) {
        let thread = thread()
        keepOneResult(on: thread)
        var count = 0
        if lua_type(thread, 1) == LUA_TSTRING, let text = lua_tolstring(thread, 1, &count),
            count < configuration.answerBytesMax - 9
        {
            try last()
            body(UnsafeRawBufferPointer(start: text, count: count))
        } else {
            let value = try state.readAnswer(thread, 1, bytesMax: configuration.answerBytesMax)
            try last()
            if case .int(let number) = value, number >= 0 {
                withUnsafeTemporaryAllocation(byteCount: Decimal.digitsMax, alignment: 1) { digits in
                    let count = Decimal.write(UInt64(number), to: digits)
                    body(UnsafeRawBufferPointer(rebasing: digits[..<count]))
                }
            } else {
                value.answer.withUnsafeBytes { body($0) }
            }
        }
        empty(thread)
    }

    /// The same, with the answer as a value.
    func finish(_ last: () throws(Failure) -> Void) throws(Failure) -> Value {
        let thread = thread()
        keepOneResult(on: thread)
        let value = try state.readAnswer(thread, 1, bytesMax: configuration.answerBytesMax)
        try last()
        empty(thread)
        return value
    }

    /// The end of a constructor: `body` gets the coroutine with what it returned as its only value. Nil where that is nothing.
    func finishMaking<R>(_ body: (OpaquePointer) throws(Failure) -> R) throws(Failure) -> R? {
        let thread = thread()
        keepOneResult(on: thread)
        let made: R? = lua_toboolean(thread, 1) != 0 ? try body(thread) : nil
        empty(thread)
        return made
    }

    @inline(__always)
    private func keepOneResult(on thread: OpaquePointer) {
        guard resultCount != 1 else { return }
        lua_settop(thread, min(resultCount, 1))
        if resultCount == 0 { lua_pushnil(thread) }
    }

    @inline(__always)
    private func empty(_ thread: OpaquePointer) { lua_settop(thread, 0) }

    /// Makes last what the method wrote, where it has a journal.
    @inline(__always)
    func commit() throws(Failure) {
        guard state.control.pointee.isJournaling else { return }
        guard clua_journal_commit(state.main) == LUA_OK else { throw state.popFailure(state.main) }
    }

    /// Puts back what the method wrote, where it has a journal. What it left on its coroutine may be anything: the next one gets
    /// another.
    @inline(never)
    func undo() {
        if state.control.pointee.isJournaling { clua_journal_undo(state.main) }
        guard let coroutineState, lua_status(coroutineState) != LUA_OK || lua_gettop(coroutineState) > 0 else { return }
        coroutine = nil
        self.coroutineState = nil
    }
}
