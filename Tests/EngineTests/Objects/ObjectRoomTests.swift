// Room for live objects is made a little after each call; and calls that met a busy gate find the short way again.

import Dispatch
import Engine
import Testing
import Glibc

@Suite struct ObjectRoomTests {
    private static let slow = script(
        """
        local Slow = object "slow"
        function Slow.new() return { n = 0 } end
        function Slow:work(steps) for i = 1, steps do self.n = i end return self.n end
        """)

    /// Whether the call was answered at once; if not it goes the long way.
    private static func call(_ engine: Engine, _ key: [UInt8], _ virtualKey: VirtualKey, _ answers: Collected<Bool>)
        -> Bool
    {
        let outcome = key.withUnsafeBytes { bytes -> CallAtOnce in
            guard let method = engine.locate(bytes, hashOfOwn: { $1 }) else { return .declined }
            return engine.objects.callAtOnce(method, key: bytes, data: nil) { _ in }
        }
        if case .answered = outcome { return true }
        engine.shards[0].objects.call(virtualKey, data: nil, deadline: .never) { result in
            answers.add((try? result.get()) != nil)
        }
        return false
    }

    @Test("after a slow method, when calls have begun to queue, they are soon answered at once again")
    func recovers() async throws {
        var configuration = EngineConfiguration(shards: 1)
        configuration.objectTypes = try ObjectTypes(adding: [Self.slow])
        let engine = Engine(configuration)
        let host = engine.shards[0].objects
        _ = await host.answer("slow:new:s")
        _ = await host.answer("counter:new:c")
        let key = Array("counter:add:c".utf8)
        let virtualKey = parse("counter:add:c")
        let answers = Collected<Bool>()
        host.call(parse("slow:work:s:20000"), data: nil, deadline: .never) { answers.add((try? $0.get()) != nil) }
        var calls = 0
        var waited = 0
        var atOnceInARow = 0
        // As a loop does that has 50 connections, 32 requests each: it pauses only when it waits for all of them. How long the
        // slow method takes, and so how many calls queue, is up to the machine; a queue that feeds itself never ends.
        while atOnceInARow < 10_000, calls < 2_000_000 {
            while waited - answers.count > 1_600 { sched_yield() }
            calls += 1
            if Self.call(engine, key, virtualKey, answers) {
                atOnceInARow += 1
            } else {
                atOnceInARow = 0
                waited += 1
            }
        }
        #expect(await answers.wait(for: waited + 1).allSatisfy { $0 })
        #expect(host.statistics.moved == 1)
        #expect(await host.answer("counter:get:c") == String(calls))
        #expect(atOnceInARow == 10_000, "\(waited) of \(calls) calls queued")
    }

