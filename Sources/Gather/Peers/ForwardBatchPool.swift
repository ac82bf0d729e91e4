// Batches that are written again once nobody holds them any more: a turn of a session needs one for each node it asks.

/// Of one loop, on its thread. Cost: no allocation while as many of a turn's batches as it keeps are done with.
struct ForwardBatchPool {
    /// Some turns of the sessions of a loop.
    private static let countMax = 64
    /// One that grew beyond this is not kept, in bytes.
    private static let bytesKept = 16 << 10

    private var batches: [ForwardBatch] = []
    /// The one that was handed out the longest ago.
    private var at = 0

    mutating func batch(to node: Int, sink: any ForwardSink) -> ForwardBatch {
        guard batches.count == Self.countMax else {
            let batch = ForwardBatch(node: node, sink: sink)
            batches.append(batch)
            return batch
        }
        defer { at = (at + 1) % Self.countMax }
        if isKnownUniquelyReferenced(&batches[at]), batches[at].capacity <= Self.bytesKept {
            batches[at].begin(node: node, sink: sink)
        } else {
            batches[at] = ForwardBatch(node: node, sink: sink)
        }
        return batches[at]
    }
}
