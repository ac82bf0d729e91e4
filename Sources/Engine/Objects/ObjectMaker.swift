// Makes objects: what a type's constructor returned becomes an object, unless there is one that stays. Unsafe pointers inside.

import CLua

/// One thread at a time.
final class ObjectMaker {
    private let state: LuaState
    private let types: LoadedTypes
    private let scope: CallScope
    private let objects: ShardObjects
    private let pinned: PinnedObjects
    private let answerBytesMax: Int

    init(
        _ state: LuaState, types: LoadedTypes, scope: CallScope, objects: ShardObjects, pinned: PinnedObjects,
        answerBytesMax: Int
    ) {
        self.state = state
        self.types = types
        self.scope = scope
        self.objects = objects
        self.pinned = pinned
        self.answerBytesMax = answerBytesMax
    }

    /// What is answered instead of making an object, as there is one that stays; nil where it is to be made.
    func keptAnswer(_ key: ObjectKey, _ type: LoadedType, onlyIfAbsent: Bool) throws(Failure) -> Value? {
        guard onlyIfAbsent || type.keeper != nil, let object = objects.use(key, type) else { return nil }
        guard !onlyIfAbsent, let keeper = type.keeper else { return .string("EXISTS") }
        let main = state.main
        let base = lua_gettop(main)
        defer { lua_settop(main, base) }
        keeper.push(on: main)
        lua_rawgeti(main, LuaState.registry, lua_Integer(object))
        clua_push_view(main, -1)
        lua_rotate(main, -2, -1)
        clua_pop(main, 1)
        guard clua_pcall(main, 1, 1) == LUA_OK else { throw state.popFailure(main) }
        try types.restoreWatched(type)
        guard lua_toboolean(main, -1) != 0 else { return nil }
        return try state.readAnswer(main, -1, bytesMax: answerBytesMax)
    }

    /// Before a constructor runs.
    func begin(_ type: LoadedType) throws(Failure) {
        try pinned.checkRoom(forOneOf: type)
        scope.allowChanges()
    }

    /// Makes the object that a method is called on and that is not there; returns the reference to its table.
    func make(_ key: ObjectKey, _ type: LoadedType, by maker: LuaReference) throws(Failure) -> Int32 {
        try begin(type)
        let main = state.main
        let base = lua_gettop(main)
        defer { lua_settop(main, base) }
        maker.push(on: main)
        guard clua_pcall(main, 0, 1) == LUA_OK else { throw state.popFailure(main) }
        try types.restoreWatched(type)
        return try place(resultOf: "makes", on: main, lua_gettop(main), key, type, expiry: .never)
    }

    /// Makes the table that a constructor returned the object of that name; returns the reference to its table.
    /// - Parameter expiry: what the caller asked for, before what the constructor did; 0 for nothing.
    @discardableResult
    func place(
        resultOf constructor: String, on thread: OpaquePointer, _ index: Int32, _ key: ObjectKey, _ type: LoadedType,
        expiry: Expiry
    ) throws(Failure) -> Int32 {
        guard lua_type(thread, index) == LUA_TTABLE else {
            throw Failure(
                .scriptError, "\(type.name).\(constructor) must return a table, or nil for bad arguments")
        }
        // A copy, so that the object shares nothing with the script and is known to hold plain data only.
        guard clua_copy(thread, index) == LUA_OK else { throw state.popFailure(thread) }
        try ObjectUpgrades.fillDefaults(type, in: state, on: thread)
        type.metatable.push(on: thread)
        lua_setmetatable(thread, -2)
        let reference = luaL_ref(thread, LuaState.registry)
        let asked = scope.takeExpiry() ?? .never
        objects.put(key, reference, expiry: expiry.isNever ? asked : expiry, isPinned: type.isPinned)
        return reference
    }
}
