// The functions of a shard's state that look at its objects, and those that its methods can't call. Unsafe pointers inside.

import CLua

/// Registered once, for the life of the state.
final class ObjectFunctions {
    private let types: LoadedTypes
    private let objects: ShardObjects
    private let upgrades: ObjectUpgrades

    init(types: LoadedTypes, objects: ShardObjects, upgrades: ObjectUpgrades) {
        self.types = types
        self.objects = objects
        self.upgrades = upgrades
    }

    /// `peek(type, name)`: another object of the shard, to look at but not to change.
    /// - Parameter runningKey: of the object whose method runs.
    func register(in state: LuaState, runningKey: @escaping () -> VirtualKey?) {
        state.registerRaw("peek") { [unowned self] state, thread in
            do throws(Failure) {
                try pushPeeked(state, on: thread, runningKey)
                return 1
            } catch {
                return state.raise(error, on: thread)
            }
        }
        registerRefusals(in: state)
    }

    /// What would have to wait: a method is whole, and nothing may come in between.
    private func registerRefusals(in state: LuaState) {
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

    private func pushPeeked(
        _ state: LuaState, on thread: OpaquePointer, _ runningKey: () -> VirtualKey?
    ) throws(Failure) {
        guard lua_type(thread, 1) == LUA_TSTRING, lua_type(thread, 2) == LUA_TSTRING else {
            throw Failure(.scriptError, "peek needs a type and an object's name")
        }
        let typeName = String(decoding: state.stringBytes(thread, 1), as: UTF8.self)
        guard let type = types[typeName] else { throw Failure(.scriptError, "there is no object type '\(typeName)'") }
        let key = ObjectKey(type: typeName, name: state.stringBytes(thread, 2))
        guard let reference = objects.use(key, type) else { throw Self.missing(key, for: runningKey()) }
        if upgrades.isDue(reference, type) { try upgrades.perform(reference, type) }
        lua_rawgeti(thread, LuaState.registry, lua_Integer(reference))
        clua_push_view(thread, -1)
    }

    /// Objects with the same routing key live together; of any other it is not known whether it exists elsewhere.
    private static func missing(_ key: ObjectKey, for runningKey: VirtualKey?) -> Failure {
        let other = VirtualKey(type: key.type, method: "", object: key.name)
        guard let runningKey, runningKey.routingKey != other.routingKey else {
            return Failure(.miss, "there is no \(key.type) '\(key.displayName)'")
        }
        return Failure(
            .scriptError,
            "\(key.type) '\(key.displayName)' is not on this shard; give objects that are used together a common tag, "
                + "as in {tag}\(key.displayName)"
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
