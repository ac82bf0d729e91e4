// A shard's indexes: kept in step with its objects, and asked in steps. Unsafe pointers inside.

import CLua

/// An index of a type on this shard, and the method that gives its objects their numbers.
final class TypeIndex {
    let type: String
    let method: LuaReference
    /// How the method sees its object.
    let view: Int
    @exclusivity(unchecked) var index: ObjectIndex

    init(type: String, method: LuaReference, view: Int, readiness: ObjectIndex.Readiness) {
        self.type = type
        self.method = method
        self.view = view
        index = ObjectIndex(readiness: readiness)
    }
}

/// What can be asked of an index.
package enum IndexQuestion: Sendable, Equatable {
    /// The objects with the greatest values, at most so many.
    case top(Int)
    /// Those with at least that value: their number, and the greatest ones, at most so many.
    case above(Double, limit: Int)
    /// How many objects there are in it.
    case count
}

/// The part of an answer that one shard, or several, gave.
package struct IndexAnswer: Sendable, Equatable {
    package struct Entry: Sendable, Equatable {
        package let object: [UInt8]
        package let value: Double

        package init(object: [UInt8], value: Double) {
            self.object = object
            self.value = value
        }
    }

    /// All that the question is about, listed or not.
    package var count = 0
    /// From the greatest value down, of equal ones by name.
    package var entries: [Entry] = []

    package init(count: Int = 0, entries: [Entry] = []) {
        self.count = count
        self.entries = entries
    }

    /// What two shards answer together, of which no object is on both.
    package mutating func merge(_ other: IndexAnswer, for question: IndexQuestion) {
        count = count.clampedAdding(other.count)
        entries += other.entries
        entries.sort { one, next in
            one.value != next.value ? one.value > next.value : one.object.lexicographicallyPrecedes(next.object)
        }
        switch question {
        case .top(let limit), .above(_, let limit): entries.removeSubrange(min(limit, entries.count)...)
        case .count: break
        }
    }
}

/// How far the work for a question has come.
struct IndexWork {
    let name: String
    let question: IndexQuestion
    /// The next entries to be looked at; nil when all have been.
    var cursor: Int? = 0

    init(_ name: String, _ question: IndexQuestion) {
        self.name = name
        self.question = question
    }
}

extension ObjectMachine {
    private static var instructionsMax: Int64 { 100_000 }
    private static var nanosecondsMax: UInt64 { 10_000_000 }

    // MARK: Kept in step

    /// Has the indexes that the types declare. One whose type is another than before has to look at all objects again.
    func installIndexes(changed: Set<String>, isFirst: Bool) {
        for name in indexes.keys {
            guard let index = indexes[name], types[index.type] == nil || changed.contains(index.type) else { continue }
            indexes[name] = nil
        }
        for type in types.values where changed.contains(type.name) {
            for method in type.indexes {
                guard let function = type.methods[method] else { continue }
                let isBuiltIn = BuiltInTypes.contains(hash: type.hash)
                indexes["\(type.name).\(method)"] = TypeIndex(
                    type: type.name, method: function, view: isBuiltIn ? CLUA_NO_VIEW : CLUA_READONLY,
                    readiness: isFirst ? .complete : .incomplete)
            }
        }
        indexesOfType = Dictionary(grouping: indexes.values) { number(ofType: $0.type) }
        countIndexBytes()
    }

    /// The object there was made or changed.
    @inline(never)
    func reindex(at position: Int) {
        guard let indexes = indexesOfType[live[position].type] else { return }
        let name = live.name(at: position)
        let reference = live[position].reference
        for index in indexes where index.index.readiness != .full {
            lua_checkstack(state.main, 16)
            lua_rawgeti(state.main, LuaState.registry, lua_Integer(reference))
            set(name, popIndexedValue(index), in: index)
        }
        countIndexBytes()
    }

    /// The object there is gone for good.
    @inline(never)
    func unindex(at position: Int) {
        guard let indexes = indexesOfType[live[position].type] else { return }
        let name = live.name(at: position)
        for index in indexes { index.index.remove(name) }
        countIndexBytes()
    }

    private func set(_ name: [UInt8], _ value: IndexedValue?, in index: TypeIndex) {
        index.index.set(name, value)
        if index.index.bytes > configuration.indexBytesMax { index.index.giveUp() }
    }

    private func countIndexBytes() {
        indexBytes = 0
        for indexes in indexesOfType.values { for index in indexes { indexBytes += index.index.bytes } }
    }

    /// What the method answers for the object on top of the stack, which goes; nil for what is no finite number.
    private func popIndexedValue(_ index: TypeIndex) -> IndexedValue? {
        let main = state.main
        let base = lua_gettop(main) - 1
        defer { lua_settop(main, base) }
        // As for any method, but it changes nothing.
        mayChange = false
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
            try? restoreWatched(types[index.type])
            return nil
        }
        guard (try? restoreWatched(types[index.type])) != nil else { return nil }
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

    // MARK: Asked

