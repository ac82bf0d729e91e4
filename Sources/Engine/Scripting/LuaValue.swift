// What crosses between Lua and Swift: plain data, host objects, functions, and tables that hold some of these.

/// A Swift object that scripts hold and call methods on (`object:method(…)`). It lives as long as Lua can reach it.
package protocol LuaHostObject: AnyObject, SendableMetatype {
    /// What error messages call it. Unique: method tables are kept by this name.
    static var luaTypeName: String { get }
    static var luaMethods: [String: LuaMethod] { get }
    /// What a handle to it counts as, about, in the memory that its state may use; asked for once.
    var hostBytes: Int { get }
    /// What it has leased besides, and gives back once it is collected: the more, the sooner Lua collects its garbage. Asked
    /// for once.
    var leasedBytes: Int { get }
}

extension LuaHostObject {
    package var hostBytes: Int { LuaState.objectBytes }
    package var leasedBytes: Int { 0 }
}

extension LuaState {
    /// A host object that holds next to nothing.
    static let objectBytes = 256
}

/// A method of a host object; see `LuaHostObject.luaMethods`.
package struct LuaMethod: Sendable {
    let call: @Sendable (any LuaHostObject, [LuaValue], LuaState) throws(Failure) -> LuaResult

    /// `body` gets the object before the colon and the arguments in the parentheses, as many as `form` has.
    package init<Object: LuaHostObject>(
        _ type: Object.Type, _ form: LuaForm = .any,
        _ body: @escaping @Sendable (Object, [LuaValue]) throws(Failure) -> LuaResult
    ) {
        self.init(type, form, inState: { (object, arguments, _) throws(Failure) in try body(object, arguments) })
    }

    /// The same for what may take long, or memory: `body` also gets a pace within the budget of the call under way.
    init<Object: LuaHostObject>(
        _ type: Object.Type, _ form: LuaForm = .any,
        _ body: @escaping @Sendable (Object, [LuaValue], WorkPace) throws(Failure) -> LuaResult
    ) {
        self.init(
            type, form,
            inState: { (object, arguments, state) throws(Failure) in
                try body(object, arguments, state.pace())
            })
    }

    private init<Object: LuaHostObject>(
        _: Object.Type, _ form: LuaForm,
        inState body: @escaping @Sendable (Object, [LuaValue], LuaState) throws(Failure) -> LuaResult
    ) {
        call = { @Sendable (object, arguments, state) throws(Failure) in
            try form.check(arguments.count)
            guard let object = object as? Object else {
                throw Failure(.scriptError, "called on a \(type(of: object).luaTypeName), write object:method(…)")
            }
            return try body(object, arguments, state)
        }
    }
}

/// An argument or a result.
package indirect enum LuaValue {
    case plain(Value)
    case object(any LuaHostObject)
    case function(LuaReference)
    /// A table that holds host objects or functions, keys sorted as in `Value.map`. One without them is `plain`.
    case table([(key: Value, value: LuaValue)])

    /// The plain data; nil for the rest.
    package var plain: Value? {
        guard case .plain(let value) = self else { return nil }
        return value
    }

    package func object<Object: LuaHostObject>(as _: Object.Type) -> Object? {
        guard case .object(let object) = self else { return nil }
        return object as? Object
    }
}

/// What a host function or method gives back to the script.
package enum LuaResult {
    case values([Value])
    /// The same, on a lease until they are Lua's.
    case leased([Value], MemoryLease?)
    /// A host object; giving back the same object again makes a new handle to it.
    case object(any LuaHostObject)
    /// The handle that the method was called on, for chains of calls.
    case receiver
    /// Suspends the coroutine; the values it is resumed with become the function's results. The tag and the values
    /// reach whoever resumed it.
    case yield(String, [Value])

    package static var nothing: LuaResult { .values([]) }
    package static func value(_ value: Value) -> LuaResult { .values([value]) }
}

extension [LuaValue] {
    /// All of them as plain data.
    package func plain(in function: String) throws(Failure) -> [Value] {
        var values: [Value] = []
        for (index, argument) in enumerated() {
            guard let value = argument.plain else {
                throw Failure(.scriptError, "argument \(index + 1) of \(function) must be plain data")
            }
            values.append(value)
        }
        return values
    }
}
