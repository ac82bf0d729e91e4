// A type inside one Lua state: its script run, its methods held by reference. Unsafe pointers inside.

import CLua

/// What a shard needs to call a type's methods.
struct LoadedType {
    let name: String
    let methods: [String: LuaReference]
    let readonly: Set<String>
    /// Those whose answers order the type's objects.
    let indexes: [String]
    /// Its objects are never evicted.
    let isPinned: Bool
    /// The metatable of its objects: methods call each other through it.
    let metatable: LuaReference
    let hash: UInt64

    /// Runs a script in an environment of its own.
    /// - Parameter older: the version before this one: its objects get the new methods.
    /// - Throws: `script_error` that names the script and what is wrong with its declaration.
    init(_ script: ObjectScript, in state: LuaState, replacing older: LoadedType? = nil) throws(Failure) {
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
        let defaults = try Self.defaults(state, declaration, script)
        lua_settop(main, declaration)
        var methods = try Self.methods(state, declaration, script)
        if methods["new"] == nil, !defaults.isEmpty {
            methods["new"] = state.function("new_of_defaults", in: environment)
        }
        guard methods["new"] != nil else {
            throw Failure(.scriptError, "\(script.file): the type has no function new")
        }
        self.methods = methods
        lua_settop(main, declaration)
        readonly = try Self.names("readonly", state, declaration, script)
        lua_settop(main, declaration)
        for method in readonly.sorted() where methods[method] == nil || method == "new" {
            throw Failure(.scriptError, "\(script.file): readonly names '\(method)', which is no method")
        }
        indexes = try Self.names("indexes", state, declaration, script).sorted()
        lua_settop(main, declaration)
        for method in indexes where !readonly.contains(method) {
            throw Failure(.scriptError, "\(script.file): index names '\(method)', which is no readonly method")
        }
        state.pushField("pinned", on: main)
        isPinned = lua_toboolean(main, -1) != 0
        lua_settop(main, declaration)
        hash = script.hash
        metatable = try Self.metatable(state, declaration, defaults, older)
    }

    /// What `defaults` was given: plain values that no object can spoil.
    private static func defaults(
        _ state: LuaState, _ declaration: Int32, _ script: ObjectScript
    ) throws(Failure) -> [Value.Pair] {
        state.pushField("defaults", on: state.main)
        guard case .map(let pairs) = try state.readValue(state.main, -1) else { return [] }
        for pair in pairs {
            switch pair.value {
            case .array, .map:
                throw Failure(
                    .scriptError, "\(script.file): a default is a number, a string or a boolean; make tables in new")
            default: break
            }
        }
        return pairs
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
        return methods
    }

    private static func names(
        _ field: String, _ state: LuaState, _ declaration: Int32, _ script: ObjectScript
    ) throws(Failure) -> Set<String> {
        state.pushField(field, on: state.main)
        guard case .map(let pairs) = try state.readValue(state.main, -1) else { return [] }
        return Set(pairs.compactMap { $0.key.text })
    }

    /// What an object's missing fields are looked up in: its methods, private ones too, over its defaults.
    private static func metatable(
        _ state: LuaState, _ declaration: Int32, _ defaults: [Value.Pair], _ older: LoadedType?
    ) throws(Failure) -> LuaReference {
        let main = state.main
        if let older { older.metatable.push(on: main) } else { lua_createtable(main, 0, 2) }
        state.push(text: "__index", on: main)
        try state.push(.map(defaults), on: main)
        lua_pushvalue(main, declaration)
        state.pushField("methods", on: main)
        lua_rotate(main, -2, -1)
        clua_pop(main, 1)
        lua_pushnil(main)
        while lua_next(main, -2) != 0 {
            lua_pushvalue(main, -2)
            lua_rotate(main, -2, 1)
            lua_rawset(main, -5)
        }
        clua_pop(main, 1)
        lua_rawset(main, -3)
        state.push(text: "__metatable", on: main)
        lua_pushboolean(main, 0)
        lua_rawset(main, -3)
        return LuaReference(state, popping: main)
    }

    static func isName(_ text: String) -> Bool {
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
        indexes = loaded.indexes
        isPinned = loaded.isPinned
        documentation = TypeDocumentation(source: script.source)
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
