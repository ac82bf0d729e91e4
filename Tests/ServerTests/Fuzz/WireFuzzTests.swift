// Messages as nodes send them today, changed at random, the same ones each time.

import Testing

@Suite struct WireFuzzTests {
    @Test("a message of each kind is understood, and what is made of it by a few changed bytes is one again, or none")
    func changed() {
        var generator = SeededRandom(8)
        for sample in WireSamples.all.indices {
            for round in 0..<200 {
                let changes = (0..<(round % 7) * 3).map { _ in UInt8.random(in: 0...255, using: &generator) }
                let problem = WireFuzz.run([150, UInt8(sample)] + changes)
                #expect(problem == nil, "\(sample) \(changes)")
            }
        }
    }
}
