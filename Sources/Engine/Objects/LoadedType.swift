// A type inside one Lua state: its script run, its methods held by reference. Unsafe pointers inside.

import CLua

/// What a shard needs to call a type's methods.
struct LoadedType {
    let name: String
    let methods: [String: LuaReference]
    let readonly: Set<String>
    /// The metatable of its objects: methods call each other through it.
    let metatable: LuaReference

    /// Runs a script in an environment of its own.
    /// - Throws: `script_error` that names the script and what is wrong with its declaration.
    init(_ script: ObjectScript, in state: LuaState) throws(Failure) {
        let environment = state.makeEnvironment()
        // Bounded by instructions, not by time: a node that starts on a busy machine has no hurry.
        let budget = LuaBudget(deadline: .never)
        try state.load(
            source: PackageResources.prelude_lua, name: "prelude.lua", environment: environment, budget: budget)
        try state.load(source: script.source, name: script.file, environment: environment, budget: budget)
        let main = state.main
        let base = lua_gettop(main)
        defer { lua_settop(main, base) }

        environment.reference.push(on: main)
        guard state.pushField("declared", on: main) == LUA_TTABLE, lua_rawlen(main, -1) == 1,
            lua_rawgeti(main, -1, 1) == LUA_TTABLE
        else { throw Failure(.scriptError, "\(script.file): must declare one type with object \"name\"") }
        let declaration = lua_gettop(main)
        name = try Self.name(state, declaration, script)
        lua_settop(main, declaration)
        methods = try Self.methods(state, declaration, script)
        lua_settop(main, declaration)
        readonly = try Self.readonly(state, declaration, script)
        lua_settop(main, declaration)
        for method in readonly.sorted() where methods[method] == nil || method == "new" {
            throw Failure(.scriptError, "\(script.file): readonly names '\(method)', which is no method")
        }
        metatable = Self.metatable(state, declaration)
    }

    private static func name(
        _ state: LuaState, _ declaration: Int32, _ script: ObjectScript
    ) throws(Failure) -> String {
        state.pushField("name", on: state.main)
        guard let name = try state.readValue(state.main, -1).text, isName(name) else {
            throw Failure(.scriptError, "\(script.file): a type's name is made of letters, digits and _")
        }
        return name
    }

    private static func methods(
        _ state: LuaState, _ declaration: Int32, _ script: ObjectScript
    ) throws(Failure) -> [String: LuaReference] {
        let main = state.main
        state.pushField("methods", on: main)
        let table = lua_gettop(main)
        // What declares the type is no method of its objects.
        state.push(text: "readonly", on: main)
        lua_pushnil(main)
        lua_rawset(main, table)
        var methods: [String: LuaReference] = [:]
        lua_pushnil(main)
        while lua_next(main, table) != 0 {
            if lua_type(main, -1) == LUA_TFUNCTION, lua_type(main, -2) == LUA_TSTRING {
                let name = String(decoding: state.stringBytes(main, -2), as: UTF8.self)
                if isName(name), !name.hasPrefix("_") {
                    methods[name] = LuaReference(state, popping: main)
                    continue
                }
            }
            clua_pop(main, 1)
        }
        guard methods["new"] != nil else {
            throw Failure(.scriptError, "\(script.file): the type has no function new")
        }
        return methods
    }

    private static func readonly(
        _ state: LuaState, _ declaration: Int32, _ script: ObjectScript
    ) throws(Failure) -> Set<String> {
        state.pushField("readonly", on: state.main)
        guard case .map(let pairs) = try state.readValue(state.main, -1) else { return [] }
        return Set(pairs.compactMap { $0.key.text })
    }

    private static func metatable(_ state: LuaState, _ declaration: Int32) -> LuaReference {
        let main = state.main
        lua_createtable(main, 0, 2)
        state.push(text: "__index", on: main)
        lua_pushvalue(main, declaration)
        state.pushField("methods", on: main)
        lua_rotate(main, -2, -1)
        clua_pop(main, 1)
        lua_rawset(main, -3)
        state.push(text: "__metatable", on: main)
        lua_pushboolean(main, 0)
        lua_rawset(main, -3)
        return LuaReference(state, popping: main)
    }

    private static func isName(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.count <= 64
            && text.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"):
                    true
                default: false
                }
            }
    }
}

extension ObjectType {
    /// Runs a script once to learn what it declares.
    init(describing script: ObjectScript) throws(Failure) {
        let state = LuaState()
        ObjectHost.registerPlaceholders(in: state)
        let loaded = try LoadedType(script, in: state)
        name = loaded.name
        methods = Set(loaded.methods.keys)
        readonly = loaded.readonly
        source = script.source
        file = script.file
    }
}

extension LuaState {
    /// Pushes the raw field of the table on top; returns its type.
    @discardableResult
    func pushField(_ name: String, on thread: OpaquePointer) -> Int32 {
        push(text: name, on: thread)
        return lua_rawget(thread, -2)
    }
}
