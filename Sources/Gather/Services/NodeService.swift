// `node:…` virtual keys: what the node that is asked knows of itself.

package import Engine

package struct NodeService: VirtualService {
    package let type = "node"

    package enum Method: String, ServiceMethod {
        case name, hotkeys

        package var signature: MethodSignature {
            switch self {
            case .name: MethodSignature()
            case .hotkeys: MethodSignature(parameters: ["limit"], least: 0)
            }
        }
    }

    package init() {}

    package func perform(
        _ method: Method, _ call: ServiceCall, _ router: Router, completion: @escaping CallCompletion
    ) {
        switch method {
        case .name: completion(.success(.string(router.cluster.selfName)))
        case .hotkeys: completion(Self.hotKeys(call.key, router.engine))
        }
    }

    /// `node:hotkeys[:limit]`: the keys most read on this node, `{key, count, error}` each: the true count lies between
    /// count - error and count.
    private static func hotKeys(_ key: VirtualKey, _ engine: Engine) -> Result<Value, Failure> {
        let text = String(decoding: key.object, as: UTF8.self)
        guard let limit = text.isEmpty ? 20 : text.hasPrefix("+") ? nil : Int(text), (1...1000).contains(limit) else {
            return .failure(Failure(.scriptError, "node:hotkeys:LIMIT: '\(text)' is no number from 1 to 1000"))
        }
        // A key lives on one shard only, so the shards' lists have nothing in common.
        let hottest = engine.shards.flatMap { $0.items.hotKeys(limit: limit) }.sorted { a, b in
            a.count != b.count ? a.count > b.count : a.key.lexicographicallyPrecedes(b.key)
        }
        let list = hottest.prefix(limit).map { hot in
            Value.object([
                "key": .bytes(hot.key), "count": .int(Int64(clamping: hot.count)),
                "error": .int(Int64(clamping: hot.error)),
            ])
        }
        return .success(.array(list))
    }
}
