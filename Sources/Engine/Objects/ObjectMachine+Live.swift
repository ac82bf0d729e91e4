// The live objects of a shard: found by name, put on the shelf when memory is short, brought back on use, looked at by
// other objects. Unsafe pointers inside.

import CLua

/// A decoded object: a registry reference to its table.
struct LiveObject {
    var reference: Int32
    /// When it goes, in unix seconds; 0 never.
    var expiry: UInt32
    var lastUse: UInt64
    /// Never shelved, as what is on the shelf may be evicted.
    var isPinned: Bool
}

extension ObjectKey {
    var displayName: String { String(decoding: name.prefix(80), as: UTF8.self) }
}

extension ObjectMachine {
    /// The reference to an object's table, brought back from the shelf if need be.
    func liveObject(_ key: ObjectKey, _ type: LoadedType) -> Int32? {
        useCount &+= 1
        guard let index = live.index(forKey: key) else { return unshelve(key, type) }
        let expiry = live.values[index].expiry
        if expiry != 0, expiry <= nowSeconds {
            remove(key)
            return nil
        }
        live.values[index].lastUse = useCount
        return live.values[index].reference
    }

    private func unshelve(_ key: ObjectKey, _ type: LoadedType) -> Int32? {
        let base = lua_gettop(state.main)
        guard let bytes = shelf.take(key.shelfKey), let (expiry, value) = Shelved.decode(bytes),
            expiry == 0 || expiry > nowSeconds, (try? state.push(value, on: state.main)) != nil,
            lua_type(state.main, -1) == LUA_TTABLE
        else {
            lua_settop(state.main, base)
            return nil
        }
        type.metatable.push(on: state.main)
        lua_setmetatable(state.main, -2)
        let reference = luaL_ref(state.main, LuaState.registry)
        live[key] = LiveObject(reference: reference, expiry: expiry, lastUse: useCount, isPinned: type.isPinned)
        statistics.unshelved += 1
        return reference
    }

    func replace(_ key: ObjectKey, with reference: Int32, expiry: UInt32, isPinned: Bool) {
        useCount &+= 1
        let object = LiveObject(reference: reference, expiry: expiry, lastUse: useCount, isPinned: isPinned)
        let old = live.updateValue(object, forKey: key)
        if let old { luaL_unref(state.main, LuaState.registry, old.reference) }
    }

    func setExpiry(_ key: ObjectKey, _ expiry: UInt32) {
        guard let index = live.index(forKey: key) else { return }
        live.values[index].expiry = expiry
    }

    /// Forgets a live object.
    func remove(_ key: ObjectKey) {
        guard let object = live.removeValue(forKey: key) else { return }
        luaL_unref(state.main, LuaState.registry, object.reference)
        if object.isPinned, isFullOfPinned { roomBytes = 0 }
    }

    func removeAll() {
        for object in live.values { luaL_unref(state.main, LuaState.registry, object.reference) }
        live.removeAll()
        isFullOfPinned = false
        roomBytes = configuration.liveBytesMax
        state.collectGarbage()
    }

    // MARK: Memory

    /// True when live objects and garbage together pass their share.
    var needsRoom: Bool { state.memoryBytes > roomBytes }

    /// A new pinned object takes memory that nothing gives back.
    func checkRoomForPinned(_ type: String) throws(Failure) {
        guard isFullOfPinned else { return }
        throw Failure(
            .budgetExceeded,
            "objects that are never evicted fill their \(configuration.pinnedBytesMax >> 20) MiB of the shard: "
                + "drop some (\(type):drop:NAME), or start with a larger -m")
    }

    /// Collects garbage and what has expired, then shelves objects, the least recently used first, until a quarter of the
    /// share is free. Cost: about 1 ms a MiB, more when objects go; not for event loops.
    func makeRoom() {
        let now = UInt32(truncatingIfNeeded: configuration.clock() / 1000)
        for (key, object) in live where object.expiry != 0 && object.expiry <= now { remove(key) }
        state.collectGarbage()
        if state.memoryBytes > configuration.liveBytesMax / 8 * 7 { shelveOldest() }
        let left = state.memoryBytes
        isFullOfPinned = left > configuration.pinnedBytesMax / 8 * 7
        // What cannot go must not be looked at again after every call.
        roomBytes = max(configuration.liveBytesMax, left + max(left / 8, 256 << 10))
    }

