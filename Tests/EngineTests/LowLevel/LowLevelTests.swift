// Scripts for the low-level interface: what they are given, what they answer, and what they may not do.

import Engine
import Synchronization
import Testing

/// A map in memory.
private final class DictionaryItems: LowLevelServices {
    let items = Mutex<[[UInt8]: LowLevelItem]>([:])
    func get(_ key: [UInt8]) -> LowLevelItem? { items.withLock { $0[key] } }
    func put(_ item: LowLevelItem) -> Bool {
        items.withLock { $0[item.key] = item }
        return true
    }
    func delete(_ key: [UInt8]) { items.withLock { $0[key] = nil } }
    func deleteLeastUsed(bytes: Int) { items.withLock { $0 = [:] } }
    func keys(prefix: [UInt8], limit: Int) -> [[UInt8]] {
        items.withLock { items in
            items.keys.filter { $0.starts(with: prefix) }.sorted { $0.lexicographicallyPrecedes($1) }
        }
    }
    func log(_ line: String) {}
}

@Suite struct LowLevelTests {
    /// A bag of words, written as scripts for that interface were.
    private static let bag = script(
        """
        local function add(bag, word) bag[word] = (bag[word] or 0) + 1 end

        local function size(bag)
            local total = 0
            table.foreach(bag, function(word, count) total = total + count end)
            return total
        end

        local function handleNEW(command, originalKey, name)
            executeNew(command, originalKey, "bag", name, function() return {} end)
        end
        local function handleADD(command, originalKey, name, ...)
            executeReadWrite(command, originalKey, "bag", name, function(bag, ...)
                for i = 1, arg.n do add(bag, arg[i]) end
                return "SUCCESS"
            end, unpack(arg))
        end
        local function handleSIZE(command, originalKey, name)
            executeReadOnly(command, originalKey, "bag", name, function(bag) return size(bag) end)
        end
        local function handleLIST(command, originalKey, prefix)
            local keys = getHashMap():getPrefixMatchingKeys(prefix)
            writeStringAsValue(command, originalKey, keys and table.concat(keys, " ") or "NONE")
        end
        local function handleITEM(command, originalKey, key, data)
            command:setKey(key)
            command:setData(data)
            command:setFlags(7)
            command:setExpiryTime(4000000000)
            local item = command:newCacheItem()
            getHashMap():put(item)
            local back = getHashMap():get(key)
            writeStringAsValue(command, originalKey, string.format("%s %d %s %d %d %d", back:getKey(), back:getKeySize(),
                back:getData(), back:getDataSize(), back:getFlags(), back:getExpiryTime()))
            back:delete()
        end
        local function handleECHO(command, originalKey)
            writeStringAsValue(command, originalKey, command:getCommand() .. " " .. command:getKey() .. " "
                .. tostring(command:getData()) .. " " .. command:hasMultipleKeys())
        end
        local function handleTABLES(command, originalKey)
            local bag = table:unmarshal(table.marshal({ a = { 1, 2 } }))
            local copy = table.clone(bag)
            bag.a[1] = 5
            local quotient, words = 4 / 2, ""
            for word in string.gfind("one two", "%a+") do words = words .. word .. table.getn(copy.a) end
            writeStringAsValue(command, originalKey, copy.a[1] .. words .. tostring(quotient))
        end
        local function handleRING(command, originalKey, key)
            local ring = newConsistent("a:1,b:2")
            local first = ring:findServerForKey(key)
            ring:setServerAvailable(first, 0)
            local second = ring:findServerForKey(key)
            writeStringAsValue(command, originalKey, tostring(first ~= second) .. ring:getServerCount()
                .. ring:isServerAvailable(first) .. ring:isServerAvailable(second))
        end
        local function handlePROXY(command, originalKey, server, key)
            local item = getHashMap():get(key)
            if item == nil then
                local value, reason = command:getFromServer(server, key)
                if value == nil then return writeStringAsValue(command, originalKey, "no: " .. reason) end
                command:setKey(key)
                command:setData(value)
                item = command:newCacheItem()
                getHashMap():put(item)
            end
            writeStringAsValue(command, originalKey, item:getData())
        end
        local function handlePARALLEL(command, originalKey)
            local values, reasons = getInParallel({ one = "k", two = { "k", "l" } })
            writeStringAsValue(command, originalKey, values.one.k .. values.two.l .. reasons.two.k.reason)
        end
        bag = {
            new = handleNEW, add = handleADD, size = handleSIZE, list = handleLIST, item = handleITEM,
            echo = handleECHO, tables = handleTABLES, ring = handleRING, proxy = handlePROXY,
            parallel = handlePARALLEL,
            nothing = function() end,
            flush = function(command) getHashMap():deleteLRU(64 * 1024 * 1024 * 1024) command:writeString("OK\\r\\n") end,
            refuse = function(command) command:writeString("SERVER_ERROR not today\\r\\n") end,
            raise = function() error("on purpose") end,
            loop = function() while true do pcall(function() while true do end end) end end,
        }
        return bag
        """, file: "bag.lua")

