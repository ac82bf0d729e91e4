// What a shard's map returns, on its way to the reduce: an aggregate's partial, or plain values of the script's own.

/// What it takes of memory is on a script's account for as long as it is there.
package enum JobPartial: Sendable {
    case aggregate(Partial)
    case value(LeasedValue)

    private static let aggregateTag: UInt8 = 1
    private static let valueTag: UInt8 = 2

    /// At a pace, and on `lease` before it is there.
    package func encoded(_ pace: WorkPace, _ lease: MemoryLease) throws(Failure) -> [UInt8] {
        switch self {
        case .aggregate(let partial): try partial.encoded(first: Self.aggregateTag, pace, lease)
        case .value(let leased): try leased.value.messagePack(pace, lease: lease, first: Self.valueTag)
        }
    }

    /// The bytes come from another node: anything that is no partial is a typed failure.
    /// Throws `overloaded` or `budget_exceeded` too, when there is no memory for it.
    package init(decoding bytes: [UInt8], _ pace: WorkPace = WorkPace()) throws(Failure) {
        switch bytes.first {
        case Self.aggregateTag?: self = .aggregate(try Partial(decoding: bytes.dropFirst(), pace))
        case Self.valueTag?:
            let lease = pace.share.emptyLease(for: "a node's answer")
            do throws(Failure) {
                let value = try Value(parsingMessagePack: bytes.dropFirst(), lease: lease, pace)
                self = .value(LeasedValue(value, lease))
            } catch {
                throw error.reason == .scriptError ? Self.unreadable : error
            }
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
        case .value(let leased): .plain(leased.value)
        }
    }

    func merged(with other: JobPartial, job: String, _ pace: WorkPace) throws(Failure) -> JobPartial {
        guard case .aggregate(var mine) = self, case .aggregate(let theirs) = other else {
            throw Failure(
                .scriptError, "job \(job): map returns values of its own, so define reduce(a, b) to merge them")
        }
        try mine.merge(theirs, pace)
        return .aggregate(mine)
    }

    func result(_ pace: WorkPace) throws(Failure) -> LeasedValue {
        switch self {
        case .aggregate(let partial): try ResultSelection(partial).values(pace)
        case .value(let leased): leased
        }
    }
}
