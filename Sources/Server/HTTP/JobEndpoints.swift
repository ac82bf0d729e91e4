// `/v1/jobs`: defined jobs, and the running of those that only read.

import Coordination
import Engine
import Gather
import HTTPTypes

struct JobEndpoints: Sendable {
    private let node: ClusterNode
    private let flights: RunFlights

    init(_ node: ClusterNode, _ flights: RunFlights) {
        self.node = node
        self.flights = flights
    }

    private var cluster: Cluster { node.cluster }

    var all: [HTTPEndpoint] {
        [
            HTTPEndpoint(.get, "/v1/jobs/{name}/run", .runDefinedMap, words: nil) { call throws(HTTPFailure) in
                try await run(call)
            },
            HTTPEndpoint(.get, "/v1/jobs", .describe, isLong: true) { call throws(HTTPFailure) in try await list(call)
            },
            HTTPEndpoint(.get, "/v1/jobs/{name}", .describe) { call throws(HTTPFailure) in try await get(call) },
            HTTPEndpoint(.put, "/v1/jobs/{name}", .defineJob, body: .types([Self.lua])) { call throws(HTTPFailure) in
                try await put(call)
            },
            HTTPEndpoint(.delete, "/v1/jobs/{name}", .dropJob) { call throws(HTTPFailure) in try await drop(call) },
        ]
    }

    static let lua = "application/x-lua"

    // MARK: Definitions

    /// Throws 404 where there is no such job, and what to do where there are several.
    static func source(of name: String, _ cluster: Cluster) throws(HTTPFailure) -> [UInt8] {
        let source: [UInt8]?
        do throws(Failure) { source = try JobDefinitions.source(of: name, cluster) } catch {
            guard error.reason == .conflict else { throw HTTPFailure(error) }
            throw HTTPFailure(
                .conflict, Reason.conflict.rawValue,
                "there are several jobs '\(name)', defined by nodes that could not reach each other: PUT it anew, or DELETE it"
            )
        }
        guard let source else {
            throw .noSuch("job '\(name)'", "GET /v1/jobs lists those that there are, PUT /v1/jobs/NAME defines one")
        }
        return source
    }

    private func list(_ call: HTTPCall) async throws(HTTPFailure) -> HTTPAnswer {
        let textIntegers = try call.wantsTextIntegers()
        var jobs: [Value] = []
        for name in cluster.readRegistry({ $0.jobs.names }) {
            // One that is in conflict, or that this node can't read, is not left out without a word.
            guard case .one(let job) = cluster.readRegistry({ $0.job(named: name) }) else { continue }
            let source = job.definition.source
            do throws(Failure) {
                jobs.append(try await node.definitions.value(of: name, source: source, cluster))
            } catch {
                jobs.append(
                    .object([
                        "name": .string(name), "about": .string(error.message), "params": .map([]),
                        "source": .bytes(source),
                    ]))
            }
        }
        return HTTPAnswer(json: Value.object(["jobs": .array(jobs)]).lossless(textIntegers: textIntegers))
    }

    private func get(_ call: HTTPCall) async throws(HTTPFailure) -> HTTPAnswer {
        try await describe(call.name(), textIntegers: try call.wantsTextIntegers())
    }

    private func describe(_ name: String, textIntegers: Bool) async throws(HTTPFailure) -> HTTPAnswer {
        let source = try Self.source(of: name, cluster)
        do throws(Failure) {
            return HTTPAnswer(
                json: try await node.definitions.value(of: name, source: source, cluster).lossless(
                    textIntegers: textIntegers)
            )
        } catch {
            throw HTTPFailure(error)
        }
    }

    private func put(_ call: HTTPCall) async throws(HTTPFailure) -> HTTPAnswer {
        let textIntegers = try call.wantsTextIntegers()
        _ = try await service("define", call, data: call.body).orHTTP()
        return try await describe(call.name(), textIntegers: textIntegers)
    }

    private func drop(_ call: HTTPCall) async throws(HTTPFailure) -> HTTPAnswer {
        if case .none = cluster.readRegistry({ $0.job(named: call.name()) }) {
            _ = try Self.source(of: call.name(), cluster)
        }
        _ = try await service("drop", call, data: nil).orHTTP()
        return HTTPAnswer(json: .object(["dropped": .bytes(call.names[0])]))
    }

    private func service(_ method: String, _ call: HTTPCall, data: [UInt8]?) async -> Result<Value, Failure> {
        let key = VirtualKey(type: "job", method: method, object: call.names[0])
        return await awaiting { node.router.call(key, data: data, links: nil, deadline: nil, completion: $0) }
    }

    // MARK: Run

    private static let ownWords: Set<String> = ["require", "timeout", "format", "ints"]

    private func run(_ call: HTTPCall) async throws(HTTPFailure) -> HTTPAnswer {
        let textIntegers = try call.wantsTextIntegers()
        let word = try call.query.one("format") ?? "json"
        guard let format = JobFormat(rawValue: word) else {
            throw .badRequest("format=\(word.prefix(40)) is not understood: write json, csv or ndjson")
        }
        let name = call.name()
        let source = try Self.source(of: name, cluster)
        do throws(Failure) {
            let definition = try await node.definitions.definition(of: name, source: source, cluster)
            guard !definition.hasRun else { throw Failure(.conflict, "") }
        } catch {
            guard error.reason == .conflict else { throw HTTPFailure(error) }
            var failure = HTTPFailure(
                .methodNotAllowed, "not_readonly",
                "job \(name) has run(p), which may change something: POST /v1/runs runs it")
            failure.fields[.allow] = "POST"
            throw failure
        }
        let request = try Self.request(JobRequest(name: name, source: source), call.query)
        return try await flights.answer(request, format, textIntegers: textIntegers, call)
    }

    /// With what stands behind the question mark. Throws 400.
    private static func request(_ request: JobRequest, _ query: HTTPQuery) throws(HTTPFailure) -> JobRequest {
        var request = request
        request.listing = .none
        var assignments: [String] = []
        for (name, value) in query.words {
            let text = String(decoding: value, as: UTF8.self)
            switch name {
            case "format", "ints": break
            case "require", "timeout": assignments.append("\(name)=\(text)")
            default:
                let own = name.hasPrefix("param.") ? String(name.dropFirst(6)) : name
                guard request.parameters.updateValue(.bytes(value), forKey: own) == nil else {
                    throw .badRequest("'\(own.prefix(60))' is given twice: give it once")
                }
            }
        }
        do throws(Failure) { try request.take(assignments: assignments) } catch { throw .badRequest(error.message) }
        return request
    }
}
