// When items were stored, from the uniques they were given: one mark for each second with a store, no byte for each item.

/// Uniques of one store rise, so the second of a store follows from its unique. Marks are thinned out when there are many:
/// the older half then keeps every other one, and old items look a little older than they are.
struct StoreTimes {
    static let marksMax = 4096

    private var uniques: [UInt64] = []
    private var seconds: [UInt32] = []
    private var lastSecond: UInt32 = 0

    /// Cost: a comparison, but for the first store of a second.
    @inline(__always)
    mutating func note(unique: UInt64, second: UInt32) {
        if second != lastSecond { mark(unique, second) }
    }

    /// The second of the store that got this unique, or an earlier one; nil when none was noted. Cost: a binary search.
    func second(ofUnique unique: UInt64) -> UInt32? {
        let noted = partitionPoint(uniques.count) { uniques[$0] <= unique }
        return noted == 0 ? nil : seconds[noted - 1]
    }

    @inline(never)
    private mutating func mark(_ unique: UInt64, _ second: UInt32) {
        lastSecond = second
        // Uniques have started again from 1: what was noted would no longer be in order.
        if let last = uniques.last, last >= unique {
            uniques.removeAll()
            seconds.removeAll()
        }
        if uniques.count == Self.marksMax { thinOut() }
        uniques.append(unique)
        seconds.append(second)
    }

    private mutating func thinOut() {
        let half = Self.marksMax / 2
        let kept = Array(stride(from: 0, to: half, by: 2)) + Array(half..<Self.marksMax)
        uniques = kept.map { uniques[$0] }
        seconds = kept.map { seconds[$0] }
    }
}
