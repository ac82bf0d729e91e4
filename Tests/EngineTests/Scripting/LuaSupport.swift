// What the scripting tests share: run a chunk of Lua in a fresh state and look at what `main` gives back.

import Engine

/// Runs `source`, then its global function `main`.
func runLua(
    _ source: String, _ arguments: [Value] = [], memoryBytesMax: Int = 32 << 20, budget: LuaBudget? = nil,
    prepare: (LuaState) throws -> Void = { _ in }
) throws -> [LuaValue] {
    let state = LuaState(memoryBytesMax: memoryBytesMax)
    try prepare(state)
    let environment = state.makeEnvironment()
    try state.load(source: Array(source.utf8), name: "test.lua", environment: environment)
    guard let main = state.function("main", in: environment) else { return [] }
    return try state.call(
        main, arguments.map { .plain($0) }, budget: budget ?? LuaBudget(deadline: .after(milliseconds: 600_000)))
}

/// The first result of the expression, as it would be answered.
func evaluate(_ expression: String) throws -> String {
    let results = try runLua("function main() return \(expression) end")
    return String(decoding: results.first?.plain?.answer ?? [], as: UTF8.self)
}

/// The failure that running `source` ends with; nil when it succeeds.
func failure(
    of source: String, memoryBytesMax: Int = 32 << 20, budget: LuaBudget? = nil,
    prepare: (LuaState) throws -> Void = { _ in }
) -> Failure? {
    do {
        _ = try runLua(source, memoryBytesMax: memoryBytesMax, budget: budget, prepare: prepare)
        return nil
    } catch { return error as? Failure }
}
