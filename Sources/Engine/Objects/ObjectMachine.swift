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
    /// The object that was made for the method under way, by what the type `makes`: it goes when the method fails.
    @exclusivity(unchecked) var madeForCall: ObjectKey?
    /// The greatest `ticket` given so far.
    @exclusivity(unchecked) var lastTicket: Int64 = 0
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
        if clockReading == 0 { clockReading = UInt64(configuration.environment.unixMilliseconds) }
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
        madeForCall = nil
    }

    // MARK: A call

    /// - Parameter sliceNanoseconds: pauses after that long; 0 runs to the end.
    func start(_ call: ObjectCall, sliceNanoseconds: UInt64) -> Progress {
        beginCall()
        clua_views_begin(state.control)
        do throws(Failure) {
            let start = configuration.environment.uptimeNanoseconds
            guard start < call.deadline.uptimeNanoseconds else {
                throw Failure(
                    .timeout, "the deadline had passed before \(call.key.type):\(call.key.method) could start")
            }
            let (type, method) = try target(of: call)
            setLimits(
                deadline: start &+ configuration.methodNanosecondsMax, call.deadline,
                instructions: configuration.instructionsMax)
            let key = ObjectKey(type: type.name, name: call.key.object)
            if let answer = try keptAnswer(call, type, key) { return finish(.success(answer)) }
            let kind = try kind(of: call, type, key)
            if case .common(let verb) = kind { return finish(.success(try perform(verb, key, type, call))) }
            guard let method else { throw ObjectTypes.noMethod(call.key, of: type.methods.keys) }
            running = Running(
                call: call, key: key, kind: kind, startedNanoseconds: start,
                deadlineNanoseconds: start &+ configuration.methodNanosecondsMax,
                instructionsLeft: configuration.instructionsMax)
            let count = try pushCall(method, call, kind, key, type)
            return advance(arguments: count, sliceNanoseconds: sliceNanoseconds)
        } catch {
            return finish(.failure(error))
        }
    }

    /// Goes on with the paused method, to its end.
    func resume() -> Progress {
        guard var call = running else { preconditionFailure("no method is paused") }
        let now = configuration.environment.uptimeNanoseconds
        call.deadlineNanoseconds &+= now &- call.pausedNanoseconds
        running = call
        setLimits(
            deadline: call.deadlineNanoseconds, call.call.deadline, instructions: call.instructionsLeft,
            usage: state.control.pointee.usage)
        return advance(arguments: 0, sliceNanoseconds: 0)
    }

    /// The method is nil for a verb that runs no script. Throws also for too few arguments, and too many.
    private func target(of call: ObjectCall) throws(Failure) -> (LoadedType, LuaReference?) {
        let key = call.key
        guard let type = types[key.type] else { throw Failure(.scriptError, "there is no object type '\(key.type)'") }
        var name = key.method
        var signature = type.signatures[name]
        if signature == nil {
            guard let verb = CommonVerb(rawValue: name) else {
                throw ObjectTypes.noMethod(key, of: type.methods.keys)
            }
            if verb.makes { name = "new" }
            signature = verb.signature ?? type.signatures["new"]
        }
        let prefix = "\(key.type):\(key.method):NAME"
        guard !key.object.isEmpty else {
            throw Failure(
                .scriptError,
                "\(key.type):\(key.method) needs the name of an object: \(signature?.form(prefix) ?? prefix)")
        }
        let dataCount = data(of: call, type) == nil ? 0 : 1
        try signature?.check(key.arguments.count + dataCount, prefix: prefix)
        return (type, type.methods[name])
    }

    /// The data block where it is an argument: a `set` that makes an object, or calls one of the verbs that every type has,
    /// has to have one, and an empty one says nothing.
    private func data(of call: ObjectCall, _ type: LoadedType) -> [UInt8]? {
        guard let data = call.data else { return nil }
        let isNothing = data.isEmpty && (call.key.method == "new" || type.methods[call.key.method] == nil)
        return isNothing ? nil : data
    }

    /// Whether the call makes its object, and if so only where there is none; nil where it does not.
    private func making(_ key: VirtualKey, _ type: LoadedType) -> Bool? {
        if key.method == "new" { return key.onlyIfAbsent }
        guard type.methods[key.method] == nil, CommonVerb(rawValue: key.method)?.makes == true else { return nil }
        return true
    }

    /// What is answered instead of making an object, as there is one that stays; nil where it is to be made.
    private func keptAnswer(_ call: ObjectCall, _ type: LoadedType, _ key: ObjectKey) throws(Failure) -> Value? {
        guard let onlyIfAbsent = making(call.key, type), onlyIfAbsent || type.keeper != nil,
            let object = liveObject(key, type)
        else { return nil }
        var answer = Value.string("EXISTS")
        if !onlyIfAbsent, let keeper = type.keeper {
            let main = state.main
            let base = lua_gettop(main)
            defer { lua_settop(main, base) }
            keeper.push(on: main)
            lua_rawgeti(main, LuaState.registry, lua_Integer(object))
            clua_push_view(main, -1)
            lua_rotate(main, -2, -1)
            clua_pop(main, 1)
            guard clua_pcall(main, 1, 1) == LUA_OK else { throw state.popFailure(main) }
            try restoreWatched(type)
            guard lua_toboolean(main, -1) != 0 else { return nil }
            answer = try state.readAnswer(main, -1, bytesMax: configuration.answerBytesMax)
        }
        return try constructed(answer, call)
    }

    /// The answer of what makes an object. A `set` can only say whether it was stored.
    private func constructed(_ answer: Value, _ call: ObjectCall) throws(Failure) -> Value {
        guard call.data != nil, answer != .string("CREATED") else { return answer }
        throw Failure(.miss, "\(call.key.type):\(call.key.method): \(answer.text ?? "NOT_CREATED")")
    }

    func noSuchObject(_ key: ObjectKey) -> Failure {
        Failure(.miss, "there is no \(key.type) '\(key.displayName)'; make it with \(key.type):new:\(key.displayName)")
    }

    private func kind(of call: ObjectCall, _ type: LoadedType, _ key: ObjectKey) throws(Failure) -> Kind {
        if making(call.key, type) != nil {
            if type.isPinned { try checkRoomForPinned(type.name) }
            mayChange = true
            return .new(type)
        }
        if type.methods[call.key.method] == nil, let verb = CommonVerb(rawValue: call.key.method) {
            return .common(verb)
        }
        if liveObject(key, type) == nil {
            guard let maker = type.makers[call.key.method] else { throw noSuchObject(key) }
            try make(key, type, by: maker)
        }
        if type.readonly.contains(call.key.method) { return .read }
        guard let at = position(of: key) else { throw noSuchObject(key) }
        clua_journal_begin(state.main, live[at].reference)
        mayChange = true
        return .change
    }

    private func setLimits(
        deadline: UInt64, _ callDeadline: Deadline, instructions: Int, usage: clua_usage? = nil
    ) {
        state.begin(
            LuaBudget(
                instructionsMax: instructions,
                deadline: Deadline(uptimeNanoseconds: min(deadline, callDeadline.uptimeNanoseconds))),
            usage: usage)
    }

    /// Pushes the method and its arguments; returns how many of them.
    private func pushCall(
        _ method: LuaReference, _ call: ObjectCall, _ kind: Kind, _ key: ObjectKey, _ type: LoadedType
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
        if let data = data(of: call, type) {
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
        control.pointee.sliceEndNanoseconds =
            sliceNanoseconds == 0 ? 0 : configuration.environment.uptimeNanoseconds &+ sliceNanoseconds
        var results: Int32 = 0
        let status = clua_resume(thread, nil, arguments, &results)
        if status == LUA_YIELD {
            running?.instructionsLeft = Int(control.pointee.instructionsLeft)
            running?.pausedNanoseconds = configuration.environment.uptimeNanoseconds
            statistics.moved += 1
            return .paused
        }
        do throws(Failure) {
            guard status == LUA_OK else {
                let failure = explained(state.popFailure(thread))
                try? restoreWatched()
                throw failure
            }
            try restoreWatched()
            let value = try commit(thread, results)
            lua_settop(thread, 0)
            return finish(.success(value))
        } catch {
            dropThread()
            return finish(.failure(error))
        }
    }

    /// Gives the variables of the type's file the values that they had.
    /// - Throws: when the method had given one another.
    func restoreWatched(_ type: LoadedType? = nil) throws(Failure) {
        guard let watched = (type ?? running.flatMap { types[$0.key.type] })?.watched else { return }
        let base = lua_gettop(state.main)
        defer { lua_settop(state.main, base) }
        lua_checkstack(state.main, 16)
        watched.push(on: state.main)
        guard clua_restore_watched(state.main, -1) else { return }
        throw Failure(.scriptError, String(decoding: state.stringBytes(state.main, -1), as: UTF8.self))
    }

    /// A budget that ended because the caller's own time was over is a timeout.
    private func explained(_ failure: Failure) -> Failure {
        guard Int(state.control.pointee.aborted) == CLUA_ABORTED_DEADLINE, let deadline = running?.call.deadline,
            configuration.environment.hasPassed(deadline)
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
        guard lua_toboolean(thread, 1) != 0 else { return try constructed(.string("NOT_CREATED"), running.call) }
        try place(resultOf: "new", on: thread, 1, running.key, type, expiry: running.call.key.expiry)
        reindex(running.key)
        return .string("CREATED")
    }

    /// Makes the table that a constructor returned the object of that name.
    private func place(
        resultOf constructor: String, on thread: OpaquePointer, _ index: Int32, _ key: ObjectKey, _ type: LoadedType,
        expiry: UInt32
    ) throws(Failure) {
        guard lua_type(thread, index) == LUA_TTABLE else {
            throw Failure(
                .scriptError, "\(type.name).\(constructor) must return a table, or nil for bad arguments")
        }
        // A copy, so that the object shares nothing with the script and is known to hold plain data only.
        guard clua_copy(thread, index) == LUA_OK else { throw state.popFailure(thread) }
        type.metatable.push(on: thread)
        lua_setmetatable(thread, -2)
        shelf.remove(key.shelfKey)
        replace(
            key, with: luaL_ref(thread, LuaState.registry), expiry: expiry != 0 ? expiry : expiryAsked ?? 0,
            isPinned: type.isPinned)
    }

    /// Makes the object that a method was called on and that is not there.
    private func make(_ key: ObjectKey, _ type: LoadedType, by maker: LuaReference) throws(Failure) {
        if type.isPinned { try checkRoomForPinned(type.name) }
        mayChange = true
        let main = state.main
        let base = lua_gettop(main)
        defer { lua_settop(main, base) }
        maker.push(on: main)
        guard clua_pcall(main, 0, 1) == LUA_OK else { throw state.popFailure(main) }
        try restoreWatched(type)
        try place(resultOf: "makes", on: main, lua_gettop(main), key, type, expiry: 0)
        expiryAsked = nil
        madeForCall = key
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
            if let madeForCall, let at = position(of: madeForCall) { remove(at: at) }
        }
        running = nil
        return .finished(result)
    }
}
