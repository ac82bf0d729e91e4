// Ordered blocks against a sorted array.

import Engine
import Testing

@Suite struct OrderedBlocksTests {
    private struct Numbers {
        var state: UInt64
        mutating func next(below bound: UInt64) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int((state >> 33) % bound)
        }
    }

    @Test("any sequence of insertions and removals leaves what a sorted array holds", arguments: [1, 7, 42, 1_000])
    func model(seed: UInt64) {
        var random = Numbers(state: seed)
        var blocks = OrderedBlocks<Int>()
        var model: Set<Int> = []
        for step in 0..<6_000 {
            let number = random.next(below: 4_000)
            // First it grows, then it shrinks.
            if random.next(below: 10) < (step < 3_500 ? 8 : 2), !model.contains(number) {
                blocks.insert(number, by: <)
                model.insert(number)
            } else {
                #expect(blocks.remove(number, by: <) == (model.remove(number) != nil))
            }
            guard step % 250 == 249 else { continue }
            blocks.checkInvariants(by: <)
            let sorted = model.sorted()
            var all: [Int] = []
            blocks.forEachFromLast {
                all.append($0)
                return true
            }
            #expect(all == sorted.reversed())
            let least = random.next(below: 4_000)
            #expect(blocks.count { $0 < least } == sorted.count { $0 >= least })
        }
    }
}
