// Generated streams of the binary protocol, the same in every run.

import Testing

@Suite struct BinaryFuzzTests {
    @Test("sound requests and lying ones answer the same however they are cut", arguments: 0..<8)
    func generated(_ seed: Int) {
        var random = SeededRandom(UInt64(seed) + 40)
        for round in 0..<60 {
            // An odd mode makes requests of the input, an even one sends it behind the protocol's first byte.
            var input: [UInt8] = [round % 6 == 0 ? 64 : 65 + 2 * UInt8(round % 5), UInt8(round)]
            for _ in 0..<100 + random.below(500) { input.append(UInt8(random.below(256))) }
            let problem = SessionFuzz.run(input)
            #expect(problem == nil, "seed \(seed), round \(round)")
        }
    }
}
