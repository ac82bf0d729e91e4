// The objects of a shard: found by name, brought back from the shelf on use, put there, forgotten. Unsafe pointers inside.

import CLua

extension ObjectKey {
    var displayName: String { CutText.of(name, bytesMax: 80) }
}

/// One thread at a time. A position is good until the next object comes or goes.
final class ShardObjects {
    /// What became of an object that was to go to the shelf.
    enum Shelving {
        /// Bytes as encoded, and what it took while it was live.
        case gone(bytes: Int, liveBytes: Int)
        /// It cannot be encoded, or is larger than an item may be.
        case refused
        /// It has more bytes than were allowed.
        case tooLarge
    }

    private let state: LuaState
    private let shelf: any ObjectShelf
    private let types: LoadedTypes
    private let scope: CallScope
    private let upgrades: ObjectUpgrades
    private let live: LiveObjects
    private let pinned: PinnedObjects
    private let indexes: TypeIndexes
    /// Counts uses, to tell who was used last; it wraps around.
    private var useCount: UInt32 = 0
    /// What was put on the shelf while somebody collects names (see `ShardHandle.objects`).
    private var walks = ObjectWalks()
    private var shelved = 0
    private var unshelved = 0

    init(
        _ state: LuaState, types: LoadedTypes, scope: CallScope, live: LiveObjects, pinned: PinnedObjects,
        indexes: TypeIndexes, shelf: any ObjectShelf,
        upgrades: ObjectUpgrades
    ) {
        self.state = state
        self.types = types
        self.scope = scope
        self.upgrades = upgrades
        self.live = live
        self.pinned = pinned
        self.indexes = indexes
        self.shelf = shelf
    }

    /// Adds what is known of them here to the shard's figures.
    func report(to statistics: inout ObjectStatistics) {
        statistics.live = live.count
        statistics.indexBytes = indexes.bytes
        statistics.pinnedBytes = pinned.bytes
        statistics.tableBytes = live.bytes
        statistics.shelved = shelved
        statistics.unshelved = unshelved
        statistics.walks = walks.count
    }

    // MARK: Finding

    /// The reference to a live object's table, which counts as used; nil where it is not there, or has expired.
    /// `hash`: `keyHash` of the name.
    @inline(__always)
    func use(type: UInt32, name: UnsafeRawBufferPointer, hash: UInt64) -> Int32? {
        useCount &+= 1
        guard let at = live.find(type: type, name: name, hash: hash) else { return nil }
        guard !scope.hasPassed(live[at].expiry) else {
            remove(at: at)
            return nil
        }
        live[at].lastUse = useCount
        return live[at].reference
    }

    /// The same, brought back from the shelf if need be.
    func use(_ key: ObjectKey, _ type: LoadedType) -> Int32? {
        let number = types.number(of: key.type)
        return key.name.withUnsafeBytes { use(type: number, name: $0, hash: keyHash($0)) } ?? bringBack(key, type)
    }

    func position(type: UInt32, name: UnsafeRawBufferPointer, hash: UInt64) -> Int? {
        live.find(type: type, name: name, hash: hash)
    }

    /// Where an object is among the live ones; nil when it is not.
    func position(of key: ObjectKey) -> Int? {
        let number = types.number(of: key.type)
        return key.name.withUnsafeBytes { live.find(type: number, name: $0, hash: keyHash($0)) }
    }

    func key(at position: Int) -> ObjectKey {
        ObjectKey(type: types.name(of: live[position].type), name: live.name(at: position))
    }

    /// Live and not expired, or on the shelf, which may have evicted it.
    func isThere(_ key: ObjectKey) -> Bool {
        guard let at = position(of: key) else { return shelf.contains(key.shelfKey) }
        return !scope.hasPassed(live[at].expiry)
    }

