// Generated Lua in a sandboxed state: it ends by its deadline, and the state works on.

import Glibc
import Engine
import Synchronization

enum ScriptsFuzz {
    private static let deadlineMilliseconds = 20
    /// A script may be late by this much. Measured in the thread's own time, which passes only while it runs.
    private static let graceMilliseconds = 100
    private static let memoryBytesMax = 24 << 20
    /// Two calls of it look at all that the sandbox shares.
    private static let check = """
        local function sum(t) local s = 0 for _, v in ipairs(t) do s = s + v end return s end
        function check()
          local t = {} for i = 1, 500 do t[i] = 501 - i end
          table.sort(t)
          local w = coroutine.wrap(function() coroutine.yield(("a,b"):gsub(",", ";")) return "end" end)
          local ok, message = pcall(error, "e")
          return t[1] .. t[500] .. sum(t) .. w() .. w() .. tostring(ok) .. message .. #("x"):rep(9) .. ("7" + 1)
        end
        """
    private static let expected = "1500125250a;bendfalsee98"

    /// How many programs ended how.
    package struct Outcomes: Sendable {
        package var programs = 0
        package var uncompiled = 0
        package var returned = 0
        package var reasons: [String: Int] = [:]
        /// The statements that ran, in all programs that say it.
        package var statements = 0
        package var latestMilliseconds = 0

        package var line: String {
            let failed = reasons.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }.joined(separator: ", ")
            return "\(programs) programs: \(returned) returned after \(statements) statements, \(failed), "
                + "\(uncompiled) did not compile; the longest took \(latestMilliseconds) ms"
        }
    }

    package static let outcomes = Mutex(Outcomes())

    static func run(_ input: [UInt8]) -> String? {
        let program = ScriptGrammar.program(input)
        let state = LuaState(memoryBytesMax: memoryBytesMax)
        state.register("ask") { (arguments) throws(Failure) in .yield("ask", try arguments.plain(in: "ask")) }
        do throws(Failure) {
            let environment = state.makeEnvironment()
            try state.load(source: Array(check.utf8), name: "check", environment: environment)
            guard let check = state.function("check", in: environment) else { return "no check" }
            // Both ways that scripts are run: to their end, and in slices.
            for isSliced in [false, true] {
                let before = threadMilliseconds()
                outcome(of: program, isSliced: isSliced, in: state)
                let took = threadMilliseconds() - before
                outcomes.withLock { $0.latestMilliseconds = max($0.latestMilliseconds, took) }
                if took > deadlineMilliseconds + graceMilliseconds { return "took \(took) ms:\n\(program)" }
                let results = try state.call(check, budget: LuaBudget(deadline: .after(milliseconds: 10_000)))
                guard results.first?.plain?.text == expected else {
                    return "afterwards \(results) instead of \(expected):\n\(program)"
                }
            }
            state.collectGarbage()
            if state.memoryBytes > 4 << 20 { return "\(state.memoryBytes) bytes are left:\n\(program)" }
        } catch { return "afterwards \(error):\n\(program)" }
        let programs = outcomes.withLock { $0.programs }
        if programs % 20_000 == 0 { print(outcomes.withLock { $0.line }) }
        return nil
    }

    private static func outcome(of program: String, isSliced: Bool, in state: LuaState) {
        let budget = LuaBudget(instructionsMax: 2_000_000_000, deadline: .after(milliseconds: deadlineMilliseconds))
        outcomes.withLock { $0.programs += 1 }
        do throws(Failure) {
            let environment = state.makeEnvironment()
            do throws(Failure) {
                try state.load(source: Array(program.utf8), name: "program", environment: environment, budget: budget)
            } catch {
                outcomes.withLock { $0.uncompiled += 1 }
                return
            }
            guard let main = state.function("main", in: environment) else { return }
            let results = isSliced ? try sliced(main, budget) : try state.call(main, [.plain(.int(7))], budget: budget)
            outcomes.withLock { outcomes in
                outcomes.returned += 1
                if case .int(let count)? = results.first?.plain { outcomes.statements += Int(clamping: count) }
            }
        } catch { outcomes.withLock { $0.reasons[error.reason.rawValue, default: 0] += 1 } }
    }

    private static func sliced(_ main: LuaReference, _ budget: LuaBudget) throws(Failure) -> [LuaValue] {
        let coroutine = LuaCoroutine(main, budget: budget)
        var answers: [LuaValue] = [.plain(.int(7))]
        while true {
            switch coroutine.resume(answers, slice: .after(milliseconds: 1)) {
            case .returned(let results): return results
            case .failed(let failure): throw failure
            case .paused: answers = []
            case .yielded(_, let values): answers = values.map { .plain($0) }
            }
        }
    }

    private static func threadMilliseconds() -> Int {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return time.tv_sec * 1000 + time.tv_nsec / 1_000_000
    }
}
