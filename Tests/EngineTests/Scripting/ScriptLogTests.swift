// What scripts say with `log` and `print`: lines of bounded length, at a bounded rate, in a bounded number.

import Engine
import Synchronization
import Testing

@Suite struct ScriptLogTests {
    /// A clock that is set by hand, and errands that are run by hand.
    private final class Hands: Environment {
        let now = Mutex(UInt64(1_000_000_000_000))
        let errands = Mutex([@Sendable () -> Void]())
        private let system = SystemEnvironment()

        var uptimeNanoseconds: UInt64 { now.withLock { $0 } }
        var unixMilliseconds: Int64 { 0 }
        var unixSeconds: UInt32 { 0 }
        func randomNumber() -> UInt64 { 4 }
        func schedule(afterMilliseconds: Int, _ errand: @escaping @Sendable () -> Void) {
            errands.withLock { $0.append(errand) }
        }
        func runInBackground(_ errand: @escaping @Sendable () -> Void) { errand() }
        func makeCrew(name: String, givesWay: Bool) -> any Crew { system.makeCrew(name: name, givesWay: givesWay) }
        var taskExecutor: (any TaskExecutor)? { nil }

        func goOn(seconds: Double) { now.withLock { $0 += UInt64(seconds * 1e9) } }
        func runErrands() {
            let due = errands.withLock { errands in
                defer { errands = [] }
                return errands
            }
            for errand in due { errand() }
        }
    }

    @Test("of a flood 100 lines a second are said, and then how many there were besides")
    func flood() {
        let (hands, lines) = (Hands(), Collected<String>())
        let log = ScriptLog(hands) { lines.add($0) }
        func said() -> [String] { lines.all }
        for number in 0..<1_000 { log.say("\(number)") }
        #expect(said().count == 100 && said().last == "99")
        hands.goOn(seconds: 1.5)
        hands.runErrands()
        #expect(said().last == "900 more lines were dropped: scripts may say 100 a second")
        log.say("again")
        #expect(said().count == 102 && said().last == "again")
        // Slowly, all are said, and nothing is told of the others.
        for _ in 0..<300 {
            log.say("slow")
            hands.goOn(seconds: 0.1)
        }
        #expect(said().count == 402)
        hands.runErrands()
        #expect(said().count == 402)
    }

    @Test("log and print write any value on one line, tables as JSON, and cut what is long")
    func lines() throws {
        let log = JobLog(memory: ScriptMemory(limitBytes: 64 << 20))
        let source = """
            function map() end
            log("a", 1, 2.5, true, nil, "b\\nc")
            print({ 1, 2, { x = "y" } }, print)
            print()
            log(("x"):rep(5000))
            log({ f = print })
            log(setmetatable({}, { __tostring = function() error("over Swift") end }))
            """
        _ = try JobScript(Array(source.utf8), name: "j", now: 0, deadline: .never, log: log)
        let said = log.lines.lines
        #expect(
            said.prefix(3) == ["a 1 2.5 true nil b c", #"[1,2,{"x":"y"}] function"#, "nil"])
        #expect(said.count == 6)
        #expect(said[3] == String(repeating: "x", count: 1_000) + "…")
        #expect(said[4] == "table")
    }

    @Test("a job keeps 100 lines, leases them, and counts the others")
    func bounds() throws {
        let memory = ScriptMemory(limitBytes: 64 << 20)
        var log: JobLog? = JobLog(memory: memory)
        for number in 0..<150 { log?.say("line \(number)") }
        log?.add(LoggedLines(["from elsewhere"], dropped: 7))
        #expect(log?.lines.lines.count == 100)
        #expect(log?.lines.dropped == 58)
        #expect(memory.usedBytes >= 100 * 40)
        log = nil
        #expect(memory.usedBytes == 0)
        // Without memory nothing is kept, and nothing fails.
        let poor = JobLog(memory: ScriptMemory(limitBytes: 200))
        for _ in 0..<10 { poor.say(String(repeating: "x", count: 100)) }
        #expect(poor.lines.lines.count <= 1 && poor.lines.dropped >= 9)
        let part = JobLog(partOf: poor, node: "n2")
        part.say("y")
        #expect(poor.lines.dropped >= 10 && part.lines.isEmpty)
    }
}
