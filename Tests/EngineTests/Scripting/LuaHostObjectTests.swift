// Host objects: a chain of calls on a builder, objects inside tables, lifetimes.

import Engine
import Testing

/// The shape of a query builder: chainable, takes tables with other host objects in them, gives back new objects.
private final class Plan: LuaHostObject {
    static let luaTypeName = "plan"
    static let luaMethods: [String: LuaMethod] = [
        "where": LuaMethod(Plan.self) { (plan, arguments) throws(Failure) in
            let texts = try arguments.plain(in: "where").map { String(decoding: $0.answer, as: UTF8.self) }
            plan.steps.append(texts.joined(separator: " "))
            return .receiver
        },
        "agg": LuaMethod(Plan.self) { (plan, arguments) throws(Failure) in
            guard case .table(let entries)? = arguments.first else {
                throw Failure(.scriptError, "agg needs a table of aggregates")
            }
            let names = entries.map { entry in
                "\(entry.key.text ?? "?")=\(entry.value.object(as: Aggregate.self)?.name ?? "?")"
            }
            return .object(Partial(text: (plan.steps + names).joined(separator: "; ")))
        },
    ]
    var steps: [String] = []
}

private final class Aggregate: LuaHostObject {
    static let luaTypeName = "aggregate"
    static let luaMethods: [String: LuaMethod] = [:]
    let name: String
    init(_ name: String) { self.name = name }
}

private final class Partial: LuaHostObject {
    static let luaTypeName = "partial"
    static let luaMethods: [String: LuaMethod] = [
        "merge": LuaMethod(Partial.self) { (partial, arguments) throws(Failure) in
            guard let other = arguments.first?.object(as: Partial.self) else {
                throw Failure(.scriptError, "merge needs another result")
            }
            return .object(Partial(text: partial.text + " + " + other.text))
        },
        "text": LuaMethod(Partial.self) { (partial, _) throws(Failure) in .value(.string(partial.text)) },
    ]
    let text: String
    init(text: String) { self.text = text }
}

private final class Counted: LuaHostObject {
    static let luaTypeName = "counted"
    static let luaMethods: [String: LuaMethod] = [:]
    let tally: Tally
    init(_ tally: Tally) {
        self.tally = tally
        tally.alive += 1
    }
    deinit { tally.alive -= 1 }
}

private final class Tally {
    var alive = 0 { didSet { peak = max(peak, alive) } }
    private(set) var peak = 0
}

private final class Heavy: LuaHostObject {
    static let luaTypeName = "heavy"
    static let luaMethods: [String: LuaMethod] = [:]
    let hostBytes = 1 << 20
    let tally: Tally
    init(_ tally: Tally) {
        self.tally = tally
        tally.alive += 1
    }
    deinit { tally.alive -= 1 }
}

@Suite struct LuaHostObjectTests {
    private func prepare(_ state: LuaState) {
        state.register("frame") { (_) throws(Failure) in .object(Plan()) }
        state.register("count") { (_) throws(Failure) in .object(Aggregate("count")) }
        state.register("sum") { (arguments) throws(Failure) in
            .object(Aggregate("sum(\(arguments.first?.plain?.text ?? ""))"))
        }
    }

    @Test("a builder chains, takes a table of objects, and results merge")
    func builder() throws {
        let source = """
            function main()
              local a = frame():where("delay", ">=", 15):agg { n = count(), total = sum("delay") }
              local b = frame():agg { n = count() }
              return a:merge(b):text(), a
            end
            """
        let results = try runLua(source, prepare: prepare)
        #expect(results.first?.plain?.text == "delay >= 15; n=count; total=sum(delay) + n=count")
        #expect(results.last?.object(as: Partial.self)?.text == "delay >= 15; n=count; total=sum(delay)")
    }

    @Test("misuse of a host object is a script error that says how to call it")
    func misuse() {
        for (source, message) in [
            ("frame().where('x')", "plan.where needs its object: write object:where(…)"),
            ("frame().where(count())", "called on a aggregate, write object:method(…)"),
            ("frame():agg(1)", "agg needs a table of aggregates"), ("frame():nothing()", "nothing"),
            ("frame().x = 1", "plan"), ("return count() .. ''", "aggregate"),
            ("frame():where({}, count())", "argument 2"),
        ] {
            let failed = failure(of: "function main() \(source) end", prepare: prepare)
            #expect(
                failed?.reason == .scriptError && failed?.message.contains(message) == true,
                "\(source): \(String(describing: failed))")
        }
    }

    @Test("an object is kept while Lua can reach it and released after that")
    func lifetime() throws {
        let tally = Tally()
        do {
            let state = LuaState()
            state.register("make") { (_) throws(Failure) in .object(Counted(tally)) }
            let environment = state.makeEnvironment()
            try state.load(
                source: Array("kept = make() for i = 1, 10 do make() end".utf8), name: "t", environment: environment)
            state.collectGarbage()
            #expect(tally.alive == 1)
        }
        #expect(tally.alive == 0)
    }

    @Test("what objects hold is on the account of their state, and much of it is collected")
    func accounts() throws {
        let tally = Tally()
        func prepare(_ state: LuaState) {
            state.register("make") { (_) throws(Failure) in .object(Heavy(tally)) }
        }
        _ = try runLua("function main() for i = 1, 1000 do make() end end", prepare: prepare)
        #expect(tally.alive == 0 && tally.peak < 32)
        let failed = failure(
            of: "function main() local kept = {} for i = 1, 1000 do kept[i] = make() end end", prepare: prepare)
        #expect(failed?.reason == .budgetExceeded && failed?.message.contains("too much memory") == true)
        #expect(tally.alive == 0 && tally.peak <= 33)
        let state = LuaState()
        prepare(state)
        let before = state.memoryBytes
        try state.load(source: Array("make() make()".utf8), name: "t", environment: state.makeEnvironment())
        #expect(state.memoryBytes >= before + (2 << 20))
        state.collectGarbage()
        #expect(state.memoryBytes < before + (1 << 20))
    }
}
