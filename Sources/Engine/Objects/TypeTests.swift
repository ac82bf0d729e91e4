// Runs the tests of types, files `*_test.lua`, in this process: no server, no threads, a clock that the tests set.

import CLua
import Synchronization

/// What came of one test.
package struct TypeTestResult: Sendable {
    package let file: String
    package let name: String
    package let milliseconds: Double
    /// `file:line: got …, wanted …`; nil where it passed.
    package let failure: Failure?
    /// What the types and the test said with `log` and `print`.
    package let lines: [String]
}

/// The tests of one file, which is run once for all of them.
package final class TypeTests {
    private static let instructionsMax = 1_000_000_000
    private static let millisecondsMax = 10_000
    /// When each test begins: 2026-01-01, 00:00:00 UTC.
    private static let firstUnixSeconds: UInt64 = 1_767_225_600

    private let file: String
    private let types: ObjectTypes
    private let state = LuaState()
    private let environment: LuaEnvironment
    private let clock: HandClock
    private let hands: HandEnvironment
    /// The shard that the test under way calls.
    private var machine: ObjectMachine?
    private let lines = SaidLines()
    package private(set) var names: [String]

    /// Runs the file's top level.
    /// - Throws: `script_error` with file and line.
    package init(_ script: ObjectScript, of types: ObjectTypes) throws(Failure) {
        file = script.file
        self.types = types
        clock = HandClock()
        hands = HandEnvironment(clock)
        let lines = lines
        ScriptFunctions.register(in: state) { lines.say($0) }
        environment = state.makeEnvironment()
        let budget = LuaBudget(instructionsMax: Self.instructionsMax, deadline: .never)
        try state.load(
            source: PackageResources.testing_lua, name: "testing.lua", environment: environment, budget: budget)
        names = []
        registerHost()
        try state.load(source: script.source, name: script.file, environment: environment, budget: budget)
        guard let list = state.function("test_names", in: environment) else {
            throw script.failure("test_names is taken: it is for what runs the tests")
        }
        let told = try state.call(list, budget: budget).first?.plain
        if case .array(let texts)? = told { names = texts.compactMap(\.text) }
    }

    /// Each test in turn.
    package func run() -> [TypeTestResult] {
        names.indices.map { at in
            let began = hands.uptimeNanoseconds
            lines.clear()
            clock.set(seconds: Self.firstUnixSeconds)
            var failure: Failure?
            do throws(Failure) { try run(at) } catch { failure = error }
            return TypeTestResult(
                file: file, name: names[at], milliseconds: Double(hands.uptimeNanoseconds - began) / 1e6,
                failure: failure, lines: lines.all)
        }
    }

    private func run(_ at: Int) throws(Failure) {
        var configuration = ObjectHostConfiguration()
        configuration.environment = hands
        configuration.log = { [lines] in lines.say($0) }
        // What a test is about is not how fast this machine is.
        configuration.methodNanosecondsMax = UInt64(Self.millisecondsMax) * 1_000_000
        machine = ObjectMachine(
            types: types, configuration: configuration, shelf: NoShelf(), meters: MethodMeters(), hot: HotObjects())
        defer { machine = nil }
        guard let run = state.function("run_test", in: environment) else {
            throw Failure(.scriptError, "\(file): run_test is taken: it is for what runs the tests")
        }
        let budget = LuaBudget(
            instructionsMax: Self.instructionsMax,
            deadline: hands.deadline(afterMilliseconds: Self.millisecondsMax))
        _ = try state.call(run, [.plain(.int(Int64(at + 1)))], budget: budget)
    }

    // MARK: What tests call

    private func registerHost() {
        state.register("call", LuaForm("call(key, data)", 1...2)) { [unowned self] (arguments) throws(Failure) in
            guard case .bytes(let key)? = arguments[0].plain else {
                throw Failure(.scriptError, #"call needs a key as text, as in call("quota:new:a:5:day")"#)
            }
            return .value(.bytes(try answer(to: key, data: arguments.count > 1 ? arguments[1].plain?.answer : nil)))
        }
        state.register("clock", LuaForm("clock(seconds)", 1)) { [clock] (arguments) throws(Failure) in
            let seconds: Double
            switch arguments[0].plain {
            case .int(let number)?: seconds = Double(number)
            case .double(let number)?: seconds = number
            default: seconds = -1
            }
            guard (0...1e9).contains(seconds) else {
                throw Failure(.scriptError, "clock(seconds) goes on by a number of seconds, from 0 to 1e9")
            }
            clock.goOn(seconds: seconds)
            return .nothing
        }
        // Those of the test's own text are for the host's clock.
        state.register("now", LuaForm("now()", 0)) { [clock] _ in .value(.int(Int64(clock.milliseconds / 1000))) }
        state.register("nowms", LuaForm("nowms()", 0)) { [clock] _ in .value(.int(Int64(clock.milliseconds))) }
    }

    /// As memcached's `get` or, with data, `set` is answered: the value as text, ERROR_CACHE_MISS, or the error's line.
    private func answer(to text: [UInt8], data: [UInt8]?) throws(Failure) -> [UInt8] {
        guard let machine else { throw Failure(.scriptError, "call is for the inside of a test") }
        guard let key = text.withUnsafeBytes({ VirtualKey($0) }), !key.method.isEmpty else {
            throw Failure(
                .scriptError, "'\(String(decoding: text.prefix(80), as: UTF8.self))' is no type:method:object")
        }
        let call = ObjectCall(key: key, data: data, deadline: .never) { _ in }
        var progress = machine.start(call, sliceNanoseconds: 0)
        while case .paused = progress { progress = machine.resume() }
        guard case .finished(let result) = progress else { return [] }
        switch result {
        case .success(let value): return value.answer
        case .failure(let failure) where failure.reason == .miss: return Array("ERROR_CACHE_MISS".utf8)
        case .failure(let failure): return Array("\(failure.fault.wireWord) \(failure)".utf8)
        }
    }
}

/// Lines that were said, by whatever thread.
private final class SaidLines: Sendable {
    private static let linesMax = 1_000
    private let said = Mutex([String]())

    var all: [String] { said.withLock { $0 } }
    func say(_ line: String) { said.withLock { if $0.count < Self.linesMax { $0.append(line) } } }
    func clear() { said.withLock { $0 = [] } }
}

/// A clock that goes on only when it is told to.
private final class HandClock: Sendable {
    private let now = Atomic<UInt64>(0)

    var milliseconds: UInt64 { now.load(ordering: .relaxed) }
    func set(seconds: UInt64) { now.store(seconds * 1_000, ordering: .relaxed) }
    func goOn(seconds: Double) { now.add(UInt64(seconds * 1_000), ordering: .relaxed) }
}

/// The system's environment with that clock on the wall.
private struct HandEnvironment: Environment {
    private let clock: HandClock
    private let system = SystemEnvironment()

    init(_ clock: HandClock) { self.clock = clock }

    var uptimeNanoseconds: UInt64 { system.uptimeNanoseconds }
    var unixMilliseconds: Int64 { Int64(clock.milliseconds) }
    var unixSeconds: UInt32 { UInt32(truncatingIfNeeded: clock.milliseconds / 1_000) }
    func randomNumber() -> UInt64 { system.randomNumber() }
    func schedule(afterMilliseconds: Int, _ errand: @escaping @Sendable () -> Void) {
        system.schedule(afterMilliseconds: afterMilliseconds, errand)
    }
    func runInBackground(_ errand: @escaping @Sendable () -> Void) { system.runInBackground(errand) }
    func makeCrew(name: String, givesWay: Bool) -> any Crew { system.makeCrew(name: name, givesWay: givesWay) }
    var taskExecutor: (any TaskExecutor)? { nil }
}

/// All objects stay live: there are few.
private struct NoShelf: ObjectShelf {
    func put(_ key: [UInt8], _ bytes: [UInt8], expiry: Expiry) -> Bool { false }
    func take(_ key: [UInt8]) -> [UInt8]? { nil }
    func remove(_ key: [UInt8]) {}
    func contains(_ key: [UInt8]) -> Bool { false }
    func look(_ key: [UInt8]) -> [UInt8]? { nil }
    func keys(prefix: [UInt8]) -> [[UInt8]] { [] }
    func share(_ bytes: Int) {}
}
