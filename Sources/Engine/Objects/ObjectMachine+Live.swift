// The live objects of a shard: found by name, put on the shelf when memory is short, brought back on use, looked at by
// other objects. Unsafe pointers inside.

import CLua

/// A decoded object: a registry reference to its table.
struct LiveObject {
    var reference: Int32
    var lastUse: UInt64
}

extension ObjectKey {
    var displayName: String { String(decoding: name.prefix(80), as: UTF8.self) }
}

extension ObjectMachine {
    /// The reference to an object's table, brought back from the shelf if need be.
    func liveObject(_ key: ObjectKey, _ type: LoadedType) -> Int32? {
        useCount &+= 1
        if let index = live.index(forKey: key) {
            live.values[index].lastUse = useCount
            return live.values[index].reference
        }
        let base = lua_gettop(state.main)
        guard let bytes = shelf.take(key.shelfKey), let value = Value(messagePack: bytes),
            (try? state.push(value, on: state.main)) != nil, lua_type(state.main, -1) == LUA_TTABLE
        else {
            lua_settop(state.main, base)
            return nil
        }
        type.metatable.push(on: state.main)
        lua_setmetatable(state.main, -2)
        let reference = luaL_ref(state.main, LuaState.registry)
        live[key] = LiveObject(reference: reference, lastUse: useCount)
        statistics.unshelved += 1
        return reference
    }

    func replace(_ key: ObjectKey, with reference: Int32) {
        useCount &+= 1
        let old = live.updateValue(LiveObject(reference: reference, lastUse: useCount), forKey: key)
        if let old { luaL_unref(state.main, LuaState.registry, old.reference) }
    }

    func removeAll() {
        for object in live.values { luaL_unref(state.main, LuaState.registry, object.reference) }
        live.removeAll()
        state.collectGarbage()
    }

    // MARK: Memory

    /// True when live objects and garbage together pass their share.
    var needsRoom: Bool { state.memoryBytes > configuration.liveBytesMax }

    /// Collects garbage, then shelves objects, the least recently used first, until a quarter of the share is free.
    /// Cost: about 1 ms a MiB, more when objects go; not for event loops.
    func makeRoom() {
        state.collectGarbage()
        guard state.memoryBytes > configuration.liveBytesMax / 8 * 7 else { return }
        let enough = configuration.liveBytesMax / 4 * 3
        let oldest = live.sorted { $0.value.lastUse < $1.value.lastUse }
        let batch = max(1, oldest.count / 16)
        for (index, entry) in oldest.enumerated() {
            if index % batch == 0, index > 0 {
                state.collectGarbage()
                if state.memoryBytes <= enough { return }
            }
            shelve(entry.key, entry.value.reference)
        }
        state.collectGarbage()
    }

    private func shelve(_ key: ObjectKey, _ reference: Int32) {
        lua_rawgeti(state.main, LuaState.registry, lua_Integer(reference))
        defer { clua_pop(state.main, 1) }
        // One that cannot be encoded, or is larger than an item may be, stays.
        guard let value = try? state.readValue(state.main, -1, bytesMax: configuration.memoryBytesMax),
            shelf.put(key.shelfKey, value.messagePack)
        else { return }
        live[key] = nil
        luaL_unref(state.main, LuaState.registry, reference)
        statistics.shelved += 1
    }

    // MARK: Functions for methods

    /// `now()` and `nowms()`: one instant for the whole call, in seconds and in milliseconds since 1970.
    /// `peek(type, name)`: another object of the shard, to look at but not to change.
    func registerFunctions() {
        state.registerRaw("now") { [unowned self] _, thread in
            lua_pushinteger(thread, Int64(nowMilliseconds / 1000))
            return 1
        }
        state.registerRaw("nowms") { [unowned self] _, thread in
            lua_pushinteger(thread, Int64(nowMilliseconds))
            return 1
        }
        state.registerRaw("peek") { [unowned self] state, thread in
            do throws(Failure) {
                try pushPeeked(on: thread)
                return 1
            } catch {
                return state.raise(error, on: thread)
            }
        }
    }

    private func pushPeeked(on thread: OpaquePointer) throws(Failure) {
        guard lua_type(thread, 1) == LUA_TSTRING, lua_type(thread, 2) == LUA_TSTRING else {
            throw Failure(.scriptError, "peek needs a type and an object's name")
        }
        let typeName = String(decoding: state.stringBytes(thread, 1), as: UTF8.self)
        guard let type = types[typeName] else { throw Failure(.scriptError, "there is no object type '\(typeName)'") }
        let key = ObjectKey(type: typeName, name: state.stringBytes(thread, 2))
        guard let reference = liveObject(key, type) else { throw missing(key) }
        lua_rawgeti(thread, LuaState.registry, lua_Integer(reference))
        clua_push_view(thread, -1)
    }

    /// Objects with the same routing key live together; of any other it is not known whether it exists elsewhere.
    private func missing(_ key: ObjectKey) -> Failure {
        let other = VirtualKey(type: key.type, method: "", object: key.name)
        guard let runningKey, runningKey.routingKey != other.routingKey else {
            return Failure(.miss, "there is no \(key.type) '\(key.displayName)'")
        }
        return Failure(
            .scriptError,
            "\(key.type) '\(key.displayName)' is not on this shard; give objects that are used together a common tag, as in {tag}\(key.displayName)"
        )
    }
}

extension ObjectHost {
    /// The functions that type scripts may mention while they are loaded only to be described.
    static func registerPlaceholders(in state: LuaState) {
        for name in ["now", "nowms", "peek"] {
            state.register(name) { (_) throws(Failure) in
                throw Failure(.scriptError, "\(name) is for methods, not for the top level of a type's file")
            }
        }
    }
}
