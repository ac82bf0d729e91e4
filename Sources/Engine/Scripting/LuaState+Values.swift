// Values onto a Lua stack and off it. Runs outside protected entries, where no push can raise. Unsafe pointers inside.

import CLua

extension LuaState {
    /// Also what MessagePack allows. A table in a cycle ends here.
    static let depthMax = 60

    // MARK: Pushing

    func push(text: String, on thread: OpaquePointer) {
        var text = text
        text.withUTF8 { push(bytes: UnsafeRawBufferPointer($0), on: thread) }
    }

    func push(bytes: UnsafeRawBufferPointer, on thread: OpaquePointer) {
        lua_pushlstring(thread, bytes.baseAddress?.assumingMemoryBound(to: CChar.self), bytes.count)
    }

    func push(_ values: [LuaValue], on thread: OpaquePointer) throws(Failure) {
        guard lua_checkstack(thread, Int32(values.count) + 8) != 0 else {
            throw Failure(.budgetExceeded, "too many arguments: \(values.count)")
        }
        for value in values { try push(value, on: thread) }
    }

    func push(_ value: LuaValue, on thread: OpaquePointer) throws(Failure) {
        switch value {
        case .plain(let value): try push(value, on: thread)
        case .object(let object): push(object: object, on: thread)
        case .function(let reference): reference.push(on: thread)
        case .table(let entries):
            lua_checkstack(thread, 8)
            clua_new_table(thread)
            for entry in entries {
                try push(entry.key, on: thread)
                try push(entry.value, on: thread)
                lua_rawset(thread, -3)
            }
        }
    }

    func push(_ value: Value, on thread: OpaquePointer, depth: Int = 0) throws(Failure) {
        guard depth <= 2 * Self.depthMax, lua_checkstack(thread, 8) != 0 else {
            throw Failure(.budgetExceeded, "data nested deeper than \(2 * Self.depthMax)")
        }
        switch value {
        case .null: lua_pushnil(thread)
        case .bool(let flag): lua_pushboolean(thread, flag ? 1 : 0)
        case .int(let number): lua_pushinteger(thread, number)
        case .double(let number): lua_pushnumber(thread, number)
        case .bytes(let bytes): bytes.withUnsafeBytes { push(bytes: $0, on: thread) }
        case .array(let elements):
            lua_createtable(thread, Int32(clamping: elements.count), 0)
            for (index, element) in elements.enumerated() {
                if index % 1024 == 1023 { try checkTime() }
                guard element != .null else {
                    throw Failure(
                        .scriptError,
                        "a list whose element \(index + 1) is null can't be a Lua table, which would end or have a gap there: "
                            + "write false, or leave it out")
                }
                try push(element, on: thread, depth: depth + 1)
                lua_rawseti(thread, -2, lua_Integer(index + 1))
            }
        case .map(let pairs):
            lua_createtable(thread, 0, Int32(clamping: pairs.count))
            var count = 0
            for pair in pairs {
                guard pair.key.isKey else {
                    throw Failure(.scriptError, "a key must be a number, a string or a boolean")
                }
                // A key may have to pass all others that meet in its place.
                count += 1
                if count % 64 == 0 { try checkTime() }
                try push(pair.key, on: thread, depth: depth + 1)
                try push(pair.value, on: thread, depth: depth + 1)
                lua_rawset(thread, -3)
            }
        }
    }

    /// Inside a call: it goes on only within its budget.
    private func checkTime() throws(Failure) {
        if control.pointee.depth > 0, clua_is_overdue(control) { throw overdue }
    }

    // MARK: Reading

    func stringBytes(_ thread: OpaquePointer, _ index: Int32) -> [UInt8] {
        var count = 0
        guard let start = lua_tolstring(thread, index, &count) else { return [] }
        return Array(UnsafeRawBufferPointer(start: start, count: count))
    }

    /// All values from stack index `first` up, within the budget of the call that they are results or arguments of.
    /// `forJSON`: each key of a table has a text of its own.
    /// `lease`: what they take is put on it before it is there.
    func readResults(
        _ thread: OpaquePointer, from first: Int32, outputBytesMax: Int, lease: MemoryLease? = nil,
        forJSON: Bool = false
    ) throws(Failure) -> [LuaValue] {
        share.note(stateBytes: control.pointee.limitBytes)
        var reader = LuaReader(
            self, thread, bytesMax: outputBytesMax, lease: lease, isTimed: true, forJSON: forJSON)
        let top = lua_gettop(thread)
        guard first <= top else { return [] }
        var values: [LuaValue] = []
        for index in first...top { values.append(try reader.read(index)) }
        return values
    }

