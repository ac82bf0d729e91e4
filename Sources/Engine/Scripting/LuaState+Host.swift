// Swift functions and objects that scripts can call. Unsafe pointers inside.

import CLua

/// A function that Lua calls. It pushes its results and returns their number, or one of the shim's codes; it never
/// raises.
final class LuaCallback {
    unowned let state: LuaState
    let body: (LuaState, OpaquePointer) -> Int32

    init(_ state: LuaState, _ body: @escaping (LuaState, OpaquePointer) -> Int32) {
        self.state = state
        self.body = body
    }
}

extension LuaState {
    /// Makes a function known to every script of the state, to be called with as many arguments as `form` has. A dot in the name
    /// puts it into a table: `cluster.servers`.
    package func register(
        _ name: String, _ form: LuaForm = .any, _ body: @escaping ([LuaValue]) throws(Failure) -> LuaResult
    ) {
        registerRaw(name) { state, thread in
            do throws(Failure) {
                try form.check(Int(lua_gettop(thread)))
                let lease = state.lease(for: "the arguments of a function")
                let arguments = try state.readResults(
                    thread, from: 1, outputBytesMax: Self.argumentBytesMax, lease: lease)
                let result = try body(arguments)
                // They are what the host is asked for.
                if case .yield = result { state.yieldLease = lease }
                return try state.push(result, on: thread)
            } catch {
                return state.raise(error, on: thread)
            }
        }
    }

    /// Arguments of a host function may take this much, roughly as encoded.
    static let argumentBytesMax = 16 << 20

    func registerRaw(_ name: String, _ body: @escaping (LuaState, OpaquePointer) -> Int32) {
        let base = lua_gettop(main)
        clua_push_globals(main)
        var parts = name.split(separator: ".").map(String.init)
        let last = parts.removeLast()
        for part in parts {
            push(text: part, on: main)
            if lua_rawget(main, -2) != LUA_TTABLE {
                clua_pop(main, 1)
                clua_new_table(main)
                push(text: part, on: main)
                lua_pushvalue(main, -2)
                lua_rawset(main, -4)
            }
        }
        push(text: last, on: main)
        pushCallback(on: main, body)
        lua_rawset(main, -3)
        lua_settop(main, base)
    }

    private func pushCallback(on thread: OpaquePointer, _ body: @escaping (LuaState, OpaquePointer) -> Int32) {
        let callback = LuaCallback(self, body)
        callbacks.append(callback)
        clua_push_callback(thread, runCallback, Unmanaged.passUnretained(callback).toOpaque())
    }

    /// Leaves the failure's message for the shim to raise, which knows it again (`clua_is_raised`); so `popFailure` finds its reason.
    func raise(_ failure: Failure, on thread: OpaquePointer) -> Int32 {
        raisedFailure = failure
        lua_checkstack(thread, 4)
        push(text: failure.message, on: thread)
        return Int32(CLUA_RAISE)
    }

    private func push(_ result: LuaResult, on thread: OpaquePointer) throws(Failure) -> Int32 {
        switch result {
        case .values(let values):
            for value in values { try push(value, on: thread) }
            return Int32(values.count)
        case .leased(let values, let lease):
            defer { withExtendedLifetime(lease) {} }
            for value in values { try push(value, on: thread) }
            return Int32(values.count)
        case .object(let object):
            push(object: object, on: thread)
        case .receiver:
            lua_pushvalue(thread, 1)
        case .yield(let tag, let values):
            pendingYield = (tag, values)
            return Int32(CLUA_YIELD_BASE)
        }
        return 1
    }

    // MARK: Host objects

    func push(object: any LuaHostObject, on thread: OpaquePointer) {
        lua_checkstack(thread, 8)
        pushMetatable(type(of: object), on: thread)
        let (bytes, leased) = (max(0, object.hostBytes), max(0, object.leasedBytes))
        clua_push_object(thread, Unmanaged.passRetained(HostObjectBox(object)).toOpaque(), bytes, leased, -1)
        lua_rotate(thread, -2, -1)
        clua_pop(thread, 1)
    }

    func hostObject(_ thread: OpaquePointer, _ index: Int32) -> (any LuaHostObject)? {
        guard let pointer = clua_to_object(thread, index) else { return nil }
        return Unmanaged<HostObjectBox>.fromOpaque(pointer).takeUnretainedValue().object
    }

    private func pushMetatable(_ type: any LuaHostObject.Type, on thread: OpaquePointer) {
        if let index = objectMetatables[type.luaTypeName] {
            lua_rawgeti(thread, Self.registry, lua_Integer(index))
            return
        }
        clua_new_table(main)
        for (name, method) in type.luaMethods.sorted(by: { $0.key < $1.key }) {
            push(text: name, on: main)
            pushCallback(on: main) { state, thread in state.run(method, name, type.luaTypeName, on: thread) }
            lua_rawset(main, -3)
        }
        clua_push_object_metatable(main, type.luaTypeName, -1)
        lua_pushvalue(main, -1)
        objectMetatables[type.luaTypeName] = luaL_ref(main, Self.registry)
        clua_pop(main, 2)
        pushMetatable(type, on: thread)
    }

    private func run(_ method: LuaMethod, _ name: String, _ typeName: String, on thread: OpaquePointer) -> Int32 {
        do throws(Failure) {
            guard let receiver = hostObject(thread, 1) else {
                throw Failure(.scriptError, "\(typeName).\(name) needs its object: write object:\(name)(…)")
            }
            let lease = lease(for: "the arguments of a method")
            let arguments = try readResults(thread, from: 2, outputBytesMax: Self.argumentBytesMax, lease: lease)
            callingThread = thread
            return try push(try call(method, receiver, arguments), on: thread)
        } catch {
            return raise(error, on: thread)
        }
    }
}

extension LuaState {
    /// Where the script is that calls the method under way, as messages begin: `name:line: `. Empty where that is not known.
    var position: String {
        guard let callingThread else { return "" }
        return withUnsafeTemporaryAllocation(of: CChar.self, capacity: 128) { text in
            guard let start = text.baseAddress else { return "" }
            clua_where(callingThread, start, text.count)
            return String(cString: start)
        }
    }

    /// Where memory that is leased outside of Lua does not suffice, what garbage has leased may: it is collected, and the method,
    /// which has changed nothing, called once more.
    private func call(
        _ method: LuaMethod, _ receiver: any LuaHostObject, _ arguments: [LuaValue]
    ) throws(Failure) -> LuaResult {
        let refusals = share.refusalCount
        do throws(Failure) { return try method.call(receiver, arguments, self) } catch {
            let held = share.heldBytes
            guard share.refusalCount > refusals, memoryBytes <= Self.collectableBytesMax else { throw error }
            collectGarbage()
            guard share.heldBytes < held else { throw error }
            return try method.call(receiver, arguments, self)
        }
    }

    /// What takes up to some 30 ms to collect.
    private static let collectableBytesMax = 32 << 20
}

/// A class of known layout around the existential.
private final class HostObjectBox {
    let object: any LuaHostObject
    init(_ object: any LuaHostObject) { self.object = object }
}

private let runCallback: clua_callback = { thread, context in
    guard let thread, let context else { return 0 }
    let callback = Unmanaged<LuaCallback>.fromOpaque(context).takeUnretainedValue()
    lua_checkstack(thread, 16)
    return callback.body(callback.state, thread)
}

let releaseHostObject: @convention(c) (UnsafeMutableRawPointer?) -> Void = { pointer in
    if let pointer { Unmanaged<HostObjectBox>.fromOpaque(pointer).release() }
}
