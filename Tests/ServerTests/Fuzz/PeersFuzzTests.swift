// The peer connection's state machines under random events, the same ones each time.

import Testing

@Suite struct PeersFuzzTests {
    @Test(
        "whatever comes in whatever order, a link stays sound, a stranger is never taken, bounds hold",
        arguments: 0..<16)
    func random(_ seed: Int) {
        var generator = SeededRandom(UInt64(seed))
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
