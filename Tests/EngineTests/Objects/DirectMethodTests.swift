// Changing methods of built-in types that need no journal: they fail whole, too.

import Engine
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
        let hosts = ObjectHosts([host])
        // Finds methods only, of the same version of the types.
        let engine = Engine(EngineConfiguration(shards: 1))
        func atOnce(_ key: String) -> String {
            let bytes = Array(key.utf8)
            return bytes.withUnsafeBytes { bytes -> String in
                guard let method = engine.locate(bytes, isOwn: { _ in true }) else { return "declined" }
                var text = ""
                let outcome = hosts.callAtOnce(method, key: bytes, data: nil) {
                    text = String(decoding: $0, as: UTF8.self)
                }
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
            if answers.contains("paused") || answers.contains("declined") { break }
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
}
