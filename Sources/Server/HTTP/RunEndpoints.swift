// `/v1/runs` and `/v1/explain`: scripts and jobs that are sent, waited for, watched, and cancelled.

import Coordination
import Engine
import Gather
import HTTPTypes
import Synchronization

struct RunEndpoints: Sendable {
    private let node: ClusterNode

    init(_ node: ClusterNode) { self.node = node }

    private var cluster: Cluster { node.cluster }

    private static let body = HTTPEndpoint.Body.types([HTTPAnswer.json, JobEndpoints.lua])

    var all: [HTTPEndpoint] {
        [
            HTTPEndpoint(.post, "/v1/runs", .runDefinedMap, body: Self.body, words: ["wait"], isLong: true) {
                call throws(HTTPFailure) in try await start(call)
            },
            HTTPEndpoint(.get, "/v1/runs", .lookAtCluster, isLong: true) { call throws(HTTPFailure) in
                try await list(call)
            },
            HTTPEndpoint(.get, "/v1/runs/{id}", .lookAtCluster, isLong: true) { call throws(HTTPFailure) in
                try await get(call)
            },
            HTTPEndpoint(.delete, "/v1/runs/{id}", .cancelRun, isLong: true) { call throws(HTTPFailure) in
                try await cancel(call)
            },
            HTTPEndpoint(.get, "/v1/runs/{id}/events", .lookAtCluster, isLong: true) { call throws(HTTPFailure) in
                try await watch(call)
            },
            HTTPEndpoint(.post, "/v1/explain", .runDefinedMap, body: Self.body, isLong: true) {
                call throws(HTTPFailure) in
                try await explain(call)
            },
        ]
    }

    // MARK: Starting

    private static let waitMillisecondsDefault = 1_000

    private func start(_ call: HTTPCall) async throws(HTTPFailure) -> HTTPAnswer {
        let textIntegers = try call.wantsTextIntegers()
        let milliseconds = try Self.milliseconds(try call.query.one("wait"))
        var request = try request(call)
        let query = cluster.newQuery()
        request.query = query
        request.listing = .kept
        let finish = FirstOf<Envelope?>()
        let cluster = cluster
        let asked = request
        Task(executorPreference: cluster.engine.compute) { [node] in
            finish.give(await node.jobs.run(asked, router: node.router))
        }
        let isWaitedFor = Mutex(true)
        let gone = call.client?.whenGone {
            if isWaitedFor.withLock({ $0 }) { _ = cluster.jobs.cancel(query) }
        }
        if milliseconds < request.timeoutMilliseconds + 1_000 {
            cluster.environment.schedule(afterMilliseconds: milliseconds) { finish.give(nil) }
        }
        let envelope = await finish.value()
        isWaitedFor.withLock { $0 = false }
        if let gone { call.client?.forget(gone) }
        if let envelope { return envelope.answer(textIntegers: textIntegers) }
        let id = String(query, radix: 16)
        var shown = try? await run(id)
        while shown == nil {
            // It has not begun yet: its task waits for a thread.
            await cluster.environment.sleep(milliseconds: 5)
            shown = try? await run(id)
        }
        var answer = HTTPAnswer(.accepted, json: (shown ?? .null).lossless(textIntegers: textIntegers))
        answer.fields[.location] = "/v1/runs/\(id)"
        return answer
    }

    private static func milliseconds(_ text: String?) throws(HTTPFailure) -> Int {
        guard let text else { return waitMillisecondsDefault }
        let unit = text.hasSuffix("ms") ? 2 : 1
        guard text.hasSuffix("s"), let number = UInt32(text.dropLast(unit)), !text.hasPrefix("+") else {
            throw .badRequest("wait=\(text.prefix(40)) is not understood: write 500ms, or 2s")
        }
        return min(Int(number) * (unit == 2 ? 1 : 1_000), JobRequest.timeoutMillisecondsMax)
    }

