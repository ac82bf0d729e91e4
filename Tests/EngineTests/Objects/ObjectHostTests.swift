// The host: atomic methods, failures that change nothing, threads, the pool, order, memory.

import Engine
import Foundation
import Testing

@Suite struct ObjectHostTests {
    private static let thing = script(
        """
        local T = object "thing"
        function T.new(kind)
            if kind == "raise" then error("no") end
            if kind == "loop" then while true do end end
            if kind == "text" then return "text" end
            if kind == "function" then return { f = function() end } end
            if kind == "nothing" then return nil end
            return { count = 0, list = { 1, 2, { deep = "x" } } }
        end
        function T:show() return self end
        function T:bump() self.count = self.count + 1 return self.count end
        function T:spoil(how)
            self.count = -1
            self.list[3].deep = "spoilt"
            table.insert(self.list, 1, "more")
            self.extra = {}
            if how == "raise" then error("on purpose") end
            if how == "loop" then while true do end end
            if how == "pcall" then while true do pcall(function() while true do end end) end end
            if how == "memory" then local s = "x" while true do s = s .. s end end
            if how == "output" then return ("x"):rep(1 << 20) end
            if how == "function" then return function() end end
            if how == "cycle" then local t = {} t.t = t return t end
            return "spoilt"
        end
        function T:touch(how)
            if how == "field" then self.count = 5 end
            if how == "new" then self.other = 5 end
            if how == "deep" then self.list[3].deep = 5 end
            if how == "insert" then table.insert(self.list, 5) end
            if how == "sort" then table.sort(self.list) end
            if how == "rawset" then rawset(self, "count", 5) end
            if how == "pairs" then for k, v in pairs(self) do if k == "list" then v[1] = 5 end end end
            if how == "next" then local k, v = next(self.list, 2) v.deep = 5 end
            if how == "metatable" then setmetatable(self, {}) end
            if how == "method" then self:bump() end
            return #self.list + #rawget(self, "list") + select("#", table.unpack(self.list)), rawlen(self.list)
        end
        function T:work(rounds)
            local sum = 0
            for i = 1, tonumber(rounds) do sum = sum + i % 7 end
            self.count = self.count + 1
            return self.count
        end
        function T:keep(other) self.kept = copy(peek("thing", other).list) return "kept" end
        function T:alter(other) peek("thing", other).count = 7 end
        function T:same() return self.list == self.list, now() end
        function T:forget() self.list = {} return "ok" end
        function T:hold() self.f = function() end return "held" end
        local outside = { n = 1 }
        function T:put(how)
            if how == "inner" then self.own = { { function() end } } end
            if how == "key" then self[self.list] = 1 end
            if how == "cycle" then local t = {} t.t = t self.own = t end
            if how == "paths" then local t = {} for i = 1, 50 do t = { t, t } end self.own = t end
            if how == "nan" then self[0 / 0] = 1 end
            if how == "outside" then outside.n = 1 end
            if how == "shared" then self.own = outside end
            return "put"
        end
        function T:churn(fail)
            local before, seen = { list = self.list, n = 1 }, 0
            self.new = { list = { 1, 2, { deep = "x" } } }
            self.new.n = 2
            self.count = nil
            self.count = 9
            table.remove(self.list, 1)
            table.insert(self.list, 1, { deep = "z" })
            self.list[2], self.list[3] = "d", "c"
            self.list[4] = { deep = "y" }
            table.sort(self.list, function(a, b)
                return (type(a) == "table" and "a" .. (a.deep == "y" and 1 or 2) or a) < (type(b) == "table" and "a" .. (b.deep == "y" and 1 or 2) or b)
            end)
            self.moved = self.list
            self.list = nil
            for k, v in pairs(self) do if k == "new" then v.n = v.n end seen = seen + 1 end
            rawset(self, "gone", 1)
            self.gone = nil
            if fail then error("undo it all") end
            return seen + #rawget(self, "moved") - #before.list + 2
        end
        T.readonly { "show", "touch", "same" }
        """, file: "thing.lua")
    private static let fresh = #"{"count":0,"list":[1,2,{"deep":"x"}]}"#

    @Test("a method that raises or exceeds a budget leaves the object as it was")
    func atomic() async throws {
        let host = try makeHost([Self.thing]) {
            $0.methodNanosecondsMax = 50_000_000
            $0.answerBytesMax = 10_000
        }
        #expect(await host.answer("thing:new:a") == "CREATED")
        for (how, answer) in [
            ("raise", "<script_error>"), ("loop", "<budget_exceeded>"), ("pcall", "<budget_exceeded>"),
            ("memory", "<budget_exceeded>"), ("output", "<budget_exceeded>"), ("function", "<script_error>"),
            ("cycle", "<script_error>"),
        ] {
            #expect(await host.answer("thing:spoil:a:\(how)") == answer, "\(how)")
            #expect(await host.answer("thing:show:a") == Self.fresh, "after \(how)")
        }
        #expect(await host.answer("thing:bump:a") == "1")
        #expect(await host.answer("thing:spoil:a") == "spoilt")
        #expect(await host.answer("thing:show:a") == #"{"count":-1,"extra":[],"list":["more",1,2,{"deep":"spoilt"}]}"#)
    }

