// One shard's objects in their Lua state: starts methods, goes on with paused ones, commits what succeeded. One thread at a
// time; unsafe pointers inside.

import CLua

/// Knows nothing of threads or gates: `start` and `resume` either finish a call or leave it paused.
final class ObjectMachine {
    enum Progress {
        case finished(Result<Value, Failure>)
        /// The slice is over; `resume` goes on.
        case paused
    }

    /// A method under way.
    struct Running {
        let call: ObjectCall
        let key: ObjectKey
        let kind: Kind
        let startedNanoseconds: UInt64
        var deadlineNanoseconds: UInt64
        var instructionsLeft: Int
        var pausedNanoseconds: UInt64 = 0
    }

    enum Kind {
        case new(LoadedType)
        /// One that every type has.
        case common(CommonVerb)
        case read
        /// What it writes is undone when it fails.
        case change

        var hasReceiver: Bool {
            switch self {
            case .new, .common: false
            case .read, .change: true
            }
        }
    }

    let configuration: ObjectHostConfiguration
    let shelf: any ObjectShelf
    let state: LuaState
    var types: [String: LoadedType] = [:]
    /// The numbers of types, for keys of `live`; they stay as they are.
    private var typeNumbers: [String: UInt32] = [:]
    private var typeNames: [String] = []
    // One thread at a time is in here, and nothing that it calls comes back to these: accesses can't overlap.
    let live = LiveObjects()
    @exclusivity(unchecked) var useCount: UInt32 = 0
    @exclusivity(unchecked) var statistics = ObjectStatistics()
    /// What was put on the shelf while somebody collects names (see `ShardHandle.objects`).
    @exclusivity(unchecked) var walks = ObjectWalks()
    /// Methods that can be called at once, by their numbers in that version of the types.
    @exclusivity(unchecked) var ready: [ReadyMethod] = []
    @exclusivity(unchecked) var readyVersion: UInt64 = 0
    @exclusivity(unchecked) var running: Running?
    /// The key of a method that was called at once, while it runs.
    @exclusivity(unchecked) var keyAtOnce: UnsafeRawBufferPointer?
    /// The method under way may change its object, or makes it.
    @exclusivity(unchecked) var mayChange = false
    /// The coroutine that methods run in, used again for as long as none fails.
    @exclusivity(unchecked) private var thread: LuaReference?
    @exclusivity(unchecked) private var threadState: OpaquePointer?
    /// What the clock said when the call under way first asked; 0 before.
    @exclusivity(unchecked) private var clockReading: UInt64 = 0
    /// What the method under way said with `expire`: an instant, 0 for never; nil when it said nothing.
    @exclusivity(unchecked) var expiryAsked: UInt32?
    @exclusivity(unchecked) var room: ObjectRoom
    @exclusivity(unchecked) var pinned = PinnedObjects()
    /// By `type.method`, and by the number of the type.
    @exclusivity(unchecked) var indexes: [String: TypeIndex] = [:]
    @exclusivity(unchecked) var indexesOfType: [UInt32: [TypeIndex]] = [:]
    /// What they take, in bytes.
    @exclusivity(unchecked) var indexBytes = 0
    /// What the shelf was last told that live objects take.
    var sharedBytes = 0

    init(types: ObjectTypes, configuration: ObjectHostConfiguration, shelf: any ObjectShelf) {
        self.configuration = configuration
        self.shelf = shelf
        state = LuaState(memoryBytesMax: configuration.memoryBytesMax)
        room = ObjectRoom(dueBytes: configuration.liveBytesMax)
        clua_collect_young(state.main)
        registerFunctions()
        for (name, failure) in install(types) {
            preconditionFailure("the type \(name), which was described, does not load: \(failure)")
        }
    }

    /// Has these types from now on. Objects of a type that changed get its new methods; those of one that went are gone.
    /// Returns what did not load, which stays as it was.
    @discardableResult
    func install(_ new: ObjectTypes) -> [(name: String, failure: Failure)] {
        var failures: [(String, Failure)] = []
        var changed: Set<String> = []
        let isFirst = readyVersion == 0
        for type in new.types.values.sorted(by: { $0.name < $1.name }) where types[type.name]?.hash != type.hash {
            do throws(Failure) {
                types[type.name] = try LoadedType(type.script, in: state, replacing: types[type.name])
                changed.insert(type.name)
            } catch {
                failures.append((type.name, error))
            }
        }
        for name in types.keys where new.types[name] == nil {
            types[name] = nil
            removeAll(ofType: number(ofType: name))
        }
        installIndexes(changed: changed, isFirst: isFirst)
        ready = readyMethods(of: new)
        readyVersion = new.version
        return failures
    }

    func number(ofType name: String) -> UInt32 {
        if let number = typeNumbers[name] { return number }
        let number = UInt32(typeNames.count)
        typeNumbers[name] = number
        typeNames.append(name)
        return number
    }

