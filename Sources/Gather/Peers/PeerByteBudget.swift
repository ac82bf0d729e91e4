// What all peer connections of a node together may hold: frames that are not whole, requests at work, replies not taken.

import Synchronization

package final class PeerByteBudget: Sendable {
    /// What a connection may always have, so that none is starved by the others.
    package static let smallShareBytes = 256 << 10

    private let bytesMax: Int
    private let bytes = Atomic<Int>(0)

    package init(bytesMax: Int = 256 << 20) { self.bytesMax = bytesMax }

    package var heldBytes: Int { bytes.load(ordering: .relaxed) }

    /// Whether a connection that holds `share` may take on more.
    package func hasRoom(besides share: Int) -> Bool {
        share < Self.smallShareBytes || bytes.load(ordering: .relaxed) < bytesMax
    }

    /// Beyond what stopping to read could have kept: half as much again.
    package var isExceeded: Bool { bytes.load(ordering: .relaxed) > bytesMax + bytesMax / 2 }

    package func replace(_ share: inout Int, with bytes: Int) {
        guard bytes != share else { return }
        self.bytes.wrappingAdd(bytes - share, ordering: .relaxed)
        share = bytes
    }
}
