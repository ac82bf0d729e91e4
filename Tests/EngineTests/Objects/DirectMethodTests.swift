// Changing methods of built-in types that need no journal: they fail whole, too.

import Engine
import Foundation
import Synchronization
import Testing

@Suite struct DirectMethodTests {
    @Test("where memory ends in the middle of one, its object is as it was", arguments: 0..<6)
    func memoryEnds(offset: Int) async throws {
        var configuration = ObjectHostConfiguration()
        configuration.memoryBytesMax = 8 << 20
        configuration.liveBytesMax = 64 << 20
        // However slow the machine is: a method that goes on elsewhere is another test's.
        configuration.inlineNanoseconds = 10_000_000_000
        configuration.methodNanosecondsMax = 20_000_000_000
        let host = ObjectHost(
            types: .builtIn, shelf: DictionaryShelf(), compute: ComputePool(width: 1), configuration: configuration)
        let caller = CallerAtOnce(host)
        func atOnce(_ key: String) -> String { caller.ask(key) }
        #expect(await host.answer("set:new:s") == "CREATED")
        #expect(await host.answer("map:new:m") == "CREATED")
        #expect(await host.answer("swcounter:new:w:100000") == "CREATED")
        // What will have to go so that there is memory for the questions at the end.
        #expect(await host.answer("map:new:ballast") == "CREATED")
        #expect(await host.answer("map:put:ballast:k", data: String(repeating: "b", count: 3 << 20)) == "SUCCESS")
        // The members grow until the state's memory ends, each time elsewhere in the call.
        let filler = String(repeating: "x", count: 100 + offset * 7)
        var failures = 0
        var members = 0
        var entries = 0
        var last = 0
        for number in 0..<700_000 where failures < 3 {
            let answers = [
                atOnce("set:put:s:\(number)\(filler)"), atOnce("map:put:m:\(number):\(filler)\(number)"),
                atOnce("swcounter:add:w:\(number)"),
            ]
            if answers[0] == "SUCCESS" { members += 1 }
            if answers[1] == "SUCCESS" { entries += 1 }
            if answers[2] == "SUCCESS" { last = number }
            if answers.contains("<budget_exceeded>") { failures += 1 }
            if answers.contains("paused") { break }
            // Nothing has happened: what a call left behind is collected first, and whoever queues comes behind that.
            if answers.contains("declined") { _ = await host.ask(parse("map:count:ballast")) }
        }
        #expect(await host.answer("map:drop:ballast") == "SUCCESS")
        var counts: [String] = []
        for question in ["set:count:s", "map:count:m", "swcounter:getlast:w"] {
            switch await host.ask(parse(question)) {
            case .success(let value): counts.append(String(decoding: value.answer, as: UTF8.self))
            case .failure(let failure): counts.append(failure.message)
            }
        }
        #expect(counts == ["\(members)", "\(entries)", "\(last)"])
        #expect(failures == 3, "\(members) members")
    }

    @Test("where time ends in the middle of one, its object is as it was, or as it is afterwards")
    func timeEnds() async throws {
        let clock = TestClock(seconds: 3_600_000)
        // A type's methods that are not built in have a journal: the same script under another name.
        let file = "\(#filePath.components(separatedBy: "/Tests/")[0])/Sources/Engine/Objects/Types/quota.lua"
        let quota = try String(contentsOfFile: file, encoding: .utf8)
        let journalled = script(
            quota.replacing("object \"quota\"", with: "object \"allowance\""), file: "allowance.lua")
        var configuration = ObjectHostConfiguration()
        configuration.inlineNanoseconds = 10_000_000_000
        configuration.methodNanosecondsMax = 2_000_000
        // The method asks for the time once its own has begun, or before: then it is over when the answer comes.
        let stalls = Atomic<Bool>(false)
        configuration.environment = ClockedEnvironment {
            if stalls.load(ordering: .relaxed) { usleep(2_500) }
            return clock.now
        }
        let types = try ObjectTypes(adding: [journalled])
        let host = ObjectHost(
            types: types, shelf: DictionaryShelf(), compute: ComputePool(width: 1), configuration: configuration)
        let caller = CallerAtOnce(host, types: types)
        // Beside a long text the clock is looked at every 16 instructions.
        #expect(await Self.retried(host, "map:new:ballast") == "CREATED")
        let ballast = String(repeating: "b", count: 600 << 10)
        #expect(await Self.retried(host, "map:put:ballast:k", data: ballast) == "SUCCESS")
        #expect(await host.answer("counter:new:c") == "CREATED")
        for type in ["quota", "allowance"] {
            var failures = 0
            #expect(await Self.retried(host, "\(type):new:q:5:hour") == "CREATED")
            var hour: UInt64 = 1000
            for round in 0..<200 {
                // A new hour, in which all five are free again, whatever became of the call before.
                hour += 1
                clock.set(seconds: hour * 3600)
                stalls.store(true, ordering: .relaxed)
                let answer = caller.ask("\(type):addandcheck:q:4")
                stalls.store(false, ordering: .relaxed)
                let left = await Self.retried(host, "\(type):getleft:q")
                if answer == "QUOTA_OK" {
                    #expect(left == "1", "\(type), round \(round)")
                } else {
                    #expect(answer == "<budget_exceeded>" && left == "5", "\(type), round \(round): \(answer)")
                    failures += 1
                }
                // Moves where in a call the clock is looked at.
                for _ in 0..<(round % 8) { _ = caller.ask("counter:get:c") }
                for _ in 0..<(round / 8 % 8) { _ = caller.ask("counter:add:c:\(round % 3 == 0 ? 1.5 : 1)") }
            }
            // What has a journal may be stopped anywhere; what has none is not stopped.
            #expect(type == "quota" ? failures == 0 : failures > 20, "\(type): \(failures)")
        }
    }

    /// Asks until there was time enough.
    private static func retried(_ host: ObjectHost, _ key: String, data: String? = nil) async -> String {
        for _ in 0..<100 {
            let answer = await host.answer(key, data: data)
            if answer != "<budget_exceeded>" { return answer }
        }
        return "never"
    }
}

/// Calls methods on the short way, as connections do.
private struct CallerAtOnce {
    private let hosts: ObjectHosts
    /// Finds methods only, of the same version of the types.
    private let engine: Engine

    init(_ host: ObjectHost, types: ObjectTypes = .builtIn) {
        hosts = ObjectHosts([host])
        engine = Engine(EngineConfiguration(shards: 1, objectTypes: types))
    }

    func ask(_ key: String) -> String {
        let bytes = Array(key.utf8)
        return bytes.withUnsafeBytes { bytes -> String in
            guard let method = engine.locate(bytes, hashOfOwn: { $1 }) else { return "declined" }
            var text = ""
            let outcome = hosts.callAtOnce(method, key: bytes, data: nil) { text = String(decoding: $0, as: UTF8.self) }
            switch outcome {
            case .answered: return text
            case .failed(let failure): return "<\(failure.reason.rawValue)>"
            case .declined, .missed: return "declined"
            case .paused(let call):
                call.finish { _ in }
                return "paused"
            }
        }
    }
}