    /// The names of a type's objects, live and on the shelf, in no order. Cost: a look at every object and at every item.
    func names(ofType type: String) -> [[UInt8]] {
        let prefix = ObjectKey(type: type, name: []).shelfKey
        let number = types.number(of: type)
        return liveNames { $0.type == number } + shelf.keys(prefix: prefix).map { Array($0.dropFirst(prefix.count)) }
    }

    private func liveNames(where isWanted: (LiveObject) -> Bool) -> [[UInt8]] {
        var names: [[UInt8]] = []
        live.forEach { if isWanted(live[$0]) { names.append(live.name(at: $0)) } }
        return names
    }

    // MARK: Coming and going

    /// Takes an object from the shelf, which is not live; nil where it is not there either.
    @inline(never)
    func bringBack(_ key: ObjectKey, _ type: LoadedType) -> Int32? {
        let base = lua_gettop(state.main)
        guard let bytes = shelf.take(key.shelfKey), pushShelved(bytes, type) else { return nil }
        let (expiry, reference) = (Shelved.expiry(of: bytes), luaL_ref(state.main, LuaState.registry))
        lua_settop(state.main, base)
        insert(key, reference, expiry: expiry, isPinned: type.isPinned)
        unshelved += 1
        return reference
    }

    /// Makes the table with that reference the object of that name, in place of what there is.
    func put(_ key: ObjectKey, _ reference: Int32, expiry: Expiry, isPinned: Bool) {
        shelf.remove(key.shelfKey)
        useCount &+= 1
        if let at = position(of: key) { remove(at: at) }
        insert(key, reference, expiry: expiry, isPinned: isPinned)
    }

    private func insert(_ key: ObjectKey, _ reference: Int32, expiry: Expiry, isPinned: Bool) {
        let number = types.number(of: key.type)
        key.name.withUnsafeBytes { name in
            _ = live.insert(
                type: number, name: name, hash: keyHash(name), reference: reference, expiry: expiry,
                lastUse: useCount, isPinned: isPinned)
        }
        if isPinned { pinned.measure(reference) }
    }

    func setExpiry(at position: Int, _ expiry: Expiry) { live[position].expiry = expiry }

    func expiry(at position: Int) -> Expiry { live[position].expiry }

    /// Forgets a live object for good.
    @inline(never)
    func remove(at position: Int) {
        if !indexes.isEmpty { indexes.remove(live.name(at: position), ofType: live[position].type) }
        detach(at: position)
    }

    /// Forgets a live object, which may be elsewhere.
    private func detach(at position: Int) {
        clua_views_release(state.main)
        luaL_unref(state.main, LuaState.registry, live[position].reference)
        if live[position].isPinned { pinned.remove(live[position].reference) }
        live.remove(at: position)
    }

    func removeAll(ofTypes names: [String]) {
        for name in names {
            let number = types.number(of: name)
            for name in liveNames(where: { $0.type == number }) {
                guard let at = position(of: ObjectKey(type: types.name(of: number), name: name)) else { continue }
                remove(at: at)
            }
        }
    }

    /// What is on the shelf stays there.
    func removeAll() {
        live.forEach { luaL_unref(state.main, LuaState.registry, live[$0].reference) }
        live.removeAll()
        indexes.removeAllObjects()
        pinned.removeAll()
    }

    // MARK: The shelf

    /// For how many uses of objects one has not been used.
    func usesSince(_ object: LiveObject) -> UInt32 { useCount &- object.lastUse }

    /// Puts a live object on the shelf.
    func shelve(at position: Int, bytesMax: Int) -> Shelving {
        let value: Value
        do throws(Failure) { value = try plainState(at: position, bytesMax: bytesMax) } catch {
            return error.reason == .budgetExceeded ? .tooLarge : .refused
        }
        let expiry = live[position].expiry
        let key = key(at: position)
        let bytes = Shelved.encode(value, expiry: expiry, version: shelfVersion(of: key, at: position))
        guard shelf.put(key.shelfKey, bytes, expiry: expiry) else { return .refused }
        detach(at: position)
        walks.note(shelved: key)
        shelved += 1
        return .gone(bytes: bytes.count, liveBytes: Shelved.liveBytes(value))
    }