    func name(ofType number: UInt32) -> String { typeNames[Int(number)] }

    /// The key of the object whose method runs; nil between calls.
    var runningKey: VirtualKey? { running?.call.key ?? keyAtOnce.flatMap { VirtualKey($0) } }

    /// What `now()` answers during a call, in milliseconds since 1970.
    var nowMilliseconds: UInt64 {
        if clockReading == 0 { clockReading = configuration.clock() }
        return clockReading
    }
    var nowSeconds: UInt32 { UInt32(truncatingIfNeeded: nowMilliseconds / 1000) }

    /// Before each call.
    func beginCall() {
        statistics.calls &+= 1
        beginLook()
    }

    /// Before anything that asks for the time or runs a script.
    func beginLook() {
        clockReading = 0
        expiryAsked = nil
        mayChange = false
    }

    // MARK: A call

    /// - Parameter sliceNanoseconds: pauses after that long; 0 runs to the end.
    func start(_ call: ObjectCall, sliceNanoseconds: UInt64) -> Progress {
        beginCall()
        clua_views_begin(state.control)
        do throws(Failure) {
            let start = monotonicNanoseconds()
            guard start < call.deadline.uptimeNanoseconds else {
                throw Failure(
                    .timeout, "the deadline had passed before \(call.key.type):\(call.key.method) could start")
            }
            let (type, method) = try target(of: call.key)
            setLimits(
                deadline: start &+ configuration.methodNanosecondsMax, call.deadline,
                instructions: configuration.instructionsMax)
            let key = ObjectKey(type: type.name, name: call.key.object)
            let kind = try kind(of: call, type, key)
            if case .common(let verb) = kind { return finish(.success(try perform(verb, key, type, call))) }
            guard let method else { throw noSuchMethod(call.key) }
            running = Running(
                call: call, key: key, kind: kind, startedNanoseconds: start,
                deadlineNanoseconds: start &+ configuration.methodNanosecondsMax,
                instructionsLeft: configuration.instructionsMax)
            let count = try pushCall(method, call, kind, key)
            return advance(arguments: count, sliceNanoseconds: sliceNanoseconds)
        } catch {
            return finish(.failure(error))
        }
    }

    /// Goes on with the paused method, to its end.
    func resume() -> Progress {
        guard var call = running else { preconditionFailure("no method is paused") }
        let now = monotonicNanoseconds()
        call.deadlineNanoseconds &+= now &- call.pausedNanoseconds
        running = call
        setLimits(deadline: call.deadlineNanoseconds, call.call.deadline, instructions: call.instructionsLeft)
        return advance(arguments: 0, sliceNanoseconds: 0)
    }

    /// The method is nil for a verb that every type has.
    private func target(of key: VirtualKey) throws(Failure) -> (LoadedType, LuaReference?) {
        guard let type = types[key.type] else { throw Failure(.scriptError, "there is no object type '\(key.type)'") }
        let method = type.methods[key.method]
        guard method != nil || CommonVerb(rawValue: key.method) != nil else { throw noSuchMethod(key) }
        guard !key.object.isEmpty else {
            throw Failure(.scriptError, "\(key.type):\(key.method) needs the name of an object")
        }
        return (type, method)
    }

    private func noSuchMethod(_ key: VirtualKey) -> Failure {
        Failure(.scriptError, "the type \(key.type) has no method '\(key.method)'")
    }

    func noSuchObject(_ key: ObjectKey) -> Failure {
        Failure(.miss, "there is no \(key.type) '\(key.displayName)'; make it with \(key.type):new:\(key.displayName)")
    }

    private func kind(of call: ObjectCall, _ type: LoadedType, _ key: ObjectKey) throws(Failure) -> Kind {
        if call.key.method == "new" {
            if type.isPinned { try checkRoomForPinned(type.name) }
            mayChange = true
            return .new(type)
        }
        if type.methods[call.key.method] == nil, let verb = CommonVerb(rawValue: call.key.method) {
            return .common(verb)
        }
        guard liveObject(key, type) != nil else { throw noSuchObject(key) }
        if type.readonly.contains(call.key.method) { return .read }
        clua_journal_begin(state.main)
        mayChange = true
        return .change
    }

    private func setLimits(deadline: UInt64, _ callDeadline: Deadline, instructions: Int) {
        state.begin(
            LuaBudget(
                instructionsMax: instructions,
                deadline: Deadline(uptimeNanoseconds: min(deadline, callDeadline.uptimeNanoseconds))))
    }