    @Test("a new that fails leaves the old object, or none")
    func failedNew() async throws {
        let host = try makeHost([Self.thing]) { $0.methodNanosecondsMax = 50_000_000 }
        for (kind, answer) in [
            ("raise", "<script_error>"), ("loop", "<budget_exceeded>"), ("text", "<script_error>"),
            ("function", "<script_error>"), ("nothing", "NOT_CREATED"),
        ] {
            #expect(await host.answer("thing:new:none:\(kind)") == answer)
            #expect(await host.answer("thing:show:none") == "<miss>")
        }
        _ = await host.answer("thing:new:a")
        _ = await host.answer("thing:bump:a")
        #expect(await host.answer("thing:new:a:raise") == "<script_error>")
        #expect(await host.answer("thing:bump:a") == "2")
        #expect(await host.answer("thing:new:a") == "CREATED")
        #expect(await host.answer("thing:bump:a") == "1")
        #expect(host.count == 1)
    }

    @Test("a readonly method that changes its object raises, and the object is as it was")
    func readonly() async throws {
        let host = try makeHost([Self.thing])
        _ = await host.answer("thing:new:a")
        for how in ["field", "new", "deep", "insert", "sort", "rawset", "pairs", "next", "metatable", "method"] {
            #expect(await host.answer("thing:touch:a:\(how)") == "<script_error>", "\(how)")
            #expect(await host.answer("thing:show:a") == Self.fresh, "after \(how)")
        }
        #expect(await host.answer("thing:touch:a") == "9")
        #expect(await host.answer("thing:same:a") == "true")
    }

    @Test("another object can be looked at, not changed, and what is kept of it is a copy")
    func peeks() async throws {
        let host = try makeHost([Self.thing])
        _ = await host.answer("thing:new:a")
        _ = await host.answer("thing:new:b")
        #expect(await host.answer("thing:alter:a:b") == "<script_error>")
        #expect(await host.answer("thing:keep:a:b") == "kept")
        _ = await host.answer("thing:spoil:b")
        #expect(
            await host.answer("thing:show:a") == #"{"count":0,"kept":[1,2,{"deep":"x"}],"list":[1,2,{"deep":"x"}]}"#)
        let missing = await host.failure("thing:keep:a:elsewhere")
        #expect(missing?.reason == .scriptError && missing?.message.contains("{tag}elsewhere") == true)
    }

    @Test("eight threads at one quota get exactly as many units as there are")
    func hammered() async throws {
        let host = try makeHost()
        _ = await host.answer("quota:new:q:500:month")
        let answers = Collected<String>()
        for _ in 0..<8 {
            Thread.detachNewThread {
                for _ in 0..<250 {
                    host.call(parse("quota:addandcheck:q"), data: nil, deadline: .never) { result in
                        answers.add((try? result.get())?.text ?? "failed")
                    }
                }
            }
        }
        let all = await answers.wait(for: 2000)
        #expect(all.count { $0 == "QUOTA_OK" } == 500)
        #expect(all.count { $0 == "QUOTA_EXCEEDED" } == 1500)
    }

    @Test("a slow method moves to the pool, the caller goes on, and those behind it are answered in order after it")
    func handoff() async throws {
        let host = try makeHost([Self.thing])
        _ = await host.answer("thing:new:a")
        let order = Collected<String>()
        host.call(parse("thing:work:a:1000000"), data: nil, deadline: .never) { result in
            order.add("slow \((try? result.get()) == .int(1))")
        }
        for index in 2...40 {
            host.call(parse("thing:bump:a"), data: nil, deadline: .never) { result in
                order.add("\((try? result.get()) == .int(Int64(index)))")
            }
        }
        let answers = await order.wait(for: 40)
        #expect(answers == ["slow true"] + Array(repeating: "true", count: 39))
        #expect(host.statistics.moved == 1)
    }