    /// One plain value; it stays on the stack. `forJSON`: each key of a table has a text of its own.
    func readValue(
        _ thread: OpaquePointer, _ index: Int32, bytesMax: Int = 16 << 20, forJSON: Bool = false
    ) throws(Failure) -> Value {
        var reader = LuaReader(self, thread, bytesMax: bytesMax, forJSON: forJSON)
        return try readValue(thread, index, &reader)
    }

    /// As `readValue`, of what is to be an answer: it has at most so many bytes as it is sent, as JSON where it is no text.
    func readAnswer(_ thread: OpaquePointer, _ index: Int32, bytesMax: Int) throws(Failure) -> Value {
        var reader = LuaReader(self, thread, bytesMax: bytesMax, forJSON: true)
        let value = try readValue(thread, index, &reader)
        // Nothing becomes more than six times as long as JSON.
        guard reader.bytesRead > bytesMax / 6 else { return value }
        switch value {
        case .array, .map: guard value.json(bytesMax: bytesMax) != nil else { throw reader.tooLong }
        default: break
        }
        return value
    }

    private func readValue(
        _ thread: OpaquePointer, _ index: Int32, _ reader: inout LuaReader
    ) throws(Failure) -> Value {
        guard case .plain(let value) = try reader.read(lua_absindex(thread, index)) else {
            throw Failure(
                .scriptError,
                "expected plain data, not a \(String(cString: lua_typename(thread, lua_type(thread, index)))) or a table with one"
            )
        }
        return value
    }
}

/// Reads values off a stack within a number of bytes. An empty table is an empty array; one whose keys are exactly 1…n an
/// array; any other a map with its keys sorted: numbers, then strings, then booleans.
struct LuaReader {
    /// As `LuaValue`, where plain data takes no memory of its own.
    private enum Item {
        case plain(Value)
        case other(LuaValue)
    }

    private typealias Entry = (key: Value, value: LuaValue)

    private let state: LuaState
    private let thread: OpaquePointer
    private var bytesLeft: Int
    private let bytesMax: Int
    /// What it reads is put on this before it is there, some KiB at a time.
    private let lease: MemoryLease?
    private var unleased = 0
    /// Whether it reads for a call, which has a deadline.
    private let isTimed: Bool
    /// What it reads becomes JSON, where keys are texts.
    private let forJSON: Bool

    init(
        _ state: LuaState, _ thread: OpaquePointer, bytesMax: Int, lease: MemoryLease? = nil, isTimed: Bool = false,
        forJSON: Bool = false
    ) {
        self.isTimed = isTimed
        self.forJSON = forJSON
        self.lease = lease
        self.state = state
        self.thread = thread
        self.bytesMax = bytesMax
        bytesLeft = bytesMax
    }

    /// The value at an absolute stack index.
    mutating func read(_ index: Int32) throws(Failure) -> LuaValue {
        switch try item(index, depth: 0) {
        case .plain(let value): .plain(value)
        case .other(let value): value
        }
    }

    private mutating func item(_ index: Int32, depth: Int) throws(Failure) -> Item {
        try spend(9)
        switch lua_type(thread, index) {
        case LUA_TNIL: return .plain(.null)
        case LUA_TBOOLEAN: return .plain(.bool(lua_toboolean(thread, index) != 0))
        case LUA_TNUMBER:
            return lua_isinteger(thread, index) != 0
                ? .plain(.int(clua_to_integer(thread, index))) : .plain(.double(clua_to_number(thread, index)))
        case LUA_TSTRING:
            let count = Int(lua_rawlen(thread, index))
            try spend(count)
            try hold(48 + count)
            return .plain(.bytes(state.stringBytes(thread, index)))
        case LUA_TTABLE: return try readTable(index, depth: depth)
        case LUA_TFUNCTION:
            lua_pushvalue(thread, index)
            return .other(.function(LuaReference(state, popping: thread)))
        case LUA_TUSERDATA:
            guard let object = state.hostObject(thread, index) else { break }
            return .other(.object(object))
        default: break
        }
        throw Failure(
            .scriptError, "a \(String(cString: lua_typename(thread, lua_type(thread, index)))) cannot leave a script")
    }

    private mutating func spend(_ bytes: Int) throws(Failure) {
        bytesLeft -= bytes
        if bytesLeft < 0 { throw tooLong }
    }

    private mutating func hold(_ bytes: Int) throws(Failure) {
        guard let lease else { return }
        unleased += bytes
        guard unleased.magnitude > 4_096 else { return }
        let more = unleased
        unleased = 0
        try lease.take(more)
    }

    var bytesRead: Int { bytesMax - bytesLeft }

    var tooLong: Failure {
        Failure(.budgetExceeded, "the result has more than \(bytesMax) bytes")
    }

    /// What an entry takes while its table is read: twice the room, and the old one beside it; and afterwards.
    private static let readBytes = 3 * MemoryLayout<Value.Pair>.stride
    private static let pairBytes = 2 * MemoryLayout<Value.Pair>.stride
    private static let elementBytes = MemoryLayout<Value>.stride

