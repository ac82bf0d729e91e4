// `node:…` virtual keys: what the node that is asked knows of itself.

package import Engine

package struct NodeService: VirtualService {
    package let type = "node"
    private let reports: NodeReports

    package enum Method: String, ServiceMethod {
        case name, hotkeys, stats

        package var signature: MethodSignature {
            switch self {
            case .name, .stats: MethodSignature()
            case .hotkeys: MethodSignature(parameters: ["limit"], least: 0)
            }
        }

        package var action: ClientAction {
            switch self {
            case .name, .hotkeys, .stats: .lookAtCluster
            }
        }
    }

    package init(_ reports: NodeReports) { self.reports = reports }

    package func perform(
        _ method: Method, _ call: ServiceCall, _ router: Router, completion: @escaping CallCompletion
    ) {
        switch method {
        case .name: completion(.success(.string(router.cluster.selfName)))
        case .hotkeys: completion(Self.hotKeys(call.key, router.engine))
        case .stats: completion(.success(reports.stats))
        }
    }

    /// `node:hotkeys[:limit]`: what is asked for most on this node, see `Engine.hottest`.
    private static func hotKeys(_ key: VirtualKey, _ engine: Engine) -> Result<Value, Failure> {
        let text = String(decoding: key.object, as: UTF8.self)
        guard let limit = text.isEmpty ? 20 : text.hasPrefix("+") ? nil : Int(text), (1...1000).contains(limit) else {
            return .failure(Failure(.scriptError, "node:hotkeys:LIMIT: '\(text)' is no number from 1 to 1000"))
        }
        return .success(.array(engine.hottest(limit: limit).map(\.value)))
    }
}
