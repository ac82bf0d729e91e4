// A sandboxed Lua state with budgets: load scripts, call their functions, know what they use. Unsafe pointers inside.

import CLinux
import CLua

/// One state. Not thread-safe: its owner sees to it that one thread at a time uses it (which thread does not matter).
/// Nothing that a script does ends the process or outlasts its budget by more than a few milliseconds of C.
package final class LuaState {
    let main: OpaquePointer
    let control: UnsafeMutablePointer<clua_control>
    let released = ReleasedReferences()
    /// What the last callback threw, so that its reason survives the way through Lua as a string.
    var raisedFailure: Failure?
    /// What called the method of a host object that is under way.
    var callingThread: OpaquePointer?
    /// What the last callback asked of the host.
    var pendingYield: (tag: String, values: [Value])?
    /// Of what was asked.
    var yieldLease: MemoryLease?
    /// Callbacks live as long as the state: Lua holds plain pointers to them.
    var callbacks: [LuaCallback] = []
    /// Metatables of host objects by type name: registry references.
    var objectMetatables: [String: Int32] = [:]

    static let registry: Int32 = -1_000_000 - 1000  // LUA_REGISTRYINDEX, a macro that Swift does not see

    /// - Parameter memoryBytesMax: what all scripts and data in the state may use; a script that needs more fails with
    ///   `budget_exceeded`.
    package init(memoryBytesMax: Int = 64 << 20) {
        guard let state = clua_open(memoryBytesMax, releaseHostObject), let control = clua_control_of(state) else {
            preconditionFailure("no memory for a Lua state")
        }
        main = state
        self.control = control
        self.memoryBytesMax = memoryBytesMax
        control.pointee.ceilingBytes = memoryBytesMax
    }

    deinit {
        let leased = control.pointee.limitBytes
        clua_close(main)
        guard let account else { return }
        account.give(leased)
        // Memory in small pieces stays with the process unless it is asked for.
        if leased > Self.largeBytes { linux_trim_memory() }
    }

    private static let largeBytes = 4 << 20

    /// From now on its scripts make room for others on the compute pool whenever their turn is over.
    func takeTurns() { control.pointee.yieldProcessor = { ComputePool.yieldProcessor(at: $0) } }

    /// Bytes in use, garbage not yet collected included.
    package var memoryBytes: Int { control.pointee.usedBytes }
    package let memoryBytesMax: Int
    /// What it leases its memory from; nil for a state whose limit is its own.
    var account: ScriptMemory?
    /// What its scripts have besides; each script its own.
    var share = ScriptShare()

    /// Collections in steps that have come to their end.
    var collections: Int64 { control.pointee.collections }

    /// Frees all garbage. Costs up to about 1 ms a MiB in use.
    package func collectGarbage() {
        freeReleased()
        clua_collect(main)
    }

    /// Lets go of what scripts got from the host, at once and at no cost worth naming: of a state in which no script is
    /// live. What it leaves is garbage.
    func releaseObjects() {
        freeReleased()
        clua_release_objects(main)
    }

    /// Whether the last call was stopped: cancelled, or beyond its budget.
    var wasStopped: Bool { control.pointee.aborted != CLUA_NOT_ABORTED || clua_is_cancelled(control) }

    /// Whether a script asked for what is another each time: the time, chance, what tells one table from others.
    var hasReadMore: Bool {
        get { control.pointee.readsMore }
        set { control.pointee.readsMore = newValue }
    }

    /// Stops the call under way, now or at its next instruction, with the reason `cancelled`; until it is taken back no
    /// other gets far. May be called from any thread.
    package func setCancelled(_ cancelled: Bool) { clua_cancel(control, cancelled) }

    // MARK: Loading and calling

    package func makeEnvironment() -> LuaEnvironment {
        clua_push_environment(main)
        return LuaEnvironment(reference: LuaReference(self, popping: main))
    }

    /// Compiles and runs a script's text, its globals in `environment`. What it returns is dropped.
    /// - Throws: `script_error` with `name:line: message`, or `budget_exceeded`.
    package func load(
        source: [UInt8], name: String, environment: LuaEnvironment, budget: LuaBudget = LuaBudget()
    ) throws(Failure) {
        try run(try compile(source, name: name, budget: budget), environment: environment, budget: budget)
    }

    /// A script's text as a function, to be `run`. Throws as `load`.
    func compile(_ source: [UInt8], name: String, budget: LuaBudget) throws(Failure) -> LuaReference {
        begin(budget)
        let status = source.withUnsafeBufferPointer { bytes in
            bytes.withMemoryRebound(to: CChar.self) { clua_load(main, $0.baseAddress, $0.count, name) }
        }
        guard status == LUA_OK else { throw popFailure(main) }
        return LuaReference(self, popping: main)
    }

    /// Runs a compiled script, its globals in `environment` until the next run. Throws as `load`.
    func run(_ compiled: LuaReference, environment: LuaEnvironment, budget: LuaBudget) throws(Failure) {
        begin(budget)
        compiled.push(on: main)
        environment.reference.push(on: main)
        clua_bind(main)
        guard clua_pcall(main, 0, 0) == LUA_OK else { throw popFailure(main) }
    }

    /// Takes the globals away from a compiled script, which then keeps nothing of its last run alive.
    func unbind(_ compiled: LuaReference) {
        lua_checkstack(main, 16)
        compiled.push(on: main)
        lua_pushnil(main)
        clua_bind(main)
        clua_pop(main, 1)
    }

    /// The function of that name in the environment itself; nil when there is none.
    package func function(_ name: String, in environment: LuaEnvironment) -> LuaReference? {
        lua_checkstack(main, 16)
        environment.reference.push(on: main)
        push(text: name, on: main)
        let type = lua_rawget(main, -2)
        lua_rotate(main, -2, -1)
        clua_pop(main, 1)
        guard type == LUA_TFUNCTION else {
            clua_pop(main, 1)
            return nil
        }
        return LuaReference(self, popping: main)
    }

    /// The function of that name in a global table; nil when there is none.
    func function(_ name: String, ofTable table: String, in environment: LuaEnvironment) -> LuaReference? {
        lua_checkstack(main, 16)
        let base = lua_gettop(main)
        defer { lua_settop(main, base) }
        environment.reference.push(on: main)
        push(text: table, on: main)
        guard lua_rawget(main, -2) == LUA_TTABLE else { return nil }
        push(text: name, on: main)
        guard lua_rawget(main, -2) == LUA_TFUNCTION else { return nil }
        return LuaReference(self, popping: main)
    }

    /// The names in a global table that stand for functions and are names of methods; empty when there is no such table.
    func functionNames(ofTable table: String, in environment: LuaEnvironment) -> Set<String> {
        lua_checkstack(main, 16)
        let base = lua_gettop(main)
        defer { lua_settop(main, base) }
        environment.reference.push(on: main)
        push(text: table, on: main)
        guard lua_rawget(main, -2) == LUA_TTABLE else { return [] }
        var names: Set<String> = []
        lua_pushnil(main)
        while lua_next(main, -2) != 0 {
            if lua_type(main, -1) == LUA_TFUNCTION, lua_type(main, -2) == LUA_TSTRING {
                let name = String(decoding: stringBytes(main, -2), as: UTF8.self)
                if LoadedType.isName(name) { names.insert(name) }
            }
            clua_pop(main, 1)
        }
        return names
    }

    /// The plain value of a global in the environment itself; null when there is none.
    package func value(_ name: String, in environment: LuaEnvironment) throws(Failure) -> Value {
        lua_checkstack(main, 16)
        environment.reference.push(on: main)
        push(text: name, on: main)
        lua_rawget(main, -2)
        defer { clua_pop(main, 2) }
        return try readValue(main, -1)
    }

    package func set(_ name: String, _ value: LuaValue, in environment: LuaEnvironment) throws(Failure) {
        lua_checkstack(main, 16)
        environment.reference.push(on: main)
        push(text: name, on: main)
        try push(value, on: main)
        lua_rawset(main, -3)
        clua_pop(main, 1)
    }

    /// Has `("x"):name()` find the functions of a global table: of a state whose scripts all share that environment.
    func setMethodsOfStrings(toTable name: String, in environment: LuaEnvironment) {
        lua_checkstack(main, 16)
        let base = lua_gettop(main)
        defer { lua_settop(main, base) }
        push(text: "", on: main)
        guard lua_getmetatable(main, -1) != 0 else { return }
        push(text: "__index", on: main)
        environment.reference.push(on: main)
        push(text: name, on: main)
        lua_rawget(main, -2)
        lua_rotate(main, -2, -1)
        clua_pop(main, 1)
        lua_rawset(main, -3)
    }

    /// Calls a function to its end. It cannot wait for the host; see `LuaCoroutine` for one that can. May be called from
    /// inside a host function, within the budget of the call under way (`budget` is then only what the results may take).
    /// `lease`: what the results take is put on it before it is there.
    package func call(
        _ function: LuaReference, _ arguments: [LuaValue] = [], budget: LuaBudget = LuaBudget(),
        lease: MemoryLease? = nil
    ) throws(Failure) -> [LuaValue] {
        begin(budget)
        let base = lua_gettop(main)
        defer { lua_settop(main, base) }
        function.push(on: main)
        try push(arguments, on: main)
        guard clua_pcall(main, Int32(arguments.count), LUA_MULTRET) == LUA_OK else { throw popFailure(main) }
        return try readResults(
            main, from: base + 1, outputBytesMax: budget.outputBytesMax, lease: lease, forJSON: true)
    }

    /// Sets the budget for the call that comes; inside another call it stays as it is.
    /// - Parameter usage: what a call that goes on has used so far; nil for one that begins.
    func begin(_ budget: LuaBudget, usage: clua_usage? = nil) {
        freeReleased()
        lua_checkstack(main, 16)
        guard control.pointee.depth == 0 else { return }
        raisedFailure = nil
        control.pointee.instructionsLeft = Int64(budget.instructionsMax)
        // 0 would mean that its time has not begun.
        control.pointee.deadlineNanoseconds = max(1, budget.deadline.uptimeNanoseconds)
        control.pointee.sliceEndNanoseconds = 0
        control.pointee.usage = usage ?? budget.unused
    }

    func freeReleased() {
        for index in released.takeAll() { luaL_unref(main, LuaState.registry, index) }
    }
}
