// getFromServer, getInParallel and cluster.servers for a job's run(p): the script waits, the host asks.

/// One key to ask one server for.
package struct JobQuestion: Sendable {
    package let server: String
    package let key: [UInt8]
}

package struct JobAnswer: Sendable {
    package let question: JobQuestion
    package let result: Result<Value, Failure>

    package init(question: JobQuestion, result: Result<Value, Failure>) {
        self.question = question
        self.result = result
    }
}

enum ClusterQuestions {
    static let single = "getFromServer"
    static let parallel = "getInParallel"

    static func register(in state: LuaState) {
        let forms = [
            single: LuaForm("getFromServer(server, key)", 2),
            parallel: LuaForm("getInParallel{ [server] = key, … }", 1),
        ]
        for (tag, form) in forms {
            state.register(tag, form) { arguments throws(Failure) in
                .yield(tag, try arguments.plain(in: tag))
            }
        }
    }

    /// What the script asks for: `getFromServer(server, key)`, `getInParallel{ [server] = key | {key, …} }`.
    static func parse(_ tag: String, _ arguments: [Value]) throws(Failure) -> [JobQuestion] {
        if tag == single {
            guard arguments.count == 2, let server = arguments[0].text, let key = key(arguments[1]) else {
                throw Failure(.scriptError, "getFromServer(server, key) takes a server's name and a key")
            }
            return [JobQuestion(server: server, key: key)]
        }
        let pairs: [Value.Pair]
        switch arguments.first {
        case .map(let asked)?: pairs = asked
        case .array(let asked)? where asked.isEmpty: pairs = []  // an empty table may be either
        default:
            throw Failure(.scriptError, "getInParallel takes a table { [server] = key } or { [server] = {key, …} }")
        }
        var questions: [JobQuestion] = []
        for pair in pairs {
            guard let server = pair.key.text else {
                throw Failure(.scriptError, "getInParallel: a server is named by a string, as cluster.servers() does")
            }
            var keys = [pair.value]
            if case .array(let list) = pair.value { keys = list }
            for candidate in keys {
                guard let key = key(candidate) else {
                    throw Failure(
                        .scriptError, "getInParallel: what is asked of \(server) must be a key or a list of keys")
                }
                questions.append(JobQuestion(server: server, key: key))
            }
        }
        return questions
    }

    private static func key(_ value: Value) -> [UInt8]? {
        switch value {
        case .bytes(let bytes): bytes.isEmpty ? nil : bytes
        case .int(let number): Array(String(number).utf8)
        default: nil
        }
    }

    /// What the function returns to the script. getFromServer: the value, or nil, reason, message. getInParallel: two
    /// tables by server and key, the values, and `{reason, message}` for what is missing.
    static func results(_ tag: String, _ answers: [JobAnswer]) -> [LuaValue] {
        if tag == single, let answer = answers.first {
            switch answer.result {
            case .success(let value): return [.plain(value)]
            case .failure(let failure):
                return [.plain(.null), .plain(.string(failure.reason.rawValue)), .plain(.string(failure.message))]
            }
        }
        var values: [(server: String, pairs: [Value.Pair])] = []
        var reasons = values
        func add(_ pair: Value.Pair, _ server: String, to lists: inout [(server: String, pairs: [Value.Pair])]) {
            if lists.last?.server != server { lists.append((server, [])) }
            lists[lists.count - 1].pairs.append(pair)
        }
        for answer in answers {
            let key = Value.bytes(answer.question.key)
            switch answer.result {
            case .success(let value): add(Value.Pair(key, value), answer.question.server, to: &values)
            case .failure(let failure):
                let reason = Value.object([
                    "reason": .string(failure.reason.rawValue), "message": .string(failure.message),
                ])
                add(Value.Pair(key, reason), answer.question.server, to: &reasons)
            }
        }
        return [values, reasons].map { lists in
            .plain(.map(lists.map { Value.Pair(.string($0.server), .map($0.pairs)) }))
        }
    }
}

/// One run of a job's `run(p)`: a coroutine that is suspended while its questions are answered, holding nothing. Resumed
/// from any thread, by one at a time.
package final class JobRun: @unchecked Sendable {
    package enum Step: Sendable {
        case asks([JobQuestion])
        case returned(LeasedValue)
    }

    private let script: JobScript
    private let coroutine: LuaCoroutine
    private let parameters: Value
    private var tag = ""

    init(_ script: JobScript, parameters: Value) throws(Failure) {
        guard let run = script.function("run") else { throw Failure(.scriptError, "job \(script.name) has no run(p)") }
        self.script = script
        self.parameters = parameters
        coroutine = LuaCoroutine(run, budget: script.budget)
    }

    /// What answers to it are leased from.
    package var share: ScriptShare { script.state.share }

    package func begin() throws(Failure) -> Step { try advance([.plain(parameters)]) }

    package func resume(with answers: [JobAnswer]) throws(Failure) -> Step {
        try advance(ClusterQuestions.results(tag, answers))
    }

    private func advance(_ arguments: [LuaValue]) throws(Failure) -> Step {
        switch coroutine.resume(arguments) {
        case .yielded(let tag, let values):
            self.tag = tag
            return .asks(try ClusterQuestions.parse(tag, values))
        case .paused: return try advance([])
        case .failed(let failure): throw failure
        case .returned(let results):
            guard let result = results.first else { return .returned(LeasedValue(.null)) }
            guard let value = result.plain else {
                throw Failure(.scriptError, "job \(script.name): run(p) must return plain values")
            }
            return .returned(LeasedValue(value, coroutine.lease))
        }
    }
}

extension JobScript {
    /// Prepares `run(p)`; `servers` is what cluster.servers() answers.
    package func start(parameters: Value, servers: [String]) throws(Failure) -> JobRun {
        state.register("cluster.servers", LuaForm("cluster.servers()", 0)) { _ in
            .value(.array(servers.map { .string($0) }))
        }
        return try JobRun(self, parameters: parameters)
    }
}
