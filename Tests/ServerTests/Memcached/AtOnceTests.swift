// Methods that a session answers at once: the same answers as the long way gives, the same promises about failures, slow
// methods and the order of answers, and nothing lost between several threads.

import Engine
import Foundation
import Gather
import Server
import Testing

@Suite struct AtOnceTests {
    private static let thing = ObjectScript(
        file: "thing.lua",
        source: Array(
            """
            local Thing = object "thing"
            function Thing.new() return { n = 0, list = { 1, 2 } } end
            function Thing:add(amount) self.n = self.n + number(amount, "amount") return self.n end
            function Thing:spoil(...) self.n = 99 self.list[3] = 3 error("no") end
            function Thing:cheat() self.n = 99 end
            function Thing:give(what)
                if what == "table" then return self.list end
                if what == "double" then return 2.5 end
                if what == "negative" then return -7 end
                if what == "true" then return true end
                if what == "long" then return ("x"):rep(100000) end
            end
            function Thing:count(...) return select("#", ...) .. table.concat({ ... }, "|") end
            function Thing:work(steps) for i = 1, steps do self.n = i end return self.n end
            function Thing:soon() expire(10) return "ok" end
            function Thing:look(name) return peek("thing", name).n end
            Thing.readonly { "cheat", "give", "count", "look" }
            """.utf8))

    private static func harness() throws -> SessionHarness<Router> { SessionHarness(try router()) }

    private static func router(_ scripts: [ObjectScript] = [thing]) throws -> Router {
        var configuration = EngineConfiguration(shards: 1, memoryBytes: 64 << 20)
        configuration.objectTypes = try ObjectTypes(adding: scripts)
        return Router(engine: Engine(configuration))
    }

    private static func value(_ key: String, _ text: String) -> String {
        "VALUE \(key) 0 \(text.utf8.count)\r\n\(text)\r\nEND\r\n"
    }

    private static func check(_ harness: SessionHarness<Router>, _ pairs: [(key: String, text: String)]) {
        for (key, text) in pairs {
            harness.send("get \(key)\r\n")
            #expect(harness.answer() == value(key, text))
        }
    }

    @Test("strings, numbers, tables and nothing are answered as text, and arguments come as they were written")
    func answers() throws {
        let harness = try Self.harness()
        Self.check(
            harness,
            [
                ("thing:new:a", "CREATED"), ("thing:add:a:2", "2"), ("thing:add:a:0.5", "2.5"),
                ("thing:give:a:table", "[1,2]"), ("thing:give:a:double", "2.5"), ("thing:give:a:negative", "-7"),
                ("thing:give:a:true", "true"), ("thing:give:a:nil", ""),
                ("thing:give:a:long", String(repeating: "x", count: 100_000)), ("thing:count:a", "0"),
                ("thing:count:a:", "1"), ("thing:count:a::", "2|"), ("thing:count:a:x:y_z", "2x|y_z"),
                ("thing:count:a:%41", "1A"),
                (
                    "thing:count:a" + String(repeating: ":b", count: 60),
                    "60" + Array(repeating: "b", count: 60).joined(separator: "|")
                ),
            ])
        harness.send("set thing:count:a:x 0 0 3\r\na:b\r\nset thing:add:a 0 0 2\r\n40\r\nget thing:add:a:0\r\n")
        #expect(harness.answer() == "STORED\r\nSTORED\r\n" + Self.value("thing:add:a:0", "42.5"))
    }

