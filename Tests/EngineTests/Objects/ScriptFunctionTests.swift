// json, msgpack, hash and log, as methods use them.

import Engine
import Synchronization
import Testing

@Suite struct ScriptFunctionTests {
    private static let thing = script(
        """
        local T = object "thing"
        function T.new() return {} end
        function T:encode(how)
            if how == "json" then return json.encode({ a = { 1, 2.5, "x", true }, [3] = "k" }) end
            if how == "msgpack" then return #msgpack.encode({ 1, 2 }) end
            if how == "function" then return json.encode(print or type) end
            if how == "self" then self.list = { "deep" } return json.encode(self) end
        end
        function T:decode(text) self.data = json.decode(text) return json.encode(self.data) end
        function T:bad(text) local value, why = json.decode(text) return tostring(value) .. " " .. why end
        function T:trip(text) return msgpack.decode(msgpack.encode(text)) end
        function T:tell(text) log(text) return "told" end
        function T:hash(text, seed) return hash(text, tonumber(seed)) end
        function T:bomb() while true do json.encode(("x"):rep(1 << 20)) end end
        function T:deep() local t = {} for i = 1, 100 do t = { t } end return json.encode(t) end
        function T:show() log(12) log(true) log(nil) return "shown" end
        function T:raise() log(setmetatable({}, { __tostring = function() error("over Swift") end })) end
        function T:flood() while true do log(("x"):rep(1000)) end end
        """)