    private static let answers: [(String, String)] = [
        ("bag:add:b:x", "ERROR_CACHE_MISS"), ("bag:new:b", "CREATED"), ("bag:size:b", "0"),
        ("bag:add:b:x:y:x", "SUCCESS"), ("bag:size:b", "3"), ("bag:size:none", "ERROR_CACHE_MISS"),
        ("bag:new:c", "CREATED"), ("bag:list:bag$", "bag$b bag$c"), ("bag:list:zzz", "NONE"),
        ("bag:item:k:data", "k 1 data 4 7 4000000000"), ("bag:echo:a:b", "get bag:echo:a:b nil 0"),
        ("bag:tables:x", "1one2two22"), ("bag:ring:some", "true201"), ("bag:nothing:x", "<miss>"),
        ("bag:refuse:x", "<script_error>"), ("bag:raise:x", "<script_error>"), ("bag:loop:x", "<budget_exceeded>"),
        ("bag:proxy:far:new", "far new"), ("bag:proxy:nowhere:new", "far new"),
        ("bag:proxy:nowhere:old", "no: unreachable"),
        ("bag:parallel:x", "one ktwo lmiss"), ("bag:size:b", "3"), ("bag:flush:x", "OK"),
        ("bag:size:b", "ERROR_CACHE_MISS"),
    ]

    /// Answers `server key`; server `nowhere` cannot be reached, and `two` has no `k`.
    private static let asker: QuestionAsker = { questions, _, answer in
        answer(
            questions.map { question in
                let key = String(decoding: question.key, as: UTF8.self)
                let result: Result<Value, Failure> =
                    switch (question.server, key) {
                    case ("nowhere", _): .failure(Failure(.unreachable, "gone"))
                    case ("two", "k"): .failure(.noSuchKey)
                    default: .success(.string("\(question.server) \(key)"))
                    }
                return JobAnswer(question: question, result: result)
            })
    }

    private static func ask(_ host: LowLevelHost, _ key: String, data: String? = nil) async -> String {
        let result = await withCheckedContinuation { continuation in
            host.call(
                parse(key), data: data.map { Array($0.utf8) }, deadline: .after(milliseconds: 600_000), ask: asker
            ) { continuation.resume(returning: $0) }
        }
        return switch result {
        case .success(let value): String(decoding: value.answer, as: UTF8.self)
        case .failure(let failure): "<\(failure.reason.rawValue)>"
        }
    }

    @Test("handlers answer as they write, through every function of the interface")
    func conversation() async throws {
        let types = try ObjectTypes(adding: [Self.bag])
        #expect(types.hasHandlers(type: "bag"))
        let host = LowLevelHost(types.handlers, services: DictionaryItems(), compute: ComputePool(width: 2))
        for (index, (key, answer)) in Self.answers.enumerated() {
            #expect(await Self.ask(host, key) == answer, "\(index): \(key)")
        }
        #expect(await Self.ask(host, "bag:echo:a", data: "block") == "set bag:echo:a block 0")
    }

