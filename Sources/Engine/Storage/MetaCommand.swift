// What the meta commands ask of an item and what they are told: the same for a client on this node and for a peer.

/// Which of a meta command's fields count.
package struct MetaOptions: OptionSet, Sendable, Equatable {
    package let rawValue: UInt16
    package init(rawValue: UInt16) { self.rawValue = rawValue }

    /// v
    package static let wantsValue = MetaOptions(rawValue: 1)
    /// u: reading leaves no trace.
    package static let leavesNoTrace = MetaOptions(rawValue: 1 << 1)
    /// T, where it changes the expiry of what is there.
    package static let touches = MetaOptions(rawValue: 1 << 2)
    /// N: a miss creates the item.
    package static let vivifies = MetaOptions(rawValue: 1 << 3)
    /// R: an item near its end is won by the first who asks.
    package static let recaches = MetaOptions(rawValue: 1 << 4)
    /// C
    package static let comparesUnique = MetaOptions(rawValue: 1 << 5)
    /// E
    package static let setsUnique = MetaOptions(rawValue: 1 << 6)
    /// I
    package static let invalidates = MetaOptions(rawValue: 1 << 7)
    /// x
    package static let removesValue = MetaOptions(rawValue: 1 << 8)
    /// l: from now on the item's last access is kept to the second.
    package static let keepsAccess = MetaOptions(rawValue: 1 << 9)
    /// R came after T: it looks at the expiry that T gives.
    package static let recachesTouched = MetaOptions(rawValue: 1 << 10)
    /// Of no letter: a set that can't be stored leaves what is there. Those of memcached's clients remove it.
    package static let keepsWhatIsThere = MetaOptions(rawValue: 1 << 11)
}

/// One meta command on one key.
package struct MetaCommand: Sendable, Equatable {
    package enum Verb: UInt8, Sendable { case get, set, delete, increment, decrement, inspect }

    package var verb: Verb
    package var options: MetaOptions = []
    /// For `set`; never `cas`, which `comparesUnique` makes of set and replace.
    package var storeVerb = StoreVerb.set
    package var flags: UInt32 = 0
    package var expiry = Expiry.never
    package var vivifyExpiry = Expiry.never
    package var recacheExpiry = Expiry.never
    package var unique: UInt64 = 0
    package var newUnique: UInt64 = 0
    package var delta: UInt64 = 1
    package var initial: UInt64 = 0

    package init(_ verb: Verb) { self.verb = verb }
}

package enum MetaStatus: UInt8, Sendable, CaseIterable {
    /// Done, or found.
    case found
    case miss, notStored, exists, notANumber, tooLarge, outOfMemory
}

/// What a meta command may tell of an item.
package struct MetaFacts: Sendable, Equatable {
    package var valueBytes = 0
    package var flags: UInt32 = 0
    /// As it was when the command came, and as it is now.
    package var expiryBefore = Expiry.never
    package var expiry = Expiry.never
    package var unique: UInt64 = 0
    /// Read since it was stored, before this command.
    package var wasRead = false
    /// Since the last access before this command, as far as is known (see `StoreTimes`); since it was stored at most.
    package var idleSeconds: UInt32 = 0
    package var isStale = false
    /// This command won the right to replace the item, or created it.
    package var hasWon = false
    /// Another one had won it before.
    package var wasWonBefore = false
    /// Header, key and value as stored.
    package var totalBytes = 0

    package init() {}
}

package struct MetaAnswer: Sendable, Equatable {
    package var status = MetaStatus.miss
    package var facts = MetaFacts()
    /// Empty unless it was asked for.
    package var value: [UInt8] = []

    package init() {}
}

extension MetaCommand {
    /// The C of a get: the client has the value of this unique and wants another one only.
    package var knownUnique: UInt64? { verb == .get && options.contains(.comparesUnique) ? unique : nil }
}
