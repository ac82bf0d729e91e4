// The peer connection's state machines under random events, the same ones each time.

import Testing

@Suite struct PeersFuzzTests {
    private struct Generator: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return state ^ state >> 29
        }
    }

    @Test(
        "whatever comes in whatever order, a link stays sound, a stranger is never taken, bounds hold",
        arguments: 0..<16)
    func random(_ seed: Int) {
        var generator = Generator(state: UInt64(seed) &* 0x9E37_79B9_7F4A_7C15)
        for round in 0..<250 {
            var input = [UInt8(truncatingIfNeeded: round)]
            for _ in 0..<Int.random(in: 0..<600, using: &generator) {
                // Small bytes too: they choose, and few choices are many.
                input.append(UInt8.random(in: 0...(round % 2 == 0 ? 255 : 15), using: &generator))
            }
            let problem = PeersFuzz.run(input)
            #expect(problem == nil, "\(input)")
        }
    }
}
