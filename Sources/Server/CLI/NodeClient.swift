// A command's connection to a node: requests over the peer protocol, answers awaited.

import Coordination
import Engine
import Gather
import Logging
import NIOCore
import NIOPosix

/// `host:port`, as `--server` takes it.
struct ServerAddress: Sendable, Equatable, CustomStringConvertible {
    var host: String
    var port: Int

    init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    /// `host:port`, `[v6]:port`, `host`, `[v6]`, `v6` or `:port`; nil when it is none of them.
    init?(_ text: String, portDefault: Int = 11211) {
        let isBareIPv6 = !text.hasPrefix("[") && text.count { $0 == ":" } > 1
        guard let colon = text.lastIndex(of: ":"), !text.hasSuffix("]"), !isBareIPv6 else {
            guard !text.isEmpty, text.hasPrefix("[") == text.hasSuffix("]") else { return nil }
            self.init(host: text.hasPrefix("[") ? String(text.dropFirst().dropLast()) : text, port: portDefault)
            return
        }
        guard let port = Int(text[text.index(after: colon)...]), (1...65535).contains(port) else { return nil }
        var host = String(text[..<colon])
        if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
        self.init(host: host.isEmpty ? "127.0.0.1" : host, port: port)
    }

    var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}

/// As whom a command asks, where a node wants to know.
struct Login: Sendable {
    var name: String
    var password: [UInt8]

    static let none = Login(name: "", password: [])
}

struct NodeClient: Sendable {
    let address: ServerAddress
    let login: Login
    private let link: PeerLink
    private let status: PeerStatus

    /// Connects when the first request is sent.
    init(_ address: ServerAddress, login: Login = .none) {
        self.address = address
        self.login = login
        // What happens to the connection is the command's to say.
        status = PeerStatus(
            name: "", address: address.description,
            logger: Logger(label: "cacheismo") { _ in SwiftLogNoOpLogHandler() })
        link = PeerLink(
            loop: MultiThreadedEventLoopGroup.singleton.next(), name: "", host: address.host, port: address.port,
            caller: .client(login: Array(login.name.utf8), password: login.password), status: status)
    }

    func send(_ request: PeerRequest, timeoutMilliseconds: Int) async throws(Failure) -> Value {
        let reply = try await link.send(
            request, deadline: SystemEnvironment().deadline(afterMilliseconds: timeoutMilliseconds))
        return try Router.value(of: .success(reply)).get()
    }

    func control(_ verb: ControlVerb, _ argument: Value, timeoutMilliseconds: Int = 10_000) async throws(Failure)
        -> Value
    {
        try await send(.control(verb: verb, argument: argument), timeoutMilliseconds: timeoutMilliseconds)
    }

    /// What `get key` answers on this node.
    func fetch(_ key: String, timeoutMilliseconds: Int = 60_000) async throws(Failure) -> Value {
        try await send(
            .fetch(
                key: CommandLineBytes.bytes(of: key), deadlineMilliseconds: UInt32(timeoutMilliseconds), byJob: false),
            timeoutMilliseconds: timeoutMilliseconds + 500)
    }

    /// The nodes of the cluster, by the list that this one was started with.
    func nodes() async throws(Failure) -> [(name: String, address: ServerAddress)] {
        let topology = try await control(.topology, .null)
        guard case .array(let nodes)? = topology["nodes"] else {
            throw Failure(.scriptVersion, "\(address) answers in a version that is not understood")
        }
        return nodes.compactMap { node in
            guard let name = node["name"]?.text, let host = node["host"]?.text, case .int(let port)? = node["port"]
            else {
                return nil
            }
            return (name, nodes.count == 1 ? address : ServerAddress(host: host, port: Int(port)))
        }
    }

    /// Another node, asked as the same user.
    func peer(at address: ServerAddress) -> NodeClient { NodeClient(address, login: login) }

    /// The node is there, and does not want this client.
    var isRefused: Bool {
        guard case .refused = status.state else { return false }
        return true
    }

    func close() { link.close() }
}