    @Test("keys that are one in JSON are refused where a table becomes JSON, and nowhere else")
    func keysOfOneText() async throws {
        let source = """
            local T = object "twin"
            local tables = {
                number = { [1] = "a", ["1"] = "b" }, flag = { [true] = 1, ["true"] = 2, x = 3 },
                fraction = { { [1.5] = 1, ["1.5"] = 2 } }, none = { [1] = "a", ["2"] = "b", [true] = 1, ["1.0"] = 2 },
            }
            function T.new() return {} end
            function T:answer(name) return tables[name] end
            function T:encode(name) return json.encode(tables[name]) end
            function T:trip(name) return msgpack.decode(msgpack.encode(copy(tables[name])))["1"] end
            function T:keep(name) self.kept = copy(tables[name]) return self.kept[1] end
            """
        let host = try makeHost([script(source, file: "twin.lua")])
        _ = await host.answer("twin:new:a")
        for (name, key) in [("number", "1"), ("flag", "true"), ("fraction", "1.5")] {
            for method in ["answer", "encode"] {
                let failure = await host.failure("twin:\(method):a:\(name)")
                #expect(failure?.reason == .scriptError, "\(method) \(name)")
                #expect(
                    failure?.message.contains("the keys \(key) and \"\(key)\" are one in JSON") == true,
                    "\(failure?.message ?? "")")
            }
        }
        #expect(await host.answer("twin:answer:a:none") == #"{"1":"a","1.0":2,"2":"b","true":1}"#)
        #expect(await host.answer("twin:trip:a:number") == "b")
        #expect(await host.answer("twin:keep:a:number") == "a")
    }

    @Test("values become JSON and MessagePack, and come back")
    func codecs() async throws {
        let host = try makeHost([Self.thing])
        _ = await host.answer("thing:new:a")
        #expect(await host.answer("thing:encode:a:json") == #"{"3":"k","a":[1,2.5,"x",true]}"#)
        #expect(await host.answer("thing:encode:a:msgpack") == "3")
        #expect(await host.answer("thing:encode:a:function") == "<script_error>")
        #expect(await host.answer("thing:encode:a:self") == #"{"list":["deep"]}"#)
        let text = #"{"b":[1,-2,3.5e2,{"c":"é\n\"\u00e9\ud83d\ude00"}],"t":true,"f":false}"#
        #expect(
            await host.answer("thing:decode:a", data: text)
                == "{\"b\":[1,-2,350,{\"c\":\"é\\n\\\"é😀\"}],\"f\":false,\"t\":true}")
        for bad in ["", "{", "[1,]", "01", "nul", "1 2", "{\"a\"}", "\"\\x\"", "\"a\nb\"", "[1e999]"] {
            #expect(await host.answer("thing:bad:a", data: bad).hasPrefix("nil this is no json"), "\(bad)")
        }
        for (text, place) in [("[1,null,3]", 2), ("{\"a\":[[null]]}", 1), ("[1,2,null]", 3)] {
            let message = await host.answer("thing:bad:a", data: text)
            #expect(message.hasPrefix("nil a list whose element \(place) is null can't be a Lua table"), "\(message)")
        }
        #expect(await host.answer("thing:decode:a", data: #"{"a":null,"b":[1,{"c":null}]}"#) == #"{"b":[1,[]]}"#)
        #expect(await host.answer("thing:trip:a", data: "\0\u{1}é") == "\0\u{1}é")
    }

    @Test("an answer, and what json.encode gives, is as long as it is sent, escapes and all")
    func lengths() async throws {
        let long = script(
            """
            local T = object "long"
            function T.new() return { calls = 0 } end
            function T:list(bytes) self.calls = self.calls + 1 return { ("\\1"):rep(tonumber(bytes)) } end
            function T:text(bytes) return ("\\1"):rep(tonumber(bytes)) end
            function T:code(bytes) return #json.encode({ ("\\1"):rep(tonumber(bytes)) }) end
            function T:count() return self.calls end
            """, file: "long.lua")
        let host = try makeHost([long])
        _ = await host.answer("long:new:a")
        let most = ((8 << 20) - 4) / 6
        #expect(await host.answer("long:list:a:\(most)").utf8.count == 6 * most + 4)
        #expect(await host.answer("long:list:a:\(most + 1)") == "<budget_exceeded>")
        #expect(await host.answer("long:count:a") == "1", "a call that failed has changed nothing")
        #expect(await host.answer("long:text:a:\(6 << 20)").utf8.count == 6 << 20)
        #expect(await host.answer("long:code:a:\(most)") == "\(6 * most + 4)")
        #expect(await host.answer("long:code:a:\(most + 1)").hasPrefix("<"))
    }

    @Test("functions take as many arguments as they say")
    func argumentCounts() async throws {
        let strict = script(
            """
            local T = object "strict"
            function T.new() return {} end
            function T:try(code)
                local call = { e = function() return json.encode(1, 2) end, d = function() return json.decode("1", 2) end,
                    m = function() return msgpack.encode() end, h = function() return hash("a", 1, 2) end }
                return select(2, pcall(call[code]))
            end
            """, file: "strict.lua")
        let host = try makeHost([strict])
        _ = await host.answer("strict:new:a")
        for (code, message) in [
            ("e", "json.encode(value) takes 1 argument, not 2"), ("d", "json.decode(text) takes 1 argument, not 2"),
            ("m", "msgpack.encode(value) takes 1 argument, not 0"),
            ("h", "hash(text, seed) takes 1 or 2 arguments, not 3"),
        ] {
            #expect(await host.answer("strict:try:a:\(code)").hasSuffix(message), "\(code)")
        }
    }

    @Test("hash is the same everywhere, and its seed changes it")
    func hash() async throws {
        let host = try makeHost([Self.thing])
        _ = await host.answer("thing:new:a")
        let first = await host.answer("thing:hash:a:text:0")
        #expect(first == "\(await host.answer("thing:hash:a:text:0"))")
        #expect(Int64(first) != nil)
        #expect(await host.answer("thing:hash:a:text:1") != first)
    }

    @Test("log reaches the log as one line, and no script can flood it for ever")
    func logs() async throws {
        let lines = Mutex<[String]>([])
        let host = try makeHost([Self.thing]) { $0.log = { line in lines.withLock { $0.append(line) } } }
        _ = await host.answer("thing:new:a")
        #expect(await host.answer("thing:tell:a", data: "two\r\nlines") == "told")
        #expect(lines.withLock { $0 } == ["two  lines"])
        #expect(await host.answer("thing:show:a") == "shown")
        #expect(lines.withLock { $0.suffix(3) } == ["12", "true", "nil"])
        #expect(await host.answer("thing:raise:a") == "")
        #expect(await host.answer("thing:flood:a") == "<budget_exceeded>")
        #expect(lines.withLock { $0.count } <= 10_005)
    }

    @Test("codecs cost what they do, and end with the budget")
    func bounded() async throws {
        let host = try makeHost([Self.thing])
        _ = await host.answer("thing:new:a")
        #expect(await host.answer("thing:bomb:a") == "<budget_exceeded>")
        #expect(await host.answer("thing:deep:a") == "<script_error>")
        #expect(await host.answer("thing:encode:a:msgpack") == "3")
    }

    @Test("a method cannot wait for other servers, and says so; it can be caught, and changes nothing")
    func noWaiting() async throws {
        let source = """
            local T = object "asker"
            function T.new() return { n = 0 } end
            function T:single() self.n = 1 return getFromServer("n2", "k") end
            function T:parallel() return getInParallel { n2 = "k" } end
            function T:servers() return cluster.servers() end
            function T:caught() local ok, message = pcall(getFromServer, "n2", "k") return message end
            """
        let host = try makeHost([script(source)])
        _ = await host.answer("asker:new:a")
        for method in ["single", "parallel", "servers"] {
            let failure = await host.failure("asker:\(method):a")
            #expect(failure?.reason == .scriptError && failure?.message.contains("atomic and cannot wait") == true)
        }
        #expect(await host.answer("asker:caught:a").contains("atomic and cannot wait"))
    }
}