    @Test("a script named like a built-in type takes its place; one that is neither is refused")
    func precedence() throws {
        let set = script("set = { my = function() end }", file: "set.lua")
        let types = try ObjectTypes(adding: [set])
        #expect(types.types["set"] == nil && types.hasHandlers(type: "set"))
        #expect(Array("set:my:x".utf8).withUnsafeBytes { types.names($0) })
        #expect(types.refusal(of: parse("set:put:x")) != nil && types.refusal(of: parse("set:my:x")) == nil)
        let helper = script("function twice(n) return 2 * n end", file: "helper.lua")
        #expect(try ObjectTypes(adding: [set, helper]).hasHandlers(type: "set"))
        #expect(throws: Failure.self) { try ObjectTypes(adding: [helper]) }
        #expect(throws: Failure.self) { try ObjectTypes(adding: [set, script("set = {", file: "bad.lua")]) }
        #expect(throws: Failure.self) { try ObjectTypes(adding: [script("set = { my = 1 }", file: "other.lua")]) }
    }

    @Test("calls come one after the other; one that waits for a server lets others pass")
    func waits() async throws {
        let types = try ObjectTypes(adding: [Self.bag])
        let host = LowLevelHost(types.handlers, services: DictionaryItems(), compute: ComputePool(width: 2))
        let held = Mutex<(@Sendable ([JobAnswer]) -> Void)?>(nil)
        let questions = Mutex<[JobQuestion]>([])
        let asked = Collected<Bool>()
        let answers = Collected<String>()
        host.call(
            parse("bag:proxy:far:key"), data: nil, deadline: .after(milliseconds: 600_000),
            ask: { list, _, answer in
                questions.withLock { $0 = list }
                held.withLock { $0 = answer }
                asked.add(true)
            }
        ) { result in answers.add((try? result.get())?.text ?? "failed") }
        _ = await asked.wait(for: 1)
        #expect(await Self.ask(host, "bag:new:b") == "CREATED")
        let question = try #require(questions.withLock { $0.first })
        held.withLock { $0 }?([JobAnswer(question: question, result: .success(.string("late")))])
        #expect(await answers.wait(for: 1) == ["late"])
    }

