// Objects that an older version of their type's script has made: brought into the form of the new one when they are first
// touched. Unsafe: Lua's stack.

import CLua

/// Which version made an object, its metatable tells: each version that has something to do with older objects has one of its own.
final class ObjectUpgrades {
    private let state: LuaState
    private let types: LoadedTypes

    init(_ state: LuaState, types: LoadedTypes) {
        self.state = state
        self.types = types
    }

    /// Whether an older version made the object, and nothing has touched it since.
    func isDue(_ object: Int32, ofType number: UInt32) -> Bool {
        types[types.name(of: number)].map { isDue(object, $0) } ?? false
    }

    func isDue(_ object: Int32, _ type: LoadedType) -> Bool {
        guard type.isUpgraded else { return false }
        let main = state.main
        let base = lua_gettop(main)
        defer { lua_settop(main, base) }
        lua_checkstack(main, 4)
        lua_rawgeti(main, LuaState.registry, lua_Integer(object))
        guard lua_getmetatable(main, -1) != 0 else { return false }
        type.metatable.push(on: main)
        return lua_rawequal(main, -1, -2) == 0
    }

    /// Gives the object the tables of `defaults` that it lacks, and has `upgrade` do the rest. It is done to a copy, which then
    /// takes the object's place: where it fails the object is as it was.
    func perform(_ object: Int32, _ type: LoadedType) throws(Failure) {
        let main = state.main
        let base = lua_gettop(main)
        defer { lua_settop(main, base) }
        lua_checkstack(main, 16)
        lua_rawgeti(main, LuaState.registry, lua_Integer(object))
        let value = try state.readValue(main, -1)
        try state.push(value, on: main)
        try fillDefaults(type)
        if let upgrade = type.upgrade { try run(upgrade, type) }
        // What it is now is plain data, or refused; and shares nothing with the script.
        guard clua_copy(main, -1) == LUA_OK else { throw state.popFailure(main) }
        type.metatable.push(on: main)
        lua_setmetatable(main, -2)
        lua_rawseti(main, LuaState.registry, lua_Integer(object))
    }

    /// On the table on top, which is an object without its metatable.
    private func run(_ upgrade: LuaReference, _ type: LoadedType) throws(Failure) {
        let main = state.main
        type.metatable.push(on: main)
        lua_setmetatable(main, -2)
        upgrade.push(on: main)
        lua_pushvalue(main, -2)
        guard clua_pcall(main, 1, 0) == LUA_OK else { throw state.popFailure(main) }
        lua_pushnil(main)
        lua_setmetatable(main, -2)
        try types.restoreWatched(type)
    }

    /// Puts copies of the tables that it lacks into the object's table on top.
    func fillDefaults(_ type: LoadedType) throws(Failure) { try Self.fillDefaults(type, in: state, on: state.main) }

    static func fillDefaults(_ type: LoadedType, in state: LuaState, on thread: OpaquePointer) throws(Failure) {
        for pair in type.tableDefaults {
            lua_checkstack(thread, 8)
            try state.push(pair.key, on: thread)
            let isThere = lua_rawget(thread, -2) != LUA_TNIL
            clua_pop(thread, 1)
            guard !isThere else { continue }
            try state.push(pair.key, on: thread)
            try state.push(pair.value, on: thread)
            lua_rawset(thread, -3)
        }
    }
}
