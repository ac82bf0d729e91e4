// What a failed script says of where it was: the functions under way, and what was called.

import Engine
import Testing

@Suite struct FailureStackTests {
    private static let source = """
        local T = object "thing"
        function T.new(size)
            if size == "bad" then error("no such size") end
            return { size = 1 }
        end
        local function third(x) return x.missing.field end
        local function second(x)
            local y = third(x)
            return y
        end
        function T:first(x)
            local y = second(self)
            return y
        end
        function T:check(n) return whole(n, "n") + 1 end
        function T:deep(n) return 1 + self:deep(n) end
        function T:caught() return pcall(error, "x") and "no" or "yes" end
        function T:peeking() return peek("thing", "none").size end
        T.makes { deep = function() return { size = 0 } end }
        """

    @Test("a method's failure has file and line of each function, the innermost first, and what was called")
    func methods() async throws {
        let host = try makeHost([script(Self.source)])
        #expect(await host.answer("thing:new:a") == "CREATED")
        let failure = try #require(await host.failure("thing:first:a:one"))
        #expect(failure.message.hasPrefix("test.lua:6: "))
        #expect(
            failure.stack == [
                "test.lua:6: in upvalue 'third'", "test.lua:8: in upvalue 'second'",
                "test.lua:12: in the function at line 11", "called as thing:first:a:one",
            ])
        let made = try #require(await host.failure("thing:new:a:bad"))
        #expect(made.stack == ["test.lua:3: in the function at line 2", "called as thing:new:a:bad"])
        // What a function of the host raises.
        let checked = try #require(await host.failure("thing:check:a:\(String(repeating: "y", count: 50))"))
        #expect(checked.stack.first == "test.lua:15: in the function at line 15")
        #expect(checked.stack.last == "called as thing:check:a:\(String(repeating: "y", count: 40))…")
        let data = await host.ask(parse("thing:check:a"), data: Array("ma\r\nny".utf8))
        guard case .failure(let failed) = data else { return #expect(Bool(false)) }
        #expect(failed.stack.last == "called as thing:check:a <- ma  ny")
        #expect(await host.answer("thing:caught:a") == "yes")
        let missed = try #require(await host.failure("thing:peeking:a"))
        #expect(missed.stack.first == "test.lua:18: in the function at line 18")
    }

    @Test("a stack has at most 20 functions, and a failure that ran no script has none")
    func bounds() async throws {
        let host = try makeHost([script(Self.source)])
        #expect(await host.answer("thing:new:a") == "CREATED")
        let deep = try #require(await host.failure("thing:deep:a:1"))
        #expect(deep.stack.count == 21, "\(deep.stack)")
        #expect(deep.stack.dropLast().allSatisfy { $0.hasPrefix("test.lua:16: in ") })
        #expect(await host.failure("thing:none:a")?.stack == [])
        #expect(await host.failure("thing:first:none:1")?.stack == [])
        // Nothing is left of it for the next failure.
        #expect(await host.failure("thing:check:a")?.stack.count == 2)
    }

    @Test("a call that is answered at once has the same stack as one that is not")
    func atOnce() throws {
        let engine = Engine(
            EngineConfiguration(
                shards: 1, memoryBytes: 32 << 20, objectTypes: try ObjectTypes(adding: [script(Self.source)])))
        func call(_ key: String) throws -> Failure? {
            try Array(key.utf8).withUnsafeBytes { bytes in
                let located = try #require(engine.locate(bytes) { $1 })
                guard
                    case .failed(let failure) = engine.objects.callAtOnce(
                        located, key: bytes, data: nil, answer: { _ in })
                else { return nil }
                return failure
            }
        }
        let made = Array("thing:new:a".utf8).withUnsafeBytes { VirtualKey($0) }
        engine.shards[0].objects.call(try #require(made), data: nil, deadline: .never) { _ in }
        var failure = try call("thing:check:a:x")
        // The object may be on its way yet.
        for _ in 0..<60_000 where failure == nil { failure = try call("thing:check:a:x") }
        #expect(failure?.stack == ["test.lua:15: in the function at line 15", "called as thing:check:a:x"])
    }

    @Test("a job's failure has the stack of the function that failed: top level, map, finish")
    func jobs() {
        func stack(_ source: String) -> [String]? {
            do throws(Failure) {
                let job = try JobScript(Array(source.utf8), name: "j", now: 0, deadline: .never)
                _ = try job.finish(.value(LeasedValue(.int(1))), parameters: .map([]))
                return nil
            } catch {
                return error.stack
            }
        }
        #expect(stack("function map() end\nlocal x = nil + 1") == ["j:2: in the main part of the file"])
        #expect(
            stack("function map() end\nlocal function f() error('x') end\nfunction finish(r)\n  f()\n  return r\nend")
                == ["j:2: in upvalue 'f'", "j:4: in the function at line 3"])
        #expect(stack("function map( end") == [])
    }
}
