// Rows by group and bin: what histograms are made of.

// Unsafe: counts in memory by group and bin, at places below the size it was grown to.

/// A value belongs to the bin whose number is the number of edges that are not above it.
final class HistogramCounts: Accumulator {
    private let slot: Int
    private let edges: [Int64]
    private let counts: GroupArray<UInt64>
    /// The bins of the codes of one byte, and what those codes mean.
    private var bins: [Int] = []
    private var meaning: (base: Int64, scale: Int64)?

    init(slot: Int, edges: [Int64], _ lease: MemoryLease) {
        self.slot = slot
        self.edges = edges
        counts = GroupArray(identity: 0, lease)
    }

    private var binCount: Int { edges.count + 1 }

    /// Adds a group's counts, one for each bin.
    func append(countsOf group: Int, to list: inout [Int64]) {
        for bin in 0..<binCount { list.append(Int64(counts[group * binCount + bin])) }
    }

    func add(_ reader: BlockReader, _ ids: GroupIDs, groups: Int) throws(Failure) {
        try counts.grow(to: groups * binCount)
        let vector = try reader.vector(slot)
        if case .bytes(let codes) = vector.elements {
            learnBins(of: vector)
            bins.withUnsafeBufferPointer { bins in
                count(vector, reader.count, ids) { bins[Int(codes[$0])] }
            }
        } else {
            edges.withUnsafeBufferPointer { edges in
                count(vector, reader.count, ids) { Self.bin(of: vector.key(at: $0), edges) }
            }
        }
    }

    @inline(__always)
    private func count(_ vector: BlockVector, _ rowCount: Int, _ ids: GroupIDs, _ bin: (Int) -> Int) {
        let (counts, binCount) = (counts.start, binCount)
        vector.nulls.forEachGap(below: rowCount) { range in
            for at in range { counts[ids[at] &* binCount &+ bin(at)] &+= 1 }
        }
    }

    private func learnBins(of vector: BlockVector) {
        if let meaning, meaning == (vector.base, vector.scale) { return }
        meaning = (vector.base, vector.scale)
        edges.withUnsafeBufferPointer { edges in
            bins = (0...255).map { Self.bin(of: vector.base &+ vector.scale &* Int64($0), edges) }
        }
    }

    @inline(__always)
    private static func bin(of key: Int64, _ edges: UnsafeBufferPointer<Int64>) -> Int {
        partitionPoint(edges.count) { edges[$0] <= key }
    }
}
