// The strings of a piece by rank instead of code: what compares as its number does.

/// Of the dictionary of one piece, or of the one that pieces share: that is ranked once.
struct TextRanks {
    /// A rank for each code.
    private(set) var byCode: [Int64] = []
    private var order: [Int] = []
    /// The ranks are of the dictionary that chunks share, which only grows.
    private var areShared = false
    private var dictionary: DictionaryView?
    private let lease: MemoryLease

    init(_ lease: MemoryLease) { self.lease = lease }

    /// Ranks mean something.
    var isKnown: Bool { dictionary != nil }

    /// The text of a rank, while it is known.
    func text(_ rank: Int64) -> UnsafeBufferPointer<UInt8> {
        guard let dictionary else { preconditionFailure("ranks are of a dictionary") }
        return dictionary[order[Int(rank)]]
    }

    /// Does nothing while the last dictionary is not forgotten.
    mutating func learn(_ view: DictionaryView?) throws(Failure) {
        guard dictionary == nil, let view else { return }
        if !(view.isShared && areShared && order.count == view.count) {
            // While they are ordered there are as many once more.
            try lease.take((view.count - order.count) * 16)
            (byCode, order) = ([], [])
            order = view.sortedCodes()
            byCode = [Int64](repeating: 0, count: view.count)
            for (rank, code) in order.enumerated() { byCode[code] = Int64(rank) }
            areShared = view.isShared
        }
        dictionary = view
    }

    mutating func forget() { dictionary = nil }
}

extension Array {
    /// Adds nothings until there are `count`.
    mutating func grow<Wrapped>(to count: Int, _ lease: MemoryLease) throws(Failure) where Element == Wrapped? {
        guard count > self.count else { return }
        try lease.take((count - self.count) * MemoryLayout<Element>.stride)
        reserveCapacity(count)
        append(contentsOf: repeatElement(nil, count: count - self.count))
    }
}
