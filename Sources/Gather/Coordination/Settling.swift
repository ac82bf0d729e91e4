// The first moments of a node: what it does not know yet, another one may.

/// Until a node has heard from every peer that can be reached, for a second at most, it can't say that something is not there.
package struct Settling: Sendable {
    package static let milliseconds = 1_000

    private var awaited: Set<String>
    private let end: Instant

    package init(peers: some Sequence<String>, now: Instant) {
        awaited = Set(peers)
        end = now.adding(milliseconds: Self.milliseconds)
    }

    /// It has told what it knows, or can't be reached.
    package mutating func settled(with peer: String) { awaited.remove(peer) }

    /// Those that are still to be heard from; none once it is over.
    package func awaited(now: Instant) -> [String] { now < end ? awaited.sorted() : [] }
}
