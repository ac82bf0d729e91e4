// Whose fault a spent budget is: the call's that used it up, or that of others.

import CLinux
import Engine
import Foundation
import Testing

@Suite struct LuaUsageTests {
    private static func function(
        _ name: String, _ source: String, in state: LuaState, _ environment: LuaEnvironment
    ) throws -> LuaReference {
        try state.load(
            source: Array(source.utf8), name: name, environment: environment, budget: LuaBudget(deadline: .never))
        return try #require(state.function(name, in: environment))
    }

    private static func failure(_ body: () throws(Failure) -> Void) -> Failure? {
        do throws(Failure) {
            try body()
            return nil
        } catch {
            return error
        }
    }

    /// The CPU time of this thread, in nanoseconds.
    private static var threadNanoseconds: UInt64 { clock_gettime_nsec(CLOCK_THREAD_CPUTIME_ID) }

    private static func clock_gettime_nsec(_ clock: clockid_t) -> UInt64 {
        var time = timespec()
        clock_gettime(clock, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    @Test("memory that the call alone fills is its fault; what others hold is not", arguments: [0, 1, 2, 5, 6])
    func memory(heldMiB: Int) throws {
        let state = LuaState(memoryBytesMax: 8 << 20)
        let environment = state.makeEnvironment()
        let hold = try Self.function(
            "hold", "kept = {} function hold(n) for i = 1, n * 16 do kept[i] = ('x'):rep(65000) .. i end end",
            in: state,
            environment)
        let eat = try Self.function(
            "eat", "function eat() local t = {} for i = 1, 1e9 do t[i] = { i } end end", in: state, environment)
        let budget = LuaBudget(instructionsMax: 1 << 40, deadline: .never)
        _ = try state.call(hold, [.plain(.int(Int64(heldMiB)))], budget: budget)
        let failure = try #require(Self.failure { () throws(Failure) in _ = try state.call(eat, budget: budget) })
        #expect(failure.reason == .budgetExceeded && failure.message.contains("memory"))
        #expect(failure.fault == (heldMiB < 4 ? .caller : .server), "\(failure)")
    }

    @Test("what stopped calls left behind is nobody's memory")
    func abandoned() throws {
        let state = LuaState(memoryBytesMax: 8 << 20)
        let environment = state.makeEnvironment()
        let eat = try Self.function(
            "eat", "function eat() local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(60000) .. i end end", in: state,
            environment)
        for round in 0..<20 {
            let budget = LuaBudget(instructionsMax: 1 << 40, deadline: .after(milliseconds: 1_000))
            let failure = try #require(Self.failure { () throws(Failure) in _ = try state.call(eat, budget: budget) })
            #expect(failure.message.contains("memory") && failure.fault == .caller, "\(round): \(failure)")
        }
    }

    @Test("memory is counted over all slices of a call")
    func memoryOverSlices() throws {
        let state = LuaState(memoryBytesMax: 8 << 20)
        let environment = state.makeEnvironment()
        state.register("wait") { _ in .yield("wait", []) }
        let eat = try Self.function(
            "eat", "function eat() local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(5000) .. i wait() end end",
            in: state,
            environment)
        let run = LuaCoroutine(eat, budget: LuaBudget(instructionsMax: 1 << 40, deadline: .never))
        while true {
            guard case .failed(let failure) = run.resume() else { continue }
            #expect(failure.reason == .budgetExceeded && failure.fault == .caller, "\(failure)")
            break
        }
    }

    @Test(
        "garbage of others that is collected while a call runs, before a pause, makes what the call takes nobody else's",
        arguments: [true, false])
    func collectedBeforeAPause(isOfAStoppedCall: Bool) throws {
        let state = LuaState(memoryBytesMax: 32 << 20)
        let environment = state.makeEnvironment()
        state.register("wait") { _ in .yield("wait", []) }
        state.register("collect") { _ in
            state.collectGarbage()
            return .nothing
        }
        let leave = try Self.function(
            "leave",
            """
            function leave(stops)
                local t = {}
                for i = 1, 300 do t[i] = ('x'):rep(65000) .. i end
                while stops do end
            end
            """, in: state, environment)
        let eat = try Self.function(
            "eat",
            """
            function eat()
                collect()
                wait()
                local t = {}
                for i = 1, 1e9 do t[i] = ('x'):rep(65000) .. i end
            end
            """, in: state, environment)
        let ended = Self.failure { () throws(Failure) in
            _ = try state.call(
                leave, [.plain(.bool(isOfAStoppedCall))], budget: LuaBudget(instructionsMax: 1 << 20, deadline: .never))
        }
        #expect(ended?.message.contains("instructions") == (isOfAStoppedCall ? true : nil))
        let garbage = state.memoryBytes
        #expect(garbage > 18 << 20)
        let run = LuaCoroutine(eat, budget: LuaBudget(instructionsMax: 1 << 40, deadline: .never))
        guard case .yielded = run.resume() else {
            Issue.record("it does not wait")
            return
        }
        #expect(state.memoryBytes < garbage / 2)
        guard case .failed(let failure) = run.resume() else {
            Issue.record("it does not fail")
            return
        }
        #expect(failure.message.contains("memory") && failure.fault == .caller, "\(failure)")
    }

    @Test("time that the call alone used is its fault; what it waited is not")
    func time() throws {
        let state = LuaState(memoryBytesMax: 8 << 20)
        let environment = state.makeEnvironment()
        state.register("wait") { _ in .yield("wait", []) }
        let spin = try Self.function(
            "spin", "function spin(waits) if waits then wait() end while true do end end", in: state, environment)
        for waits in [false, true] {
            let run = LuaCoroutine(
                spin, budget: LuaBudget(instructionsMax: 1 << 50, deadline: .after(milliseconds: 300)))
            var used: UInt64 = 0
            var last = LuaStep.paused
            repeat {
                let before = Self.threadNanoseconds
                last = run.resume(used == 0 ? [.plain(.bool(waits))] : [], slice: .after(milliseconds: 20))
                used += Self.threadNanoseconds - before
                if case .yielded = last { usleep(200_000) }
                if case .failed = last { break }
            } while true
            guard case .failed(let failure) = last else { return }
            #expect(failure.reason == .budgetExceeded && failure.message.contains("time"))
            // On a busy machine the call may have had less than half of its time, and is then not to blame.
            if used < 140_000_000 { #expect(failure.fault == .server, "\(used) ns: \(failure)") }
            if used > 160_000_000 { #expect(failure.fault == .caller, "\(used) ns: \(failure)") }
        }
    }

    @Test("too many instructions are always the call's fault")
    func instructions() throws {
        let state = LuaState(memoryBytesMax: 8 << 20)
        let environment = state.makeEnvironment()
        let spin = try Self.function("spin", "function spin() while true do end end", in: state, environment)
        let failure = try #require(
            Self.failure { () throws(Failure) in
                _ = try state.call(spin, budget: LuaBudget(instructionsMax: 10_000, deadline: .never))
            })
        #expect(failure.reason == .budgetExceeded && failure.fault == .caller)
    }
}