    private mutating func readTable(_ index: Int32, depth: Int) throws(Failure) -> Item {
        guard depth < LuaState.depthMax, lua_checkstack(thread, 8) != 0 else {
            throw Failure(.scriptError, "data nested deeper than \(LuaState.depthMax) (or in a cycle)")
        }
        let top = lua_gettop(thread)
        defer { lua_settop(thread, top) }
        let index = clua_push_original(thread, index) ? top + 1 : index
        let base = lua_gettop(thread)
        var pairs: [Value.Pair] = []
        /// Instead of pairs, from the first value on that is no plain data.
        var entries: [Entry] = []
        var count = 0
        lua_pushnil(thread)
        while lua_next(thread, index) != 0 {
            guard case .plain(let key) = try item(base + 1, depth: LuaState.depthMax) else {
                throw Failure(.scriptError, "a key must be a number, a string or a boolean")
            }
            let value = try item(base + 2, depth: depth + 1)
            try hold(Self.readBytes)
            switch value {
            case .plain(let value) where entries.isEmpty: pairs.append(Value.Pair(key, value))
            case .plain(let value): entries.append((key, .plain(value)))
            case .other(let value):
                entries += pairs.map { ($0.key, .plain($0.value)) }
                pairs = []
                entries.append((key, value))
            }
            clua_pop(thread, 1)
            count += 1
            if count % 1024 == 0 { try checkTime() }
        }
        try hold(48)
        guard entries.isEmpty else {
            try sort(&entries) { $0.key }
            if forJSON { try checkTexts(entries) { $0.key } }
            return .other(.table(entries))
        }
        if let elements = Self.sequence(pairs) {
            try hold(pairs.count * (Self.elementBytes - Self.readBytes))
            return .plain(.array(elements))
        }
        try sort(&pairs) { $0.key }
        if forJSON { try checkTexts(pairs) { $0.key } }
        try hold(pairs.count * (Self.pairBytes - Self.readBytes))
        return .plain(.map(pairs))
    }

    /// Of sorted entries. Keys of one kind differ as texts too.
    private func checkTexts<E>(_ entries: [E], _ key: (E) -> Value) throws(Failure) {
        guard let first = entries.first.map(key), let last = entries.last.map(key), first.keyRank != last.keyRank else {
            return
        }
        var strings: Set<[UInt8]> = []
        for entry in entries { if case .bytes(let text) = key(entry) { strings.insert(text) } }
        for entry in entries {
            if case .bytes = key(entry) { continue }
            let text = key(entry).answer
            guard strings.contains(text) else { continue }
            let shown = String(decoding: text, as: UTF8.self)
            throw Failure(.scriptError, "the keys \(shown) and \"\(shown)\" are one in JSON")
        }
    }

    private var isOverdue: Bool { isTimed && clua_is_overdue(state.control) }

    private func checkTime() throws(Failure) {
        if isOverdue { throw state.overdue }
    }

    /// By key. Once it is late every entry counts as being in order, so that the sort ends.
    private func sort<E>(_ entries: inout [E], _ key: (E) -> Value) throws(Failure) {
        var (comparisons, isLate) = (0, false)
        entries.sort { a, b in
            comparisons += 1
            if comparisons % 4096 == 0, !isLate { isLate = isOverdue }
            return !isLate && Value.isOrderedAsKey(key(a), key(b))
        }
        if isLate { throw state.overdue }
    }

    /// The elements in order when the keys are exactly 1…n.
    private static func sequence(_ pairs: [Value.Pair]) -> [Value]? {
        guard isSequence(pairs) else { return nil }
        var elements = [Value](repeating: .null, count: pairs.count)
        for pair in pairs { if case .int(let position) = pair.key { elements[Int(position - 1)] = pair.value } }
        return elements
    }

    private static func isSequence(_ pairs: [Value.Pair]) -> Bool {
        pairs.allSatisfy { pair in
            if case .int(let position) = pair.key { position >= 1 && position <= Int64(pairs.count) } else { false }
        }
    }
}

extension Value {
    /// The order of keys in a map that came from Lua.
    static func isOrderedAsKey(_ a: Value, _ b: Value) -> Bool {
        switch (a, b) {
        case (.int(let a), .int(let b)): a < b
        case (.double(let a), .double(let b)): a < b
        case (.int(let a), .double(let b)): Double(a) < b
        case (.double(let a), .int(let b)): a < Double(b)
        case (.bytes(let a), .bytes(let b)): a.lexicographicallyPrecedes(b)
        case (.bool(let a), .bool(let b)): !a && b
        default: a.keyRank < b.keyRank
        }
    }

    fileprivate var keyRank: Int {
        switch self {
        case .int, .double: 0
        case .bytes: 1
        default: 2
        }
    }
}