    @Test("calls beyond the queue's bound are refused, and those in it are answered")
    func overloaded() async throws {
        let compute = ComputePool(width: 1)
        let blocker = DispatchSemaphore(value: 0)
        compute.submit { blocker.wait() }
        let host = try makeHost([Self.thing], compute: compute) { $0.waitingMax = 5 }
        _ = await host.answer("thing:new:a")
        let answers = Collected<String>()
        host.call(parse("thing:work:a:1000000"), data: nil, deadline: .never) { _ in answers.add("slow") }
        for _ in 0..<8 {
            host.call(parse("thing:bump:a"), data: nil, deadline: .never) { result in
                switch result {
                case .success: answers.add("ok")
                case .failure(let failure): answers.add(failure.reason.rawValue)
                }
            }
        }
        #expect(await answers.wait(for: 3) == ["overloaded", "overloaded", "overloaded"])
        blocker.signal()
        #expect(
            await answers.wait(for: 9) == ["overloaded", "overloaded", "overloaded", "slow"]
                + Array(repeating: "ok", count: 5))
        #expect(host.statistics.refused == 3)
    }

    @Test("an engine's shards have objects of their own")
    func engine() async throws {
        let engine = Engine(EngineConfiguration(shards: 2))
        #expect(await engine.shards[0].objects.answer("set:new:s") == "CREATED")
        #expect(await engine.shards[0].objects.answer("set:count:s") == "0")
        #expect(await engine.shards[1].objects.answer("set:count:s") == "<miss>")
    }

    @Test("a call whose deadline has passed is not started, one that passes it is a timeout")
    func deadlines() async throws {
        let host = try makeHost([Self.thing])
        _ = await host.answer("thing:new:a")
        let late = await host.ask(parse("thing:bump:a"), deadline: Deadline(uptimeNanoseconds: 1))
        #expect(throws: Failure.self) { try late.get() }
        let over = await host.ask(parse("thing:spoil:a:loop"), deadline: .after(milliseconds: 20))
        guard case .failure(let failed) = over else {
            Issue.record("did not fail")
            return
        }
        #expect(failed.reason == .timeout)
        #expect(await host.answer("thing:show:a") == Self.fresh)
    }

    @Test("objects beyond the share go to the shelf and come back as they were; what was evicted is a miss")
    func shelves() async throws {
        let shelf = DictionaryShelf()
        let host = try makeHost([Self.thing], shelf: shelf) { $0.liveBytesMax = 1 << 20 }
        let filler = String(repeating: "v", count: 1000)
        for index in 0..<3000 {
            #expect(await host.answer("map:new:m\(index)") == "CREATED")
            #expect(await host.answer("map:put:m\(index):k", data: "\(index)\(filler)") == "SUCCESS")
        }
        #expect(await host.answer("map:count:m2999") == "1")
        #expect(shelf.count > 1000)
        #expect(host.count + shelf.count == 3000)
        #expect(host.statistics.memoryBytes < 3 << 20)
        for index in stride(from: 0, to: 3000, by: 97) {
            #expect(await host.answer("map:get:m\(index):k") == "k : \(index)\(filler)", "\(index)")
        }
        #expect(host.statistics.unshelved > 0)
        shelf.evictAll()
        #expect(await host.answer("map:get:m1:k") == "<miss>")
        #expect(await host.answer("map:new:m1") == "CREATED")
        await withCheckedContinuation { continuation in host.removeAll { continuation.resume() } }
        #expect(await host.answer("map:get:m1:k") == "<miss>")
        #expect(host.count == 0)
    }

    @Test("an object that the shelf refuses stays live")
    func tooLargeForShelf() async throws {
        let host = try makeHost([Self.thing], shelf: DictionaryShelf(bytesMax: 100)) { $0.liveBytesMax = 1 << 20 }
        let filler = String(repeating: "v", count: 1000)
        _ = await host.answer("map:new:m")
        for index in 0..<1200 {
            #expect(await host.answer("map:put:m:k\(index)", data: filler) == "SUCCESS")
        }
        #expect(await host.answer("map:count:m") == "1200")
        #expect(host.statistics.shelved == 0)
    }

    @Test("an object takes plain data only, and shares none of it with the script")
    func plainOnly() async throws {
        let host = try makeHost([Self.thing])
        _ = await host.answer("thing:new:a")
        #expect(await host.failure("thing:hold:a")?.message.contains("plain data, no function") == true)
        for how in ["inner", "key", "cycle", "paths", "nan", "outside"] {
            let reason = await host.failure("thing:put:a:\(how)")?.reason
            #expect(reason == .scriptError, "\(how)")
            #expect(await host.answer("thing:show:a") == Self.fresh, "after \(how)")
        }
        #expect(await host.answer("thing:put:a:shared") == "put")
        #expect(await host.answer("thing:show:a") == #"{"count":0,"list":[1,2,{"deep":"x"}],"own":{"n":1}}"#)
    }

    @Test("whatever a method does to its tables is done, or all of it undone")
    func tracked() async throws {
        let host = try makeHost([Self.thing])
        let done =
            #"{"count":9,"moved":[{"deep":"y"},{"deep":"z"},"c","d"],"new":{"list":[1,2,{"deep":"x"}],"n":2}}"#
        for name in ["a", "b"] { _ = await host.answer("thing:new:\(name)") }
        #expect(await host.answer("thing:churn:a:fail") == "<script_error>")
        #expect(await host.answer("thing:show:a") == Self.fresh)
        #expect(await host.answer("thing:churn:a") == "5")
        #expect(await host.answer("thing:show:a") == done)
        #expect(await host.answer("thing:show:b") == Self.fresh)
    }
}
