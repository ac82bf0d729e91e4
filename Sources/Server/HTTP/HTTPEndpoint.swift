// One thing that can be asked over HTTP: its verb and path, what it takes, and who answers it.

import Gather
import HTTPTypes

struct HTTPEndpoint: Sendable {
    typealias Handler = @Sendable (HTTPCall) async throws(HTTPFailure) -> HTTPAnswer
    typealias Completion = @Sendable (Result<HTTPAnswer, HTTPFailure>) -> Void
    typealias ShortHandler = @Sendable (HTTPCall, @escaping Completion) -> Void

    /// What comes with the request.
    enum Body: Sendable, Equatable {
        case none
        /// Of any kind.
        case anything
        /// One of these types.
        case types([String])
    }

    let method: HTTPRequest.Method
    /// Between slashes; nil where a name stands.
    let path: [[UInt8]?]
    /// What whoever asks it does at the least: what a method or a job needs besides is found out where its name is read.
    let action: ClientAction
    let body: Body
    /// Bytes.
    let bodyMax: Int
    /// Words that may stand behind the question mark; nil: any.
    let words: Set<String>?
    /// Takes long, or makes large answers: on the pool of such work, and not on the connections' threads.
    let isLong: Bool
    let answer: Handler
    /// Nil where it takes a task to answer; else the answer comes at once, or from any thread once it is there.
    let answerShortly: ShortHandler?

    static let bodyMaxDefault = 1 << 20

    init(
        _ method: HTTPRequest.Method, _ path: String, _ action: ClientAction, body: Body = .none,
        bodyMax: Int = bodyMaxDefault, words: [String]? = [], isLong: Bool = false, _ answer: @escaping Handler
    ) {
        self.method = method
        self.path = Self.parts(of: path)
        self.action = action
        self.body = body
        self.bodyMax = bodyMax
        self.words = words.map { Set($0).union(["ints"]) }
        self.isLong = isLong
        self.answer = answer
        answerShortly = nil
    }

    /// One that is asked so often that a task for each request would cost more than its work. Takes no body.
    init(
        short method: HTTPRequest.Method, _ path: String, _ action: ClientAction, words: [String]? = [],
        _ answer: @escaping ShortHandler
    ) {
        self.method = method
        self.path = Self.parts(of: path)
        self.action = action
        body = .none
        bodyMax = Self.bodyMaxDefault
        self.words = words.map { Set($0).union(["ints"]) }
        isLong = false
        answerShortly = answer
        self.answer = { call throws(HTTPFailure) in try await awaiting { answer(call, $0) }.get() }
    }

    private static func parts(of path: String) -> [[UInt8]?] {
        path.utf8.dropFirst().split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false).map {
            $0.first == UInt8(ascii: "{") ? nil : Array($0)
        }
    }

    /// What the path has in the places of names; nil where it is another path.
    func names(in path: [[UInt8]]) -> [[UInt8]]? {
        guard path.count == self.path.count else { return nil }
        var names: [[UInt8]] = []
        for (wanted, found) in zip(self.path, path) {
            guard let wanted else {
                guard !found.isEmpty else { return nil }
                names.append(found)
                continue
            }
            guard wanted == found else { return nil }
        }
        return names
    }

    /// Throws 415 and 400 for what it does not take.
    func check(_ call: HTTPCall) throws(HTTPFailure) {
        _ = try call.wantsTextIntegers()
        if let words, let stranger = call.query.words.first(where: { !words.contains($0.name) }) {
            let known = words.sorted().joined(separator: ", ")
            throw .badRequest("there is no parameter '\(stranger.name.prefix(60))' here; there are \(known)")
        }
        guard case .types(let types) = body, !types.contains(call.contentType ?? "") else { return }
        throw HTTPFailure(
            .unsupportedMediaType, "unsupported_type",
            "this takes \(types.joined(separator: " or ")), as the Content-Type says it")
    }
}

struct HTTPRoutes: Sendable {
    let endpoints: [HTTPEndpoint]

    /// The endpoint, and the call with its names in place. Throws 404 and 405.
    func find(_ call: HTTPCall) throws(HTTPFailure) -> (HTTPEndpoint, HTTPCall) {
        var allowed: [String] = []
        let wanted = call.method == .head ? .get : call.method
        for endpoint in endpoints {
            guard let names = endpoint.names(in: call.path) else { continue }
            guard endpoint.method == wanted else {
                allowed.append(endpoint.method.rawValue)
                continue
            }
            var call = call
            call.names = names
            return (endpoint, call)
        }
        guard !allowed.isEmpty else {
            throw .noSuch("path like that", "GET /v1/openapi.json describes those that there are")
        }
        if allowed.contains("GET") { allowed.append("HEAD") }
        var failure = HTTPFailure(
            .methodNotAllowed, "wrong_method",
            "\(call.method.rawValue) is not for this path; \(allowed.joined(separator: ", ")) is")
        failure.fields[.allow] = allowed.joined(separator: ", ")
        throw failure
    }
}