    @Test("objects beyond the share leave while others are made, and no call has to wait for it")
    func steady() async throws {
        let shelf = DictionaryShelf()
        let compute = ComputePool(width: 1)
        let host = try makeHost(shelf: shelf, compute: compute) {
            $0.liveBytesMax = 2 << 20
            // Else a call during which the machine did something else for a millisecond would go to the pool, and stay there.
            $0.inlineNanoseconds = 10_000_000_000
        }
        // Nothing comes of the pool: what is answered was answered on this thread.
        let release = DispatchSemaphore(value: 0)
        compute.submit { release.wait() }
        let answers = Collected<Bool>()
        var most = 0
        for index in 0..<60_000 {
            host.call(parse("counter:new:visits-\(index)"), data: nil, deadline: .never) { result in
                answers.add((try? result.get()) == .string("CREATED"))
            }
            most = max(most, host.statistics.memoryBytes)
        }
        let all = await answers.wait(for: 60_000)
        release.signal()
        #expect(all.allSatisfy { $0 })
        #expect(host.count + shelf.count == 60_000)
        #expect(most < 5 << 19, "\(most) bytes, a quarter more than its share at most")
        #expect(host.statistics.memoryBytes > 3 << 19, "it keeps what it may")
        // The last ones are live, the first ones are not.
        let before = host.statistics.unshelved
        for index in 59_000..<60_000 { #expect(await host.answer("counter:get:visits-\(index)") == "0") }
        #expect(host.statistics.unshelved - before < 300)
        for index in 0..<100 { #expect(await host.answer("counter:add:visits-\(index)") == "1") }
        #expect(host.statistics.unshelved - before > 80)
    }

    @Test("what is used all the time stays live while others come and go")
    func keepsUsed() async throws {
        let shelf = DictionaryShelf()
        let host = try makeHost(shelf: shelf) { $0.liveBytesMax = 1 << 20 }
        for index in 0..<50 { _ = await host.answer("counter:new:hot\(index)") }
        for index in 0..<20_000 {
            _ = await host.answer("counter:new:cold\(index)")
            _ = await host.answer("counter:add:hot\(index % 50)")
        }
        #expect(shelf.count > 10_000)
        #expect(host.statistics.unshelved == 0)
        #expect(await host.answer("counter:get:hot7") == "400")
    }

    @Test("expired objects leave without being used, while others are")
    func expires() async throws {
        let clock = TestClock(seconds: 1_000)
        let host = try makeHost(clock: clock)
        for index in 0..<2_000 {
            var key = parse("counter:new:e\(index)")
            key.expiry = Expiry(stored: 1_010)
            _ = await host.ask(key)
        }
        _ = await host.answer("counter:new:stays")
        #expect(host.count == 2_001)
        clock.set(seconds: 1_010)
        // Each looks at a slot, and one more for each object that goes.
        for _ in 0..<8_000 { _ = await host.answer("counter:get:stays") }
        #expect(host.count == 1)
        #expect(await host.answer("counter:get:stays") == "0")
    }

    @Test("large objects are shelved on the pool, small ones beside them at once")
    func large() async throws {
        let shelf = DictionaryShelf()
        let host = try makeHost(shelf: shelf) {
            $0.liveBytesMax = 4 << 20
            $0.shelfBytesMax = 1 << 20
        }
        let filler = String(repeating: "v", count: 1_000)
        for map in 0..<60 {
            _ = await host.answer("map:new:m\(map)")
            for entry in 0..<200 {
                _ = await host.answer("map:put:m\(map):k\(entry)", data: "\(map).\(entry)\(filler)")
            }
        }
        #expect(shelf.count > 30)
        #expect(host.count + shelf.count == 60)
        #expect(host.statistics.memoryBytes < 8 << 20)
        for map in 0..<60 { #expect(await host.answer("map:get:m\(map):k7") == "k7 : \(map).7\(filler)", "\(map)") }
    }

    @Test("items make way for what is live, not for the dead text that methods leave behind")
    func sharesWhatIsLive() async throws {
        let shelf = DictionaryShelf()
        let host = try makeHost(shelf: shelf) { $0.liveBytesMax = 8 << 20 }
        let value = String(repeating: "v", count: 900_000)
        _ = await host.answer("map:new:m")
        for name in ["a", "b", "c"] { #expect(await host.answer("map:put:m:\(name)", data: value) == "SUCCESS") }
        for _ in 0..<20 { #expect(await host.answer("map:getall:m").utf8.count > 2_700_000) }
        // The call behind the last one has waited for what was left to do.
        #expect(await host.answer("map:count:m") == "3")
        let most = shelf.sharedBytes.max() ?? 0
        #expect(most > 2_500_000 && most < 4 << 20, "\(shelf.sharedBytes)")
        #expect(host.statistics.memoryBytes < 4 << 20)
    }

    @Test("objects that come back from the shelf are hot as objects, and not as keys")
    func hotShelved() async throws {
        let engine = Engine(EngineConfiguration(shards: 1, memoryBytes: 64 << 20))
        let host = engine.shards[0].objects
        let value = String(repeating: "v", count: 100_000)
        for map in 0..<100 {
            _ = await host.answer("map:new:m\(map)")
            _ = await host.answer("map:put:m\(map):k", data: "\(map)\(value)")
        }
        for _ in 0..<5 { for map in 0..<100 { #expect(await host.answer("map:count:m\(map)") == "1") } }
        #expect(host.statistics.unshelved > 100)
        let hottest = engine.hottest(limit: 500)
        #expect(hottest.count > 10 && hottest.allSatisfy { $0.kind == .object })
        #expect(hottest.allSatisfy { $0.counted.key.starts(with: Array("map:m".utf8)) })
    }
}
