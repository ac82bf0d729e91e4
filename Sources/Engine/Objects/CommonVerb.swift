// The verbs that every object type has beside its own methods: create and add, which run `new` where there is no object, and
// expire, ttl, drop, which run no script.

/// A type's own method of the same name takes a verb's place.
package enum CommonVerb: String, CaseIterable, Sendable {
    /// `type:create:object[:ARGUMENT…]`: makes the object where there is none; CREATED, or EXISTS.
    case create
    /// The same, for types that have no `add` of their own.
    case add
    /// `type:expire:object:SECONDS`: the object goes that many seconds from now; 0 never, a negative number now.
    case expire
    /// `type:ttl:object`: the seconds until then; -1 for never.
    case ttl
    /// `type:drop:object`: the object goes now.
    case drop

    /// Runs `new`, where there is no object.
    var makes: Bool { self == .create || self == .add }

    /// Nil for those that take what `new` takes.
    package var signature: MethodSignature? {
        switch self {
        case .create, .add: nil
        case .expire: MethodSignature(parameters: ["seconds"], least: 1)
        case .ttl, .drop: MethodSignature()
        }
    }

    /// Writes nothing.
    package var isReadonly: Bool { self == .ttl }

    package var documentation: MethodDocumentation {
        switch self {
        case .create, .add:
            MethodDocumentation(
                name: rawValue, arguments: [],
                about: "Makes the object as new does, but only where there is none: CREATED, or EXISTS.")
        case .expire:
            MethodDocumentation(
                name: rawValue, arguments: ["seconds"],
                about: "The object goes that many seconds from now; 0: it stays.")
        case .ttl:
            MethodDocumentation(
                name: rawValue, arguments: [], about: "The seconds until the object goes; -1 where it stays.")
        case .drop: MethodDocumentation(name: rawValue, arguments: [], about: "The object goes now.")
        }
    }
}

extension ShardObjects {
    /// What a verb answers on an object that is there. `words`: its arguments.
    func perform(
        _ verb: CommonVerb, on key: ObjectKey, _ type: LoadedType, _ words: [[UInt8]], now: UInt32
    ) throws(Failure) -> Value {
        guard use(key, type) != nil, let at = position(of: key) else { throw ObjectMachine.noSuchObject(key) }
        switch verb {
        case .create, .add: preconditionFailure("what makes an object is no verb by then")
        case .drop:
            remove(at: at)
            return .string("SUCCESS")
        case .ttl:
            let expiry = expiry(at: at)
            return .int(expiry.remaining(at: now) ?? -1)
        case .expire:
            let text = words.first.map { String(decoding: $0, as: UTF8.self) } ?? ""
            let most = Int64(UInt32.max) - 1 - Int64(now)
            guard !text.hasPrefix("+"), let seconds = Int64(text), seconds <= most else {
                throw Failure(
                    .scriptError,
                    "\(key.type):expire:NAME:SECONDS needs a whole number of seconds, at most \(most), "
                        + "not '\(text.prefix(40))'")
            }
            if seconds < 0 {
                remove(at: at)
            } else {
                setExpiry(at: at, seconds == 0 ? .never : Expiry(seconds: seconds, after: now))
            }
            return .string("SUCCESS")
        }
    }
}
