// What a call asks for: a verb that every type has, a constructor, or a method of the type, and with which arguments.

/// A call whose arguments are as many as it takes.
struct CallTarget {
    enum Kind {
        /// One that every type has, which runs no script.
        case verb(CommonVerb)
        /// It makes the object: with `onlyIfAbsent` not where there is one.
        case constructor(onlyIfAbsent: Bool)
        case method
    }

    let type: LoadedType
    let kind: Kind
    /// The method's name: `new` for a constructor.
    let name: String
    /// None for a verb.
    let method: ReadyMethod
    /// Where the call is counted.
    let meter: MethodMeter?
    /// Those of the key and, as the last one, the data block.
    let arguments: [[UInt8]]

    /// - Throws: `script_error` where there is no such type or method, no object is named, or the arguments are too few or too
    ///   many.
    init(_ call: ObjectCall, in types: LoadedTypes) throws(Failure) {
        let key = call.key
        guard let type = types[key.type] else { throw Failure(.scriptError, "there is no object type '\(key.type)'") }
        let isOwn = type.methods[key.method] != nil
        let verb = isOwn ? nil : CommonVerb(rawValue: key.method)
        guard isOwn || verb != nil else { throw ObjectTypes.noMethod(key, of: type.methods.keys) }
        self.type = type
        if key.method == "new" {
            (kind, name) = (.constructor(onlyIfAbsent: key.onlyIfAbsent), "new")
        } else if let verb {
            (kind, name) = verb.makes ? (.constructor(onlyIfAbsent: true), "new") : (.verb(verb), key.method)
        } else {
            (kind, name) = (.method, key.method)
        }
        method = types.method(name, of: type)
        meter = types.meter(key.method, of: type)
        arguments = key.arguments + (Self.data(of: call, isMethod: isOwn && name != "new").map { [$0] } ?? [])
        let signature = verb?.signature ?? type.signatures[name]
        let prefix = "\(key.type):\(key.method):NAME"
        guard !key.object.isEmpty else {
            throw Failure(
                .scriptError,
                "\(key.type):\(key.method) needs the name of an object: \(signature?.form(prefix) ?? prefix)")
        }
        try signature?.check(arguments.count, prefix: prefix)
    }

    /// The data block where it is an argument: a `set` that makes an object, or calls one of the verbs that every type has,
    /// has to have one, and an empty one says nothing.
    private static func data(of call: ObjectCall, isMethod: Bool) -> [UInt8]? {
        guard let data = call.data, isMethod || !data.isEmpty else { return nil }
        return data
    }
}
