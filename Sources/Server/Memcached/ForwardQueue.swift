// What a turn of a session asks of other nodes: a message for each, that leaves at the turn's end or when it is full.
//
// Unsafe: keys and values are raw buffers into the input; messages copy them.

import Engine
import Gather

/// One thread at a time.
final class ForwardQueue<Routing: CommandRouter> {
    private let context: SessionContext<Routing>
    private let replies: ReplyQueue
    /// One at most for each node; empty between turns.
    private var batches: [ForwardBatch] = []
    /// Whom they go to: looked at for each command, without counting references.
    private var nodes: [Int] = []

    init(_ context: SessionContext<Routing>, replies: ReplyQueue) {
        self.context = context
        self.replies = replies
    }

    /// The message to a node that a command with so many bytes besides its key goes into.
    private func batch(to node: Int, valueBytes: Int) -> ForwardBatch {
        if let at = nodes.firstIndex(of: node) {
            let batch = batches[at]
            guard batch.isFull(for: valueBytes) else { return batch }
            batches.remove(at: at)
            nodes.remove(at: at)
            context.router.send(batch, links: context.links)
        }
        let batch =
            context.links?.batch(to: node, sink: context.inbox) ?? ForwardBatch(node: node, sink: context.inbox)
        batches.append(batch)
        nodes.append(node)
        return batch
    }

    /// What other nodes are asked in this turn leaves. Before anything else is asked of them: they get it in its order.
    func send() {
        guard !batches.isEmpty else { return }
        for batch in batches { context.router.send(batch, links: context.links) }
        batches.removeAll(keepingCapacity: true)
        nodes.removeAll(keepingCapacity: true)
    }

    /// `valueBytes`: of the value that goes with it, and is kept until it is answered.
    func add(
        _ command: ItemCommand, _ key: UnsafeRawBufferPointer, _ place: Place, _ reply: PendingReply,
        valueBytes: Int = 0
    ) {
        context.counters.add(.forwards)
        let slot = replies.openSlot(reply, valueBytes: valueBytes)
        _ = batch(to: place.node, valueBytes: valueBytes).add(command, key: key, in: place.partition, tag: slot)
    }

    /// A get, or a call of a method that gets no data.
    func addRetrieval(
        _ key: UnsafeRawBufferPointer, _ place: Place, isMethod: Bool, answersUnique: Bool, isAlone: Bool,
        binary: BinaryEcho? = nil
    ) {
        context.counters.add(isMethod ? .virtualCalls : .forwards)
        let batch = batch(to: place.node, valueBytes: 0)
        let tag = replies.nextSlot
        let keyAt =
            isMethod
            ? batch.add(method: key, in: place.partition, tag: tag) : batch.add(get: key, in: place.partition, tag: tag)
        let forwarded = PendingSlot.Forwarded(
            batch: batch, keyAt: keyAt, keyBytes: UInt8(truncatingIfNeeded: key.count), answersUnique: answersUnique,
            isAlone: isAlone, binary: binary)
        let slot = replies.openSlot(forwarded, isCall: isMethod)
        assert(slot == tag)
    }

    func addSet(
        _ key: UnsafeRawBufferPointer, _ place: Place, flags: UInt32, expiry: Expiry, value: UnsafeRawBufferPointer,
        isSilent: Bool
    ) {
        context.counters.add(.forwards)
        let slot = replies.openSlot(
            isSilent ? .silent(.store(.set)) : .line(.store(.set)), valueBytes: value.count)
        batch(to: place.node, valueBytes: value.count)
            .add(set: key, in: place.partition, flags: flags, expiry: expiry, value: value, tag: slot)
    }

    /// A call of a method that any node may answer.
    func addCall(_ key: VirtualKey, data: [UInt8]?, _ place: Place, _ reply: PendingReply) {
        let slot = replies.openSlot(reply, valueBytes: data?.count ?? 0, isCall: true)
        batch(to: place.node, valueBytes: data?.count ?? 0)
            .add(key, in: place.partition, data: data, tag: slot)
    }
}
