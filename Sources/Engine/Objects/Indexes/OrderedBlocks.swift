// Elements in order, in blocks of a few hundred: found, added and taken out by halving, a block's elements moved at most.

/// No two elements are equal: of any two, one precedes the other. Cost of a change: about log2(n) comparisons and half a block
/// moved, some 100 ns for a million numbers. Memory: 1.5 times the elements.
package struct OrderedBlocks<Element> {
    package typealias Order = (Element, Element) -> Bool

    private static var blockCountMax: Int { 256 }

    /// None is empty.
    private(set) var blocks: [[Element]] = []
    package private(set) var count = 0

    package init() {}

    package mutating func insert(_ element: Element, by precedes: Order) {
        count += 1
        guard !blocks.isEmpty else {
            blocks.append([element])
            return
        }
        let at = block(of: element, by: precedes)
        blocks[at].insert(element, at: Self.position(of: element, in: blocks[at], by: precedes))
        if blocks[at].count > Self.blockCountMax { split(at) }
    }

    /// Takes out the element that neither precedes this one nor follows it. False when there is none.
    @discardableResult
    package mutating func remove(_ element: Element, by precedes: Order) -> Bool {
        guard !blocks.isEmpty else { return false }
        let at = block(of: element, by: precedes)
        let position = Self.position(of: element, in: blocks[at], by: precedes)
        guard position < blocks[at].count, !precedes(element, blocks[at][position]) else { return false }
        blocks[at].remove(at: position)
        count -= 1
        if blocks[at].isEmpty { blocks.remove(at: at) }
        return true
    }

    mutating func removeAll() {
        blocks = []
        count = 0
    }

    var first: Element? { blocks.first?.first }

    /// From the last to the first, until `body` says false.
    package func forEachFromLast(_ body: (Element) -> Bool) {
        for block in blocks.reversed() {
            for element in block.reversed() { guard body(element) else { return } }
        }
    }

    /// Those that `isBelow` is false for, which it is for all from some element on.
    package func count(notBelow isBelow: (Element) -> Bool) -> Int {
        var found = 0
        for block in blocks.reversed() {
            guard isBelow(block[0]) else {
                found += block.count
                continue
            }
            return found + block.count - partitionPoint(block.count) { isBelow(block[$0]) }
        }
        return found
    }

    // MARK: Inside

    /// The last block whose first element does not follow; the first one for what comes before all.
    private func block(of element: Element, by precedes: Order) -> Int {
        max(0, partitionPoint(blocks.count) { !precedes(element, blocks[$0][0]) } - 1)
    }

    private static func position(of element: Element, in block: [Element], by precedes: Order) -> Int {
        partitionPoint(block.count) { precedes(block[$0], element) }
    }

    private mutating func split(_ at: Int) {
        let half = blocks[at].count / 2
        blocks.insert(Array(blocks[at][half...]), at: at + 1)
        blocks[at].removeSubrange(half...)
    }

    /// For tests: the order holds, no block is empty or too long, the count is right.
    package func checkInvariants(by precedes: Order) {
        let all = blocks.flatMap { $0 }
        precondition(all.count == count)
        precondition(blocks.allSatisfy { !$0.isEmpty && $0.count <= Self.blockCountMax })
        for (one, next) in zip(all, all.dropFirst()) { precondition(precedes(one, next)) }
    }
}
