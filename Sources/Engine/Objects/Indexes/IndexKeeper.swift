// Keeps a shard's indexes in step with its objects, and asks them in steps. Unsafe pointers inside.

import CLua

/// One thread at a time.
final class IndexKeeper {
    /// What a method of an index may use for one object.
    private static var instructionsMax: Int64 { 100_000 }
    private static var nanosecondsMax: UInt64 { 10_000_000 }

    private let state: LuaState
    private let types: LoadedTypes
    private let scope: CallScope
    private let live: LiveObjects
    private let objects: ShardObjects
    private let indexes: TypeIndexes
    /// What one index may take.
    private let bytesMax: Int

    init(
        _ state: LuaState, types: LoadedTypes, scope: CallScope, live: LiveObjects, objects: ShardObjects,
        indexes: TypeIndexes, bytesMax: Int
    ) {
        self.state = state
        self.types = types
        self.scope = scope
        self.live = live
        self.objects = objects
        self.indexes = indexes
        self.bytesMax = bytesMax
    }

    /// Has the indexes that the types declare. One whose type is another than before has to look at all objects again.
    func install(_ changes: LoadedTypes.Changes) {
        var new: [String: TypeIndex] = [:]
        for type in changes.changed {
            for method in type.indexes {
                guard let function = type.methods[method] else { continue }
                new["\(type.name).\(method)"] = TypeIndex(
                    type: type.name, method: function,
                    view: BuiltInTypes.contains(hash: type.hash) ? CLUA_NO_VIEW : CLUA_READONLY, bytesMax: bytesMax,
                    readiness: changes.isFirst ? .complete : .incomplete)
            }
        }
        let without = Set(changes.changed.map(\.name) + changes.gone)
        indexes.replace(without: without, with: new) { types.number(of: $0) }
    }

    /// The live object there was made or changed.
    @inline(never)
    func update(at position: Int) {
        let ofType = indexes.ofType(live[position].type)
        guard !ofType.isEmpty else { return }
        let name = live.name(at: position)
        for index in ofType where index.readiness != .full {
            lua_checkstack(state.main, 16)
            objects.pushLive(at: position)
            index.set(name, popValue(index))
        }
        indexes.countBytes()
    }

    /// One step towards an answer, some 100 µs, with objects as they are between two calls; nil when there is more to do.
    /// - Throws: `miss` where there is no such index, `budget_exceeded` where it had no memory.
    func answer(_ work: inout IndexWork) throws(Failure) -> IndexAnswer? {
        guard let index = indexes[work.name] else {
            throw Failure(
                .miss, "there is no index '\(work.name)'; there are \(indexes.names.joined(separator: ", "))")
        }
        scope.begin()
        switch index.readiness {
        case .full:
            throw Failure(
                .budgetExceeded,
                "the index \(work.name) needs more than its \(bytesMax >> 10) KiB of a shard: "
                    + "give it fewer objects (its method answers nil for those of no interest), or start with a larger -m",
                fault: .server)
        case .incomplete:
            lookOn(index)
            return nil
        case .complete:
            return index.answer(&work, now: scope.nowSeconds) { name in
                objects.isThere(ObjectKey(type: index.type, name: name))
            }
        }
    }

    private func lookOn(_ index: TypeIndex) {
        guard let type = types[index.type] else { return }
        index.lookOn(at: objects.names(ofType: index.type)) { name in
            guard objects.pushToLook(at: ObjectKey(type: index.type, name: name), type) else { return }
            index.set(name, popValue(index))
        }
        indexes.countBytes()
    }

    /// What the method answers for the object on top of the stack, which goes; nil for what is no finite number.
    private func popValue(_ index: TypeIndex) -> IndexedValue? {
        let main = state.main
        let base = lua_gettop(main) - 1
        defer { lua_settop(main, base) }
        // As for any method, but it changes nothing.
        scope.forbidChanges()
        clua_views_begin(state.control)
        state.control.pointee.instructionsLeft = Self.instructionsMax
        state.control.pointee.deadlineNanoseconds = 0
        state.control.pointee.methodNanoseconds = Self.nanosecondsMax
        state.control.pointee.sliceEndNanoseconds = 0
        state.control.pointee.sliceNanoseconds = 0
        index.method.push(on: main)
        if index.view == CLUA_NO_VIEW { lua_pushvalue(main, base + 1) } else { clua_push_view(main, base + 1) }
        guard clua_pcall(main, 1, 3) == LUA_OK else {
            _ = state.popFailure(main)
            try? types.restoreWatched(types[index.type])
            return nil
        }
        guard (try? types.restoreWatched(types[index.type])) != nil else { return nil }
        func number(_ at: Int32) -> Double? {
            guard lua_type(main, base + 1 + at) == LUA_TNUMBER else { return nil }
            let number = clua_to_number(main, base + 1 + at)
            return number.isFinite ? number : nil
        }
        guard let value = number(1) else { return nil }
        guard let until = number(2), until > 0 else { return IndexedValue(value: value) }
        return IndexedValue(
            value: value, until: UInt32(clamping: Int64(min(until.rounded(.up), 4e9))), after: number(3) ?? 0)
    }
}