    /// Pushes an object's table to look at it, live or as it is on the shelf; false and nothing pushed where it is not there.
    func pushToLook(at key: ObjectKey, _ type: LoadedType) -> Bool {
        lua_checkstack(state.main, 16)
        guard let at = position(of: key) else {
            guard let bytes = shelf.look(key.shelfKey) else { return false }
            return pushShelved(bytes, type)
        }
        guard !scope.hasPassed(live[at].expiry) else { return false }
        pushLive(at: at)
        return true
    }

    /// Pushes a live object's table.
    func pushLive(at position: Int) {
        lua_rawgeti(state.main, LuaState.registry, lua_Integer(live[position].reference))
    }

    /// Pushes the object that has that form on the shelf; false and nothing pushed where it has expired or can't be decoded.
    private func pushShelved(_ bytes: [UInt8], _ type: LoadedType) -> Bool {
        let base = lua_gettop(state.main)
        guard let (expiry, value) = Shelved.decode(bytes), !scope.hasPassed(expiry),
            (try? state.push(value, on: state.main)) != nil, lua_type(state.main, -1) == LUA_TTABLE
        else {
            lua_settop(state.main, base)
            return false
        }
        let isOlder = Shelved.version(of: bytes) != type.shelfVersion
        (isOlder ? type.olderMetatables.last ?? type.metatable : type.metatable).push(on: state.main)
        lua_setmetatable(state.main, -2)
        return true
    }

    /// Of an object that waits for its upgrade, none.
    private func shelfVersion(of key: ObjectKey, at position: Int) -> UInt32 {
        guard let type = types[key.type] else { return 0 }
        return upgrades.isDue(live[position].reference, type) ? 0 : type.shelfVersion
    }

    /// What an object's table holds.
    private func plainState(at position: Int, bytesMax: Int) throws(Failure) -> Value {
        let base = lua_gettop(state.main)
        defer { lua_settop(state.main, base) }
        pushLive(at: position)
        return try state.readValue(state.main, -1, bytesMax: bytesMax)
    }

    // MARK: Walks over all names

    /// From now on what is put on the shelf is noted.
    func beginWalk(over type: String) throws(Failure) -> Int {
        guard types[type] != nil else { throw Failure(.scriptError, "there is no object type '\(type)'") }
        return walks.begin()
    }

    /// The names of the live objects of a type, and of those that were put on the shelf since `mark`. Cost: a look at every
    /// live object.
    func endWalk(over type: String, since mark: Int, now: UInt32) -> [[UInt8]] {
        let number = types.number(of: type)
        return liveNames { $0.type == number && !$0.expiry.isOver(at: now) }
            + walks.end(since: mark).filter { $0.type == type }.map(\.name)
    }

    /// When an object goes, in unix seconds or 0 for never, and what it holds: live, or in `items`.
    func state(
        of key: ObjectKey, _ items: ItemStore, now: UInt32, bytesMax: Int
    ) throws(Failure) -> (expiry: Expiry, value: Value)? {
        if let at = position(of: key) { return (live[at].expiry, try plainState(at: at, bytesMax: bytesMax)) }
        let outcome = key.shelfKey.withUnsafeBytes { items.execute(.get, key: $0, hash: keyHash($0), now: now) }
        guard case .value(_, _, let bytes) = outcome else { return nil }
        return Shelved.decode(bytes)
    }
}

/// Objects that were put on the shelf while walks were under way, for these not to miss them.
private struct ObjectWalks {
    private(set) var count = 0
    private var shelved: [ObjectKey] = []

    mutating func begin() -> Int {
        count += 1
        return shelved.count
    }

    mutating func note(shelved key: ObjectKey) {
        if count > 0 { shelved.append(key) }
    }

    mutating func end(since mark: Int) -> [ObjectKey] {
        let mine = Array(shelved[mark...])
        count -= 1
        if count == 0 { shelved = [] }
        return mine
    }
}
