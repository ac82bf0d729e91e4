// Errors of scripts by their kinds: the first is told, and then how many there were.

import Engine
import Synchronization
import Testing

@Suite struct ScriptErrorsTests {
    @Test("a kind is what was called and the place in its file; its first, tenth and hundredth are told")
    func kinds() {
        let told = Mutex<[String]>([])
        let errors = ScriptErrors { report in told.withLock { $0.append("\(report.what) \(report.count)") } }
        func failure(_ line: Int, _ message: String) -> Failure {
            Failure(.scriptError, message, about: [], stack: ["t.lua:\(line): in the function at line 1"])
        }
        for at in 0..<150 { errors.note("t:a", object: "\(at)", failure(7, "bad \(at)")) }
        errors.note("t:a", object: nil, failure(8, "bad"))
        errors.note("t:b", object: nil, failure(7, "bad"))
        for _ in 0..<3 { errors.note("job j", object: nil, Failure(.budgetExceeded, "too long")) }
        #expect(told.withLock { $0 } == ["t:a 1", "t:a 10", "t:a 100", "t:a 1", "t:b 1", "job j 1"])
    }

    @Test("what is long is cut, behind a whole character: names of slow methods, messages and stacks of errors")
    func cut() {
        let told = Mutex<[Failure]>([])
        let errors = ScriptErrors { report in told.withLock { $0.append(report.failure) } }
        let long = String(repeating: "é", count: 100_000)
        errors.note("t:a", object: nil, Failure(.scriptError, "x" + long, about: [], stack: [long]))
        let failure = told.withLock { $0.first }
        #expect(failure?.message == "x" + String(repeating: "é", count: 499) + "…")
        #expect(failure?.stack == [String(repeating: "é", count: 500) + "…"])
        let slow = SlowLog(thresholdMilliseconds: 1)
        slow.note("job x" + long, nanoseconds: 2_000_000, unixMilliseconds: 0)
        slow.note("job é", nanoseconds: 2_000_000, unixMilliseconds: 0)
        #expect(slow.entries.map(\.what) == ["job é", "job x" + String(repeating: "é", count: 97) + "…"])
    }
}