    @Test("a method that fails leaves its object as it was, and a readonly one cannot write")
    func failures() throws {
        let harness = try Self.harness()
        Self.check(harness, [("thing:new:a", "CREATED"), ("thing:add:a:5", "5")])
        for key in ["thing:spoil:a", "thing:cheat:a", "thing:add:a:x"] {
            harness.send("get \(key)\r\n")
            #expect(harness.answer().hasPrefix("CLIENT_ERROR script_error "))
            Self.check(harness, [("thing:add:a:0", "5"), ("thing:give:a:table", "[1,2]")])
        }
        harness.send("get thing:add:a:1 thing:spoil:a thing:add:a:1\r\nset thing:spoil:a 0 0 0\r\n\r\n")
        #expect(
            harness.answer().hasPrefix(
                "VALUE thing:add:a:1 0 1\r\n6\r\nVALUE thing:add:a:1 0 1\r\n7\r\nEND\r\nCLIENT_ERROR script_error "))
        Self.check(harness, [("thing:look:a:a", "7"), ("thing:add:b:1", "ERROR_CACHE_MISS")])
    }

    @Test("a method that outlives its slice is answered in its turn, after what came before and before what came after")
    func slow() async throws {
        let harness = try Self.harness()
        Self.check(harness, [("thing:new:a", "CREATED"), ("counter:new:c", "CREATED")])
        harness.send("get counter:add:c\r\nget thing:work:a:15000\r\nset k 0 0 1\r\nv\r\nget thing:add:a:1\r\n")
        let expected =
            Self.value("counter:add:c", "1") + Self.value("thing:work:a:15000", "15000") + "STORED\r\n"
            + Self.value("thing:add:a:1", "15001")
        while !harness.session.isSettled {
            await Task.yield()
            harness.collect()
        }
        #expect(harness.answer() == expected)
    }

    @Test("sessions on several threads lose no call of an object that they share")
    func shared() async throws {
        let router = try Self.router()
        Self.check(SessionHarness(router), [("counter:new:c", "CREATED")])
        // On a busy machine some may have waited for too long: they are refused, and have changed nothing.
        let replies = await withTaskGroup(of: (values: Int, refused: Int).self) { group in
            for _ in 0..<4 {
                group.addTask {
                    let harness = SessionHarness(router)
                    for _ in 0..<200 { harness.send(String(repeating: "get counter:add:c\r\n", count: 20)) }
                    while !harness.session.isSettled {
                        await Task.yield()
                        harness.collect()
                    }
                    let words = harness.answer().split(separator: "\r\n").map { $0.prefix(5) }
                    return (words.count { $0 == "VALUE" }, words.count { $0 == "SERVE" })
                }
            }
            return await group.reduce((0, 0)) { ($0.0 + $1.values, $0.1 + $1.refused) }
        }
        #expect(replies.0 + replies.1 == 16_000)
        // It comes behind all calls that still wait.
        let key = Array("counter:get:c".utf8)
        let total = await withCheckedContinuation { continuation in
            router.fetch(key, deadline: .never) { continuation.resume(returning: $0) }
        }
        #expect((try? total.get()) == .int(Int64(replies.0)))
    }

    @Test("objects come and go as in a dictionary, whatever the length of their names")
    func model() throws {
        let router = try Self.router()
        let harness = SessionHarness(router)
        var model: [String: Int] = [:]
        var random = SeededRandom(7)
        for _ in 0..<20_000 {
            let number = Int(random.next() % 400)
            let name = "n\(number)" + String(repeating: "-", count: number % 17)
            switch random.next() % 4 {
            case 0:
                harness.send("get counter:new:\(name)\r\n")
                model[name] = 0
            case 1:
                harness.send("get counter:drop:\(name)\r\n")
                model[name] = nil
            default:
                harness.send("get counter:add:\(name)\r\n")
                let expected = model[name].map { "\($0 + 1)" } ?? "ERROR_CACHE_MISS"
                #expect(harness.answer() == Self.value("counter:add:\(name)", expected))
                if let value = model[name] { model[name] = value + 1 }
            }
            _ = harness.answer()
        }
        #expect(router.engine.shards[0].objects.count == model.count)
    }

    @Test("after scripts were loaded again the new methods answer, and objects stay")
    func reload() throws {
        let router = try Self.router([])
        let harness = SessionHarness(router)
        let engine = router.engine
        _ = engine.reload([Self.thing])
        Self.check(harness, [("thing:new:a", "CREATED"), ("thing:add:a:1", "1"), ("thing:add:a:1", "2")])
        var changed = String(decoding: Self.thing.source, as: UTF8.self)
        changed += "\nfunction Thing:add(_) return 'other' end\nfunction Thing:double() return self.n * 2 end"
        _ = engine.reload([ObjectScript(file: "thing.lua", source: Array(changed.utf8))])
        Self.check(harness, [("thing:add:a:1", "other"), ("thing:double:a", "4")])
        _ = engine.reload([])
        harness.send("get thing:add:a:1\r\n")
        #expect(harness.answer() == "END\r\n")
    }

    @Test("a method of an object that is not there is a miss at once, for get, set, mg and ms")
    func misses() throws {
        let harness = try Self.harness()
        harness.send(
            "get thing:add:no:1\r\nset thing:add:no 0 0 1\r\n1\r\nmg thing:add:no:1 v\r\nms thing:add:no 1\r\n1\r\n")
        #expect(
            harness.answer() == Self.value("thing:add:no:1", "ERROR_CACHE_MISS")
                + "NOT_STORED\r\nVA 16\r\nERROR_CACHE_MISS\r\nNS\r\n")
        harness.send("get thing:new:a thing:add:a:1 thing:add:no:1\r\n")
        #expect(harness.answer().hasSuffix("VALUE thing:add:no:1 0 16\r\nERROR_CACHE_MISS\r\nEND\r\n"))
    }

    @Test("mg and ms call methods at once, with the flags that they ask for, in the order of the requests")
    func meta() async throws {
        let harness = try Self.harness()
        Self.check(harness, [("thing:new:a", "CREATED"), ("thing:add:a:40", "40")])
        harness.send(
            "mg thing:add:a:2 k v s\r\nms thing:add:a 1 k\r\n8\r\nmg thing:give:a:table v q\r\nmg thing:spoil:a v\r\n"
                + "mg thing:work:a:15000 v\r\nmg thing:add:a:1 v\r\nmn\r\n")
        while !harness.session.isSettled {
            await Task.yield()
            harness.collect()
        }
        #expect(
            harness.answer()
                == "VA 2 kthing:add:a:2 s2\r\n42\r\nHD kthing:add:a\r\nVA 5\r\n[1,2]\r\n"
                + "CLIENT_ERROR script_error thing.lua:4: no\r\nVA 5\r\n15000\r\nVA 5\r\n15001\r\nMN\r\n")
    }

    @Test("names and arguments with any byte: as base64, and with %XX where a colon or a percent sign is meant")
    func bytes() throws {
        let harness = try Self.harness()
        func base64(_ text: String) -> String { Data(text.utf8).base64EncodedString() }
        harness.send("mg \(base64("map:new:a b")) b v\r\n")
        #expect(harness.answer() == "VA 7\r\nCREATED\r\n")
        // A blank, a line end and a zero byte; then a colon and a percent sign, as the key says them.
        harness.send("mg \(base64("map:put:a b:k \r\n\0:v w")) b v\r\nmg \(base64("map:put:a b:x%3Ay:100%25")) b v\r\n")
        #expect(harness.answer() == "VA 7\r\nSUCCESS\r\nVA 7\r\nSUCCESS\r\n")
        harness.send("mg \(base64("map:get:a b:k \r\n\0")) b v\r\nget map:get:a%20b:x%3ay map:count:a%20b\r\n")
        #expect(
            harness.answer()
                == "VA 11\r\nk \r\n\0 : v w\r\nVALUE map:get:a%20b:x%3ay 0 10\r\nx:y : 100%\r\n"
                + "VALUE map:count:a%20b 0 1\r\n2\r\nEND\r\n")
        // An object whose name has a colon; the same one by both ways.
        harness.send("get counter:new:a%3Ab:5\r\nmg \(base64("counter:add:a%3Ab")) b v\r\nget counter:get:a%3ab\r\n")
        #expect(
            harness.answer() == Self.value("counter:new:a%3Ab:5", "CREATED") + "VA 1\r\n6\r\n"
                + Self.value("counter:get:a%3ab", "6"))
    }
}
