// What one peer has been told of what this node knows, and how much of what it knows has been taken in here.

/// For one peer, whichever run of it is there. Each side counts the changes of its registry and names in every message how many
/// of the other's it has; so nothing is told twice that has arrived, and what was lost on its way is told again.
package struct PeerNews: Sendable {
    /// What a message says of itself.
    package struct Heading: Sendable, Equatable {
        /// The speaker's, and that of the listener which `heard` is about; nil before it has been heard of.
        package var run: UInt64
        package var to: UInt64?
        /// The message has all that changed between these versions of the speaker's registry; from 0 on, all that there is.
        package var since: UInt64
        package var until: UInt64
        /// The version of the listener's registry that the speaker has taken in.
        package var heard: UInt64
        /// Of the speaker's registry.
        package var digest: UInt64

        package init(run: UInt64, to: UInt64?, since: UInt64, until: UInt64, heard: UInt64, digest: UInt64) {
            self.run = run
            self.to = to
            self.since = since
            self.until = until
            self.heard = heard
            self.digest = digest
        }
    }

    private var run: UInt64?
    private var told: UInt64 = 0
    private var heard: UInt64 = 0
    /// Whether all that this run of the peer knew at some time has been taken in.
    package private(set) var hasHeardAll = false
    /// Both versions when the last message was taken in.
    private var last: (own: UInt64, theirs: UInt64)?

    package init() {}

    /// Of the next message to the peer.
    package func heading(of registry: Registry, digest: UInt64) -> Heading {
        // More than there is was told by nobody.
        Heading(
            run: registry.run, to: run, since: told <= registry.version ? told : 0, until: registry.version,
            heard: heard, digest: digest)
    }

    /// After what the message says was taken into the registry.
    package mutating func received(_ heading: Heading, in registry: Registry, digest: UInt64) {
        if heading.run != run {
            self = PeerNews()
            run = heading.run
        }
        told = heading.to == registry.run ? heading.heard : 0
        if heading.since <= heard {
            heard = max(heard, heading.until)
            hasHeardAll = true
        }
        // Nothing new on either side, and yet not the same: whatever was missed, all of it is to be told once more.
        if let last, heading.digest != digest, last == (registry.version, heading.until) { heard = 0 }
        last = (registry.version, heading.until)
    }

    /// All of it is to be told again.
    package mutating func forget() { heard = 0 }
}
