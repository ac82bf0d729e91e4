// `/v1/get` and `/v1/call`: what memcached's `get` answers, and any method of an object.

import Engine
import Gather
import HTTPTypes

struct ObjectEndpoints: Sendable {
    private let router: Router
    private let counters: HTTPCounters

    /// What a description of a large frame may take; methods have bounds of their own.
    private static let timeoutMilliseconds = 30_000
    private static let keysMax = 1_000

    init(_ router: Router, _ counters: HTTPCounters) {
        self.router = router
        self.counters = counters
    }

    var all: [HTTPEndpoint] {
        [
            HTTPEndpoint(short: .get, "/v1/get", .readItem, words: ["key"]) { call, completion in get(call, completion)
            },
            HTTPEndpoint(.post, "/v1/call", .callReadonly, body: .types([HTTPAnswer.json])) {
                callOf throws(HTTPFailure) in
                try await call(callOf)
            },
        ]
    }

    // MARK: get

    private func get(_ call: HTTPCall, _ completion: @escaping HTTPEndpoint.Completion) {
        let (keys, textIntegers): ([[UInt8]], Bool)
        do throws(HTTPFailure) { (keys, textIntegers) = try asked(call) } catch { return completion(.failure(error)) }
        let deadline = router.cluster.environment.deadline(afterMilliseconds: Self.timeoutMilliseconds)
        // Most ask for one.
        if keys.count == 1 {
            return router.fetch(keys[0], deadline: deadline) { [counters] answer in
                counters.count(retrieval: answer, of: keys[0])
                completion(.success(HTTPAnswer(json: .map([Self.pair(keys[0], answer, textIntegers)]))))
            }
        }
        let found = AllOf<Result<Value, Failure>>(keys.count) { found in
            var pairs: [Value.Pair] = []
            for (key, answer) in zip(keys, found) {
                let pair = Self.pair(key, answer, textIntegers)
                if !pairs.contains(where: { $0.key == pair.key }) { pairs.append(pair) }
            }
            completion(.success(HTTPAnswer(json: .map(pairs))))
        }
        for (at, key) in keys.enumerated() {
            router.fetch(key, deadline: deadline) { [counters] answer in
                counters.count(retrieval: answer, of: key)
                found.give(answer, at)
            }
        }
    }

    private static func pair(
        _ key: [UInt8], _ answer: Result<Value, Failure>, _ textIntegers: Bool
    ) -> Value.Pair {
        Value.Pair(.bytes(name(of: key)), value(answer, textIntegers))
    }

    /// The keys, which may be read, and whether large integers are to be text.
    private func asked(_ call: HTTPCall) throws(HTTPFailure) -> ([[UInt8]], Bool) {
        let keys = call.query.all("key")
        guard !keys.isEmpty else { throw .badRequest("no key is given: /v1/get?key=KEY, several by &key=KEY") }
        guard keys.count <= Self.keysMax else {
            throw .badRequest("\(keys.count) keys, at most \(Self.keysMax) in one request")
        }
        let textIntegers = try call.wantsTextIntegers()
        for key in keys {
            if let refusal = router.refusal(of: key, plain: .readItem, call.roles) { throw HTTPFailure(refusal) }
        }
        for key in keys where router.isReadonly(key) == false {
            var failure = HTTPFailure(
                .methodNotAllowed, "not_readonly",
                "\(String(decoding: key.prefix(80), as: UTF8.self)) may change something, and a GET may be repeated: "
                    + "POST /v1/call calls any method, /v1/jobs/NAME/run runs a job")
            failure.fields[.allow] = "POST"
            throw failure
        }
        return (keys, textIntegers)
    }

    /// A key as a name in JSON: one that is no UTF-8 with its escapes, as a path or query has them.
    private static func name(of key: [UInt8]) -> [UInt8] {
        guard String(validating: key, as: UTF8.self) == nil else { return key }
        return PercentEscapes.escaped(key) { $0 < 0x80 }
    }

    private static func value(_ answer: Result<Value, Failure>, _ textIntegers: Bool) -> Value {
        switch answer {
        case .success(let value): .object(["value": value.lossless(textIntegers: textIntegers)])
        case .failure(let failure) where failure.reason == .miss: .null
        case .failure(let failure): .object(["error": HTTPFailure(failure).value])
        }
    }

    // MARK: call

    private func call(_ call: HTTPCall) async throws(HTTPFailure) -> HTTPAnswer {
        let textIntegers = try call.wantsTextIntegers()
        let key = try Self.key(try call.jsonBody(knows: ["type", "method", "object", "args"]))
        guard router.isType(key.type) else {
            throw HTTPFailure(
                .badRequest, Reason.scriptError.rawValue,
                "there is no type '\(key.type.prefix(80))': GET /v1/get?key=object:list lists those that there are")
        }
        if let refusal = router.refusal(of: key, call.roles) { throw HTTPFailure(refusal) }
        let answer: Result<Value, Failure> = await awaiting {
            router.call(key, data: nil, links: nil, deadline: nil, roles: call.roles, completion: $0)
        }
        counters.count(call: answer)
        return HTTPAnswer(json: .object(["value": try answer.orHTTP().lossless(textIntegers: textIntegers)]))
    }

    private static func key(_ body: Value) throws(HTTPFailure) -> VirtualKey {
        guard let type = body["type"]?.text, let method = body["method"]?.text,
            case .bytes(let object)? = body["object"]
        else { throw .badRequest(#"write {"type": TEXT, "method": TEXT, "object": TEXT, "args": [...]}"#) }
        var arguments: [[UInt8]] = []
        switch body["args"] {
        case nil: break
        case .array(let list)?: arguments = list.map { $0 == .null ? Array("null".utf8) : $0.answer }
        default: throw .badRequest("args is a list")
        }
        let bytes = arguments.reduce(type.utf8.count + method.utf8.count + object.count) { $0 + $1.count }
        guard bytes <= HTTPEndpoint.bodyMaxDefault else { throw HTTPService.tooLarge(HTTPEndpoint.bodyMaxDefault) }
        return VirtualKey(type: type, method: method, object: object, arguments: arguments)
    }
}

extension HTTPCall {
    /// The body as a JSON object with no other fields than these. Throws 400.
    func jsonBody(knows fields: Set<String>) throws(HTTPFailure) -> Value {
        guard String(validating: body, as: UTF8.self) != nil else {
            throw .badRequest("the body is not UTF-8: JSON has to be")
        }
        let value: Value
        do throws(Failure) { value = try Value(parsingJSON: body, takesHalves: false) } catch {
            throw .badRequest(error.message)
        }
        guard case .map(let pairs) = value else { throw .badRequest("the body is a JSON object") }
        for pair in pairs where !fields.contains(pair.key.text ?? "") {
            throw .badRequest(
                "there is no field '\(pair.key.text?.prefix(60) ?? "")'; there are \(fields.sorted().joined(separator: ", "))"
            )
        }
        return value
    }
}
