// `/v1/frames`: what frames there are, their first rows, rows that come in, and the end of one.

import Coordination
import Engine
import Gather
import HTTPTypes

struct FrameEndpoints: Sendable {
    private let node: ClusterNode
    private let rowsBytesMax: Int

    init(_ node: ClusterNode, rowsBytesMax: Int) {
        self.node = node
        self.rowsBytesMax = rowsBytesMax
    }

    private var cluster: Cluster { node.cluster }

    private static let ndjson = "application/x-ndjson"
    private static let csv = "text/csv"

    var all: [HTTPEndpoint] {
        [
            HTTPEndpoint(.get, "/v1/frames", .describe, isLong: true) { call throws(HTTPFailure) in try await list(call)
            },
            HTTPEndpoint(.get, "/v1/frames/{name}", .describe) { call throws(HTTPFailure) in
                let textIntegers = try call.wantsTextIntegers()
                return HTTPAnswer(json: try await info(call.name()).lossless(textIntegers: textIntegers))
            },
            HTTPEndpoint(.get, "/v1/frames/{name}/head", .describe, words: ["limit"], isLong: true) {
                call throws(HTTPFailure) in try await head(call)
            },
            HTTPEndpoint(
                .post, "/v1/frames/{name}", .appendRows, body: .types([Self.ndjson, Self.csv]), bodyMax: rowsBytesMax,
                isLong: true
            ) { call throws(HTTPFailure) in try await append(call) },
            HTTPEndpoint(.delete, "/v1/frames/{name}", .alterFrame, words: ["id"]) { call throws(HTTPFailure) in
                try await drop(call)
            },
        ]
    }

    // MARK: Looking

    private func list(_ call: HTTPCall) async throws(HTTPFailure) -> HTTPAnswer {
        let textIntegers = try call.wantsTextIntegers()
        var frames: [Value] = []
        for name in cluster.readRegistry({ $0.frames.names }) {
            // Those of one name that are several are among the cluster's conflicts.
            guard case .one = cluster.readRegistry({ $0.frame(named: name) }) else { continue }
            do throws(HTTPFailure) { frames.append(try await info(name)) } catch {
                // Dropped since.
                guard error.status != .notFound else { continue }
                throw error
            }
        }
        return HTTPAnswer(json: Value.object(["frames": .array(frames)]).lossless(textIntegers: textIntegers))
    }

    private func info(_ name: String) async throws(HTTPFailure) -> Value {
        let key = VirtualKey(type: "frame", method: "info", object: Array(name.utf8))
        return try await call(key, data: nil).orHTTP()
    }

    private func call(_ key: VirtualKey, data: [UInt8]?) async -> Result<Value, Failure> {
        await awaiting { node.router.call(key, data: data, links: nil, deadline: nil, completion: $0) }
    }

    private static let headMax = 1_000
    private static let headDefault = 10
    /// As a job, so that it is worked out where rows are.
    private static let headJob = Array(
        """
        job.params = { frame = "", columns = {}, limit = 10 }
        function map(shard, p)
          local rows = { limit = p.limit }
          for at, name in ipairs(p.columns) do rows[at] = name end
          return shard:frame(p.frame):rows(rows)
        end
        """.utf8)

    private func head(_ call: HTTPCall) async throws(HTTPFailure) -> HTTPAnswer {
        let textIntegers = try call.wantsTextIntegers()
        var limit = Self.headDefault
        if let text = try call.query.one("limit") {
            guard let number = Int(text), (1...Self.headMax).contains(number), !text.hasPrefix("+") else {
                throw .badRequest("limit=\(text.prefix(40)) is no number from 1 to \(Self.headMax)")
            }
            limit = number
        }
        let name = call.name()
        let columns = try schema(of: name).columns
        var request = JobRequest(name: "head", source: Self.headJob)
        request.listing = .none
        request.parameters = [
            "frame": .string(name), "columns": .array(columns.map { .string($0.name) }), "limit": .int(Int64(limit)),
        ]
        let envelope = await node.jobs.run(request, router: node.router)
        if let error = envelope.error { throw HTTPFailure(error) }
        let told = Value.object([
            "columns": .array(
                columns.map { .object(["name": .string($0.name), "type": .string($0.type.name)]) }),
            "rows": envelope.result.value == .null ? .array([]) : envelope.result.value,
        ])
        return HTTPAnswer(json: told.lossless(textIntegers: textIntegers))
    }

    private func schema(of name: String) throws(HTTPFailure) -> FrameSchema {
        do throws(Failure) {
            return try FrameService.schema(of: name, cluster)
        } catch {
            throw HTTPFailure(error)
        }
    }

    // MARK: Changing

    private func append(_ call: HTTPCall) async throws(HTTPFailure) -> HTTPAnswer {
        let textIntegers = try call.wantsTextIntegers()
        let format: RowFormat = call.contentType == Self.csv ? .csv : .ndjson
        do throws(Failure) {
            let told = try await FrameService.append(call.body, format, to: call.name(), cluster)
            return HTTPAnswer(json: told.lossless(textIntegers: textIntegers))
        } catch {
            throw HTTPFailure(error)
        }
    }

    private func drop(_ call: HTTPCall) async throws(HTTPFailure) -> HTTPAnswer {
        let textIntegers = try call.wantsTextIntegers()
        let id: Value = try call.query.one("id").map { .string($0) } ?? .null
        do throws(Failure) {
            let told = try await FrameService.drop(.object(["name": .string(call.name()), "id": id]), cluster)
            return HTTPAnswer(json: told.lossless(textIntegers: textIntegers))
        } catch {
            throw HTTPFailure(error)
        }
    }
}