    private func shelveOldest() {
        let enough = configuration.liveBytesMax / 4 * 3
        let oldest = live.filter { !$0.value.isPinned }.sorted { $0.value.lastUse < $1.value.lastUse }
        let batch = max(1, oldest.count / 16)
        for (index, entry) in oldest.enumerated() {
            if index % batch == 0, index > 0 {
                state.collectGarbage()
                if state.memoryBytes <= enough { return }
            }
            shelve(entry.key, entry.value)
        }
        state.collectGarbage()
    }

    private func shelve(_ key: ObjectKey, _ object: LiveObject) {
        lua_rawgeti(state.main, LuaState.registry, lua_Integer(object.reference))
        defer { clua_pop(state.main, 1) }
        // One that cannot be encoded, or is larger than an item may be, stays.
        guard let value = try? state.readValue(state.main, -1, bytesMax: configuration.memoryBytesMax),
            shelf.put(key.shelfKey, Shelved.encode(value, expiry: object.expiry), expiry: object.expiry)
        else { return }
        live[key] = nil
        luaL_unref(state.main, LuaState.registry, object.reference)
        statistics.shelved += 1
    }

    /// Tells the shelf what live objects take of the memory they share, in steps, as every step may evict.
    func shareMemory() {
        let step = 256 << 10
        let bytes = state.memoryBytes / step * step
        // Going down only by a good part: what garbage comes and goes is not worth it.
        guard bytes > sharedBytes || bytes < sharedBytes / 4 * 3 else { return }
        sharedBytes = bytes
        shelf.share(bytes)
    }

    // MARK: Functions for methods

    /// `now()` and `nowms()`: one instant for the whole call, in seconds and in milliseconds since 1970.
    /// `peek(type, name)`: another object of the shard, to look at but not to change.
    func registerFunctions() {
        ScriptFunctions.register(in: state, log: configuration.log)
        registerExpire()
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

    /// `expire(seconds)`: the object goes so long after this call; 0: it stays.
    private func registerExpire() {
        state.registerRaw("expire") { [unowned self] state, thread in
            switch running?.kind {
            case .new?, .change?: break
            default:
                return state.raise(
                    Failure(.scriptError, "expire is for methods that may change their object"), on: thread)
            }
            let seconds = lua_type(thread, 1) == LUA_TNUMBER ? clua_to_number(thread, 1) : -1
            guard seconds >= 0, seconds < 4e9 else {
                return state.raise(Failure(.scriptError, "expire needs a number of seconds, 0 for never"), on: thread)
            }
            expiryAsked = seconds == 0 ? 0 : UInt32(clamping: Int64(nowSeconds) + Int64(seconds.rounded(.up)))
            return 0
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

/// An object's form on the shelf: when it expires, four bytes, then its MessagePack.
enum Shelved {
    static func encode(_ value: Value, expiry: UInt32) -> [UInt8] {
        var bytes: [UInt8] = []
        withUnsafeBytes(of: expiry.littleEndian) { bytes.append(contentsOf: $0) }
        value.appendMessagePack(to: &bytes)
        return bytes
    }

    static func decode(_ bytes: [UInt8]) -> (expiry: UInt32, value: Value)? {
        guard bytes.count > 4, let value = Value(messagePack: bytes[4...]) else { return nil }
        return (bytes[..<4].reversed().reduce(0) { $0 << 8 | UInt32($1) }, value)
    }
}

extension ObjectHost {
    /// The functions that type scripts may mention while they are loaded only to be described.
    static func registerPlaceholders(in state: LuaState) {
        ScriptFunctions.register(in: state) { _ in }
        for name in ["now", "nowms", "peek", "expire"] {
            state.register(name) { (_) throws(Failure) in
                throw Failure(.scriptError, "\(name) is for methods, not for the top level of a type's file")
            }
        }
    }
}

extension ObjectMachine {
    /// What an object's table holds.
    func plainState(_ object: LiveObject) throws(Failure) -> Value {
        let base = lua_gettop(state.main)
        defer { lua_settop(state.main, base) }
        lua_rawgeti(state.main, LuaState.registry, lua_Integer(object.reference))
        return try state.readValue(state.main, -1, bytesMax: configuration.answerBytesMax)
    }
}
