// What methods were called for: counted whichever way a call goes, with the objects of each type that are there.

import Engine
import Synchronization
import Testing

@Suite struct MethodMetersTests {
    private static let script = ObjectScript(
        file: "t.lua",
        source: Array(
            """
            local T = object "t"
            function T.new() return { n = 0 } end
            function T:raise() self.n = self.n + 1 return self.n end
            function T:fail() error("no") end
            function T:last() local n = 0 for i = 1, 3000000 do n = n + i end return n end
            T.readonly { "last" }
            """.utf8))

    private static func host(_ slow: SlowLog = SlowLog()) throws -> (Engine, ObjectHost) {
        var configuration = EngineConfiguration(shards: 1, computeThreads: 1, memoryBytes: 16 << 20)
        configuration.scripts = [script]
        configuration.objectTypes = try ObjectTypes(adding: [script])
        configuration.slow = slow
        let engine = Engine(configuration)
        return (engine, engine.shards[0].objects)
    }

    /// As a session calls: at once where it can.
    private static func get(_ engine: Engine, _ key: String) async {
        let bytes = Array(key.utf8)
        let paused: PausedCall? = bytes.withUnsafeBytes { key in
            guard let method = engine.locate(key, hashOfOwn: { $1 }) else { return nil }
            if case .paused(let call) = engine.objects.callAtOnce(method, key: key, data: nil, answer: { _ in }) {
                return call
            }
            return nil
        }
        guard let paused else { return }
        await withCheckedContinuation { (done: CheckedContinuation<Void, Never>) in paused.finish { _ in done.resume() }
        }
    }

    @Test("calls by either way count once, with their misses and errors, and each 64th short one is measured")
    func counts() async throws {
        let (engine, host) = try Self.host()
        _ = await host.ask(parse("t:new:a"))
        for _ in 0..<129 { await Self.get(engine, "t:raise:a") }
        for _ in 0..<7 { _ = await host.ask(parse("t:raise:a")) }
        await Self.get(engine, "t:raise:none")
        _ = await host.ask(parse("t:raise:none"))
        await Self.get(engine, "t:fail:a")
        _ = await host.ask(parse("t:fail:a"))
        _ = await host.ask(parse("t:raise:a:too:many"))
        _ = await host.ask(parse("t:ttl:a"))
        _ = await host.ask(parse("t:create:made"))
        _ = await host.ask(parse("t:create:made"))
        _ = await host.ask(parse("t:add:added"))
        _ = await host.ask(parse("t:expire:a"))
        let methods = engine.methodFigures
        func figures(_ method: String) -> [UInt64] {
            methods.first { $0.key.name == "t:\(method)" }.map { [$0.value.calls, $0.value.misses, $0.value.errors] }
                ?? []
        }
        #expect(figures("new") == [1, 0, 0])
        #expect(figures("raise") == [139, 2, 1])
        #expect(figures("fail") == [2, 0, 2])
        #expect(figures("ttl") == [1, 0, 0])
        // What makes an object is counted by its own name, and what every type has where its arguments are wrong too.
        #expect(figures("create") == [2, 0, 0] && figures("add") == [1, 0, 0])
        #expect(figures("expire") == [1, 0, 1])
        let durations = try #require(engine.typeFigures["t"]).durations
        // 1 new, 1 ttl, 4 more verbs, 129 that were sampled, 7 and 3 that came the long way.
        #expect((75...148).contains(durations.count), "\(durations.count)")
        #expect(durations.nanoseconds > 0)
    }

    @Test("a method that pauses is measured by itself, is slow where it takes long enough, and named")
    func slow() async throws {
        let told = Mutex<[String]>([])
        let slow = SlowLog(thresholdMilliseconds: 1) { entry in told.withLock { $0.append(entry.what) } }
        let (engine, host) = try Self.host(slow)
        _ = await host.ask(parse("t:new:a%3Ab"))
        _ = await host.ask(parse("t:new:a"))
        await Self.get(engine, "t:last:a")
        _ = await host.ask(parse("t:last:a%3Ab"))
        let lasts = slow.entries.filter { $0.what.hasPrefix("t:last:") }
        #expect(Set(lasts.map(\.what)) == ["t:last:a", "t:last:a:b"])
        #expect(lasts.allSatisfy { $0.milliseconds >= 1 })
        #expect(told.withLock { $0.filter { $0.hasPrefix("t:last") } }.count == 2)
        let last = try #require(engine.methodFigures.first { $0.key.name == "t:last" }?.value)
        #expect(last.calls == 2 && last.milliseconds >= 2)
    }

    @Test("of a slow method's object so much is told as of arguments")
    func longNames() async throws {
        let slow = SlowLog(thresholdMilliseconds: 1)
        let (_, host) = try Self.host(slow)
        let name = String(repeating: "n", count: 100_000)
        _ = await host.ask(parse("t:new:\(name)"))
        _ = await host.ask(parse("t:last:\(name)"))
        #expect(slow.entries.first { $0.what.hasPrefix("t:last") }?.what == "t:last:\(name.prefix(40))…")
    }

    @Test("a log of slow ones keeps the last of them, and none where it is off")
    func log() {
        let log = SlowLog(thresholdMilliseconds: 2)
        #expect(!log.isSlow(1_999_999) && log.isSlow(2_000_000))
        for at in 0..<200 { log.note("job \(at)", nanoseconds: 2_000_000, unixMilliseconds: Int64(at)) }
        #expect(log.entries.count == 128)
        #expect(log.entries.first?.what == "job 199" && log.entries.last?.what == "job 72")
        #expect(!SlowLog().isSlow(.max - 1))
    }

    @Test("objects are counted by type, those that went no longer")
    func objects() async throws {
        let (engine, host) = try Self.host()
        for at in 0..<100 { _ = await host.ask(parse("t:new:object\(at)")) }
        for at in 0..<10 { _ = await host.ask(parse("t:drop:object\(at)")) }
        _ = await host.ask(parse("quota:new:a:1:day"))
        #expect(engine.typeFigures["t"]?.live == 90 && engine.typeFigures["quota"]?.live == 1)
        await withCheckedContinuation { done in host.removeAll { done.resume() } }
        #expect(engine.typeFigures["t"]?.live == 0 && engine.typeFigures["quota"]?.live == 0)
    }
}
