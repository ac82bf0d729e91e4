// A type inside one Lua state: its script run, its methods held by reference. Unsafe pointers inside.

import CLua

/// What a shard needs to call a type's methods.
struct LoadedType {
    let name: String
    let methods: [String: LuaReference]
    /// How many arguments they take.
    let signatures: [String: MethodSignature]
    let readonly: Set<String>
    /// Those whose answers order the type's objects.
    let indexes: [String]
    /// By a method's name, what makes the object that it is called on and that is not there.
    let makers: [String: LuaReference]
    /// What `new` asks whether an object stays as it is.
    let keeper: LuaReference?
    /// Its objects are never evicted.
    let isPinned: Bool
    /// The metatable of its objects: methods call each other through it.
    let metatable: LuaReference
    /// Those of objects that were made by an older version, and were not touched since (see `ObjectUpgrades`).
    let olderMetatables: [LuaReference]
    /// Brings an object of an older version into the form of this one.
    let upgrade: LuaReference?
    /// Tables that an object is given where it has no such field.
    let tableDefaults: [Value.Pair]
    /// Variables of the file that its functions could write: mostly none, which is nil.
    let watched: LuaReference?
    let hash: UInt64
    /// What tells its objects on the shelf from those of other versions; 0 is none.
    var shelfVersion: UInt32 { max(1, UInt32(truncatingIfNeeded: hash)) }
    /// There is something to do with objects of older versions.
    var isUpgraded: Bool { upgrade != nil || !tableDefaults.isEmpty }

    /// Runs a script in an environment of its own.
    /// - Parameter older: the version before this one: its objects get the new methods.
    /// - Throws: `script_error` that names the script and what is wrong with its declaration.
    init(
        _ script: ObjectScript, in state: LuaState, _ shared: SharedCode, replacing older: LoadedType? = nil
    ) throws(Failure) {
        let environment = state.makeEnvironment()
        // Bounded by instructions, not by time: a node that starts on a busy machine has no hurry.
        let budget = LuaBudget(deadline: .never)
        try state.load(
            source: PackageResources.prelude_lua, name: "prelude.lua", environment: environment, budget: budget)
        try shared.offer(script.required, to: script, environment) { () throws(Failure) in
            try state.load(source: script.source, name: script.file, environment: environment, budget: budget)
        }
        let main = state.main
        let base = lua_gettop(main)
        defer { lua_settop(main, base) }

        environment.reference.push(on: main)
        guard state.pushField("declared", on: main) == LUA_TTABLE, lua_rawlen(main, -1) == 1,
            lua_rawgeti(main, -1, 1) == LUA_TTABLE
        else { throw script.failure("must declare one type with object \"name\"") }
        let declaration = lua_gettop(main)
        name = try Self.name(state, declaration, script)
        lua_settop(main, declaration)
        let defaults = try Self.defaults(state, declaration, script)
        lua_settop(main, declaration)
        var methods = try Self.methods(state, declaration, script)
        upgrade = methods.removeValue(forKey: "upgrade")
        tableDefaults = defaults.filter(\.value.isTable)
        if methods["new"] == nil, !defaults.isEmpty {
            methods["new"] = state.function("new_of_defaults", in: environment)
        }
        guard methods["new"] != nil else {
            throw script.failure("the type has no function new")
        }
        self.methods = methods
        lua_settop(main, declaration)
        signatures = try Self.signatures(of: methods, state, declaration, script)
        lua_settop(main, declaration)
        makers = try Self.makers(methods, state, declaration, script)
        lua_settop(main, declaration)
        keeper =
            state.pushField("keeps", on: main) == LUA_TFUNCTION ? LuaReference(state, popping: main) : nil
        lua_settop(main, declaration)
        readonly = try Self.names("readonly", state, declaration, script)
        lua_settop(main, declaration)
        for method in readonly.sorted() where methods[method] == nil || method == "new" {
            throw script.failure("readonly names '\(method)', which is no method")
        }
        indexes = try Self.names("indexes", state, declaration, script).sorted()
        lua_settop(main, declaration)
        for method in indexes where !readonly.contains(method) {
            throw script.failure("index names '\(method)', which is no readonly method")
        }
        state.pushField("pinned", on: main)
        isPinned = lua_toboolean(main, -1) != 0
        lua_settop(main, declaration)
        hash = script.hash
        let isUpgraded = upgrade != nil || !tableDefaults.isEmpty
        (metatable, olderMetatables) = Self.metatables(of: older, isUpgraded: isUpgraded, in: state)
        try Self.setIndex(
            of: [metatable] + olderMetatables, state, declaration, defaults.filter { !$0.value.isTable })
        watched = BuiltInTypes.contains(hash: hash) ? nil : try Self.freeze(environment, in: state, script)
    }

    /// What the file left behind can be read from now on, not written: no state is kept but the objects'. The built-in types
    /// write nothing of theirs, and read it faster as it is.
    private static func freeze(
        _ environment: LuaEnvironment, in state: LuaState, _ script: ObjectScript
    ) throws(Failure) -> LuaReference? {
        let main = state.main
        let base = lua_gettop(main)
        defer { lua_settop(main, base) }
        environment.reference.push(on: main)
        guard clua_freeze(main, -1) == LUA_OK else { throw state.popFailure(main).naming(script.file) }
        return lua_rawlen(main, -1) == 0 ? nil : LuaReference(state, popping: main)
    }

