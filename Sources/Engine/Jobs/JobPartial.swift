// What a shard's map returns, on its way to the reduce: an aggregate's partial, or plain values of the script's own.

package enum JobPartial: Sendable {
    case aggregate(Partial)
    case value(Value)

    private static let aggregateTag: UInt8 = 1
    private static let valueTag: UInt8 = 2

    package var encoded: [UInt8] {
        switch self {
        case .aggregate(let partial): [Self.aggregateTag] + partial.encoded()
        case .value(let value): [Self.valueTag] + value.messagePack
        }
    }

    /// The bytes come from another node: anything that is no partial is a typed failure.
    package init(decoding bytes: [UInt8]) throws(Failure) {
        switch bytes.first {
        case Self.aggregateTag?: self = .aggregate(try Partial(decoding: Array(bytes.dropFirst())))
        case Self.valueTag?:
            guard let value = Value(messagePack: bytes.dropFirst()) else { throw Self.unreadable }
            self = .value(value)
        default: throw Self.unreadable
        }
    }

    private static let unreadable = Failure(.scriptVersion, "a partial in a version that is not understood")

    /// As far as it shows: of values that a script has made, only its `AnswerNote` knows.
    package var inexactness: Inexactness {
        if case .aggregate(let partial) = self { partial.inexactness } else { Inexactness() }
    }

    func luaValue(_ note: AnswerNote) -> LuaValue {
        switch self {
        case .aggregate(let partial): .object(PartialHandle(partial, note))
        case .value(let value): .plain(value)
        }
    }

    func merged(with other: JobPartial, job: String) throws(Failure) -> JobPartial {
        guard case .aggregate(var mine) = self, case .aggregate(let theirs) = other else {
            throw Failure(
                .scriptError, "job \(job): map returns values of its own, so define reduce(a, b) to merge them")
        }
        try mine.merge(theirs)
        return .aggregate(mine)
    }

    func result() throws(Failure) -> Value {
        switch self {
        case .aggregate(let partial): .array(try ResultSelection(partial).values())
        case .value(let value): value
        }
    }
}