    /// One step, some 100 µs, with objects as they are between two calls; nil when there is more to do.
    /// - Throws: `miss` where there is no such index, `budget_exceeded` where it had no memory.
    func answer(_ work: inout IndexWork) throws(Failure) -> IndexAnswer? {
        guard let index = indexes[work.name] else {
            throw Failure(
                .miss, "there is no index '\(work.name)'; there are \(indexes.keys.sorted().joined(separator: ", "))")
        }
        beginLook()
        switch index.index.readiness {
        case .full:
            throw Failure(
                .budgetExceeded,
                "the index \(work.name) needs more than its \(configuration.indexBytesMax >> 10) KiB of a shard: "
                    + "give it fewer objects (its method answers nil for those of no interest), or start with a larger -m",
                fault: .server)
        case .incomplete:
            look(at: index)
            return nil
        case .complete: break
        }
        guard index.index.passTime(to: nowSeconds, limit: 512) else { return nil }
        switch work.question {
        case .top(let limit): return top(limit, index)
        case .count, .above:
            guard let cursor = work.cursor else { return answered(work.question, index) }
            let (names, next) = index.index.names(from: cursor, limit: 512)
            for name in names where !isThere(index.type, name) { index.index.remove(name) }
            work.cursor = next
            return nil
        }
    }

    private func answered(_ question: IndexQuestion, _ index: TypeIndex) -> IndexAnswer? {
        guard case .above(let least, let limit) = question else { return IndexAnswer(count: index.index.count) }
        guard let listed = top(limit, index) else { return nil }
        return IndexAnswer(
            count: index.index.count(from: least), entries: Array(listed.entries.prefix { $0.value >= least }))
    }

    /// Nil when some were found to be gone: once more.
    private func top(_ limit: Int, _ index: TypeIndex) -> IndexAnswer? {
        var answer = IndexAnswer(count: index.index.count)
        var gone: [[UInt8]] = []
        index.index.forEachFromGreatest { name, value in
            guard answer.entries.count < limit, gone.count < 512 else { return false }
            if isThere(index.type, name) {
                answer.entries.append(.init(object: name, value: value))
            } else {
                gone.append(name)
            }
            return true
        }
        for name in gone { index.index.remove(name) }
        return gone.isEmpty ? answer : nil
    }

    /// Live and not expired, or on the shelf, which may have evicted it.
    private func isThere(_ type: String, _ name: [UInt8]) -> Bool {
        let key = ObjectKey(type: type, name: name)
        guard let at = position(of: key) else { return shelf.contains(key.shelfKey) }
        return live[at].expiry == 0 || live[at].expiry > nowSeconds
    }

    // MARK: Objects that were there before

    private func look(at index: TypeIndex) {
        if index.index.left == nil {
            let wanted = number(ofType: index.type)
            let prefix = ObjectKey(type: index.type, name: []).shelfKey
            index.index.left =
                (keys { $0.type == wanted }.map(\.name)
                + shelf.keys(prefix: prefix).map { Array($0.dropFirst(prefix.count)) })[...]
        }
        for _ in 0..<128 {
            guard index.index.readiness == .incomplete, let name = index.index.left?.popFirst() else { break }
            lookAtObject(name, index)
        }
        if index.index.left?.isEmpty == true, index.index.readiness == .incomplete {
            index.index.left = nil
            index.index.readiness = .complete
        }
        countIndexBytes()
    }

    private func lookAtObject(_ name: [UInt8], _ index: TypeIndex) {
        guard let type = types[index.type], !index.index.contains(name) else { return }
        let key = ObjectKey(type: index.type, name: name)
        lua_checkstack(state.main, 16)
        if let at = position(of: key) {
            guard live[at].expiry == 0 || live[at].expiry > nowSeconds else { return }
            lua_rawgeti(state.main, LuaState.registry, lua_Integer(live[at].reference))
        } else {
            guard let bytes = shelf.look(key.shelfKey), let (expiry, value) = Shelved.decode(bytes),
                expiry == 0 || expiry > nowSeconds, (try? state.push(value, on: state.main)) != nil
            else { return }
            guard lua_type(state.main, -1) == LUA_TTABLE else { return clua_pop(state.main, 1) }
            type.metatable.push(on: state.main)
            lua_setmetatable(state.main, -2)
        }
        set(name, popIndexedValue(index), in: index)
    }
}

extension ObjectHost {
    /// Asks an index of this shard. The completion is called once, on another thread. Fails with `miss`, `budget_exceeded`,
    /// `overloaded`, or `timeout` when the deadline came first; what was done for the answer by then stays done.
    package func ask(
        index name: String, _ question: IndexQuestion, deadline: Deadline,
        completion: @escaping @Sendable (Result<IndexAnswer, Failure>) -> Void
    ) {
        compute.submit { self.goOn(IndexWork(name, question), deadline, completion) }
    }

    private func goOn(
        _ work: IndexWork, _ deadline: Deadline,
        _ completion: @escaping @Sendable (Result<IndexAnswer, Failure>) -> Void
    ) {
        guard !compute.environment.hasPassed(deadline) else {
            return completion(.failure(Failure(.timeout, "the deadline passed before index \(work.name) could answer")))
        }
        inspect { entered in
            do throws(Failure) {
                var next = work
                if let answer = try entered.get().answer(&next) { return completion(.success(answer)) }
                let more = next
                // Others come in between.
                self.compute.submit { self.goOn(more, deadline, completion) }
            } catch {
                completion(.failure(error))
            }
        }
    }
}