    /// Lua, or a JSON object that has it or names a job. Throws 403 for Lua of who may run defined jobs only.
    private func request(_ call: HTTPCall) throws(HTTPFailure) -> JobRequest {
        guard call.contentType == HTTPAnswer.json else { return try sent(call.body, call) }
        let body = try call.jsonBody(knows: ["script", "job", "params", "require", "timeout"])
        var request: JobRequest
        switch (body["script"], body["job"]) {
        case (.bytes(let source)?, nil): request = try sent(source, call)
        case (nil, .bytes(let name)?):
            let name = String(decoding: name, as: UTF8.self)
            request = JobRequest(name: name, source: try JobEndpoints.source(of: name, cluster))
            request.roles = call.roles
        default: throw .badRequest(#"write "script": LUA, or "job": NAME"#)
        }
        switch body["params"] {
        case nil: break
        case .map(let pairs)?: for pair in pairs { request.parameters[pair.key.text ?? ""] = pair.value }
        default: throw .badRequest("params is an object, by name")
        }
        var assignments: [String] = []
        for (field, form) in [("require", "text or a number"), ("timeout", "a number")] {
            switch body[field] {
            case nil: break
            case .int(let number)?: assignments.append("\(field)=\(number)")
            case .bytes(let text)? where field == "require":
                assignments.append("\(field)=\(String(decoding: text, as: UTF8.self))")
            default: throw .badRequest("\(field) is \(form)")
            }
        }
        do throws(Failure) { try request.take(assignments: assignments) } catch { throw .badRequest(error.message) }
        return request
    }

    private func sent(_ source: [UInt8], _ call: HTTPCall) throws(HTTPFailure) -> JobRequest {
        if let refusal = call.roles.refusal(of: .sendLua, "Lua that is sent") { throw HTTPFailure(refusal) }
        var request = JobRequest(name: "script", source: source)
        request.roles = call.roles
        return request
    }

    private func explain(_ call: HTTPCall) async throws(HTTPFailure) -> HTTPAnswer {
        let textIntegers = try call.wantsTextIntegers()
        let asked = try request(call)
        do throws(Failure) {
            let plan = try await node.jobs.explain(asked)
            let told = Value.object([
                "job": plan["job"] ?? .null,
                "about": plan["about"].map { $0 == .null ? .string("") : $0 } ?? .string(""),
                "text": .string(JobExplain.text(plan)), "plans": plan["plans"] ?? .array([]),
            ])
            return HTTPAnswer(json: told.lossless(textIntegers: textIntegers))
        } catch {
            throw HTTPFailure(error)
        }
    }

    // MARK: Looking

    private func list(_ call: HTTPCall) async throws(HTTPFailure) -> HTTPAnswer {
        let textIntegers = try call.wantsTextIntegers()
        let (runs, leftOut) = await node.reports.runs()
        let told = Value.object(["runs": .array(runs), "leftOut": .array(leftOut.map { .string($0) })])
        return HTTPAnswer(json: told.lossless(textIntegers: textIntegers))
    }

    private func get(_ call: HTTPCall) async throws(HTTPFailure) -> HTTPAnswer {
        let textIntegers = try call.wantsTextIntegers()
        return HTTPAnswer(json: try await run(call.name()).lossless(textIntegers: textIntegers))
    }

    private static func query(_ id: String) throws(HTTPFailure) -> UInt64 {
        guard let query = NodeReports.query(id: id) else { throw missing(id) }
        return query
    }

    private static func missing(_ id: String) -> HTTPFailure {
        .noSuch("run '\(id.prefix(40))'", "GET /v1/runs lists those under way, and those of the last ten minutes")
    }

    /// The run, with its envelope once it is done.
    private func run(_ id: String) async throws(HTTPFailure) -> Value {
        let query = try Self.query(id)
        do throws(Failure) {
            if let found = try await node.reports.run(query) { return found.withColumns }
        } catch {
            throw HTTPFailure(error)
        }
        throw Self.missing(id)
    }

    private func cancel(_ call: HTTPCall) async throws(HTTPFailure) -> HTTPAnswer {
        let textIntegers = try call.wantsTextIntegers()
        let id = call.name()
        let query = try Self.query(id)
        do throws(Failure) {
            if let (_, found) = try await node.reports.cancel(query) {
                return HTTPAnswer(json: found.withColumns.lossless(textIntegers: textIntegers))
            }
        } catch {
            throw HTTPFailure(error)
        }
        throw Self.missing(id)
    }

    // MARK: Watching

    private static let eventMilliseconds = 100

    private func watch(_ call: HTTPCall) async throws(HTTPFailure) -> HTTPAnswer {
        let textIntegers = try call.wantsTextIntegers()
        let id = call.name()
        let first = try await run(id)
        let (events, feed) = AsyncStream<[UInt8]>.makeStream()
        let environment = cluster.environment
        let watching = environment.task { [self] in
            var run: Value? = first
            while let now = run, now["state"] == .string("running"), !Task.isCancelled, !node.isEnding {
                feed.yield(Self.event("progress", Value.object(["rows": now["rows"] ?? .null]), textIntegers))
                await environment.sleep(milliseconds: Self.eventMilliseconds)
                run = try? await self.run(id)
            }
            // A node that ends does not wait for the run: who watches is not told that it is done.
            if !Task.isCancelled, !node.isEnding {
                feed.yield(Self.event("done", run?["envelope"] ?? Self.forgotten(id, run), textIntegers))
            }
            feed.finish()
        }
        feed.onTermination = { _ in watching.cancel() }
        var answer = HTTPAnswer(.ok, type: "text/event-stream")
        answer.fields[.cacheControl] = "no-store"
        answer.body = .events(events)
        return answer
    }

    /// In place of an answer that nobody has any more.
    private static func forgotten(_ id: String, _ run: Value?) -> Value {
        .object([
            "status": .string("error"), "query": .string(id), "job": run?["job"] ?? .string(""),
            "shards": .object(["asked": .int(0), "answered": .int(0), "failed": .array([])]),
            "rows": run?["rows"] ?? NodeReports.rows(0, 0),
            "chunks": .object(["scanned": .int(0), "pruned": .int(0), "cached": .int(0)]),
            "ms": .object(["total": run?["ms"] ?? .int(0), "nodes": .map([])]),
            "error": .object([
                "reason": .string(Reason.evicted.rawValue),
                "message": .string("the answer of run \(id) is not kept any more, or never was: run it again"),
            ]),
        ])
    }

    private static func event(_ name: String, _ data: Value, _ textIntegers: Bool) -> [UInt8] {
        Array("event: \(name)\ndata: ".utf8) + data.lossless(textIntegers: textIntegers).json + [0x0A, 0x0A]
    }
}

extension Value {
    /// A run whose envelope has the columns of its result.
    var withColumns: Value {
        guard let envelope = self["envelope"], case .map(var pairs) = envelope, let last = pairs.last,
            last.key == .string("result"), let columns = last.value.columns
        else { return self }
        pairs.insert(Pair(.string("columns"), columns), at: pairs.count - 1)
        return replacing("envelope", .map(pairs))
    }
}
