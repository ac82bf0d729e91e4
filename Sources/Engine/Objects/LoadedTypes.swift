// The types of a shard as its Lua state has them: by name, by number, and their methods ready to be called.

import CLua

/// A method of one version of the types, as a call needs it.
struct ReadyMethod {
    /// Registry reference; 0 where there is no such method.
    var function: Int32 = 0
    /// The number of its type.
    var type: UInt32 = 0
    /// How it sees its object: through a view that is tracked, it has a journal.
    var view = CLUA_NO_VIEW
    var argumentsMin: Int32 = 0
    var argumentsMax: Int32 = .max
    var changes = false
    /// It changes its object without a journal (see `BuiltInTypes.direct`).
    var writesDirectly = false
    /// It makes its object where that is not there.
    var makes = false
    /// What it changes may have another place in an index.
    var isIndexed = false
    /// An older version of its type may have made the object (see `ObjectUpgrades`).
    var upgrades = false
    /// It has nothing to it that only the long way of a call takes care of.
    var mayBeCalledAtOnce = false
    /// Nil where there is no such method.
    var meter: MethodMeter?
}

/// One thread at a time.
final class LoadedTypes {
    private let state: LuaState
    private let shared: SharedCode
    private let meters: MethodMeters
    private var types: [String: LoadedType] = [:]
    /// The numbers of types, which stay as they are.
    private var numbers: [String: UInt32] = [:]
    private var names: [String] = []
    /// All methods, by the names of their types and their own.
    private var methods: [String: [String: ReadyMethod]] = [:]
    /// The same, by their numbers in that version of the types.
    private var ready: [ReadyMethod] = []
    private var version: UInt64 = 0

    init(_ state: LuaState, _ meters: MethodMeters) {
        self.state = state
        self.meters = meters
        shared = SharedCode(state)
    }

    subscript(name: String) -> LoadedType? { types[name] }

    func number(of name: String) -> UInt32 {
        if let number = numbers[name] { return number }
        let number = UInt32(names.count)
        numbers[name] = number
        names.append(name)
        meters.add(type: name)
        return number
    }

    func name(of number: UInt32) -> String { names[Int(number)] }

    // MARK: Installing

    struct Changes {
        /// There were none before.
        let isFirst: Bool
        /// Types that are new, or another version than before.
        var changed: [LoadedType] = []
        /// Those that there are no longer.
        var gone: [String] = []
        /// What did not load, which stays as it was.
        var failures: [Failure] = []
    }

    /// Has these types from now on.
    func install(_ new: ObjectTypes) -> Changes {
        var changes = Changes(isFirst: version == 0)
        for type in new.types.values.sorted(by: { $0.name < $1.name }) where types[type.name]?.hash != type.hash {
            do throws(Failure) {
                let loaded = try LoadedType(type.script, in: state, shared, replacing: types[type.name])
                types[type.name] = loaded
                changes.changed.append(loaded)
            } catch {
                // A file that has its type's name names the type.
                let isNamed = type.file == "\(type.name).lua" && error.names(type.file)
                changes.failures.append(isNamed ? error : error.naming(type.name))
            }
        }
        changes.gone = types.keys.filter { new.types[$0] == nil }
        for name in changes.gone {
            types[name] = nil
            methods[name] = nil
        }
        for type in changes.changed {
            methods[type.name] = Dictionary(
                uniqueKeysWithValues: type.methods.map { ($0.key, ready($0.key, $0.value, of: type)) })
        }
        ready = new.table.names.map { name in
            // Handlers, and verbs that every type has, are no methods of a type.
            guard new.types[name.type] != nil, let type = types[name.type] else { return ReadyMethod() }
            return method(name.method, of: type)
        }
        version = new.version
        return changes
    }

    // MARK: Methods

    /// The method that a key names, where it may be called at once.
    @inline(__always)
    func method(_ located: LocatedMethod) -> ReadyMethod? {
        guard located.version == version, ready[located.method].mayBeCalledAtOnce else { return nil }
        return ready[located.method]
    }

    /// The number of its type, in the same case.
    @inline(__always)
    func type(of located: LocatedMethod) -> UInt32? {
        guard located.version == version, ready[located.method].mayBeCalledAtOnce else { return nil }
        return ready[located.method].type
    }

    /// A method by its name; one without a function where the type has no such method.
    func method(_ name: String, of type: LoadedType) -> ReadyMethod { methods[type.name]?[name] ?? ReadyMethod() }

    /// Where the calls of a method are counted, by the name that they come under; of a verb that every type has too. Nil where there
    /// is none of that name.
    func meter(_ name: String, of type: LoadedType) -> MethodMeter? {
        if let meter = method(name, of: type).meter { return meter }
        return CommonVerb(rawValue: name) == nil ? nil : meters.meter(type: type.name, method: name)
    }

    private func ready(_ name: String, _ function: LuaReference, of type: LoadedType) -> ReadyMethod {
        let number = number(of: type.name)
        let meter = meters.meter(type: type.name, method: name)
        guard name != "new" else {
            return ReadyMethod(function: function.index, type: number, changes: true, meter: meter)
        }
        let isReadonly = type.readonly.contains(name)
        let isBuiltIn = BuiltInTypes.contains(hash: type.hash)
        let isDirect = isBuiltIn && BuiltInTypes.direct[type.name]?.contains(name) == true
        let signature = type.signatures[name] ?? MethodSignature(isOpen: true)
        return ReadyMethod(
            function: function.index, type: number,
            view: isDirect || isBuiltIn && isReadonly ? CLUA_NO_VIEW : isReadonly ? CLUA_READONLY : CLUA_TRACKED,
            argumentsMin: Int32(signature.argumentsMin), argumentsMax: Int32(signature.argumentsMax),
            changes: !isReadonly, writesDirectly: isDirect, makes: type.makers[name] != nil,
            isIndexed: !isReadonly && !type.indexes.isEmpty, upgrades: type.isUpgraded,
            mayBeCalledAtOnce: type.watched == nil, meter: meter)
    }

    /// Gives the variables of a type's file the values that they had.
    /// - Throws: when a function of the file had given one another.
    func restoreWatched(_ type: LoadedType?) throws(Failure) {
        guard let watched = type?.watched else { return }
        let base = lua_gettop(state.main)
        defer { lua_settop(state.main, base) }
        lua_checkstack(state.main, 16)
        watched.push(on: state.main)
        guard clua_restore_watched(state.main, -1) else { return }
        throw Failure(.scriptError, String(decoding: state.stringBytes(state.main, -1), as: UTF8.self))
    }
}
