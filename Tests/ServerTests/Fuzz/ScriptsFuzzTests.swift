// Some hundreds of generated Lua programs, the same in every run.

import Engine
import Synchronization
import Testing

@Suite struct ScriptsFuzzTests {
    @Test("generated scripts end by their deadline, and their state works on")
    func generated() {
        var random = SplitMix64(seed: 0x5EED)
        for program in 0..<300 {
            let input = (0..<40 + program % 400).map { _ in UInt8.random(in: 0...255, using: &random) }
            let problem = ScriptsFuzz.run(input)
            #expect(problem == nil, "program \(program)")
        }
        // They are of all kinds: some come to their end, some are stopped, some fail by themselves.
        let outcomes = ScriptsFuzz.outcomes.withLock { $0 }
        #expect(outcomes.returned > 60, "\(outcomes.line)")
        #expect(outcomes.uncompiled < outcomes.programs / 10, "\(outcomes.line)")
        #expect(outcomes.reasons[Reason.scriptError.rawValue, default: 0] > 20, "\(outcomes.line)")
        #expect(outcomes.reasons[Reason.budgetExceeded.rawValue, default: 0] > 20, "\(outcomes.line)")
    }
}

private struct SplitMix64: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var bits = state
        bits = (bits ^ (bits >> 30)) &* 0xBF58_476D_1CE4_E5B9
        bits = (bits ^ (bits >> 27)) &* 0x94D0_49BB_1331_11EB
        return bits ^ (bits >> 31)
    }
}
