// What happens in a node without anybody asking for it, for whoever listens: items that go, jobs that end.

import Synchronization

package enum NodeEvent: Sendable {
    /// An item went to make room.
    case evicted(key: [UInt8], wasRead: Bool, bytes: Int)
    /// A job that this node coordinated. `reason`: of an error, else empty.
    case jobEnded(name: String, status: String, reason: String, nanoseconds: UInt64)
}

package final class NodeEvents: Sendable {
    private let isHeard = Atomic<Bool>(false)
    private let listener = Mutex<(@Sendable (NodeEvent) -> Void)?>(nil)

    package init() {}

    /// From now on, and for good; in place of an earlier one. It may be called under a store's lock: it must not ask for anything.
    package func listen(_ body: @escaping @Sendable (NodeEvent) -> Void) {
        listener.withLock { $0 = body }
        isHeard.store(true, ordering: .relaxed)
    }

    /// Cost: one load while nobody has ever listened.
    @inline(__always)
    package func tell(_ event: @autoclosure () -> NodeEvent) {
        if isHeard.load(ordering: .relaxed) { listener.withLock { $0 }?(event()) }
    }
}