    /// What `defaults` was given.
    private static func defaults(
        _ state: LuaState, _ declaration: Int32, _ script: ObjectScript
    ) throws(Failure) -> [Value.Pair] {
        state.pushField("defaults", on: state.main)
        guard case .map(let pairs) = try state.readValue(state.main, -1) else { return [] }
        return pairs
    }

    private static func name(
        _ state: LuaState, _ declaration: Int32, _ script: ObjectScript
    ) throws(Failure) -> String {
        state.pushField("name", on: state.main)
        guard let name = try state.readValue(state.main, -1).text, isName(name) else {
            throw script.failure("a type's name is made of letters, digits and _")
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

    /// What `needs` said, and what Lua knows of the functions.
    private static func signatures(
        of methods: [String: LuaReference], _ state: LuaState, _ declaration: Int32, _ script: ObjectScript
    ) throws(Failure) -> [String: MethodSignature] {
        state.pushField("needs", on: state.main)
        var needs: [String: Int] = [:]
        if case .map(let pairs) = try state.readValue(state.main, -1) {
            for pair in pairs {
                guard let method = pair.key.text, methods[method] != nil, case .int(let count) = pair.value,
                    (0...100).contains(count)
                else {
                    throw script.failure(
                        "needs takes methods of the type and how many arguments each has to be given, "
                            + "as in needs { put = 2 }")
                }
                needs[method] = Int(count)
            }
        }
        var signatures: [String: MethodSignature] = [:]
        for (name, function) in methods {
            let signature = state.signature(of: function, least: needs[name], isMethod: name != "new")
            guard signature.argumentsMin <= signature.argumentsMax else {
                throw script.failure("needs says that \(name) has to be given more arguments than it has parameters")
            }
            signatures[name] = signature
        }
        return signatures
    }

    private static func makers(
        _ methods: [String: LuaReference], _ state: LuaState, _ declaration: Int32, _ script: ObjectScript
    ) throws(Failure) -> [String: LuaReference] {
        let main = state.main
        state.pushField("makes", on: main)
        let table = lua_gettop(main)
        var makers: [String: LuaReference] = [:]
        lua_pushnil(main)
        while lua_next(main, table) != 0 {
            let name =
                lua_type(main, -2) == LUA_TSTRING ? String(decoding: state.stringBytes(main, -2), as: UTF8.self) : ""
            guard lua_type(main, -1) == LUA_TFUNCTION, name != "new", methods[name] != nil else {
                throw script.failure("makes takes methods of the type and a function each that returns the object")
            }
            makers[name] = LuaReference(state, popping: main)
        }
        return makers
    }

    private static func names(
        _ field: String, _ state: LuaState, _ declaration: Int32, _ script: ObjectScript
    ) throws(Failure) -> Set<String> {
        state.pushField(field, on: state.main)
        guard case .map(let pairs) = try state.readValue(state.main, -1) else { return [] }
        return Set(pairs.compactMap { $0.key.text })
    }

    /// That of the objects, and those of older ones. Objects keep theirs, and so are told apart where a version has something to do
    /// with them; else they have the new version's methods at once.
    private static func metatables(
        of older: LoadedType?, isUpgraded: Bool, in state: LuaState
    ) -> (LuaReference, [LuaReference]) {
        func made() -> LuaReference {
            lua_createtable(state.main, 0, 2)
            return LuaReference(state, popping: state.main)
        }
        guard isUpgraded else { return (older?.metatable ?? made(), older?.olderMetatables ?? []) }
        // What comes back from the shelf may be older than all that this state has had.
        return (made(), older.map { [$0.metatable] + $0.olderMetatables } ?? [made()])
    }

    /// What an object's missing fields are looked up in: its methods, private ones too, over its defaults.
    private static func setIndex(
        of metatables: [LuaReference], _ state: LuaState, _ declaration: Int32, _ defaults: [Value.Pair]
    ) throws(Failure) {
        let main = state.main
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
        for metatable in metatables {
            metatable.push(on: main)
            state.push(text: "__index", on: main)
            lua_pushvalue(main, -3)
            lua_rawset(main, -3)
            state.push(text: "__metatable", on: main)
            lua_pushboolean(main, 0)
            lua_rawset(main, -3)
            clua_pop(main, 1)
        }
        clua_pop(main, 1)
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
    /// Runs a script once to learn what it declares, and which files it requires.
    init(describing script: ObjectScript) throws(Failure) {
        let state = LuaState()
        try self.init(describing: script, in: state, SharedCode(state))
    }

    init(describing script: ObjectScript, in state: LuaState, _ shared: SharedCode) throws(Failure) {
        ObjectHost.registerPlaceholders(in: state)
        let loaded = try LoadedType(script, in: state, shared)
        required = shared.used
        name = loaded.name
        methods = Set(loaded.methods.keys)
        readonly = loaded.readonly
        indexes = loaded.indexes
        isPinned = loaded.isPinned
        signatures = loaded.signatures
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

extension LuaState {
    /// What a function's parameters are; a method's first one is its object.
    func signature(of function: LuaReference, least: Int?, isMethod: Bool) -> MethodSignature {
        let base = lua_gettop(main)
        defer { lua_settop(main, base) }
        var facts = lua_Debug()
        function.push(on: main)
        lua_pushvalue(main, -1)
        lua_getinfo(main, ">u", &facts)
        let names = (0..<Int32(facts.nparams)).map { at in
            lua_getlocal(main, nil, at + 1).map { String(cString: $0) } ?? "VALUE"
        }
        return MethodSignature(
            parameters: Array(names.dropFirst(isMethod ? 1 : 0)), least: least, isOpen: facts.isvararg != 0)
    }
}
