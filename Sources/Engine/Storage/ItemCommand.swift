// What can be asked of a plain item, and what it answers: the same for a client on this node and for a forwarded request.

package enum StoreVerb: UInt8, Sendable, CaseIterable { case set, add, replace, append, prepend, cas }

package enum ArithmeticVerb: UInt8, Sendable { case increment, decrement }

/// One operation on one key.
package enum ItemCommand: Sendable, Equatable {
    case get
    case getAndTouch(expiry: Expiry)
    case store(StoreVerb, flags: UInt32, expiry: Expiry, cas: UInt64, value: [UInt8])
    case delete
    case arithmetic(ArithmeticVerb, delta: UInt64)
    case touch(expiry: Expiry)
    /// A meta command; `value` is the data block of a set.
    case meta(MetaCommand, value: [UInt8])
}

package enum ItemOutcome: Sendable, Equatable {
    case value(flags: UInt32, cas: UInt64, bytes: [UInt8])
    /// get, gat: nothing there.
    case miss
    case stored
    /// add, replace, append, prepend: the condition did not hold.
    case notStored
    /// cas: another value was stored since.
    case exists
    /// delete, touch, incr, decr, cas: nothing there.
    case notFound
    case deleted
    case touched
    case number(UInt64)
    /// incr, decr on a value that is no unsigned 64-bit decimal.
    case notANumber
    /// The item is larger than an item may be.
    case tooLarge
    /// Nothing could be evicted to make room.
    case outOfMemory
    case meta(MetaAnswer)
    case failed(Failure)
}
