// The low-level interface's Lua state: its scripts loaded, and one run of a handler from a key to its answer.

import CLua

/// One thread at a time.
final class LowLevelMachine {
    /// One run of a handler; between its steps it holds nothing.
    final class Run {
        let command: LowLevelCommand
        fileprivate let coroutine: LuaCoroutine
        fileprivate var tag = ""

        fileprivate init(_ command: LowLevelCommand, _ coroutine: LuaCoroutine) {
            self.command = command
            self.coroutine = coroutine
        }
    }

    enum Step {
        case asks([JobQuestion])
        case finished(Result<Value, Failure>)
    }

    private let state: LuaState
    private let environment: LuaEnvironment

    init(_ scripts: HandlerScripts, services: any LowLevelServices) throws(Failure) {
        state = LuaState(memoryBytesMax: 64 << 20)
        environment = try Self.prepare(state, services)
        for script in scripts.scripts { try Self.load(script, in: state, environment) }
    }

    /// A state with the interface's functions, and the globals that all scripts share.
    static func prepare(_ state: LuaState, _ services: any LowLevelServices) throws(Failure) -> LuaEnvironment {
        state.register("getHashMap") { _ in .object(LowLevelHashMap(services)) }
        state.register("newConsistent") { arguments in
            guard let ring = arguments.first?.plain?.text.flatMap({ LowLevelConsistent(list: $0) }) else {
                return .value(.null)
            }
            return .object(ring)
        }
        // What is logged is the operator's business.
        state.register("setLogLevel") { _ in .nothing }
        // Also called as methods of `table`, which is then the first argument.
        state.register("table.marshal") { (arguments) throws(Failure) in
            guard let value = arguments.last?.plain else {
                throw Failure(.scriptError, "table.marshal needs a table of plain data")
            }
            return .value(.bytes(value.inIntegers.messagePack))
        }
        state.register("table.unmarshal") { (arguments) throws(Failure) in
            guard case .bytes(let bytes)? = arguments.last?.plain, let value = Value(messagePack: bytes) else {
                throw Failure(.scriptError, "table.unmarshal needs what table.marshal made")
            }
            return .value(value.inDoubles)
        }
        ScriptFunctions.register(in: state, numbers: .doubles) { services.log($0) }
        state.control.pointee.numbersAreDoubles = true
        ClusterQuestions.register(in: state)
        let environment = state.makeEnvironment()
        // Its own names for the libraries that it adds to: what all scripts share is locked.
        let libraries =
            "local function open(library) return setmetatable({}, { __index = library }) end "
            + "table, string, math = open(table), open(string), open(math)"
        try state.load(source: Array(libraries.utf8), name: "libraries", environment: environment)
        try state.load(
            source: PackageResources.lowlevel_lua, name: "lowlevel.lua", environment: environment,
            budget: LuaBudget(deadline: .never))
        state.setMethodsOfStrings(toTable: "string", in: environment)
        return environment
    }

    static func load(_ script: ObjectScript, in state: LuaState, _ environment: LuaEnvironment) throws(Failure) {
        try state.load(
            source: HandlerScripts.adapted(script.source), name: script.file, environment: environment,
            budget: LuaBudget(deadline: .never))
    }

    // MARK: Running

    /// `nanoseconds`, `second`: what time it is, on the monotonic clock and since 1970.
    func start(
        _ key: VirtualKey, data: [UInt8]?, deadline: Deadline, nanoseconds: UInt64, second: UInt32
    ) -> (run: Run?, step: Step) {
        guard !deadline.hasPassed(at: nanoseconds) else {
            let late = Failure(.timeout, "the deadline had passed before \(key.type):\(key.method) could start")
            return (nil, .finished(.failure(late)))
        }
        guard let handler = state.function(key.method, ofTable: key.type, in: environment) else {
            return (nil, .finished(.failure(Failure(.scriptError, "\(key.type) has no handler '\(key.method)'"))))
        }
        let text = key.text
        let command = LowLevelCommand(verb: data == nil ? "get" : "set", key: text, data: data ?? [], second: second)
        let budget = LuaBudget(deadline: deadline, outputBytesMax: LowLevelCommand.outputBytesMax)
        let run = Run(command, LuaCoroutine(handler, budget: budget))
        let parts = key.object.isEmpty && key.arguments.isEmpty ? [] : [key.object] + key.arguments
        let arguments = [LuaValue.object(command), .plain(.bytes(text))] + parts.map { .plain(.bytes($0)) }
        return (run, step(run, arguments))
    }

    func resume(_ run: Run, with answers: [JobAnswer]) -> Step {
        step(run, ClusterQuestions.results(run.tag, answers))
    }

    private func step(_ run: Run, _ arguments: [LuaValue]) -> Step {
        switch run.coroutine.resume(arguments) {
        case .yielded(let tag, let values):
            run.tag = tag
            do throws(Failure) {
                return .asks(try ClusterQuestions.parse(tag, values))
            } catch {
                return .finished(.failure(error))
            }
        case .paused: return step(run, [])
        case .failed(let failure): return .finished(.failure(failure))
        case .returned: return .finished(Self.answer(run.command.output))
        }
    }

    /// What a script wrote for the client, as the value that it stands for.
    static func answer(_ output: [UInt8]) -> Result<Value, Failure> {
        guard let end = output.firstIndex(of: 10) else {
            return output.isEmpty ? .failure(.noSuchKey) : .success(.bytes(output))
        }
        let line = String(decoding: output[..<end], as: UTF8.self).filter { $0 != "\r" && $0 != "\r\n" }
        let words = line.split(separator: " ")
        switch words.first {
        case "VALUE":
            guard words.count >= 4, let count = Int(words[3]), count >= 0, output.count - end - 1 >= count else {
                return .failure(Failure(.scriptError, "the script wrote a VALUE line without its data"))
            }
            return .success(.bytes(Array(output[(end + 1)..<(end + 1 + count)])))
        case "END": return .failure(.noSuchKey)
        case "ERROR", "SERVER_ERROR", "CLIENT_ERROR":
            let message = words.dropFirst().joined(separator: " ")
            return .failure(
                Failure(
                    .scriptError, message.isEmpty ? "the script answered \(words[0])" : message,
                    fault: words.first == "SERVER_ERROR" ? .server : .caller))
        default: return .success(.string(line))
        }
    }
}