    @Test("the node's items are one map to scripts, whichever shard they are on")
    func nodeItems() async throws {
        var configuration = EngineConfiguration(shards: 3, memoryBytes: 16 << 20)
        configuration.objectTypes = try ObjectTypes(adding: [Self.bag])
        let engine = Engine(configuration)
        for index in 0..<20 { #expect(await Self.ask(engine.lowLevel, "bag:new:n\(index)") == "CREATED") }
        #expect(await Self.ask(engine.lowLevel, "bag:add:n7:x") == "SUCCESS")
        #expect(await Self.ask(engine.lowLevel, "bag:size:n7") == "1")
        let listed = await Self.ask(engine.lowLevel, "bag:list:bag$n")
        #expect(listed.split(separator: " ").count == 20)
        #expect(await Self.ask(engine.lowLevel, "bag:item:k:data") == "k 1 data 4 7 4000000000")
        #expect(engine.shards.reduce(0) { $0 + $1.items.statistics.items } == 21)
        #expect(await Self.ask(engine.lowLevel, "bag:flush:x") == "OK")
        #expect(engine.shards.allSatisfy { $0.items.statistics.items == 0 })
    }

    /// What a script says, and its text in Lua 5.1.
    private static let numbers: [(expression: String, text: String)] = [
        ("tostring(8 / 2)", "4"), ("8 / 2 .. ''", "4"), ("'' .. 8 / 2", "4"), ("8 / 2 .. 1 / 10 .. 'x'", "40.1x"),
        ("string.len(8 / 2)", "1"), ("#('' .. 8 / 2)", "1"), ("string.len(1e15)", "5"), ("1e15 .. ''", "1e+15"),
        ("tostring(1000000 * 1000000000)", "1e+15"), ("1000000 * 1000000000 .. ''", "1e+15"),
        ("99999999999999 .. ''", "99999999999999"), ("100000000000000 .. ''", "1e+14"),
        ("2 ^ 53 .. ''", "9.007199254741e+15"),
        ("0.1 + 0.2 .. ''", "0.3"), ("1 / 3 .. ''", "0.33333333333333"), ("-8 / 2 .. ''", "-4"), ("1 / 0 .. ''", "inf"),
        ("table.concat({ 8 / 2, 1e15, 'x' }, 4 / 2)", "421e+152x"),
        ("string.format('%s %d %5.1f', 8 / 2, 7 / 2, 1)", "4 3   1.0"),
        ("('%s'):format(8 / 2)", "4"), ("string.rep(8 / 2, 3)", "444"), ("string.sub(40 / 2, 1, 1)", "2"),
        ("string.gsub('a4b', 8 / 2, 6 / 2)", "a3b"), ("(string.find('x4', 8 / 2))", "2"), ("string.upper(8 / 2)", "4"),
        ("1 ..'x'.. 2", "1x2"), ("'..' .. [[..]] .. 1", "....1"), ("select('#', ...) .. ''", "0"), ("#long .. ''", "4"),
        ("({ 8 / 2 .. '' })[1] .. ({ a = 2 / 2 }).a", "41"), ("('%d%%'):format(50 / 2)", "25%"),
        ("-4 / 2 .. #'ab' .. 2 ^ 2 * 2", "-228"), ("tostring(1 .. 2 == '12')", "true"),
        ("(function() return 8 / 2, 5 end)() .. (function() return 8 / 2, 6 end)()", "44"),
        ("({ ('x'):rep(8 / 4) .. 1, 2 })[1]", "xx1"),
        ("tostring 'a' .. 4 / 2 .. tostring { } :sub(1, 5)", "a2table"), ("'a' .. ('b' .. 1 + 1) .. 'c'", "ab2c"),
        ("1e-1 .. ''", "0.1"),
        ("(4 / 2 .. 'x' .. 3 < 'z') and 6 / 2 .. 'y' or 1", "3y"),
        ("string.gsub('ab', 'a', function() return 4 / 2 end)", "2b"),
        ("string.gsub('ab', '%a', { a = 4 / 2 })", "2b"),
    ]

    @Test("a number has one text: for `..`, tostring, string, table.concat and writeString, as Lua 5.1 wrote it")
    func numbersAsText() async throws {
        var source = "-- a .. b\nlocal long = [==[ .. ]==] .. '' numbers = {\n"
        for (index, number) in Self.numbers.enumerated() {
            source +=
                "n\(index) = function(command, key, name, ...) writeStringAsValue(command, key, (\(number.expression))) end,\n"
            source +=
                "l\(index) = function(command, key, name, ...) local v = \(number.expression) command:writeString('VALUE k 0 ' .. string.len(v) .. '\\r\\n') command:writeString(v) command:writeString('\\r\\n') end,\n"
        }
        source +=
            "item = function(command, key) command:setKey(8 / 2) command:setData(1e15) local item = command:newCacheItem() "
        source +=
            "writeStringAsValue(command, key, item:getKey() .. item:getData()) end, bad = function() return 'x' .. nil end }"
        let types = try ObjectTypes(adding: [script(source, file: "numbers.lua")])
        let host = LowLevelHost(types.handlers, services: DictionaryItems(), compute: ComputePool(width: 1))
        for (index, (expression, text)) in Self.numbers.enumerated() {
            #expect(await Self.ask(host, "numbers:n\(index):x") == text, "\(expression)")
            #expect(await Self.ask(host, "numbers:l\(index):x") == text, "\(expression)")
        }
        #expect(await Self.ask(host, "numbers:item:x") == "41e+15")
        #expect(await Self.ask(host, "numbers:bad:x") == "<script_error>")
    }

    @Test("`arg` is put in where it is used, on the same line, past strings and comments")
    func arguments() async throws {
        let source = script(
            """
            -- function commented(...) arg
            local text = "function quoted(...) arg" .. [[ function long(...) arg ]]
            local function count(...) return arg.n end
            local function second(first, ...)
                return arg[1] end
            args = { run = function(command, key) writeStringAsValue(command, key, count(1, nil, 3) .. second("a", "b")) end,
                line = function() error("here") end }
            """, file: "args.lua")
        let types = try ObjectTypes(adding: [source])
        let host = LowLevelHost(types.handlers, services: DictionaryItems(), compute: ComputePool(width: 1))
        #expect(await Self.ask(host, "args:run:x") == "3b")
        let failure: Failure? = await withCheckedContinuation { continuation in
            host.call(parse("args:line:x"), data: nil, deadline: .after(milliseconds: 600_000), ask: Self.asker) {
                result in
                if case .failure(let failure) = result {
                    continuation.resume(returning: failure)
                } else {
                    continuation.resume(returning: nil)
                }
            }
        }
        #expect(failure?.message == "args.lua:7: here")
    }
}