    /// Pushes the method and its arguments; returns how many of them.
    private func pushCall(
        _ method: LuaReference, _ call: ObjectCall, _ kind: Kind, _ key: ObjectKey
    ) throws(Failure) -> Int32 {
        let thread = methodThread()
        let arguments = call.key.arguments
        guard lua_checkstack(thread, Int32(arguments.count) + 8) != 0 else {
            throw Failure(.budgetExceeded, "\(arguments.count) arguments are too many")
        }
        method.push(on: thread)
        var count = Int32(arguments.count)
        if kind.hasReceiver, let at = position(of: key) {
            lua_rawgeti(thread, LuaState.registry, lua_Integer(live[at].reference))
            if case .read = kind { clua_push_view(thread, -1) } else { clua_push_tracked(thread, -1) }
            lua_rotate(thread, -2, -1)
            clua_pop(thread, 1)
            count += 1
        }
        for argument in arguments { argument.withUnsafeBytes { state.push(bytes: $0, on: thread) } }
        // A `set` that makes an object has to have a block; an empty one says nothing.
        if let data = call.data, !(data.isEmpty && call.key.method == "new") {
            data.withUnsafeBytes { state.push(bytes: $0, on: thread) }
            count += 1
        }
        return count
    }

    /// The coroutine for the next method.
    func methodThread() -> OpaquePointer {
        if let threadState { return threadState }
        guard let made = lua_newthread(state.main) else { preconditionFailure("no memory for a coroutine") }
        thread = LuaReference(state, popping: state.main)
        threadState = made
        return made
    }

    /// After a failure: what is left on it may be anything.
    func dropThread() {
        thread = nil
        threadState = nil
    }

    private func advance(arguments: Int32, sliceNanoseconds: UInt64) -> Progress {
        let thread = methodThread()
        let control = state.control
        control.pointee.sliceEndNanoseconds = sliceNanoseconds == 0 ? 0 : monotonicNanoseconds() &+ sliceNanoseconds
        var results: Int32 = 0
        let status = clua_resume(thread, nil, arguments, &results)
        if status == LUA_YIELD {
            running?.instructionsLeft = Int(control.pointee.instructionsLeft)
            running?.pausedNanoseconds = monotonicNanoseconds()
            statistics.moved += 1
            return .paused
        }
        do throws(Failure) {
            guard status == LUA_OK else { throw explained(state.popFailure(thread)) }
            let value = try commit(thread, results)
            lua_settop(thread, 0)
            return finish(.success(value))
        } catch {
            dropThread()
            return finish(.failure(error))
        }
    }

    /// A budget that ended because the caller's own time was over is a timeout.
    private func explained(_ failure: Failure) -> Failure {
        guard Int(state.control.pointee.aborted) == CLUA_ABORTED_DEADLINE, let deadline = running?.call.deadline,
            deadline.hasPassed
        else { return failure }
        return Failure(.timeout, failure.message)
    }

    // MARK: Its end

    /// Reads the answer, then puts the new or changed object in its place.
    private func commit(_ thread: OpaquePointer, _ results: Int32) throws(Failure) -> Value {
        guard let running else { preconditionFailure("no method is under way") }
        lua_settop(thread, min(results, 1))
        if results == 0 { lua_pushnil(thread) }
        guard case .new(let type) = running.kind else {
            let value = try state.readAnswer(thread, 1, bytesMax: configuration.answerBytesMax)
            if case .change = running.kind {
                guard clua_journal_commit(state.main) == LUA_OK else { throw state.popFailure(state.main) }
                if let expiryAsked { setExpiry(running.key, expiryAsked) }
                reindex(running.key)
            }
            self.running = nil
            return value
        }
        guard lua_toboolean(thread, 1) != 0 else { return .string("NOT_CREATED") }
        guard lua_type(thread, 1) == LUA_TTABLE else {
            throw Failure(.scriptError, "\(type.name).new must return a table, or nil for bad arguments")
        }
        // A copy, so that the object shares nothing with the script and is known to hold plain data only.
        guard clua_copy(thread, 1) == LUA_OK else { throw state.popFailure(thread) }
        type.metatable.push(on: thread)
        lua_setmetatable(thread, -2)
        shelf.remove(running.key.shelfKey)
        let expiry = running.call.key.expiry
        replace(
            running.key, with: luaL_ref(thread, LuaState.registry), expiry: expiry != 0 ? expiry : expiryAsked ?? 0,
            isPinned: type.isPinned)
        reindex(running.key)
        return .string("CREATED")
    }

    private func reindex(_ key: ObjectKey) {
        if !indexes.isEmpty, let at = position(of: key) { reindex(at: at) }
    }

    func noteFailure(_ failure: Failure) {
        guard failure.reason != .miss else { return }
        statistics.failures += 1
        let used = configuration.instructionsMax - Int(clamping: state.control.pointee.instructionsLeft)
        statistics.instructionsMost = max(statistics.instructionsMost, used)
    }

    private func finish(_ result: Result<Value, Failure>) -> Progress {
        if case .failure(let failure) = result {
            noteFailure(failure)
            if case .change? = running?.kind { clua_journal_undo(state.main) }
        }
        running = nil
        return .finished(result)
    }
}
