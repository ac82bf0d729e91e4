// The verbs that every object type has beside its own methods: expire, ttl, drop. They run no script.

/// A type's own method of the same name takes a verb's place.
package enum CommonVerb: String, CaseIterable, Sendable {
    /// `type:expire:object:SECONDS`: the object goes that many seconds from now; 0 never, a negative number now.
    case expire
    /// `type:ttl:object`: the seconds until then; -1 for never.
    case ttl
    /// `type:drop:object`: the object goes now.
    case drop

    /// Writes nothing.
    package var isReadonly: Bool { self == .ttl }

    package var documentation: MethodDocumentation {
        switch self {
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

extension ObjectMachine {
    /// What a verb answers on an object that is there.
    func perform(_ verb: CommonVerb, _ key: ObjectKey, _ type: LoadedType, _ call: ObjectCall) throws(Failure) -> Value
    {
        guard liveObject(key, type) != nil, let at = position(of: key) else { throw noSuchObject(key) }
        switch verb {
        case .drop:
            remove(at: at)
            return .string("SUCCESS")
        case .ttl:
            let expiry = live[at].expiry
            return .int(expiry == 0 ? -1 : Int64(expiry) - Int64(nowSeconds))
        case .expire:
            let words = call.key.arguments + (call.data.map { [$0] } ?? [])
            guard let word = words.first, let seconds = Int64(String(decoding: word, as: UTF8.self)) else {
                throw Failure(
                    .scriptError, "\(key.type):expire:\(key.displayName):SECONDS needs a whole number of seconds")
            }
            if seconds < 0 {
                remove(at: at)
            } else {
                let instant = UInt32(clamping: Int64(nowSeconds).clampedAdding(seconds))
                live[at].expiry = seconds == 0 ? 0 : min(instant, .max - 1)
            }
            return .string("SUCCESS")
        }
    }
}
