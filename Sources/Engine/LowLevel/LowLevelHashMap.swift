// The node's items as one map, and consistent hashing over a list of servers: objects that scripts call methods on.

final class LowLevelHashMap: LuaHostObject {
    static let luaTypeName = "HashMap"
    private let services: any LowLevelServices
    /// Keys that one search may find.
    private static let keysMax = 100_000

    init(_ services: any LowLevelServices) { self.services = services }

    private static func keyMethod(
        _ name: String, _ body: @escaping @Sendable (LowLevelHashMap, [UInt8]) -> LuaResult
    ) -> LuaMethod {
        LuaMethod(LowLevelHashMap.self) { (map, arguments) throws(Failure) in
            guard let key = arguments.first?.plain?.lowLevelBytes else {
                throw Failure(.scriptError, "\(name) needs a key")
            }
            return body(map, key)
        }
    }

    static var luaMethods: [String: LuaMethod] {
        [
            "get": keyMethod("get") { map, key in
                guard let item = map.services.get(key) else { return .value(.null) }
                return .object(LowLevelCacheItem(item))
            },
            "delete": keyMethod("delete") { map, key in
                map.services.delete(key)
                return .nothing
            },
            // Nil where there is none.
            "getPrefixMatchingKeys": keyMethod("getPrefixMatchingKeys") { map, prefix in
                let keys = map.services.keys(prefix: prefix, limit: keysMax)
                return .value(keys.isEmpty ? .null : .array(keys.map { .bytes($0) }))
            },
            "put": LuaMethod(LowLevelHashMap.self) { (map, arguments) throws(Failure) in
                guard let item = arguments.first?.object(as: LowLevelCacheItem.self) else {
                    throw Failure(.scriptError, "put needs an item, as command:newCacheItem() makes it")
                }
                guard map.services.put(item.item) else {
                    throw Failure(
                        .budgetExceeded, "no room for an item of \(item.item.key.count + item.item.data.count) bytes",
                        fault: .server)
                }
                return .nothing
            },
            "deleteLRU": LuaMethod(LowLevelHashMap.self) { (map, arguments) throws(Failure) in
                guard let bytes = arguments.first?.plain?.lowLevelNumber, bytes >= 0 else {
                    throw Failure(.scriptError, "deleteLRU needs a number of bytes")
                }
                map.services.deleteLeastUsed(bytes: Int(bytes))
                return .nothing
            },
        ]
    }
}

/// Which of some servers a key belongs to: each stands at 160 points of a ring.
final class LowLevelConsistent: LuaHostObject {
    static let luaTypeName = "Consistent"
    private static let pointsPerServer = 160
    private let servers: [String]
    private let ring: [(point: UInt64, server: Int)]
    private var unavailable: Set<Int> = []

    var hostBytes: Int { LuaState.objectBytes + servers.count * 64 + ring.count * 16 }

    /// - Parameter list: servers with commas or spaces between them.
    init?(list: String) {
        servers = list.split { $0 == "," || $0 == " " || $0 == ";" }.map(String.init)
        guard !servers.isEmpty, servers.count <= 1024 else { return nil }
        ring = servers.enumerated().flatMap { index, server in
            (0..<Self.pointsPerServer).map { (Self.hash(Array("\(server)-\($0)".utf8)), index) }
        }.sorted { $0.0 < $1.0 }
    }

    private static func hash(_ bytes: [UInt8]) -> UInt64 {
        bytes.withUnsafeBytes { ScriptFunctions.stableHash($0, seed: 0) }
    }

    /// The first available server from the key's point on.
    private func server(for key: [UInt8]) -> String? {
        guard unavailable.count < servers.count else { return nil }
        let point = Self.hash(key)
        let first = partitionPoint(ring.count) { ring[$0].point < point }
        for step in 0..<ring.count {
            let server = ring[(first + step) % ring.count].server
            if !unavailable.contains(server) { return servers[server] }
        }
        return nil
    }

    static var luaMethods: [String: LuaMethod] {
        [
            "findServerForKey": LuaMethod(LowLevelConsistent.self) { (ring, arguments) throws(Failure) in
                guard let key = arguments.first?.plain?.lowLevelBytes, !key.isEmpty else { return .value(.null) }
                return .value(ring.server(for: key).map { .string($0) } ?? .null)
            },
            "getServerCount": LuaMethod(LowLevelConsistent.self) { (ring, _) throws(Failure) in
                .value(.int(Int64(ring.servers.count)))
            },
            "isServerAvailable": LuaMethod(LowLevelConsistent.self) { (ring, arguments) throws(Failure) in
                let index = ring.servers.firstIndex { $0 == arguments.first?.plain?.text }
                return .value(.int(index.map { ring.unavailable.contains($0) ? 0 : 1 } ?? 0))
            },
            "setServerAvailable": LuaMethod(LowLevelConsistent.self) { (ring, arguments) throws(Failure) in
                // The server and 0 or 1, in either order.
                let plain = arguments.compactMap(\.plain)
                guard let name = plain.first(where: { value in ring.servers.contains { $0 == value.text } })?.text,
                    let index = ring.servers.firstIndex(of: name),
                    let flag = plain.first(where: { $0.text == nil })?.lowLevelNumber
                else { throw Failure(.scriptError, "setServerAvailable needs one of the servers, and 0 or 1") }
                if flag == 0 { ring.unavailable.insert(index) } else { ring.unavailable.remove(index) }
                return .nothing
            },
        ]
    }
}
