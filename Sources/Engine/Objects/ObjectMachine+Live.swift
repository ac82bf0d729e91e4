// The live objects of a shard: found by name, brought back from the shelf on use, looked at by other objects. Unsafe pointers inside.

import CLua

extension ObjectKey {
    var displayName: String { String(decoding: name.prefix(80), as: UTF8.self) }
}

extension ObjectMachine {
    /// Where an object is in `live`; nil when it is not there.
    func position(of key: ObjectKey) -> Int? {
        key.name.withUnsafeBytes { live.find(type: number(ofType: key.type), name: $0, hash: keyHash($0)) }
    }

    /// The reference to an object's table, brought back from the shelf if need be.
    func liveObject(_ key: ObjectKey, _ type: LoadedType) -> Int32? {
        useCount &+= 1
        guard let at = position(of: key) else { return unshelve(key, type) }
        let expiry = live[at].expiry
        if expiry != 0, expiry <= nowSeconds {
            remove(at: at)
            return nil
        }
        live[at].lastUse = useCount
        return live[at].reference
    }

    func unshelve(_ key: ObjectKey, _ type: LoadedType) -> Int32? {
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
        insert(key, reference, expiry: expiry, isPinned: type.isPinned)
        statistics.unshelved += 1
        return reference
    }

    private func insert(_ key: ObjectKey, _ reference: Int32, expiry: UInt32, isPinned: Bool) {
        let number = number(ofType: key.type)
        key.name.withUnsafeBytes { name in
            _ = live.insert(
                type: number, name: name, hash: keyHash(name), reference: reference, expiry: expiry,
                lastUse: useCount, isPinned: isPinned)
        }
        if isPinned { notePinned(reference) }
    }

    func replace(_ key: ObjectKey, with reference: Int32, expiry: UInt32, isPinned: Bool) {
        useCount &+= 1
        if let at = position(of: key) { remove(at: at) }
        insert(key, reference, expiry: expiry, isPinned: isPinned)
    }

    func setExpiry(_ key: ObjectKey, _ expiry: UInt32) {
        guard let at = position(of: key) else { return }
        live[at].expiry = expiry
    }

    /// Forgets a live object for good.
    func remove(at position: Int) {
        if !indexes.isEmpty { unindex(at: position) }
        detach(at: position)
    }

    /// Forgets a live object, which may be elsewhere.
    func detach(at position: Int) {
        if running == nil { clua_views_release(state.main) }
        luaL_unref(state.main, LuaState.registry, live[position].reference)
        if live[position].isPinned { pinned.remove(live[position].reference) }
        live.remove(at: position)
    }

    func removeAll() {
        live.forEach { luaL_unref(state.main, LuaState.registry, live[$0].reference) }
        live.removeAll()
        for index in indexes.values { index.index.removeAll() }
        indexBytes = 0
        room = ObjectRoom(dueBytes: configuration.liveBytesMax)
        pinned = PinnedObjects()
        state.collectGarbage()
        clua_collect_young(state.main)
    }

    func removeAll(ofType type: UInt32) { removeAll { $0.type == type } }

    private func removeAll(where isGone: (LiveObject) -> Bool) {
        for key in keys(where: isGone) { if let at = position(of: key) { remove(at: at) } }
    }

    func keys(where isWanted: (LiveObject) -> Bool) -> [ObjectKey] {
        var keys: [ObjectKey] = []
        live.forEach { if isWanted(live[$0]) { keys.append(key(at: $0)) } }
        return keys
    }

    func key(at position: Int) -> ObjectKey {
        ObjectKey(type: name(ofType: live[position].type), name: live.name(at: position))
    }

    // MARK: Functions for methods

    /// `now()` and `nowms()`: one instant for the whole call, in seconds and in milliseconds since 1970.
    /// `peek(type, name)`: another object of the shard, to look at but not to change.
    func registerFunctions() {
        ScriptFunctions.register(in: state, log: configuration.log)
        clua_open_objects(state.main)
        registerExpire()
        registerTicket()
        registerRefusals()
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

    /// What would have to wait: a method is whole, and nothing may come in between.
    private func registerRefusals() {
        for name in ["getFromServer", "getInParallel", "cluster.servers"] {
            state.registerRaw(name) { state, thread in
                state.raise(
                    Failure(
                        .scriptError,
                        "\(name) is for jobs and for handlers of the low-level interface: a method is atomic and cannot wait"
                    ), on: thread)
            }
        }
    }

    /// `expire(seconds)`: the object goes so long after this call; 0: it stays.
    private func registerExpire() {
        state.registerRaw("expire") { [unowned self] state, thread in
            guard mayChange else {
                return state.raise(
                    Failure(.scriptError, "expire is for methods that may change their object"), on: thread)
            }
            let seconds = lua_type(thread, 1) == LUA_TNUMBER ? clua_to_number(thread, 1) : -1
            let most = Double(UInt32.max - 1 - nowSeconds)
            guard seconds >= 0, seconds <= most else {
                return state.raise(
                    Failure(.scriptError, "expire needs a number of seconds, 0 for never, at most \(Int(most))"),
                    on: thread)
            }
            expiryAsked = seconds == 0 ? 0 : UInt32(clamping: Int64(nowSeconds) + Int64(seconds.rounded(.up)))
            return 0
        }
    }

    /// `ticket(before)`: a number larger than `before`, and at least the time in milliseconds; for 0, larger than all that the
    /// shard gave before. So what is made anew after it was dropped, evicted or flushed goes on where it was, also when the
    /// clock goes back or stands still.
    private func registerTicket() {
        state.registerRaw("ticket") { [unowned self] state, thread in
            guard mayChange else {
                return state.raise(
                    Failure(.scriptError, "ticket is for methods that may change their object"), on: thread)
            }
            let before = clua_to_integer(thread, 1)
            let ticket = max(min(before > 0 ? before : lastTicket, .max - 1) + 1, Int64(clamping: nowMilliseconds))
            lastTicket = max(lastTicket, ticket)
            lua_pushinteger(thread, ticket)
            return 1
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
        ScriptFunctions.register(in: state) { _ in }
        for name in ["now", "nowms", "peek", "expire", "ticket"] {
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
