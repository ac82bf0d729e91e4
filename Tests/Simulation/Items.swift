// What plain keys may answer: the writes that each key may have last, by when they were sent, acknowledged, and over.

import Gather

/// One write of one key.
final class ItemWrite {
    let value: String
    let sent: UInt64
    /// From then on it can't happen any more: its answer, or the end of its time by its sender's clock.
    var over: UInt64 = .max
    var isAcknowledged = false

    init(_ value: String, sent: UInt64) {
        self.value = value
        self.sent = sent
    }
}

/// One key, and the node that has it. One client at a time writes it, so that its writes have an order.
final class ItemHistory {
    let key: String
    let owner: SimulatedNode
    private var writes: [ItemWrite] = []
    var isBeingWritten = false

    init(_ key: String, owner: SimulatedNode) {
        self.key = key
        self.owner = owner
    }

    func begin(_ write: ItemWrite) { writes.append(write) }

    /// Writes that were overwritten for certain, and that no read which is under way can have seen, are let go of.
    func forget(before time: UInt64) {
        guard let last = writes.last(where: \.isAcknowledged) else { return }
        writes.removeAll { $0 !== last && $0.over < last.sent && last.over < time }
    }

    /// Why this answer to a read is impossible; nil when it is not.
    func problem(with value: String?, from begin: UInt64, to end: UInt64) -> String? {
        // What its owner had before it was restarted is gone.
        let restart = owner.ends.last { $0 <= begin } ?? 0
        let acknowledged = writes.last { $0.isAcknowledged && $0.over <= begin }
        guard let value else {
            guard let acknowledged else { return nil }
            if owner.ends.contains(where: { $0 >= acknowledged.sent && $0 <= end }) { return nil }
            return "a miss, although \(acknowledged.value) was stored, and its node has run since"
        }
        guard let write = writes.first(where: { $0.value == value }) else {
            return "\(value), which was overwritten or never written"
        }
        if write.over < restart { return "\(value), which was lost with its node" }
        if let acknowledged, write.over < acknowledged.sent {
            return "\(value), although \(acknowledged.value) was acknowledged after it was over"
        }
        return write.sent <= end ? nil : "\(value), which is not written yet"
    }
}
