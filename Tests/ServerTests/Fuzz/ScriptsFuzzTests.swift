// Some hundreds of generated Lua programs, the same in every run.

import Engine
import Synchronization
import Testing

@Suite struct ScriptsFuzzTests {
    @Test("generated scripts end by their deadline, and their state works on")
    func generated() {
        var random = SeededRandom(0x5EED)
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
