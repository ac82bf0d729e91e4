// A node without sockets, asked over HTTP as far as that goes without them.

import Engine
import Gather
import HTTPTypes
import Logging
import Server

/// Alone, with nothing in it.
struct HTTPNode {
    let service: HTTPService

    init(
        origins: [String] = [], access: ClientAccess = ClientAccess(), answersVirtualKeys: Bool = true,
        rowsBytesMax: Int = 64 << 20
    ) {
        self.init(
            Engine(EngineConfiguration(memoryBytes: 32 << 20)), origins: origins, access: access,
            answersVirtualKeys: answersVirtualKeys, rowsBytesMax: rowsBytesMax)
    }

    /// With types of its own.
    init(scripts: [ObjectScript]) throws {
        var configuration = EngineConfiguration(memoryBytes: 32 << 20)
        configuration.scripts = scripts
        configuration.objectTypes = try ObjectTypes(adding: scripts)
        self.init(Engine(configuration))
    }

    private init(
        _ engine: Engine, origins: [String] = [], access: ClientAccess = ClientAccess(),
        answersVirtualKeys: Bool = true,
        rowsBytesMax: Int = 64 << 20
    ) {
        let cluster = Cluster(
            engine: engine,
            topology: Topology.alone(name: "n", host: "127.0.0.1", port: 11211), loops: [],
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        let node = ClusterNode(cluster: cluster, answersVirtualKeys: answersVirtualKeys, access: access)
        let figures = NodeFigures(node: node, statistics: MemcachedStatistics(), configuration: SessionConfiguration())
        node.reports.setFigures { figures() }
        service = HTTPService(
            node: node, guarding: HTTPGuard(address: "127.0.0.1", origins: origins),
            rowsBytesMax: rowsBytesMax, figures: figures)
    }

    /// `line`: verb and target. `fields`: as `Name: value`.
    func ask(
        _ line: String, _ fields: [String] = [], body: String = "", host: String? = "127.0.0.1:8211",
        from client: ClientAddress = .local
    ) async -> HTTPReply {
        let words = line.split(separator: " ", maxSplits: 1).map(String.init)
        var given = HTTPFields()
        for field in fields {
            let parts = field.split(separator: ":", maxSplits: 1).map(String.init)
            guard let name = HTTPField.Name(parts[0]) else { continue }
            given.append(HTTPField(name: name, value: String(parts[1].drop { $0 == " " })))
        }
        guard let method = HTTPRequest.Method(words[0]) else { return HTTPReply(status: 0, body: "", fields: given) }
        let answer: HTTPAnswer
        do throws(HTTPFailure) {
            answer = await service.answer(
                try HTTPCall(
                    method, words[1], host: host, fields: given, body: Array(body.utf8), client: ClientWatch(client)))
        } catch {
            return HTTPReply(status: error.status.code, body: error.reason, fields: error.fields)
        }
        var bytes: [UInt8] = []
        switch answer.body {
        case .bytes(let whole): bytes = whole
        case .events(let events): for await event in events { bytes += event }
        }
        return HTTPReply(
            status: answer.status.code, body: String(decoding: bytes, as: UTF8.self), fields: answer.fields)
    }
}

struct HTTPReply {
    var status: Int
    var body: String
    var fields: HTTPFields

    var json: Value? { Value(json: Array(body.utf8)) }
    var reason: String? { json?["error"]?["reason"]?.text }

    func field(_ name: String) -> String? { HTTPField.Name(name).flatMap { fields[$0] } }
}
