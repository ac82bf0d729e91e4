// An error as JSON has it, in envelopes and over HTTP.

package import Engine

extension Value {
    /// `{reason, message}`, and `stack` where there is one: an error as JSON has it.
    package static func error(reason: String, message: String, stack: [String]) -> Value {
        var pairs = [Pair(.string("reason"), .string(reason)), Pair(.string("message"), .string(message))]
        if !stack.isEmpty { pairs.append(Pair(.string("stack"), .array(stack.map { .string($0) }))) }
        return .map(pairs)
    }
}
